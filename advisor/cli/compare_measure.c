#include "advisor/cli/compare_measure.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "advisor/cli/answer_print.h"
#include "advisor/cli/progress.h"
#include "advisor/cli/verbs.h"
#include "core/base/json.h"

enum { LOOK_MS = 300, RETRIES = 100 };

static bool is(const char *a, const char *b) {
    return strcmp(a, b) == 0;
}

enum rc compare_margin(const char *text, double *ret, struct err *err) {
    char *end = NULL;
    double value = strtod(text, &end);
    bool percent = end != text && is(end, "%");
    value = percent ? value / 100 : value;
    if (end == text || (*end && !percent) || !(value >= 0.001 && value <= 1)) {
        return err_set(err, RC_USAGE,
                       "--margin %.40s: give a share between 0.1%% and 100%%, like 2%% or 0.02", text);
    }
    *ret = value;
    return RC_OK;
}

static void show(struct progress *p, const json_t *comparison) {
    double seconds = json_number_value(json_object_get(comparison, "seconds"));
    double limit_s = json_number_value(json_object_get(comparison, "time_limit_s"));
    size_t n = json_array_size(json_object_get(comparison, "replicates"));
    progress_update(p, (long long)n, (long long)n + 1, limit_s > 0 ? fmin(seconds / limit_s, 1) : 0,
                    json_shown_text(comparison, "summary"));
}

static enum rc ended_well(const json_t *comparison, struct err *err) {
    const json_t *e = json_object_get(comparison, "error");
    const char *state = json_shown_text(comparison, "state"), *code = json_shown_text(e, "code");
    if (is(state, "done")) {
        return RC_OK;
    }
    return err_set(err, code[0] ? rc_from_name(code) : RC_CANCELLED, "comparison %s %s: %s",
                   json_shown_text(comparison, "id"), state, json_shown_text(e, "text"));
}

enum rc compare_follow(struct client *c, const char *id, json_t **ret, struct err *err) {
    const struct timespec pause = {0, (long)LOOK_MS * 1000000};
    struct progress progress;
    char path[96];
    json_t *now = NULL;
    int failures = 0;
    enum rc rc;
    progress_init(&progress);
    snprintf(path, sizeof(path), "/v1/comparisons/%.60s", id);
    for (;;) {
        rc = client_get(c, path, &now, err);
        failures = rc == RC_OK ? 0 : failures + 1;
        if (rc == RC_NOT_FOUND || failures > RETRIES) {
            break; /* else the service restarts, and the comparison goes on */
        }
        if (rc == RC_OK) {
            if (!is(json_shown_text(now, "state"), "running")) {
                break;
            }
            show(&progress, now);
            json_decref(now);
            now = NULL;
        }
        nanosleep(&pause, NULL);
    }
    progress_end(&progress);
    if (rc == RC_OK) {
        rc = ended_well(now, err);
    }
    if (rc != RC_OK) {
        json_decref(now);
        return rc;
    }
    *ret = now;
    return RC_OK;
}

static void ratio_text(const json_t *ratio, char text[FIGURE_SIZE], const char *key) {
    double value = json_shown_number(ratio, key);
    snprintf(text, FIGURE_SIZE, isfinite(value) ? "%.4f" : "-", value);
}

static enum rc add_row(struct table *t, const char *what, const json_t *ratio, struct err *err) {
    char value[FIGURE_SIZE], low[FIGURE_SIZE], high[FIGURE_SIZE];
    ratio_text(ratio, value, "value");
    ratio_text(ratio, low, "low");
    ratio_text(ratio, high, "high");
    const char *cells[] = {what, value, low, high};
    return table_add(t, cells, err);
}

enum rc compare_print(const json_t *comparison, enum output output, struct err *err) {
    static const char *const headers[] = {"ratio of times", ">ratio", ">low", ">high"};
    if (output == OUTPUT_JSON) {
        json_dumpf(comparison, stdout, JSON_INDENT(2));
        putchar('\n');
        return RC_OK;
    }
    struct table *t = table_new(headers, 4);
    enum rc rc = t ? add_row(t, "typical", json_object_get(comparison, "ratio"), err) : err_memory(err);
    if (rc == RC_OK && json_is_object(json_object_get(comparison, "p90_ratio"))) {
        rc = add_row(t, "p90", json_object_get(comparison, "p90_ratio"), err);
    }
    if (rc == RC_OK) {
        json_int_t unsteady = json_integer_value(json_object_get(comparison, "unstable_replicates"));
        if (output != OUTPUT_CSV) {
            printf("%s: %s\n\n", json_shown_text(comparison, "verdict"),
                   json_shown_text(comparison, "summary"));
        }
        table_print(t, output, stdout);
        if (unsteady > 0 && output != OUTPUT_CSV) {
            printf("\n%lld replicates were measured while the machine was not steady, also at a second "
                   "attempt.\n",
                   (long long)unsteady);
        }
    }
    table_free(t);
    return rc;
}

int compare_exit_code(const json_t *comparison) {
    const char *verdict = json_shown_text(comparison, "verdict");
    const json_t *high = json_object_get(json_object_get(comparison, "ratio"), "high");
    double most = 1 + json_number_value(json_object_get(comparison, "margin"));
    bool no_slower =
        json_is_number(high) && json_number_value(high) < most; /* the same or faster, whichever */
    if (is(verdict, "slower")) {
        return EXIT_BROKEN;
    }
    return is(verdict, "undecided") && !no_slower ? EXIT_INCONCLUSIVE : EXIT_FINE;
}

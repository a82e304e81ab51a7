#include "advisor/cli/answer_print.h"

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "advisor/cli/answer_csv.h"
#include "core/base/json.h"

void figure_bytes(double bytes, char text[FIGURE_SIZE]) {
    static const char *const units[] = {"B", "kB", "MB", "GB"};
    int unit = 0;
    while (bytes >= 1000 && unit < 3) {
        bytes /= 1000;
        unit++;
    }
    snprintf(text, FIGURE_SIZE, unit == 0 || bytes >= 100 ? "%.0f %s" : "%.1f %s", bytes, units[unit]);
}

void figure_us(double us, char text[FIGURE_SIZE]) {
    snprintf(text, FIGURE_SIZE,
             us < 100     ? "%.0f us"
             : us < 10000 ? "%.2f ms"
                          : "%.0f ms",
             us < 100 ? us : us / 1000);
}

int answer_exit_code(const json_t *answer) {
    const char *status = json_string_value(json_object_get(answer, "status"));
    return status && strcmp(status, "ok") == 0 ? 0 : status && strcmp(status, "undecided") == 0 ? 3 : 1;
}

static bool has_price(const json_t *configuration) {
    return json_is_object(json_object_get(configuration, "usd_per_million"));
}

/* USD where the machine has a price, else machine-hours per million. */
static double cost_of(const json_t *configuration) {
    const char *key = has_price(configuration) ? "usd_per_million" : "machine_hours_per_million";
    return json_shown_number(json_object_get(configuration, key), "value");
}

static void figure_runtime(const json_t *c, char text[FIGURE_SIZE]) {
    const json_t *r = json_object_get(c, "runtime");
    if (!r) { /* a variant that could not be made */
        snprintf(text, FIGURE_SIZE, "-");
        return;
    }
    int n = snprintf(text, FIGURE_SIZE, "%.0fx%.0f", json_shown_number(r, "instances"),
                     json_shown_number(r, "threads"));
    if (json_shown_number(r, "batch") > 1) {
        snprintf(text + n, FIGURE_SIZE - (size_t)n, " b%.0f", json_shown_number(r, "batch"));
    }
}

static void figure_accuracy(const json_t *accuracy, char text[FIGURE_SIZE]) {
    double value = json_shown_number(accuracy, "value");
    if (isnan(value)) {
        snprintf(text, FIGURE_SIZE, "-");
    } else {
        snprintf(text, FIGURE_SIZE, fabs(value) < 2 ? "%.4f" : "%.3f", value);
    }
}

static enum rc add_row(struct table *t, const char *role, const json_t *c, const char *why, struct err *err) {
    char runtime[FIGURE_SIZE] = "", accuracy[FIGURE_SIZE] = "", p50[FIGURE_SIZE] = "-",
         p99[FIGURE_SIZE] = "-", rate[FIGURE_SIZE] = "-", memory[FIGURE_SIZE] = "-", size[FIGURE_SIZE] = "-",
         cost[FIGURE_SIZE] = "-";
    const json_t *latency = json_object_get(c, "latency_us");
    figure_runtime(c, runtime);
    figure_accuracy(json_object_get(c, "accuracy"), accuracy);
    if (!isnan(json_shown_number(latency, "p50"))) {
        figure_us(json_shown_number(latency, "p50"), p50);
    }
    if (!isnan(json_shown_number(latency, "p99"))) {
        figure_us(json_shown_number(latency, "p99"), p99);
    }
    if (!isnan(json_shown_number(c, "throughput_per_s"))) {
        double per_s = json_shown_number(c, "throughput_per_s");
        snprintf(rate, sizeof(rate), "%.*f", per_s < 10 ? 1 : 0, per_s);
    }
    if (!isnan(json_shown_number(c, "memory_mib"))) {
        snprintf(memory, sizeof(memory), "%.0f MiB", json_shown_number(c, "memory_mib"));
    }
    if (!isnan(json_shown_number(c, "size_bytes"))) {
        figure_bytes(json_shown_number(c, "size_bytes"), size);
    }
    if (!isnan(cost_of(c))) {
        snprintf(cost, sizeof(cost), "%.4f", cost_of(c));
    }
    const char *cells[] = {
        role, json_shown_text(c, "recipe"), runtime, accuracy, p50, p99, rate, memory, size, cost, why};
    return table_add(t, cells, err);
}

/* Every entry of `list` but the baseline, which has its row. */
static enum rc add_rows(struct table *t, const char *role, const json_t *list, const char *baseline_id,
                        struct err *err) {
    size_t i;
    json_t *c;
    json_array_foreach((json_t *)list, i, c) {
        bool shown = *baseline_id && strcmp(json_shown_text(c, "id"), baseline_id) == 0;
        enum rc rc = shown ? RC_OK : add_row(t, role, c, json_shown_text(c, "reason"), err);
        if (rc != RC_OK) {
            return rc;
        }
    }
    return RC_OK;
}

static enum rc fill(struct table *t, const json_t *a, struct err *err) {
    const json_t *choice = json_object_get(a, "choice"), *baseline = json_object_get(a, "baseline");
    const char *baseline_id = json_shown_text(baseline, "id");
    const struct {
        const char *role;
        const json_t *list;
    } parts[] = {{"runner-up", json_object_get(a, "runners_up")},
                 {"undecided", json_object_get(a, "undecided")},
                 {"rejected", json_object_get(json_object_get(a, "rejected"), "items")}};
    enum rc rc = RC_OK;
    if (json_is_object(choice)) {
        rc = add_row(t, "choice", choice, json_shown_text(choice, "reason"), err);
    }
    if (rc == RC_OK && json_is_object(baseline) && strcmp(baseline_id, json_shown_text(choice, "id")) != 0) {
        rc = add_row(t, "baseline", baseline, json_shown_text(baseline, "reason"), err);
    }
    for (size_t i = 0; rc == RC_OK && i < sizeof(parts) / sizeof(parts[0]); i++) {
        rc = add_rows(t, parts[i].role, parts[i].list, baseline_id, err);
    }
    return rc;
}

/* What the choice's accuracy rests on: the test, its bound and the number of examples. */
static void print_evidence(const json_t *a, FILE *out) {
    const json_t *accuracy = json_object_get(json_object_get(a, "choice"), "accuracy");
    const char *metric = json_shown_text(accuracy, "metric"), *test = json_shown_text(accuracy, "test");
    double drop = json_shown_number(accuracy, "drop_upper"), n = json_shown_number(accuracy, "n");
    size_t i;
    json_t *floor;
    if (!json_is_object(accuracy) || isnan(n)) {
        return;
    }
    fputs("\nFloor", out);
    json_array_foreach(json_object_get(a, "floors"), i, floor) {
        fprintf(out, "%s %s", i ? "," : "", json_string_value(floor));
    }
    fprintf(out, ": %s with the choice, n = %.0f", json_shown_text(accuracy, "floor"), n);
    if (*test && !isnan(drop)) {
        fprintf(out, "; with %.0f %% confidence its %s is at most %.4f worse than the baseline's (%s)",
                100 * json_shown_number(a, "confidence"), metric, drop > 0 ? drop : 0, test);
    }
    fputs(".\n", out);
}

/* One line a recipe: of its first configuration in the table that has an explanation. `said` holds the
 * recipes that have their line. */
static void print_explanation(const json_t *c, json_t *said, FILE *out) {
    char runtime[FIGURE_SIZE];
    const char *recipe = json_shown_text(c, "recipe"), *text = json_shown_text(c, "explanation");
    if (!*text || json_object_get(said, recipe)) {
        return;
    }
    if (json_object_size(said) == 0) {
        fputs("\nWhy they are as fast as they are, beside the uncompressed model with the same settings:\n",
              out);
    }
    figure_runtime(c, runtime);
    fprintf(out, "  %s, %s: %s\n", recipe, runtime, text);
    json_object_set_new(said, recipe, json_true());
}

static void print_explanations(const json_t *a, FILE *out) {
    const json_t *lists[] = {json_object_get(a, "runners_up"), json_object_get(a, "undecided"),
                             json_object_get(json_object_get(a, "rejected"), "items")};
    json_t *c, *said = json_object();
    size_t k;
    print_explanation(json_object_get(a, "choice"), said, out);
    print_explanation(json_object_get(a, "baseline"), said, out);
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        json_array_foreach((json_t *)(uintptr_t)lists[i], k, c) {
            print_explanation(c, said, out);
        }
    }
    json_decref(said);
}

/* What a study of many levels left out, and why. */
static void print_skipped(const json_t *a, FILE *out) {
    const json_t *list = json_object_get(a, "skipped"), *entry;
    size_t i;
    if (json_array_size(list) > 0) {
        fputs("\nNot measured, or only with their first setting (--evaluate all measures everything):\n",
              out);
    }
    json_array_foreach(list, i, entry) {
        bool all = strcmp(json_shown_text(entry, "settings"), "all") == 0;
        fprintf(out, "  %s%s: %s\n", json_shown_text(entry, "recipe"), all ? "" : ", other settings",
                json_shown_text(entry, "reason"));
    }
}

static void print_relaxations(const json_t *a, FILE *out) {
    const json_t *miss = json_object_get(a, "nearest_miss"), *list = json_object_get(a, "relaxations");
    size_t i;
    json_t *r;
    if (json_is_object(miss)) {
        fprintf(out, "\nNearest miss: %s: %s\n", json_shown_text(miss, "recipe"),
                json_shown_text(miss, "reason"));
    }
    if (json_array_size(list) > 0) {
        fputs("\nWhat would change the answer:\n", out);
    }
    json_array_foreach((json_t *)list, i, r) {
        fprintf(out, "  %s\n", json_shown_text(r, "text"));
    }
}

/* What latency and cost are in the scenario that they are judged in. */
static const struct judged {
    const char *scenario, *latency, *cost;
} JUDGED[] = {{"offline", "with all instances busy", "with the machine filled"},
              {"server", "at the rate shown, the highest of random arrivals that keeps the latency budget",
               "at that rate"},
              {"single-stream", "of one query at a time", "one query at a time"},
              {"multi-stream", "of a query of 8 samples", "with one such query at a time"}};

static const struct judged *judged_in(const char *scenario) {
    for (size_t i = 0; i < sizeof(JUDGED) / sizeof(JUDGED[0]); i++) {
        if (strcmp(JUDGED[i].scenario, scenario) == 0) {
            return &JUDGED[i];
        }
    }
    return &JUDGED[0];
}

static void print_legend(const json_t *a, bool priced, FILE *out) {
    const char *note = json_shown_text(a, "note");
    const struct judged *j = judged_in(json_shown_text(a, "judged_in"));
    fprintf(
        out,
        "\nruntime: instances x threads, b = batch. p50, p99: latency %s.\n%s per million predictions (or "
        "generated tokens) %s.",
        j->latency, priced ? "USD/M: USD" : "h/M: machine-hours", j->cost);
    fputs(" -: not measured, or more than the sample supports.\nEvery figure is measured.\n", out);
    if (*note) {
        fprintf(out, "Note: %s.\n", note);
    }
    if (json_is_object(json_object_get(a, "choice"))) {
        fprintf(out, "The model: pare export %s --file FILE.", json_shown_text(a, "id"));
    } else {
        fprintf(out, "This answer again: pare recommend %s.", json_shown_text(a, "id"));
    }
    fputs(priced ? "\n" : " In USD: pare recommend MODEL --price-per-hour USD.\n", out);
}

static const json_t *any_configuration(const json_t *a) {
    const json_t *choice = json_object_get(a, "choice"), *undecided = json_object_get(a, "undecided"),
                 *rejected = json_object_get(json_object_get(a, "rejected"), "items");
    return json_is_object(choice)           ? choice
           : json_array_size(undecided) > 0 ? json_array_get(undecided, 0)
                                            : json_array_get(rejected, 0);
}

static const char *metric_of(const json_t *a) {
    const json_t *baseline = json_object_get(a, "baseline");
    const json_t *c = json_is_object(baseline) ? baseline : any_configuration(a);
    const char *metric = json_shown_text(json_object_get(c, "accuracy"), "metric");
    return *metric ? metric : "accuracy";
}

static struct table *answer_table(const json_t *a, bool priced) {
    char metric[FIGURE_SIZE];
    snprintf(metric, sizeof(metric), ">%s", metric_of(a));
    const char *headers[] = {"",     "recipe", "runtime",  metric,   ">~p50",
                             ">p99", ">per s", ">~memory", ">~size", priced ? ">USD/M" : ">h/M",
                             "why"};
    return table_new(headers, sizeof(headers) / sizeof(headers[0]));
}

enum rc answer_print(const json_t *answer, enum output output, FILE *out, struct err *err) {
    if (output == OUTPUT_JSON) {
        json_dumpf(answer, out, JSON_INDENT(2) | JSON_REAL_PRECISION(10));
        fputc('\n', out);
        return RC_OK;
    }
    if (output == OUTPUT_CSV) {
        return answer_csv(answer, out, err);
    }
    bool priced = has_price(any_configuration(answer));
    struct table *t = answer_table(answer, priced);
    enum rc rc = t ? fill(t, answer, err) : err_memory(err);
    if (rc == RC_OK) {
        fprintf(out, "%s\n\n", json_shown_text(answer, "summary"));
        table_print(t, output, out);
        print_evidence(answer, out);
        print_explanations(answer, out);
        print_skipped(answer, out);
        print_relaxations(answer, out);
        print_legend(answer, priced, out);
    }
    table_free(t);
    return rc;
}

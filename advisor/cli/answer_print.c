#include "advisor/cli/answer_print.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

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

static const char *text_of(const json_t *object, const char *key) {
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

static double number_of(const json_t *object, const char *key) {
    const json_t *value = json_object_get(object, key);
    return json_is_number(value) ? json_number_value(value) : NAN;
}

static bool has_price(const json_t *configuration) {
    return json_is_object(json_object_get(configuration, "usd_per_million"));
}

/* USD where the machine has a price, else machine-hours per million. */
static double cost_of(const json_t *configuration) {
    const json_t *usd = json_object_get(configuration, "usd_per_million");
    return number_of(usd ? usd : json_object_get(configuration, "machine_hours_per_million"), "value");
}

static void figure_runtime(const json_t *c, char text[FIGURE_SIZE]) {
    const json_t *r = json_object_get(c, "runtime");
    int n = snprintf(text, FIGURE_SIZE, "%.0fx%.0f", number_of(r, "instances"), number_of(r, "threads"));
    if (number_of(r, "batch") > 1) {
        snprintf(text + n, FIGURE_SIZE - (size_t)n, " b%.0f", number_of(r, "batch"));
    }
}

static void figure_accuracy(const json_t *accuracy, char text[FIGURE_SIZE]) {
    double value = number_of(accuracy, "value");
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
    if (!isnan(number_of(latency, "p50"))) {
        figure_us(number_of(latency, "p50"), p50);
    }
    if (!isnan(number_of(latency, "p99"))) {
        figure_us(number_of(latency, "p99"), p99);
    }
    if (!isnan(number_of(c, "throughput_per_s"))) {
        snprintf(rate, sizeof(rate), "%.0f", number_of(c, "throughput_per_s"));
    }
    if (!isnan(number_of(c, "memory_mib"))) {
        snprintf(memory, sizeof(memory), "%.0f MiB", number_of(c, "memory_mib"));
    }
    if (!isnan(number_of(c, "size_bytes"))) {
        figure_bytes(number_of(c, "size_bytes"), size);
    }
    if (!isnan(cost_of(c))) {
        snprintf(cost, sizeof(cost), "%.4f", cost_of(c));
    }
    const char *cells[] = {role, text_of(c, "recipe"), runtime, accuracy, p50, p99, rate, memory, size, cost,
                           why};
    return table_add(t, cells, err);
}

static enum rc add_rows(struct table *t, const char *role, const json_t *list, struct err *err) {
    size_t i;
    json_t *c;
    json_array_foreach((json_t *)list, i, c) {
        const char *reason = text_of(c, "reason");
        enum rc rc = add_row(t, role, c, reason, err);
        if (rc != RC_OK) {
            return rc;
        }
    }
    return RC_OK;
}

static enum rc fill(struct table *t, const json_t *a, struct err *err) {
    const json_t *choice = json_object_get(a, "choice"), *baseline = json_object_get(a, "baseline");
    const char *choice_id = text_of(choice, "id");
    enum rc rc = RC_OK;
    if (json_is_object(choice)) {
        rc = add_row(t, "choice", choice, text_of(choice, "reason"), err);
    }
    if (rc == RC_OK && json_is_object(baseline) && strcmp(text_of(baseline, "id"), choice_id) != 0) {
        rc = add_row(t, "baseline", baseline, "what the others are compared with", err);
    }
    if (rc == RC_OK) {
        rc = add_rows(t, "runner-up", json_object_get(a, "runners_up"), err);
    }
    if (rc == RC_OK) {
        rc = add_rows(t, "undecided", json_object_get(a, "undecided"), err);
    }
    if (rc == RC_OK) {
        rc = add_rows(t, "rejected", json_object_get(json_object_get(a, "rejected"), "items"), err);
    }
    return rc;
}

static void print_relaxations(const json_t *a, FILE *out) {
    const json_t *miss = json_object_get(a, "nearest_miss");
    size_t i;
    json_t *r;
    if (json_is_object(miss)) {
        fprintf(out, "\nNearest miss: %s: %s\n", text_of(miss, "recipe"), text_of(miss, "reason"));
    }
    json_array_foreach(json_object_get(a, "relaxations"), i, r) {
        fprintf(out, "  %s\n", text_of(r, "text"));
    }
}

enum rc answer_print(const json_t *answer, enum output output, FILE *out, struct err *err) {
    if (output == OUTPUT_JSON) {
        json_dumpf(answer, out, JSON_INDENT(2) | JSON_REAL_PRECISION(10));
        fputc('\n', out);
        return RC_OK;
    }
    const json_t *priced = json_object_get(answer, "choice");
    if (!json_is_object(priced)) {
        priced = json_object_get(answer, "baseline");
    }
    const char *headers[] = {"",     "recipe", "runtime", ">accuracy", ">p50",
                             ">p99", ">per s", ">memory", ">size",     has_price(priced) ? ">USD/M" : ">h/M",
                             "why"};
    struct table *t = table_new(headers, sizeof(headers) / sizeof(headers[0]));
    enum rc rc = t ? fill(t, answer, err) : err_memory(err);
    if (rc == RC_OK && output != OUTPUT_CSV) {
        fprintf(out, "%s\n\n", text_of(answer, "summary"));
    }
    if (rc == RC_OK) {
        table_print(t, output, out);
    }
    if (rc == RC_OK && output != OUTPUT_CSV) {
        print_relaxations(answer, out);
        fprintf(out,
                "\nEvery figure is %s. runtime = instances x threads, b = batch; %s; ask again by id: %s\n",
                "measured", has_price(priced) ? "USD/M = USD per million" : "h/M = machine-hours per million",
                text_of(answer, "id"));
    }
    table_free(t);
    return rc;
}

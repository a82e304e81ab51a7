#include "advisor/cli/answer_csv.h"

#include <string.h>

#include "advisor/cli/table.h"
#include "core/base/container.h"

/* A column: where its value lies in a configuration. */
static const struct column {
    const char *header, *object, *key; /* object NULL: the configuration itself */
} columns[] = {{"configuration", NULL, "id"},
               {"recipe", NULL, "recipe"},
               {"instances", "runtime", "instances"},
               {"threads", "runtime", "threads"},
               {"batch", "runtime", "batch"},
               {"metric", "accuracy", "metric"},
               {"accuracy", "accuracy", "value"},
               {"p50_us", "latency_us", "p50"},
               {"p99_us", "latency_us", "p99"},
               {"throughput_per_s", NULL, "throughput_per_s"},
               {"memory_mib", NULL, "memory_mib"},
               {"size_bytes", NULL, "size_bytes"},
               {"usd_per_million", "usd_per_million", "value"},
               {"machine_hours_per_million", "machine_hours_per_million", "value"},
               {"reason", NULL, "reason"},
               {"explanation", NULL, "explanation"}};

enum { CELL_SIZE = 40, CELLS = ARRAY_SIZE(columns) + 1 };

static const char *value_text(const json_t *value, char text[CELL_SIZE]) {
    text[0] = '\0';
    if (json_is_string(value)) {
        return json_string_value(value);
    }
    if (json_is_integer(value)) {
        snprintf(text, CELL_SIZE, "%lld", (long long)json_integer_value(value));
    } else if (json_is_real(value)) {
        snprintf(text, CELL_SIZE, "%.10g", json_real_value(value));
    }
    return text;
}

static enum rc add_row(struct table *t, const char *role, const json_t *c, struct err *err) {
    char text[ARRAY_SIZE(columns)][CELL_SIZE];
    const char *cells[CELLS] = {role};
    for (size_t i = 0; i < ARRAY_SIZE(columns); i++) {
        const json_t *object = columns[i].object ? json_object_get(c, columns[i].object) : c;
        cells[i + 1] = value_text(json_object_get(object, columns[i].key), text[i]);
    }
    return table_add(t, cells, err);
}

static enum rc add_rows(struct table *t, const char *role, const json_t *list, struct err *err) {
    size_t i;
    json_t *c;
    enum rc rc = RC_OK;
    json_array_foreach((json_t *)list, i, c) {
        rc = rc == RC_OK ? add_row(t, role, c, err) : rc;
    }
    return rc;
}

enum rc answer_csv(const json_t *answer, FILE *out, struct err *err) {
    const char *headers[CELLS] = {"role"};
    for (size_t i = 0; i < ARRAY_SIZE(columns); i++) {
        headers[i + 1] = columns[i].header;
    }
    struct table *t = table_new(headers, CELLS);
    const json_t *choice = json_object_get(answer, "choice"), *baseline = json_object_get(answer, "baseline");
    enum rc rc = t ? RC_OK : err_memory(err);
    if (rc == RC_OK && json_is_object(choice)) {
        rc = add_row(t, "choice", choice, err);
    }
    if (rc == RC_OK && json_is_object(baseline)) {
        rc = add_row(t, "baseline", baseline, err);
    }
    if (rc == RC_OK) {
        rc = add_rows(t, "runner-up", json_object_get(answer, "runners_up"), err);
    }
    if (rc == RC_OK) {
        rc = add_rows(t, "undecided", json_object_get(answer, "undecided"), err);
    }
    if (rc == RC_OK) {
        rc = add_rows(t, "rejected", json_object_get(json_object_get(answer, "rejected"), "items"), err);
    }
    if (rc == RC_OK) {
        table_print(t, OUTPUT_CSV, out);
    }
    table_free(t);
    return rc;
}

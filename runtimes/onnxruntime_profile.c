/* onnxruntime_profile.c -- see onnxruntime_profile.h. The file is one JSON array with an event a line: first
 * the operators of a run ("cat": "Node", a name that ends with _kernel_time), then the run itself
 * ("model_run"). It is read line by line, so that it takes no more memory than its text. */
#include "runtimes/onnxruntime_profile.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/checked.h"
#include "core/base/container.h"
#include "core/base/file.h"
#include "core/base/json.h"

enum {
    OPERATORS_MAX = 1 << 18,
    RUNS_MAX = 1 << 16,
    TIMES_MAX = 1 << 22,
    RANK_MAX = 32,
    DIM_MAX = INT32_MAX,
    NAME_BYTES = 4096
};
static const int64_t DURATION_MAX_US = INT64_C(1) << 40;
static const char SUFFIX[] = "_kernel_time";

struct reader {
    const char *next, *end;
    size_t line; /* for errors */
};

/* The next event. RC_NOT_FOUND at the end. The caller owns *ret. */
static enum rc next_event(struct reader *r, json_t **ret, struct err *err) {
    while (r->next < r->end) {
        const char *line = r->next, *newline = memchr(line, '\n', (size_t)(r->end - line));
        size_t size = (size_t)((newline ? newline : r->end) - line);
        r->next = newline ? newline + 1 : r->end;
        r->line++;
        while (size > 0 && (line[size - 1] == ',' || line[size - 1] == '\r' || line[size - 1] == ' ')) {
            size--;
        }
        if (size > 1) { /* not the brackets of the array */
            enum rc rc = json_parse(line, size, ret, err);
            return rc == RC_OK ? rc : err_prefix(err, "the profile, line %zu", r->line);
        }
    }
    return RC_NOT_FOUND;
}

static bool is_named(const json_t *event, const char *category, const char *name) {
    return strcmp(json_shown_text(event, "cat"), category) == 0 &&
           strcmp(json_shown_text(event, "name"), name) == 0;
}

/* ---- the runs ---- */

struct runs {
    int64_t *us;
    size_t n;
};

static int compare_us(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* Sorts them. */
static double median(int64_t *us, size_t n) {
    qsort(us, n, sizeof(*us), compare_us);
    return n % 2 ? (double)us[n / 2] : ((double)us[n / 2 - 1] + (double)us[n / 2]) / 2;
}

static enum rc add_run(struct runs *r, const json_t *event, struct err *err) {
    if (r->n == RUNS_MAX) {
        return err_set(err, RC_TOO_LARGE, "the profile holds more than %d runs", (int)RUNS_MAX);
    }
    if ((r->n & (r->n - 1)) == 0) { /* full at every power of two */
        int64_t *grown = realloc(r->us, (r->n ? 2 * r->n : 1) * sizeof(*grown));
        if (!grown) {
            return err_memory(err);
        }
        r->us = grown;
    }
    enum rc rc = json_get_int(event, "dur", 0, DURATION_MAX_US, &r->us[r->n], err);
    r->n += rc == RC_OK;
    return rc;
}

static enum rc find_runs(const char *text, size_t size, uint64_t skip, struct runs *runs, struct err *err) {
    struct reader reader = {text, text + size, 0};
    json_t *event;
    enum rc rc;
    while ((rc = next_event(&reader, &event, err)) == RC_OK) {
        rc = is_named(event, "Session", "model_run") ? add_run(runs, event, err) : RC_OK;
        json_decref(event);
        if (rc != RC_OK) {
            return rc;
        }
    }
    if (rc != RC_NOT_FOUND) {
        return rc;
    }
    return runs->n > skip ? RC_OK
                          : err_set(err, RC_SAMPLE, "the profile holds %zu runs, of which %llu do not count",
                                    runs->n, (unsigned long long)skip);
}

/* ---- the operators ---- */

struct summing {
    struct onnxruntime_profile *profile;
    size_t capacity, runs; /* runs that count */
    int64_t *us;           /* [capacity, runs] */
    json_t *index;         /* node -> its place */
};

static enum dtype dtype_of(const char *name) {
    static const struct {
        const char *name;
        enum dtype dtype;
    } names[] = {{"float", DTYPE_FLOAT32}, {"double", DTYPE_FLOAT64}};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        if (strcmp(name, names[i].name) == 0) {
            return names[i].dtype;
        }
    }
    for (int i = 0; i < DTYPE_OTHER; i++) {
        if (strcmp(name, dtype_name((enum dtype)i)) == 0) {
            return (enum dtype)i;
        }
    }
    return DTYPE_OTHER;
}

struct shown {
    enum dtype dtype;
    double elements, last_dim;
};

/* The first of [{"float": [1, 32]}, ...]; nothing where there is none. */
static enum rc first_shape(const json_t *args, const char *key, struct shown *ret, struct err *err) {
    const json_t *dim, *dims, *first = json_array_get(json_object_get(args, key), 0);
    void *it = json_object_iter((json_t *)(uintptr_t)first);
    size_t i;
    *ret = (struct shown){DTYPE_OTHER, 0, 1};
    if (!it) {
        return RC_OK;
    }
    dims = json_object_iter_value(it);
    ret->dtype = dtype_of(json_object_iter_key(it));
    ret->elements = 1;
    if (!json_is_array(dims) || json_array_size(dims) > RANK_MAX) {
        return err_set(err, RC_INPUT, "the profile shows a shape that is none");
    }
    json_array_foreach(dims, i, dim) {
        json_int_t value = json_is_integer(dim) ? json_integer_value(dim) : -1;
        if (value < 0 || value > DIM_MAX) {
            return err_set(err, RC_INPUT, "the profile shows a shape that is none");
        }
        ret->last_dim = (double)value;
        ret->elements *= (double)value;
    }
    return RC_OK;
}

/* The runtime writes these numbers as texts. */
static double bytes_of(const json_t *args, const char *key) {
    char *end;
    const char *text = json_shown_text(args, key);
    double value = strtod(text, &end);
    return *text && *end == '\0' && value >= 0 && value < 1e18 ? value : 0;
}

static enum rc more_room(struct summing *s, struct err *err) {
    size_t capacity = s->capacity ? 2 * s->capacity : 64, times;
    if (capacity > OPERATORS_MAX || checked_mul(capacity, s->runs, &times) || times > TIMES_MAX) {
        return err_set(err, RC_TOO_LARGE, "the profile holds too many operators and runs");
    }
    struct onnxruntime_operator *operators = realloc(s->profile->operators, capacity * sizeof(*operators));
    s->profile->operators = operators ? operators : s->profile->operators;
    int64_t *us = realloc(s->us, times * sizeof(*us));
    s->us = us ? us : s->us;
    if (!operators || !us) {
        return err_memory(err);
    }
    s->capacity = capacity;
    return RC_OK;
}

static enum rc new_operator(struct summing *s, const char *node, const char *op, size_t *place,
                            struct err *err) {
    struct onnxruntime_profile *p = s->profile;
    enum rc rc = p->count == s->capacity ? more_room(s, err) : RC_OK;
    if (rc != RC_OK) {
        return rc;
    }
    *place = p->count;
    memset(s->us + *place * s->runs, 0, s->runs * sizeof(*s->us));
    p->operators[p->count++] = (struct onnxruntime_operator){.node = strdup(node), .op = strdup(op)};
    return p->operators[*place].node && p->operators[*place].op &&
                   json_object_set_new(s->index, node, json_integer((json_int_t)*place)) == 0
               ? RC_OK
               : err_memory(err);
}

static enum rc add_call(struct summing *s, const json_t *event, const char *name, size_t name_size,
                        size_t run, struct err *err) {
    char node[NAME_BYTES + 1];
    const json_t *args = json_object_get(event, "args");
    struct shown in, out;
    int64_t us = 0;
    snprintf(node, sizeof(node), "%.*s", (int)name_size, name);
    enum rc rc = json_get_int(event, "dur", 0, DURATION_MAX_US, &us, err);
    rc = rc == RC_OK ? first_shape(args, "input_type_shape", &in, err) : rc;
    rc = rc == RC_OK ? first_shape(args, "output_type_shape", &out, err) : rc;
    const json_t *known = json_object_get(s->index, node);
    size_t place = (size_t)json_integer_value(known);
    if (rc == RC_OK && !known) {
        rc = new_operator(s, node, json_shown_text(args, "op_name"), &place, err);
    }
    if (rc != RC_OK) {
        return rc;
    }
    struct onnxruntime_operator *o = &s->profile->operators[place];
    s->us[place * s->runs + run] += us;
    o->calls += 1;
    o->dtype = out.dtype;
    o->first_input = in.elements;
    o->first_output = out.elements;
    o->last_dim = out.last_dim;
    o->activation_bytes += bytes_of(args, "activation_size") + bytes_of(args, "output_size");
    return RC_OK;
}

static enum rc add_event(struct summing *s, const json_t *event, size_t run, struct err *err) {
    const char *name = json_shown_text(event, "name");
    size_t size = strlen(name), suffix = sizeof(SUFFIX) - 1;
    bool kernel = strcmp(json_shown_text(event, "cat"), "Node") == 0 && size > suffix && size < NAME_BYTES &&
                  strcmp(name + size - suffix, SUFFIX) == 0;
    return kernel ? add_call(s, event, name, size - suffix, run, err) : RC_OK;
}

/* Operators stand before the run they belong to. */
static enum rc sum_operators(const char *text, size_t size, uint64_t skip, struct summing *s,
                             struct err *err) {
    struct reader reader = {text, text + size, 0};
    json_t *event;
    uint64_t run = 0;
    enum rc rc;
    while ((rc = next_event(&reader, &event, err)) == RC_OK) {
        if (is_named(event, "Session", "model_run")) {
            run++;
        } else if (run >= skip && run - skip < s->runs) {
            rc = add_event(s, event, (size_t)(run - skip), err);
        }
        json_decref(event);
        if (rc != RC_OK) {
            return rc;
        }
    }
    return rc == RC_NOT_FOUND ? RC_OK : rc;
}

static void take_medians(struct summing *s, int64_t *run_us) {
    struct onnxruntime_profile *p = s->profile;
    double runs = (double)s->runs;
    p->runs = s->runs;
    p->run_us = median(run_us, s->runs);
    for (size_t i = 0; i < p->count; i++) {
        p->operators[i].us = median(s->us + i * s->runs, s->runs);
        p->operators[i].calls /= runs;
        p->operators[i].activation_bytes /= runs;
    }
}

enum rc onnxruntime_profile_parse(const char *text, size_t size, uint64_t skip,
                                  struct onnxruntime_profile *ret, struct err *err) {
    struct onnxruntime_profile p = {0};
    struct runs runs = {0};
    struct summing s = {.profile = &p, .index = json_object()};
    enum rc rc = s.index ? find_runs(text, size, skip, &runs, err) : err_memory(err);
    if (rc == RC_OK) {
        s.runs = runs.n - (size_t)skip;
        rc = sum_operators(text, size, skip, &s, err);
    }
    if (rc == RC_OK) {
        take_medians(&s, runs.us + skip);
        *ret = p;
    } else {
        onnxruntime_profile_release(&p);
    }
    free(runs.us);
    free(s.us);
    json_decref(s.index);
    return rc;
}

enum rc onnxruntime_profile_read(const char *path, uint64_t skip, struct onnxruntime_profile *ret,
                                 struct err *err) {
    char *text = NULL;
    size_t size = 0;
    enum rc rc = file_read(path, ONNXRUNTIME_PROFILE_BYTES, &text, &size, err);
    if (rc == RC_OK) {
        rc = onnxruntime_profile_parse(text, size, skip, ret, err);
        free(text);
    }
    return rc;
}

void onnxruntime_profile_release(struct onnxruntime_profile *p) {
    for (size_t i = 0; i < p->count; i++) {
        free((char *)(uintptr_t)p->operators[i].node);
        free((char *)(uintptr_t)p->operators[i].op);
    }
    free(p->operators);
    *p = (struct onnxruntime_profile){0};
}

/* count_passes.c -- see count_passes.h. */
#include "profiler/agent/count_passes.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/json.h"
#include "profiler/agent/callgrind.h"

static const char NOTE[] =
    "instructions by callgrind, with one thread; it hides AVX-512, so kernels for AVX2 ran";

enum { MAX_PASSES = 16, MAX_EVENTS = 16, MAX_NAME = 64 };

/* What comes of all passes. */
struct counts {
    json_t *per_inference, *unusable; /* owned */
    double inferences;
};

/* The events of one pass, as the worker named them. */
static enum rc check_events(const json_t *events, struct err *err) {
    size_t i;
    const json_t *name;
    if (json_array_size(events) == 0 || json_array_size(events) > MAX_EVENTS) {
        return err_set(err, RC_INTERNAL, "the worker named a counting pass of %zu events",
                       json_array_size(events));
    }
    json_array_foreach(events, i, name) {
        if (!json_is_string(name) || json_string_length(name) > MAX_NAME) {
            return err_set(err, RC_INTERNAL, "the worker named a counter that is not a short text");
        }
    }
    return RC_OK;
}

/* The job of one pass: the same configuration, one instance of it. */
static char *pass_input(const json_t *spec, const json_t *events) {
    json_t *job = json_deep_copy(spec);
    json_t *runtime = json_object_get(job, "runtime");
    char *text = NULL;
    if (job && json_is_object(runtime) && json_object_set_new(runtime, "instances", json_integer(1)) == 0) {
        json_t *count = json_object_get(job, "count");
        if (!json_is_object(count)) {
            count = json_object();
            json_object_set_new(job, "count", count);
        }
        if (json_object_set(count, "events", (json_t *)events) == 0) {
            text = json_dumps(job, JSON_COMPACT);
        }
    }
    json_decref(job);
    return text;
}

static void mark_unusable(struct counts *c, const json_t *events, const char *why) {
    size_t i;
    const json_t *name;
    json_array_foreach(events, i, name) {
        json_object_set_new(c->unusable, json_string_value(name),
                            json_sprintf("its counting pass failed: %s", why));
    }
}

/* Takes the counts of the pass's own events, and nothing else that a worker may have written. */
static void take_counts(struct counts *c, const json_t *events, const json_t *result) {
    const json_t *counters = json_object_get(result, "counters");
    const json_t *values = json_object_get(counters, "per_inference");
    size_t i;
    const json_t *name;
    json_array_foreach(events, i, name) {
        json_t *value = json_object_get(values, json_string_value(name));
        if (json_is_number(value)) {
            json_object_set(c->per_inference, json_string_value(name), value);
        } else {
            json_object_set_new(c->unusable, json_string_value(name),
                                json_string("its counting pass did not count it"));
        }
    }
    if (c->inferences == 0) {
        c->inferences = json_number_value(json_object_get(counters, "inferences"));
    }
}

static enum rc run_pass(const struct worker_process_opts *opts, const json_t *spec, const json_t *events,
                        struct counts *c, struct err *err) {
    struct worker_process_opts pass = *opts;
    struct worker_process_outcome outcome = {0};
    struct err why;
    enum rc rc = check_events(events, err);
    if (rc != RC_OK) {
        return rc;
    }
    char *input = pass_input(spec, events);
    if (!input) {
        return err_memory(err);
    }
    pass.input = input;
    rc = worker_process_run(&pass, &outcome, &why);
    if (rc == RC_OK) {
        take_counts(c, events, outcome.result);
    } else if (rc == RC_CANCELLED) {
        *err = why;
    } else {
        mark_unusable(c, events, why.text);
        rc = RC_OK;
    }
    worker_process_outcome_release(&outcome);
    free(input);
    return rc;
}

/* {"available": ...} of what was counted, taking over nothing of `c`. */
static json_t *counters_json(const struct counts *c, size_t passes, const json_t *known_loop) {
    if (json_object_size(c->per_inference) == 0) {
        return json_pack("{s:b, s:s, s:O}", "available", 0, "reason", "no counting pass succeeded",
                         "unusable", c->unusable);
    }
    return json_pack("{s:b, s:O, s:f, s:I, s:O, s:O*}", "available", 1, "per_inference", c->per_inference,
                     "inferences", c->inferences, "passes", (json_int_t)passes, "unusable", c->unusable,
                     "known_loop", known_loop);
}

static enum rc run_passes(const struct worker_process_opts *opts, const json_t *spec, json_t *result,
                          struct err *err) {
    json_t *state = json_object_get(result, "counters");
    json_t *passes = json_object_get(state, "passes");
    json_t *unusable = json_object_get(state, "unusable");
    if (!json_is_true(json_object_get(state, "available")) || !json_is_array(passes)) {
        return RC_OK;
    }
    if (json_array_size(passes) > MAX_PASSES) {
        return err_set(err, RC_INTERNAL, "the worker named %zu counting passes", json_array_size(passes));
    }
    struct counts c = {.per_inference = json_object(),
                       .unusable = json_is_object(unusable) ? json_deep_copy(unusable) : json_object()};
    enum rc rc = c.per_inference && c.unusable ? RC_OK : err_memory(err);
    for (size_t i = 0; rc == RC_OK && i < json_array_size(passes); i++) {
        rc = run_pass(opts, spec, json_array_get(passes, i), &c, err);
    }
    if (rc == RC_OK) {
        json_t *counters = counters_json(&c, json_array_size(passes), json_object_get(state, "known_loop"));
        rc = json_object_set_new(result, "counters", counters) == 0 ? RC_OK : err_memory(err);
    }
    json_decref(c.per_inference);
    json_decref(c.unusable);
    return rc;
}

/* Where callgrind was asked for and nothing else counted instructions: its count, or why there is none. */
static enum rc add_callgrind(const struct worker_process_opts *opts, const json_t *spec, json_t *result,
                             struct err *err) {
    json_t *counters = json_object_get(result, "counters");
    const json_t *counted = json_object_get(json_object_get(counters, "per_inference"), "instructions");
    struct err why;
    double instructions = 0;
    if (!json_is_true(json_object_get(json_object_get(spec, "count"), "callgrind")) ||
        json_is_number(counted) || !json_is_object(counters)) {
        return RC_OK;
    }
    enum rc rc = callgrind_count(opts, spec, &instructions, &why);
    if (rc == RC_CANCELLED) {
        *err = why;
        return rc;
    }
    if (rc != RC_OK) {
        return json_object_set_new(counters, "callgrind", json_string(why.text)) == 0 ? RC_OK
                                                                                      : err_memory(err);
    }
    json_t *each = json_object_get(counters, "per_inference");
    if (!json_is_object(each)) {
        each = json_object();
        json_object_set_new(counters, "per_inference", each);
    }
    return json_object_set_new(each, "instructions", json_real(instructions)) == 0 &&
                   json_object_set_new(counters, "available", json_true()) == 0 &&
                   json_object_set_new(counters, "by", json_string("callgrind")) == 0 &&
                   json_object_set_new(counters, "note", json_string(NOTE)) == 0
               ? RC_OK
               : err_memory(err);
}

enum rc count_passes_run(const struct worker_process_opts *opts, const json_t *spec, json_t *result,
                         struct err *err) {
    enum rc rc = run_passes(opts, spec, result, err);
    return rc == RC_OK ? add_callgrind(opts, spec, result, err) : rc;
}

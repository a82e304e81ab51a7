/* counters_papi.c -- see counters.h. The only file that sees PAPI. */
#include <papi.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/container.h"
#include "profiler/worker/counters.h"
#include "profiler/worker/known_work.h"

/* ASE_SPEC: SIMD operations, speculatively executed. The number means something else on other processors. */
#if defined(__aarch64__)
#define ARM_VECTOR_EVENT "perf_raw::r0074"
#else
#define ARM_VECTOR_EVENT NULL
#endif

/* What is counted, and PAPI's names for it, presets before native events; the first one that the machine has.
 */
static const struct {
    const char *name;
    const char *papi[6];
} EVENTS[] = {
    {"instructions", {"PAPI_TOT_INS", "perf::INSTRUCTIONS"}},
    {"cycles", {"PAPI_TOT_CYC", "perf::CYCLES"}},
    {"cache_misses", {"PAPI_L3_TCM", "perf::CACHE-MISSES"}},
    {"branch_misses", {"PAPI_BR_MSP", "perf::BRANCH-MISSES"}},
    {"l1d_misses", {"PAPI_L1_DCM", "perf::L1-DCACHE-LOAD-MISSES"}},
    {"vector_operations",
     {"PAPI_VEC_INS", "PAPI_VEC_SP", "FP_ARITH_INST_RETIRED:VECTOR", "RETIRED_SSE_AVX_FLOPS:ANY",
      "RETIRED_SSE_AVX_OPERATIONS:ANY", ARM_VECTOR_EVENT}},
    {"stalled_cycles",
     {"PAPI_RES_STL", "PAPI_STL_ICY", "perf::STALLED-CYCLES-BACKEND", "perf::STALLED-CYCLES-FRONTEND"}},
};

enum { EVENT_COUNT = ARRAY_SIZE(EVENTS), REASON_SIZE = 160 };
static const double LOOP_TOLERANCE = 0.01; /* of the known loop's instructions */

struct counters {
    int component;
    bool usable[EVENT_COUNT];
    char unusable[EVENT_COUNT][REASON_SIZE]; /* why, for the others */
    size_t pass_of[EVENT_COUNT];             /* for the usable ones */
    size_t passes;                           /* 0 without counters */
    int64_t loop_instructions;               /* of the known loop; 0 when they do not count */
    char reason[256];                        /* why there are none; empty otherwise */

    int set; /* of the pass that was chosen; PAPI_NULL before */
    size_t chosen[COUNTERS_SET_MAX], chosen_count;
    long long base[COUNTERS_SET_MAX]; /* values when counting began */
};

static void explain_missing(struct counters *c, const char *papi) {
    const PAPI_hw_info_t *hardware = PAPI_get_hardware_info();
    snprintf(c->reason, sizeof(c->reason), "no hardware counters on this %s (PAPI: %s)",
             hardware && hardware->virtualized ? "virtual machine" : "machine", papi);
}

/* A set over the CPU component whose events threads inherit. */
static int new_set(const struct counters *c, int *set) {
    *set = PAPI_NULL;
    PAPI_option_t inherit = {0};
    int result = PAPI_create_eventset(set);
    if (result == PAPI_OK) {
        result = PAPI_assign_eventset_component(*set, c->component);
    }
    if (result == PAPI_OK) {
        inherit.inherit.eventset = *set;
        inherit.inherit.inherit = PAPI_INHERIT_ALL;
        result = PAPI_set_opt(PAPI_INHERIT, &inherit);
    }
    return result;
}

static void drop_set(int *set) {
    if (*set != PAPI_NULL) {
        PAPI_cleanup_eventset(*set);
        PAPI_destroy_eventset(set);
        *set = PAPI_NULL;
    }
}

/* Adds the first of an event's PAPI names that the set takes. */
static bool add_event(int set, size_t event) {
    for (size_t k = 0; k < ARRAY_SIZE(EVENTS[event].papi) && EVENTS[event].papi[k]; k++) {
        int code = PAPI_NULL;
        char name[64];
        snprintf(name, sizeof(name), "%s", EVENTS[event].papi[k]);
        if (PAPI_event_name_to_code(name, &code) == PAPI_OK && PAPI_add_event(set, code) == PAPI_OK) {
            return true;
        }
    }
    return false;
}

static bool is_instructions(size_t event) {
    return strcmp(EVENTS[event].name, "instructions") == 0;
}

/* Counts known work with one event. Fills c->unusable[event] unless it counts as it must. */
static void try_event(struct counters *c, size_t event) {
    char *why = c->unusable[event];
    long long value = 0;
    long long base = 0;
    int set = PAPI_NULL;
    double expected = is_instructions(event) ? (double)known_work_instructions() : 0;
    int result = new_set(c, &set);
    if (result != PAPI_OK) {
        snprintf(why, REASON_SIZE, "PAPI makes no event set: %s", PAPI_strerror(result));
    } else if (!add_event(set, event)) {
        snprintf(why, REASON_SIZE, "this machine has no such event");
    } else if ((result = PAPI_start(set)) != PAPI_OK || (result = PAPI_read(set, &base)) != PAPI_OK) {
        snprintf(why, REASON_SIZE, "it does not start: %s", PAPI_strerror(result));
    } else {
        if (expected > 0) {
            known_work_loop();
        } else {
            volatile uint64_t keep = known_work_mixture();
            (void)keep;
        }
        result = PAPI_stop(set, &value);
        value -= base;
        if (result != PAPI_OK) {
            snprintf(why, REASON_SIZE, "it does not stop: %s", PAPI_strerror(result));
        } else if (value <= 0) {
            snprintf(why, REASON_SIZE, "accepted, but it reads %lld after work that must raise it", value);
        } else if (expected > 0 &&
                   !((double)value >= expected && (double)value <= expected * (1 + LOOP_TOLERANCE))) {
            snprintf(why, REASON_SIZE, "it reads %lld after a loop of %.0f instructions", value, expected);
        } else {
            c->usable[event] = true;
            c->loop_instructions = is_instructions(event) ? value : c->loop_instructions;
        }
    }
    drop_set(&set);
}

/* Packs the usable events into as few sets as hold them, first fit. */
static void plan_passes(struct counters *c) {
    bool placed[EVENT_COUNT] = {false};
    for (size_t left = EVENT_COUNT; left > 0;) {
        int set;
        size_t held = 0;
        if (new_set(c, &set) == PAPI_OK) {
            for (size_t i = 0; i < EVENT_COUNT && held < COUNTERS_SET_MAX; i++) {
                if (c->usable[i] && !placed[i] && add_event(set, i)) {
                    placed[i] = true;
                    c->pass_of[i] = c->passes;
                    held++;
                }
            }
        }
        drop_set(&set);
        c->passes += held > 0;
        left = held > 0 ? left - held : 0;
    }
    for (size_t i = 0; i < EVENT_COUNT; i++) {
        if (c->usable[i] && !placed[i]) {
            c->usable[i] = false;
            snprintf(c->unusable[i], REASON_SIZE, "no event set takes it");
        }
    }
}

static void open_papi(struct counters *c) {
    int version = PAPI_library_init(PAPI_VER_CURRENT);
    if (version != PAPI_VER_CURRENT) {
        snprintf(c->reason, sizeof(c->reason), "PAPI does not start (%s)",
                 version < 0 ? PAPI_strerror(version) : "its version differs");
        return;
    }
    c->component = PAPI_get_component_index("perf_event");
    const PAPI_component_info_t *info = c->component >= 0 ? PAPI_get_component_info(c->component) : NULL;
    if (!info) {
        explain_missing(c, "built without its component perf_event");
        return;
    }
    if (info->disabled != PAPI_OK && info->disabled != PAPI_EDELAY_INIT) {
        explain_missing(c, info->disabled_reason);
        return;
    }
    int set;
    int result = new_set(c, &set); /* the component looks for its hardware only now */
    drop_set(&set);
    if (result != PAPI_OK) {
        explain_missing(c, info->disabled_reason[0] ? info->disabled_reason : PAPI_strerror(result));
        return;
    }
    for (size_t i = 0; i < EVENT_COUNT; i++) {
        try_event(c, i);
    }
    plan_passes(c);
    if (c->passes == 0) {
        snprintf(c->reason, sizeof(c->reason),
                 "events are listed, but none counts work that must raise it (%s: %s)", EVENTS[0].name,
                 c->unusable[0]);
    }
}

struct counters *counters_open(void) {
    struct counters *c = calloc(1, sizeof(*c));
    if (c) {
        c->set = PAPI_NULL;
        open_papi(c);
    }
    return c;
}

void counters_close(struct counters *c) {
    if (!c) {
        return;
    }
    drop_set(&c->set);
    PAPI_shutdown();
    free(c);
}

static json_t *passes_json(const struct counters *c) {
    json_t *passes = json_array();
    for (size_t pass = 0; pass < c->passes; pass++) {
        json_t *names = json_array();
        for (size_t i = 0; i < EVENT_COUNT; i++) {
            if (c->usable[i] && c->pass_of[i] == pass) {
                json_array_append_new(names, json_string(EVENTS[i].name));
            }
        }
        json_array_append_new(passes, names);
    }
    return passes;
}

json_t *counters_state(const struct counters *c) {
    if (!c || c->passes == 0) {
        return json_pack("{s:b, s:s}", "available", 0, "reason", c ? c->reason : "out of memory");
    }
    json_t *events = json_array();
    json_t *unusable = json_object();
    for (size_t i = 0; i < EVENT_COUNT; i++) {
        if (c->usable[i]) {
            json_array_append_new(events, json_string(EVENTS[i].name));
        } else {
            json_object_set_new(unusable, EVENTS[i].name, json_string(c->unusable[i]));
        }
    }
    json_t *state = json_pack("{s:b, s:o, s:o, s:o}", "available", 1, "events", events, "passes",
                              passes_json(c), "unusable", unusable);
    if (state && c->loop_instructions > 0) {
        json_object_set_new(state, "known_loop",
                            json_pack("{s:I, s:I}", "instructions", (json_int_t)c->loop_instructions,
                                      "expected", (json_int_t)known_work_instructions()));
    }
    return state;
}

static enum rc choose_one(struct counters *c, const char *name, struct err *err) {
    for (size_t i = 0; name && i < EVENT_COUNT; i++) {
        if (strcmp(EVENTS[i].name, name) != 0) {
            continue;
        }
        if (!c->usable[i]) {
            return err_set(err, RC_INPUT, "the counter %s is not usable: %s", name, c->unusable[i]);
        }
        if (c->chosen_count == COUNTERS_SET_MAX || !add_event(c->set, i)) {
            return err_set(err, RC_INPUT, "the counter %s does not fit into this pass", name);
        }
        c->chosen[c->chosen_count++] = i;
        return RC_OK;
    }
    return err_set(err, RC_INPUT, "there is no counter \"%.40s\"", name ? name : "");
}

enum rc counters_choose(struct counters *c, const json_t *names, struct err *err) {
    size_t i;
    const json_t *name;
    if (!c || c->passes == 0) {
        return err_set(err, RC_UNSUPPORTED, "%s", c ? c->reason : "out of memory");
    }
    int result = new_set(c, &c->set);
    if (result != PAPI_OK) {
        return err_set(err, RC_INTERNAL, "PAPI makes no event set: %s", PAPI_strerror(result));
    }
    c->chosen_count = 0;
    enum rc rc = RC_OK;
    json_array_foreach(names, i, name) {
        rc = rc == RC_OK ? choose_one(c, json_string_value(name), err) : rc;
    }
    return rc == RC_OK && c->chosen_count == 0 ? err_set(err, RC_INPUT, "a counting pass without counters")
                                               : rc;
}

enum rc counters_start(struct counters *c, struct err *err) {
    int result = PAPI_start(c->set);
    if (result == PAPI_OK) {
        result = PAPI_read(c->set, c->base);
    }
    return result == PAPI_OK ? RC_OK
                             : err_set(err, RC_INTERNAL, "PAPI does not count: %s", PAPI_strerror(result));
}

enum rc counters_stop(struct counters *c, struct counters_reading *ret, struct err *err) {
    long long values[COUNTERS_SET_MAX] = {0};
    int result = PAPI_stop(c->set, values);
    if (result != PAPI_OK) {
        return err_set(err, RC_INTERNAL, "PAPI does not stop: %s", PAPI_strerror(result));
    }
    *ret = (struct counters_reading){.n = c->chosen_count};
    for (size_t i = 0; i < c->chosen_count; i++) {
        ret->names[i] = EVENTS[c->chosen[i]].name;
        ret->values[i] = values[i] - c->base[i];
    }
    return RC_OK;
}

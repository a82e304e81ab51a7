/* counters_papi.c -- see counters.h. The only file that sees PAPI. */
#include <papi.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/container.h"
#include "profiler/worker/counters.h"

enum { MAX_EVENTS = 6, LOOP_BYTES = 4 << 20 };

/* What is counted, and PAPI's names for it, the first one that the machine has. */
static const struct {
    const char *name;
    const char *papi[2];
} EVENTS[] = {
    {"instructions", {"PAPI_TOT_INS", "perf::INSTRUCTIONS"}},
    {"cycles", {"PAPI_TOT_CYC", "perf::CYCLES"}},
    {"cache_misses", {"PAPI_L3_TCM", "perf::CACHE-MISSES"}},
    {"branch_misses", {"PAPI_BR_MSP", "perf::BRANCH-MISSES"}},
    {"l1d_misses", {"PAPI_L1_DCM", "perf::L1-DCACHE-LOAD-MISSES"}},
};

struct counters {
    int set; /* PAPI_NULL without counters */
    const char *names[MAX_EVENTS];
    size_t count;
    const char *unusable[ARRAY_SIZE(EVENTS)];
    size_t unusable_count;
    long long base[MAX_EVENTS]; /* values when counting began */
    char reason[256];           /* why there are none; empty otherwise */
};

static void explain_missing(struct counters *c, const char *papi) {
    const PAPI_hw_info_t *hardware = PAPI_get_hardware_info();
    snprintf(c->reason, sizeof(c->reason), "no hardware counters on this %s (PAPI: %s)",
             hardware && hardware->virtualized ? "virtual machine" : "machine", papi);
}

/* A set over the CPU component whose events threads inherit. False with c->reason. */
static bool new_set(struct counters *c, int component, int *set) {
    *set = PAPI_NULL;
    PAPI_option_t inherit = {0};
    int result = PAPI_create_eventset(set);
    if (result == PAPI_OK) {
        result = PAPI_assign_eventset_component(*set, component);
    }
    if (result == PAPI_OK) {
        inherit.inherit.eventset = *set;
        inherit.inherit.inherit = PAPI_INHERIT_ALL;
        result = PAPI_set_opt(PAPI_INHERIT, &inherit);
    }
    if (result != PAPI_OK) {
        explain_missing(c, PAPI_strerror(result));
        return false;
    }
    return true;
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
    for (size_t k = 0; k < ARRAY_SIZE(EVENTS[event].papi); k++) {
        int code = PAPI_NULL;
        char name[64];
        snprintf(name, sizeof(name), "%s", EVENTS[event].papi[k]);
        if (PAPI_event_name_to_code(name, &code) == PAPI_OK && PAPI_add_event(set, code) == PAPI_OK) {
            return true;
        }
    }
    return false;
}

/* Work that makes every event of the table happen: a pass over memory with branches that cannot be predicted.
 */
static uint64_t known_loop(void) {
    size_t words = LOOP_BYTES / sizeof(uint64_t);
    uint64_t *memory = malloc(LOOP_BYTES);
    uint64_t state = 88172645463325252u;
    uint64_t taken = 0;
    for (size_t i = 0; memory && i < words; i++) {
        state ^= state << 13; /* xorshift64 (Marsaglia 2003) */
        state ^= state >> 7;
        state ^= state << 17;
        memory[(i * 509) % words] = state;
        if (state & 1) {
            taken += memory[state % words];
        }
    }
    free(memory);
    return taken;
}

/* Does this event count the loop? An event that reads 0 is of no use. */
static bool event_counts(struct counters *c, int component, size_t event) {
    long long value = 0;
    int set;
    bool fine = new_set(c, component, &set) && add_event(set, event) && PAPI_start(set) == PAPI_OK;
    if (fine) {
        volatile uint64_t keep = known_loop();
        (void)keep;
        fine = PAPI_stop(set, &value) == PAPI_OK && value > 0;
    }
    drop_set(&set);
    return fine;
}

static void choose_events(struct counters *c, int component) {
    bool counts[ARRAY_SIZE(EVENTS)];
    for (size_t i = 0; i < ARRAY_SIZE(EVENTS); i++) {
        counts[i] = event_counts(c, component, i);
    }
    if (!new_set(c, component, &c->set)) {
        return;
    }
    for (size_t i = 0; i < ARRAY_SIZE(EVENTS); i++) {
        if (counts[i] && c->count < MAX_EVENTS && add_event(c->set, i)) {
            c->names[c->count++] = EVENTS[i].name;
        } else {
            c->unusable[c->unusable_count++] = EVENTS[i].name;
        }
    }
    if (c->count == 0) {
        drop_set(&c->set);
        if (c->reason[0] == '\0') {
            snprintf(c->reason, sizeof(c->reason),
                     "events are listed, but none counts a loop of known length");
        }
    } else {
        c->reason[0] = '\0';
    }
}

static void open_papi(struct counters *c) {
    int version = PAPI_library_init(PAPI_VER_CURRENT);
    if (version != PAPI_VER_CURRENT) {
        snprintf(c->reason, sizeof(c->reason), "PAPI does not start (%s)",
                 version < 0 ? PAPI_strerror(version) : "its version differs");
        return;
    }
    int component = PAPI_get_component_index("perf_event");
    const PAPI_component_info_t *info = component >= 0 ? PAPI_get_component_info(component) : NULL;
    if (!info) {
        explain_missing(c, "built without its component perf_event");
    } else if (info->disabled != PAPI_OK && info->disabled != PAPI_EDELAY_INIT) {
        explain_missing(c, info->disabled_reason);
    } else {
        choose_events(c, component);
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

static json_t *names_json(const char *const *names, size_t count) {
    json_t *array = json_array();
    for (size_t i = 0; i < count; i++) {
        json_array_append_new(array, json_string(names[i]));
    }
    return array;
}

json_t *counters_state(const struct counters *c) {
    if (!c || c->count == 0) {
        return json_pack("{s:b, s:s}", "available", 0, "reason", c ? c->reason : "out of memory");
    }
    return json_pack("{s:b, s:o, s:o}", "available", 1, "events", names_json(c->names, c->count), "unusable",
                     names_json(c->unusable, c->unusable_count));
}

enum rc counters_start(struct counters *c, struct err *err) {
    if (!c || c->count == 0) {
        return err_set(err, RC_UNSUPPORTED, "%s", c ? c->reason : "out of memory");
    }
    int result = PAPI_start(c->set);
    if (result == PAPI_OK) {
        result = PAPI_read(c->set, c->base);
    }
    return result == PAPI_OK ? RC_OK
                             : err_set(err, RC_INTERNAL, "PAPI does not count: %s", PAPI_strerror(result));
}

enum rc counters_stop(struct counters *c, uint64_t n, json_t **ret, struct err *err) {
    long long values[MAX_EVENTS] = {0};
    int result = PAPI_stop(c->set, values);
    if (result != PAPI_OK) {
        return err_set(err, RC_INTERNAL, "PAPI does not stop: %s", PAPI_strerror(result));
    }
    json_t *each = json_object();
    for (size_t i = 0; i < c->count; i++) {
        double value = (double)(values[i] - c->base[i]) / (double)(n > 0 ? n : 1);
        json_object_set_new(each, c->names[i], json_real(value));
    }
    *ret = json_pack("{s:b, s:o, s:I, s:o}", "available", 1, "per_inference", each, "inferences",
                     (json_int_t)n, "unusable", names_json(c->unusable, c->unusable_count));
    return *ret ? RC_OK : err_memory(err);
}

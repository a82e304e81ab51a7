/* conditions.c -- see conditions.h. */
#include "profiler/worker/conditions.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/file.h"

enum { KERNEL_REPEATS = 11, KERNEL_STEPS = 400000 };

uint64_t conditions_steal_ticks(const char *text) {
    if (strncmp(text, "cpu ", 4) != 0) {
        return 0;
    }
    const char *at = text + 4;
    uint64_t value = 0;
    for (int column = 0; column < 8; column++) { /* user nice system idle iowait irq softirq steal */
        char *end;
        value = strtoull(at, &end, 10);
        if (end == at) {
            return 0;
        }
        at = end;
    }
    return value;
}

static uint64_t steal_ms(void) {
    struct err err;
    char *text = NULL;
    size_t size = 0;
    long ticks_per_s = sysconf(_SC_CLK_TCK);
    if (ticks_per_s <= 0 || file_read_kernel("/proc/stat", 1 << 16, &text, &size, &err) != RC_OK) {
        return 0;
    }
    uint64_t ticks = conditions_steal_ticks(text);
    free(text);
    return ticks * 1000 / (uint64_t)ticks_per_s;
}

static uint64_t preemptions(void) {
    struct rusage usage;
    return getrusage(RUSAGE_SELF, &usage) == 0 ? (uint64_t)usage.ru_nivcsw : 0;
}

/* A fixed chain of dependent multiplications, so that its time follows the clock of the core and nothing
 * else. The least of several repeats: what interrupts it makes single ones longer, never shorter. */
static double drift_kernel_ns(void) {
    uint64_t least = UINT64_MAX;
    for (int i = 0; i < KERNEL_REPEATS; i++) {
        uint64_t start = clock_mono_ns();
        uint64_t state = 1;
        for (int k = 0; k < KERNEL_STEPS; k++) {
            state = state * 6364136223846793005u + 1442695040888963407u; /* Knuth's MMIX generator */
        }
        volatile uint64_t keep = state;
        (void)keep;
        uint64_t taken = clock_mono_ns() - start;
        least = taken < least ? taken : least;
    }
    return (double)least;
}

void conditions_begin(struct conditions *c) {
    *c = (struct conditions){.kernel_ns = drift_kernel_ns(), .drift_ratio = 1};
    c->steal_ms = steal_ms();
    c->preemptions = preemptions();
}

void conditions_end(struct conditions *c) {
    c->steal_ms = steal_ms() - c->steal_ms;
    c->preemptions = preemptions() - c->preemptions;
    c->drift_ratio = drift_kernel_ns() / c->kernel_ns;
}

bool conditions_stable(const struct conditions *c) {
    return fabs(c->drift_ratio - 1) <= CONDITIONS_DRIFT_LIMIT;
}

/* The clock of the first core, 0 where the machine does not tell (most virtual machines). */
static double cpu_mhz(void) {
    struct err err;
    char *text = NULL;
    size_t size = 0;
    if (file_read_kernel("/sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq", 64, &text, &size, &err) !=
        RC_OK) {
        return 0;
    }
    double khz = strtod(text, NULL);
    free(text);
    return khz / 1000;
}

json_t *conditions_json(const struct conditions *c) {
    json_t *object =
        json_pack("{s:I, s:I, s:f, s:b}", "steal_ms", (json_int_t)c->steal_ms, "preemptions",
                  (json_int_t)c->preemptions, "drift_ratio", c->drift_ratio, "stable", conditions_stable(c));
    double mhz = cpu_mhz();
    if (object && mhz > 0) {
        json_object_set_new(object, "cpu_mhz", json_real(mhz));
    }
    return object;
}

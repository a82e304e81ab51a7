/* conditions.c -- see conditions.h. */
#include "profiler/worker/conditions.h"

#include <dirent.h>
#include <math.h>
#include <sched.h>
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

static struct rusage usage_now(void) {
    struct rusage usage = {0};
    (void)getrusage(RUSAGE_SELF, &usage);
    return usage;
}

double conditions_mhz(const char *root, const unsigned *cpus, unsigned n) {
    double sum_khz = 0;
    unsigned told = 0;
    for (unsigned i = 0; i < n; i++) {
        char path[256];
        char *text = NULL;
        size_t size = 0;
        struct err err;
        snprintf(path, sizeof(path), "%s/cpu%u/cpufreq/scaling_cur_freq", root, cpus[i]);
        if (file_read_kernel(path, 64, &text, &size, &err) != RC_OK) {
            continue;
        }
        double khz = strtod(text, NULL);
        free(text);
        sum_khz += khz;
        told += khz > 0;
    }
    return told > 0 ? sum_khz / told / 1000 : 0;
}

/* Of the cores that this process may use: at most so many are asked, since asking takes time. */
static double mhz_now(void) {
    enum { ASKED_MAX = 16 };
    unsigned cpus[ASKED_MAX], n = 0;
    cpu_set_t allowed;
    if (sched_getaffinity(0, sizeof(allowed), &allowed) != 0) {
        return 0;
    }
    for (unsigned cpu = 0; cpu < CPU_SETSIZE && n < ASKED_MAX; cpu++) {
        if (CPU_ISSET(cpu, &allowed)) {
            cpus[n++] = cpu;
        }
    }
    return conditions_mhz("/sys/devices/system/cpu", cpus, n);
}

uint64_t conditions_schedstat_waited_ns(const char *text) {
    char *end;
    (void)strtoull(text, &end, 10); /* time on a core */
    return end == text ? 0 : strtoull(end, NULL, 10);
}

static uint64_t waited_ns_of(const char *path) {
    struct err err;
    char *text = NULL;
    size_t size = 0;
    if (file_read_kernel(path, 128, &text, &size, &err) != RC_OK) {
        return 0;
    }
    uint64_t ns = conditions_schedstat_waited_ns(text);
    free(text);
    return ns;
}

uint64_t conditions_thread_waited_ns(void) {
    return waited_ns_of("/proc/thread-self/schedstat");
}

/* Of all threads that there are now. */
static uint64_t all_waited_ns(void) {
    uint64_t sum = 0;
    DIR *tasks = opendir("/proc/self/task");
    struct dirent *entry;
    while (tasks && (entry = readdir(tasks)) != NULL) {
        char path[96];
        if (entry->d_name[0] != '.') {
            snprintf(path, sizeof(path), "/proc/self/task/%.32s/schedstat", entry->d_name);
            sum += waited_ns_of(path);
        }
    }
    if (tasks) {
        closedir(tasks);
    }
    return sum;
}

void conditions_add_waited(struct conditions *c, uint64_t waited_ns) {
    c->ended_waited_ns += waited_ns;
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
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    *c = (struct conditions){
        .kernel_ns = drift_kernel_ns(), .drift_ratio = 1, .cpus = cpus > 0 ? (unsigned)cpus : 1};
    struct rusage usage = usage_now();
    cpu_set_t allowed;
    c->cores = sched_getaffinity(0, sizeof(allowed), &allowed) == 0 ? (unsigned)CPU_COUNT(&allowed) : 1;
    c->waited_ms = all_waited_ns() / 1000000;
    c->mhz_before = mhz_now();
    c->preemptions = (uint64_t)usage.ru_nivcsw;
    c->waits = (uint64_t)usage.ru_nvcsw;
    c->minor_faults = (uint64_t)usage.ru_minflt;
    c->major_faults = (uint64_t)usage.ru_majflt;
    c->steal_ms = steal_ms();
    c->wall_ms = clock_mono_ns() / 1000000;
}

void conditions_end(struct conditions *c) {
    struct rusage usage = usage_now();
    c->mhz_after = mhz_now(); /* first: the clock falls soon once nothing runs */
    c->wall_ms = clock_mono_ns() / 1000000 - c->wall_ms;
    c->steal_ms = steal_ms() - c->steal_ms;
    uint64_t waited_ms = all_waited_ns() / 1000000; /* threads may have ended that were there before */
    c->waited_ms = (waited_ms > c->waited_ms ? waited_ms - c->waited_ms : 0) + c->ended_waited_ns / 1000000;
    c->preemptions = (uint64_t)usage.ru_nivcsw - c->preemptions;
    c->waits = (uint64_t)usage.ru_nvcsw - c->waits;
    c->minor_faults = (uint64_t)usage.ru_minflt - c->minor_faults;
    c->major_faults = (uint64_t)usage.ru_majflt - c->major_faults;
    c->drift_ratio = drift_kernel_ns() / c->kernel_ns;
}

static double steal_share(const struct conditions *c) {
    double there_ms = (double)c->wall_ms * c->cpus;
    return there_ms > 0 ? (double)c->steal_ms / there_ms : 0;
}

static double waited_share(const struct conditions *c) {
    double there_ms = (double)c->wall_ms * c->cores;
    return there_ms > 0 ? (double)c->waited_ms / there_ms : 0;
}

static bool waited(const struct conditions *c) {
    return waited_share(c) > CONDITIONS_WAIT_LIMIT;
}

static bool drifted(const struct conditions *c) {
    return fabs(c->drift_ratio - 1) > CONDITIONS_DRIFT_LIMIT;
}

static bool stolen(const struct conditions *c) {
    return steal_share(c) > CONDITIONS_STEAL_LIMIT;
}

bool conditions_stable(const struct conditions *c) {
    return !drifted(c) && !stolen(c) && !waited(c);
}

static json_t *reasons_json(const struct conditions *c) {
    json_t *list = json_array();
    char text[160];
    if (drifted(c)) {
        snprintf(text, sizeof(text), "a fixed piece of work took %.1f %% %s after measuring than before",
                 100 * fabs(c->drift_ratio - 1), c->drift_ratio > 1 ? "longer" : "less time");
        json_array_append_new(list, json_string(text));
    }
    if (stolen(c)) {
        snprintf(text, sizeof(text), "the hypervisor gave %.1f %% of the time to others",
                 100 * steal_share(c));
        json_array_append_new(list, json_string(text));
    }
    if (waited(c)) {
        snprintf(text, sizeof(text), "other work held its cores for %.1f %% of the time",
                 100 * waited_share(c));
        json_array_append_new(list, json_string(text));
    }
    return list;
}

json_t *conditions_json(const struct conditions *c) {
    json_t *object =
        json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:f, s:b, s:o}", "wall_ms", (json_int_t)c->wall_ms,
                  "steal_ms", (json_int_t)c->steal_ms, "waited_ms", (json_int_t)c->waited_ms, "preemptions",
                  (json_int_t)c->preemptions, "waits", (json_int_t)c->waits, "minor_faults",
                  (json_int_t)c->minor_faults, "major_faults", (json_int_t)c->major_faults, "drift_ratio",
                  c->drift_ratio, "stable", conditions_stable(c), "unstable", reasons_json(c));
    if (object && c->mhz_before > 0 && c->mhz_after > 0) {
        json_object_set_new(object, "cpu_mhz",
                            json_pack("{s:f, s:f}", "before", c->mhz_before, "after", c->mhz_after));
    } else if (object) {
        json_object_set_new(object, "cpu_mhz", json_null());
        json_object_set_new(object, "cpu_mhz_absent",
                            json_string("this machine does not tell the clock of its cores (no cpufreq)"));
    }
    return object;
}

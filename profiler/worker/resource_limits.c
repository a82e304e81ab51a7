/* resource_limits.c -- see resource_limits.h. */
#include "profiler/worker/resource_limits.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/resource.h>

#include "core/base/json.h"

enum rc resource_limits_read(const json_t *limits, struct resource_limits *ret, struct err *err) {
    static const int64_t max_bytes = (int64_t)1 << 50;
    int64_t threads = ret->threads;
    int64_t memory = (int64_t)ret->memory_bytes;
    int64_t cpu = (int64_t)ret->cpu_s;
    int64_t file = (int64_t)ret->file_bytes;
    enum rc rc = json_opt_int(limits, "threads", 0, 4096, &threads, err);
    if (rc != RC_OK ||
        (rc = json_opt_int(limits, "memory_bytes", 1 << 20, max_bytes, &memory, err)) != RC_OK ||
        (rc = json_opt_int(limits, "cpu_s", 1, INT64_C(30) * 86400, &cpu, err)) != RC_OK ||
        (rc = json_opt_int(limits, "file_bytes", 1 << 12, max_bytes, &file, err)) != RC_OK) {
        return rc;
    }
    *ret = (struct resource_limits){(uint32_t)threads, (uint64_t)memory, (uint64_t)cpu, (uint64_t)file};
    return RC_OK;
}

/* Lowers one limit; a stricter one that is there already stays. At its soft limit of processor time a process
 * gets SIGXCPU, which says why it ended, at the hard one SIGKILL. */
static enum rc lower(int which, const char *name, uint64_t value, struct err *err) {
    struct rlimit now = {.rlim_max = RLIM_INFINITY};
    (void)getrlimit((__rlimit_resource_t)which, &now);
    bool stricter = now.rlim_max != RLIM_INFINITY && now.rlim_max <= value;
    value = stricter ? now.rlim_max : value;
    bool warns_first = which == RLIMIT_CPU && !stricter;
    struct rlimit limit = {.rlim_cur = value, .rlim_max = warns_first ? value + 1 : value};
    if (setrlimit((__rlimit_resource_t)which, &limit) != 0) {
        return err_set(err, RC_INTERNAL, "%s cannot be set to %llu: %s", name, (unsigned long long)value,
                       strerror(errno));
    }
    return RC_OK;
}

enum rc resource_limits_apply(const struct resource_limits *limits, struct err *err) {
    enum rc rc = lower(RLIMIT_CORE, "RLIMIT_CORE", 0, err);
#ifndef PARE_SANITIZED
    if (rc == RC_OK) {
        rc = lower(RLIMIT_DATA, "RLIMIT_DATA", limits->memory_bytes, err);
    }
#endif
    if (rc == RC_OK) {
        rc = lower(RLIMIT_FSIZE, "RLIMIT_FSIZE", limits->file_bytes, err);
    }
    if (rc == RC_OK) {
        rc = lower(RLIMIT_CPU, "RLIMIT_CPU", limits->cpu_s, err);
    }
    return rc;
}

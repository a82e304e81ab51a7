/* resource_limits.h -- how much a job may use: heap, file sizes, processor time. */
#pragma once

#include <jansson.h>
#include <stdint.h>

#include "core/base/err.h"

struct resource_limits {
    uint32_t threads;      /* 0 = as many as there are cores */
    uint64_t memory_bytes; /* RLIMIT_DATA: heap, thread stacks, private writable mappings; a read-only mapped
                              model is free */
    uint64_t cpu_s;        /* RLIMIT_CPU; SIGXCPU ends the worker */
    uint64_t file_bytes;   /* RLIMIT_FSIZE of each file it writes */
};

/* Reads {"threads", "memory_bytes", "cpu_s", "file_bytes"}; what is absent stays as *ret has it. */
MUST_USE enum rc resource_limits_read(const json_t *limits, struct resource_limits *ret, struct err *err);

/* Sets them for this process for good (hard and soft), and core dumps to nothing. RLIMIT_DATA is left out in
 * sanitizer builds, whose shadow memory counts as data. */
MUST_USE enum rc resource_limits_apply(const struct resource_limits *limits, struct err *err);

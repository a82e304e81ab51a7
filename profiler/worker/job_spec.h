/* job_spec.h -- the job that arrives on standard input (docs/protocol.md), checked. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/err.h"
#include "core/base/model_family.h"
#include "profiler/worker/resource_limits.h"

enum job_kind { JOB_INSPECT, JOB_COMPRESS, JOB_EVALUATE, JOB_PROFILE, JOB_COMPARE };

struct job_file {
    const char *path;  /* inside the model: "weights/a.bin" */
    const char *local; /* absolute path of the fetched file */
};

struct job_model {
    enum model_family family;
    const char *main_path;
    const char *main_local;
    struct job_file *files; /* the main file among them */
    size_t file_count;
    uint64_t bytes; /* of all files, as they lie on disk */
};

/* Texts are borrowed from `root`. */
struct job_spec {
    json_t *root;
    enum job_kind kind;
    struct job_model model;
    bool has_reference;
    struct job_model reference; /* evaluate: the baseline model; compare: what is compared with */
    const json_t *dataset;      /* NULL for none */
    const json_t *calibration;  /* NULL for none */
    const char **inputs; /* every "local" path in the job: the only files from outside that are opened */
    size_t input_count;
    struct resource_limits limits;
};

/* Reads a job of `size` bytes. RC_INPUT names the field that is missing or wrong. On success release with
 * job_spec_release. */
MUST_USE enum rc job_spec_read(const char *text, size_t size, struct job_spec *ret, struct err *err);
void job_spec_release(struct job_spec *spec);

/* limits.threads, or the number of cores that this process may use. */
uint32_t job_spec_threads(const struct job_spec *spec);

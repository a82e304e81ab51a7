/* profile_onnx.c -- an ONNX configuration ready to be measured: one session an instance, opened by a thread
 * that is pinned to the instance's cores, so that the session's pool inherits them.
 *
 * Idle pool threads spin (the runtime's default, which a service that owns its cores would use). Instances
 * with one thread have no pool. Instances with more have their cores for themselves, so that a spinning pool
 * takes nothing from another; that is why a configuration may not use more threads than there are cores. */
#include <stdlib.h>

#include "profiler/worker/counting.h"
#include "profiler/worker/operators.h"
#include "profiler/worker/pooled_run.h"
#include "profiler/worker/profile.h"

struct onnx_subject {
    struct input_pool pool;
    struct onnxruntime *runtime;
    struct pooled_run instances[PROFILE_MAX_INSTANCES];
    struct profile_subject subject;
};

static enum rc open_instance(struct onnx_subject *s, const struct job_spec *spec,
                             const struct profile_settings *settings, uint32_t index,
                             const cpu_set_t *allowed, struct err *err) {
    struct scenario_instance *out = &s->subject.instances[index];
    const struct onnxruntime_session_opts opts = {.threads = settings->threads, .spin = ONNXRUNTIME_SPIN};
    profile_cores(allowed, settings->threads, index, &out->cpus);
    if (sched_setaffinity(0, sizeof(out->cpus), &out->cpus) != 0) {
        return err_set(err, RC_INTERNAL, "instance %u cannot be pinned to its cores", index);
    }
    enum rc rc = pooled_run_open(s->runtime, &spec->model, &opts, &s->pool, index, &s->instances[index], err);
    if (rc != RC_OK) {
        return rc;
    }
    s->subject.load_ms = index == 0 ? s->instances[0].load_ms : s->subject.load_ms;
    out->run = pooled_run_once;
    out->idle = pooled_run_idle;
    out->user = &s->instances[index];
    s->subject.count++;
    return RC_OK;
}

static enum rc open_all(struct worker_job *job, struct onnx_subject *s,
                        const struct profile_settings *settings, struct err *err) {
    cpu_set_t allowed;
    if (sched_getaffinity(0, sizeof(allowed), &allowed) != 0) {
        return err_set(err, RC_INTERNAL, "the cores of this process are not known");
    }
    enum rc rc = onnxruntime_new(NULL, &s->runtime, err);
    if (rc != RC_OK || (rc = memory_begin(job->clear_refs_fd, &s->subject.mark, err)) != RC_OK) {
        return rc;
    }
    for (uint32_t i = 0; rc == RC_OK && i < settings->instances; i++) {
        rc = open_instance(s, job->spec, settings, i, &allowed, err);
    }
    /* Back to all cores. Counting runs instance 0 from here. */
    if (sched_setaffinity(0, sizeof(allowed), &allowed) != 0 && rc == RC_OK) {
        rc = err_set(err, RC_INTERNAL, "the worker cannot go back to all its cores");
    }
    return rc;
}

static void close_all(struct onnx_subject *s) {
    for (size_t i = 0; i < PROFILE_MAX_INSTANCES; i++) {
        pooled_run_close(&s->instances[i]);
    }
}

/* One instance alone, on the cores of the first. */
static enum rc measure_operators(struct worker_job *job, struct onnx_subject *s,
                                 const struct profile_settings *settings, struct err *err) {
    const struct operators_opts opts = {.model = &job->spec->model,
                                        .inputs = s->pool.batches[0].tensors,
                                        .threads = settings->threads,
                                        .batch = settings->batch};
    cpu_set_t allowed, mine;
    bool known = sched_getaffinity(0, sizeof(allowed), &allowed) == 0;
    if (known) {
        profile_cores(&allowed, settings->threads, 0, &mine);
        known = sched_setaffinity(0, sizeof(mine), &mine) == 0;
    }
    lines_progress(job->lines, 0.97, "timing operators");
    json_t *operators = operators_measure(s->runtime, &opts);
    if (known && sched_setaffinity(0, sizeof(allowed), &allowed) != 0) {
        json_decref(operators);
        return err_set(err, RC_INTERNAL, "the worker cannot go back to all its cores");
    }
    return worker_job_set(job, "operators", operators, err);
}

enum rc profile_onnx(struct worker_job *job, const struct profile_settings *settings, struct err *err) {
    struct onnx_subject *s = calloc(1, sizeof(*s));
    if (!s) {
        return err_memory(err);
    }
    s->subject.samples_per_run = 1;
    s->subject.units_per_sample = settings->batch;
    s->subject.runtime_version = onnxruntime_version();
    enum rc rc = input_pool_open(&job->spec->model, job->spec->dataset, job->spec->limits.memory_bytes / 2,
                                 settings->batch, &s->pool, err);
    if (rc == RC_OK && (rc = open_all(job, s, settings, err)) == RC_OK) {
        rc = profile_measure(job, settings, &s->subject, err);
    }
    close_all(s);
    if (rc == RC_OK && !counting_wanted(job->spec->root)) {
        rc = measure_operators(job, s, settings, err);
    }
    input_pool_release(&s->pool);
    onnxruntime_free(s->runtime);
    free(s);
    return rc;
}

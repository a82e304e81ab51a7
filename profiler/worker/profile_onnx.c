/* profile_onnx.c -- an ONNX configuration ready to be measured: one session an instance, opened by a thread
 * that is pinned to the instance's cores, so that the session's pool inherits them.
 *
 * Idle pool threads spin (the runtime's default, which a service that owns its cores would use). Instances
 * with one thread have no pool. Instances with more have their cores for themselves, so that a spinning pool
 * takes nothing from another; that is why a configuration may not use more threads than there are cores. */
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/data/dataset.h"
#include "core/formats/onnx_header.h"
#include "profiler/worker/counting.h"
#include "profiler/worker/feeds.h"
#include "profiler/worker/opened_model.h"
#include "profiler/worker/operators.h"
#include "profiler/worker/profile.h"

enum { POOL_BATCHES = 64 };
static const size_t POOL_BYTES = (size_t)32 << 20;

/* Batches of real examples, converted before anything is timed. */
struct pool {
    struct feeds batches[POOL_BATCHES];
    size_t count;
};

struct onnx_instance {
    struct opened_model model;
    struct onnxruntime_binding *binding;
    const struct pool *pool;
    struct feeds feeds; /* the memory that the binding reads */
    size_t next;
};

struct onnx_subject {
    struct pool pool;
    struct onnxruntime *runtime;
    struct onnx_instance instances[PROFILE_MAX_INSTANCES];
    struct profile_subject subject;
};

static void next_batch(struct onnx_instance *in) {
    const struct feeds *from = &in->pool->batches[in->next];
    in->next = (in->next + 1) % in->pool->count;
    for (size_t i = 0; i < in->feeds.count; i++) {
        memcpy(in->feeds.tensors[i].data, from->tensors[i].data, from->tensors[i].bytes);
    }
}

static enum rc run_instance(void *user, float *us, struct err *err) {
    struct onnx_instance *in = user;
    next_batch(in);
    uint64_t start = clock_mono_ns();
    enum rc rc = onnxruntime_binding_run(in->binding, err);
    us[0] = (float)((double)(clock_mono_ns() - start) / 1e3);
    return rc;
}

static enum rc idle_instance(void *user, float *us, struct err *err) {
    struct onnx_instance *in = user;
    (void)err;
    next_batch(in);
    uint64_t start = clock_mono_ns();
    us[0] = (float)((double)(clock_mono_ns() - start) / 1e3);
    return RC_OK;
}

static enum rc fill_pool(struct pool *pool, const struct dataset *d, size_t n_inputs, size_t batch,
                         struct err *err) {
    size_t bytes = feeds_example_bytes(d, n_inputs) * batch;
    size_t examples = dataset_count(d);
    size_t wanted = (examples + batch - 1) / batch;
    size_t fitting = POOL_BYTES / (bytes > 0 ? bytes : 1);
    wanted = wanted > POOL_BATCHES ? POOL_BATCHES : wanted;
    wanted = wanted > fitting ? fitting : wanted;
    wanted = wanted > 0 ? wanted : 1;
    for (size_t i = 0; i < wanted; i++) {
        struct feeds *feeds = &pool->batches[i];
        enum rc rc = feeds_init(feeds, d, n_inputs, batch, err);
        if (rc != RC_OK) {
            return rc;
        }
        size_t first = i * batch;
        feeds_fill(feeds, first, examples - first < batch ? examples - first : batch);
        feeds->dataset = NULL; /* which is released */
        pool->count++;
    }
    return RC_OK;
}

/* The dataset is read, converted and released before the model is loaded, so that its memory is not the
 * model's. */
static enum rc prepare_inputs(struct onnx_subject *s, const struct job_spec *spec, size_t batch,
                              struct err *err) {
    struct onnx_header *header = NULL;
    struct dataset *d = NULL;
    if (!spec->dataset) {
        return err_set(err, RC_INPUT, "field \"dataset\": missing; times are measured on real examples");
    }
    enum rc rc = onnx_header_read(spec->model.main_local, &header, err);
    if (rc != RC_OK || (rc = dataset_open(spec->dataset, spec->limits.memory_bytes / 2, &d, err)) != RC_OK ||
        (rc = dataset_bind(d, header->inputs, header->n_inputs, err)) != RC_OK) {
        goto out;
    }
    int64_t fixed = header->n_inputs > 0 && header->inputs[0].rank > 0 ? header->inputs[0].dims[0] : -1;
    if (fixed > 0 && (size_t)fixed != batch) {
        rc = err_set(err, RC_INPUT, "batch %zu: the model takes exactly %lld examples at once", batch,
                     (long long)fixed);
        goto out;
    }
    rc = fill_pool(&s->pool, d, header->n_inputs, batch, err);

out:
    dataset_free(d);
    onnx_header_free(header);
    return rc;
}

/* A copy of a pool batch: same shapes, memory of its own. */
static enum rc copy_feeds(const struct feeds *from, struct feeds *ret, struct err *err) {
    *ret = (struct feeds){.batch = from->batch};
    for (size_t i = 0; i < from->count; i++) {
        ret->tensors[i] = from->tensors[i];
        ret->tensors[i].data = aligned_alloc(64, (from->tensors[i].bytes + 64) / 64 * 64);
        if (!ret->tensors[i].data) {
            return err_memory(err);
        }
        ret->count++;
        memcpy(ret->tensors[i].data, from->tensors[i].data, from->tensors[i].bytes);
    }
    return RC_OK;
}

static enum rc open_instance(struct onnx_subject *s, const struct job_spec *spec,
                             const struct profile_settings *settings, uint32_t index,
                             const cpu_set_t *allowed, struct err *err) {
    struct onnx_instance *in = &s->instances[index];
    struct scenario_instance *out = &s->subject.instances[index];
    const struct onnxruntime_session_opts opts = {.threads = settings->threads, .spin = ONNXRUNTIME_SPIN};
    profile_cores(allowed, settings->threads, index, &out->cpus);
    if (sched_setaffinity(0, sizeof(out->cpus), &out->cpus) != 0) {
        return err_set(err, RC_INTERNAL, "instance %u cannot be pinned to its cores", index);
    }
    *in = (struct onnx_instance){.pool = &s->pool, .next = index % s->pool.count};
    uint64_t start = clock_mono_ns();
    enum rc rc = opened_model_open(s->runtime, &spec->model, &opts, &in->model, err);
    if (index == 0) {
        s->subject.load_ms = (double)(clock_mono_ns() - start) / 1e6;
    }
    if (rc != RC_OK || (rc = copy_feeds(&s->pool.batches[0], &in->feeds, err)) != RC_OK ||
        (rc = onnxruntime_binding_new(in->model.session, in->feeds.tensors, &in->binding, err)) != RC_OK) {
        return rc;
    }
    out->run = run_instance;
    out->idle = idle_instance;
    out->user = in;
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
        onnxruntime_binding_free(s->instances[i].binding);
        feeds_release(&s->instances[i].feeds);
        opened_model_close(&s->instances[i].model);
        s->instances[i] = (struct onnx_instance){0};
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
    enum rc rc = prepare_inputs(s, job->spec, settings->batch, err);
    if (rc == RC_OK && (rc = open_all(job, s, settings, err)) == RC_OK) {
        rc = profile_measure(job, settings, &s->subject, err);
    }
    close_all(s);
    if (rc == RC_OK && !counting_wanted(job->spec->root)) {
        rc = measure_operators(job, s, settings, err);
    }
    for (size_t i = 0; i < s->pool.count; i++) {
        feeds_release(&s->pool.batches[i]);
    }
    onnxruntime_free(s->runtime);
    free(s);
    return rc;
}

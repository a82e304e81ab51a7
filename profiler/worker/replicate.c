/* replicate.c -- see replicate.h. */
#include "profiler/worker/replicate.h"

#include <sched.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/file.h"
#include "core/base/json.h"
#include "core/formats/onnx_header.h"
#include "core/stats/quantile.h"
#include "core/stats/rng.h"
#include "profiler/worker/conditions.h"
#include "profiler/worker/profile.h"
#include "runtimes/llama_lm.h"

static const double DEFAULT_MEASURE_S = 0.25;
static const double WARMUP_SHARE = 0.15;
static const char *const NAMES[INTERLEAVE_SIDES] = {"model", "reference"};
static const char *const FILES[INTERLEAVE_SIDES] = {"model.bin", "reference.bin"};

static const struct job_model *side_model(const struct job_spec *spec, int who) {
    return who == INTERLEAVE_MODEL ? &spec->model : &spec->reference;
}

static enum rc read_runtime(const struct job_spec *spec, const char *key, uint32_t *threads, int64_t *batch,
                            struct err *err) {
    json_t *runtime = NULL;
    int64_t n = 1;
    enum rc rc = json_get_object(spec->root, key, &runtime, err);
    if (rc == RC_OK) {
        rc = json_get_int(runtime, "threads", 1, 1024, &n, err);
    }
    if (rc == RC_OK) {
        rc = json_opt_int(runtime, "batch", 1, 65536, batch, err);
    }
    *threads = (uint32_t)n;
    return rc;
}

static enum rc check(const struct job_spec *spec, const struct replicate_settings *s, int64_t reference_batch,
                     struct err *err) {
    cpu_set_t allowed;
    int cores = sched_getaffinity(0, sizeof(allowed), &allowed) == 0 ? CPU_COUNT(&allowed) : 1;
    uint32_t most = s->threads[0] > s->threads[1] ? s->threads[0] : s->threads[1];
    if (!spec->has_reference) {
        return err_set(err, RC_INPUT, "field \"reference\": missing; a comparison needs two models");
    }
    if (spec->model.family != spec->reference.family) {
        return err_set(err, RC_UNSUPPORTED,
                       "a comparison run takes two ONNX or two GGUF models, not one of each");
    }
    if (spec->model.family == FAMILY_GGUF && s->batch != 1) {
        return err_set(err, RC_INPUT, "language models are compared with batch 1, not %u", s->batch);
    }
    if (reference_batch != (int64_t)s->batch) {
        return err_set(err, RC_INPUT, "both must have the same batch, not %u and %lld", s->batch,
                       (long long)reference_batch);
    }
    if (most > (uint32_t)cores) {
        return err_set(err, RC_INPUT, "%u threads need as many cores; this machine gives the worker %d", most,
                       cores);
    }
    if (!(s->measure_s >= 0.01 && s->measure_s <= 3600)) {
        return err_set(err, RC_INPUT, "field \"measure_s\": %g is not between 0.01 and 3600", s->measure_s);
    }
    return RC_OK;
}

enum rc replicate_settings_read(const struct job_spec *spec, struct replicate_settings *ret,
                                struct err *err) {
    struct replicate_settings s = {.measure_s = DEFAULT_MEASURE_S};
    int64_t seed = 0, batch = 1, reference_batch = 1;
    enum rc rc = read_runtime(spec, "runtime", &s.threads[INTERLEAVE_MODEL], &batch, err);
    if (rc == RC_OK) {
        rc = read_runtime(spec, "reference_runtime", &s.threads[INTERLEAVE_REFERENCE], &reference_batch, err);
    }
    if (rc == RC_OK) {
        rc = json_opt_int(spec->root, "seed", 0, INT64_MAX, &seed, err);
    }
    if (rc == RC_OK) {
        rc = json_opt_number(spec->root, "measure_s", &s.measure_s, err);
    }
    s.seed = (uint64_t)seed;
    s.batch = (uint32_t)batch;
    if (rc == RC_OK) {
        rc = check(spec, &s, reference_batch, err);
    }
    if (rc == RC_OK) {
        *ret = s;
    }
    return rc;
}

/* ---- loading ---- */

static bool same_input(const struct tensor_spec *a, const struct tensor_spec *b) {
    return a->dtype == b->dtype && a->rank == b->rank && strcmp(a->name, b->name) == 0 &&
           memcmp(a->dims, b->dims, a->rank * sizeof(a->dims[0])) == 0;
}

/* Whether batches for one fit the other, so that the dataset need not be read twice. */
static enum rc same_inputs(const struct job_spec *spec, bool *ret, struct err *err) {
    struct onnx_header *a = NULL, *b = NULL;
    enum rc rc = onnx_header_read(spec->model.main_local, &a, err);
    if (rc == RC_OK) {
        rc = onnx_header_read(spec->reference.main_local, &b, err);
    }
    if (rc == RC_OK) {
        *ret = a->n_inputs == b->n_inputs;
        for (size_t i = 0; *ret && i < a->n_inputs; i++) {
            *ret = same_input(&a->inputs[i], &b->inputs[i]);
        }
    }
    onnx_header_free(a);
    onnx_header_free(b);
    return rc;
}

static enum rc open_pools(const struct job_spec *spec, const struct replicate_settings *settings, bool shared,
                          struct replicate_pair *p, struct err *err) {
    for (int who = 0; who < (shared ? 1 : INTERLEAVE_SIDES); who++) {
        enum rc rc = input_pool_open(side_model(spec, who), spec->dataset, spec->limits.memory_bytes / 4,
                                     settings->batch, &p->pools[who], err);
        if (rc != RC_OK) {
            return err_prefix(err, "%s", NAMES[who]);
        }
    }
    return RC_OK;
}

static enum rc pin(const struct replicate_settings *settings, struct err *err) {
    cpu_set_t allowed, mine;
    uint32_t most = settings->threads[0] > settings->threads[1] ? settings->threads[0] : settings->threads[1];
    if (sched_getaffinity(0, sizeof(allowed), &allowed) != 0) {
        return err_set(err, RC_INTERNAL, "the cores of this process are not known");
    }
    profile_cores(&allowed, most, 0, &mine);
    return sched_setaffinity(0, sizeof(mine), &mine) == 0
               ? RC_OK
               : err_set(err, RC_INTERNAL, "the worker cannot be pinned to its cores");
}

/* Which of the two is loaded first. */
static int first_loaded(const struct replicate_settings *settings) {
    struct rng r;
    rng_seed(&r, settings->seed);
    return (int)rng_below(&r, INTERLEAVE_SIDES);
}

static enum rc open_sessions(const struct job_spec *spec, const struct replicate_settings *settings,
                             bool shared_inputs, struct replicate_pair *p, struct err *err) {
    bool shared = settings->threads[0] == settings->threads[1] && settings->threads[0] > 1;
    const struct onnxruntime_opts opts = {.shared_threads = shared ? settings->threads[0] : 0};
    int first = first_loaded(settings);
    enum rc rc = onnxruntime_new(&opts, &p->runtime, err);
    for (int k = 0; rc == RC_OK && k < INTERLEAVE_SIDES; k++) {
        int who = (first + k) % INTERLEAVE_SIDES;
        const struct onnxruntime_session_opts session = {.threads = settings->threads[who],
                                                         .spin = ONNXRUNTIME_NO_SPIN,
                                                         .pool = shared ? ONNXRUNTIME_SHARED_POOL
                                                                        : ONNXRUNTIME_OWN_POOL};
        rc = pooled_run_open(p->runtime, side_model(spec, who), &session, &p->pools[shared_inputs ? 0 : who],
                             0, &p->runs[who], err);
        if (rc != RC_OK) {
            err_prefix(err, "%s", NAMES[who]);
        }
        p->sides[who] = (struct interleave_side){pooled_run_once, &p->runs[who]};
    }
    return rc;
}

static enum rc open_texts(const struct job_spec *spec, const struct replicate_settings *settings,
                          struct replicate_pair *p, struct err *err) {
    enum rc rc = pin(settings, err);
    return rc == RC_OK ? replicate_text_open(spec, settings->threads, first_loaded(settings), &p->texts,
                                             p->sides, err)
                       : rc;
}

enum rc replicate_open(const struct job_spec *spec, const struct replicate_settings *settings,
                       struct replicate_pair *ret, struct err *err) {
    bool shared_inputs = false;
    *ret = (struct replicate_pair){0};
    if (spec->model.family == FAMILY_GGUF) {
        return open_texts(spec, settings, ret, err);
    }
    enum rc rc = same_inputs(spec, &shared_inputs, err);
    if (rc == RC_OK) {
        rc = open_pools(spec, settings, shared_inputs, ret, err);
    }
    if (rc == RC_OK) {
        rc = pin(settings, err);
    }
    return rc == RC_OK ? open_sessions(spec, settings, shared_inputs, ret, err) : rc;
}

void replicate_close(struct replicate_pair *p) {
    for (int who = 0; who < INTERLEAVE_SIDES; who++) {
        pooled_run_close(&p->runs[who]);
    }
    for (int who = 0; who < INTERLEAVE_SIDES; who++) {
        input_pool_release(&p->pools[who]);
    }
    onnxruntime_free(p->runtime);
    replicate_text_close(&p->texts);
    *p = (struct replicate_pair){0};
}

/* ---- measuring ---- */

struct attempt {
    struct interleave_sample sample;
    struct conditions conditions;
};

static enum rc run_attempt(const struct replicate_settings *settings, const struct replicate_pair *pair,
                           uint64_t number, struct attempt *ret, struct err *err) {
    const struct interleave_opts opts = {.measure_us = settings->measure_s * 1e6,
                                         .warmup_us = settings->measure_s * 1e6 * WARMUP_SHARE,
                                         .seed = settings->seed + number};
    conditions_begin(&ret->conditions);
    enum rc rc = interleave_run(pair->sides, &opts, &ret->sample, err);
    conditions_end(&ret->conditions);
    return rc;
}

static double median_us(const float *us, size_t n, struct err *err) {
    float *sorted = malloc(n * sizeof(*us));
    double median = 0;
    if (sorted) {
        memcpy(sorted, us, n * sizeof(*us));
        quantile_sort(sorted, n);
        median = (double)quantile_of(sorted, n, 0.5);
    } else {
        err_memory(err);
    }
    free(sorted);
    return median;
}

static enum rc report_side(struct worker_job *job, int who, const struct interleave_sample *s,
                           struct err *err) {
    double p50_us = median_us(s->us[who], s->n, err);
    enum rc rc = p50_us > 0 ? file_write(FILES[who], s->us[who], s->n * sizeof(float), 0600, err) : RC_MEMORY;
    if (rc != RC_OK) {
        return rc;
    }
    if (json_array_append_new(job->files, json_pack("{s:s}", "path", FILES[who])) != 0) {
        return err_memory(err);
    }
    return worker_job_set(job, NAMES[who], json_pack("{s:f, s:s}", "p50_us", p50_us, "samples", FILES[who]),
                          err);
}

/* `first` is the attempt that was not steady, or NULL. */
static enum rc report(struct worker_job *job, const struct attempt *a, const struct attempt *first,
                      double seconds, struct err *err) {
    const struct interleave_sample *s = &a->sample;
    json_t *repeated = first ? json_pack("{s:f, s:o}", "log_ratio", first->sample.log_ratio, "conditions",
                                         conditions_json(&first->conditions))
                             : json_null();
    bool text = job->spec->model.family == FAMILY_GGUF;
    const char *version = text ? llama_lm_version() : onnxruntime_version();
    json_t *part =
        json_pack("{s:f, s:I, s:I, s:I, s:I, s:o, s:o, s:f, s:s}", "log_ratio", s->log_ratio, "n",
                  (json_int_t)s->n, "pairs", (json_int_t)s->pairs, "block_runs", (json_int_t)s->block_runs,
                  "warmup_runs", (json_int_t)s->warmup_runs, "conditions", conditions_json(&a->conditions),
                  "repeated", repeated, "seconds", seconds, "runtime_version", version);
    if (json_object_update_new(job->result, part) != 0) {
        return err_memory(err);
    }
    enum rc rc = report_side(job, INTERLEAVE_MODEL, s, err);
    return rc == RC_OK ? report_side(job, INTERLEAVE_REFERENCE, s, err) : rc;
}

enum rc replicate_measure(struct worker_job *job, const struct replicate_settings *settings,
                          const struct replicate_pair *pair, struct err *err) {
    struct attempt attempts[2] = {0};
    int last = 0;
    uint64_t start = clock_mono_ns();
    enum rc rc = run_attempt(settings, pair, 0, &attempts[0], err);
    if (rc == RC_OK && !conditions_stable(&attempts[0].conditions)) {
        lines_progress(job->lines, 0.5, "the machine was not steady: measuring again");
        last = 1;
        rc = run_attempt(settings, pair, 1, &attempts[1], err);
    }
    if (rc == RC_OK) {
        rc = report(job, &attempts[last], last ? &attempts[0] : NULL, (double)(clock_mono_ns() - start) / 1e9,
                    err);
    }
    interleave_sample_release(&attempts[0].sample);
    interleave_sample_release(&attempts[1].sample);
    return rc;
}

enum rc replicate_run(struct worker_job *job, struct err *err) {
    struct replicate_settings settings;
    struct replicate_pair pair = {0};
    enum rc rc = replicate_settings_read(job->spec, &settings, err);
    if (rc == RC_OK) {
        rc = replicate_open(job->spec, &settings, &pair, err);
    }
    if (rc == RC_OK) {
        rc = replicate_measure(job, &settings, &pair, err);
    }
    replicate_close(&pair);
    return rc;
}

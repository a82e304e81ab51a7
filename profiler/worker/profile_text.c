/* profile_text.c -- a language model ready to be measured: one context an instance over shared weights. A run
 * generates `generate` tokens from an empty context, each a sample; how fast a prompt is read is measured
 * beside it. */
#include <stdlib.h>

#include "core/base/clock.h"
#include "profiler/worker/counting.h"
#include "profiler/worker/operators.h"
#include "profiler/worker/profile.h"
#include "runtimes/llama_lm.h"
#include "runtimes/llama_speed.h"

enum { PROMPT_REPEATS = 5, MIDDLE = PROMPT_REPEATS / 2 };

struct text_instance {
    struct llama_lm *lm;
    size_t generate;
};

struct text_subject {
    struct text_instance instances[PROFILE_MAX_INSTANCES];
    struct profile_subject subject;
};

static enum rc run_instance(void *user, float *us, struct err *err) {
    const struct text_instance *in = user;
    return llama_speed_generate(in->lm, in->generate, us, err);
}

static enum rc open_instance(struct text_subject *s, const struct job_spec *spec,
                             const struct profile_settings *settings, uint32_t index,
                             const cpu_set_t *allowed, struct err *err) {
    struct text_instance *in = &s->instances[index];
    struct scenario_instance *out = &s->subject.instances[index];
    uint32_t context = settings->generate > LLAMA_SPEED_PROMPT ? settings->generate : LLAMA_SPEED_PROMPT;
    const struct llama_lm_opts opts = {.context = context, .threads = settings->threads};
    profile_cores(allowed, settings->threads, index, &out->cpus);
    if (sched_setaffinity(0, sizeof(out->cpus), &out->cpus) != 0) {
        return err_set(err, RC_INTERNAL, "instance %u cannot be pinned to its cores", index);
    }
    uint64_t start = clock_mono_ns();
    enum rc rc = index == 0 ? llama_lm_load(spec->model.main_local, &opts, &in->lm, err)
                            : llama_lm_instance(s->instances[0].lm, &opts, &in->lm, err);
    if (index == 0) {
        s->subject.load_ms = (double)(clock_mono_ns() - start) / 1e6;
    }
    if (rc != RC_OK) {
        return rc;
    }
    in->generate = settings->generate;
    out->run = run_instance;
    out->user = in;
    s->subject.count++;
    return RC_OK;
}

static enum rc open_all(struct worker_job *job, struct text_subject *s,
                        const struct profile_settings *settings, struct err *err) {
    cpu_set_t allowed;
    if (sched_getaffinity(0, sizeof(allowed), &allowed) != 0) {
        return err_set(err, RC_INTERNAL, "the cores of this process are not known");
    }
    enum rc rc = llama_lm_open_libraries(err);
    if (rc != RC_OK || (rc = memory_begin(job->clear_refs_fd, &s->subject.mark, err)) != RC_OK) {
        return rc;
    }
    for (uint32_t i = 0; rc == RC_OK && i < settings->instances; i++) {
        rc = open_instance(s, job->spec, settings, i, &allowed, err);
    }
    if (sched_setaffinity(0, sizeof(allowed), &allowed) != 0 && rc == RC_OK) {
        rc = err_set(err, RC_INTERNAL, "the worker cannot go back to all its cores");
    }
    return rc;
}

static int compare_ns(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* Tokens of a prompt that are read in a second, by instance 0: the median of a few repeats after a first one.
 */
static enum rc prompt_rate(const struct text_subject *s, double *ret, struct err *err) {
    uint64_t ns[PROMPT_REPEATS];
    uint64_t ignored;
    enum rc rc = llama_speed_prompt(s->instances[0].lm, LLAMA_SPEED_PROMPT, &ignored, err);
    for (size_t i = 0; rc == RC_OK && i < PROMPT_REPEATS; i++) {
        rc = llama_speed_prompt(s->instances[0].lm, LLAMA_SPEED_PROMPT, &ns[i], err);
    }
    if (rc == RC_OK) {
        qsort(ns, PROMPT_REPEATS, sizeof(ns[0]), compare_ns);
        *ret = LLAMA_SPEED_PROMPT / ((double)ns[MIDDLE] / 1e9);
    }
    return rc;
}

/* Puts prompt_per_s beside the throughput of generation where it was measured: for one instance. */
static enum rc add_prompt_rate(struct worker_job *job, size_t instances, double rate, struct err *err) {
    json_t *scenario = json_object_get(json_object_get(job->result, "scenarios"), "single-stream");
    json_t *offline = json_object_get(json_object_get(job->result, "scenarios"), "offline");
    if (json_object_set_new(scenario, "prompt_per_s", json_real(rate)) != 0) {
        return err_memory(err);
    }
    if (instances == 1 && json_object_set_new(offline, "prompt_per_s", json_real(rate)) != 0) {
        return err_memory(err);
    }
    return RC_OK;
}

enum rc profile_text(struct worker_job *job, const struct profile_settings *settings, struct err *err) {
    struct text_subject *s = calloc(1, sizeof(*s));
    double rate = 0;
    if (!s) {
        return err_memory(err);
    }
    s->subject.samples_per_run = settings->generate;
    s->subject.units_per_sample = 1;
    s->subject.runtime_version = llama_lm_version();
    bool timed = !counting_wanted(job->spec->root);
    enum rc rc = open_all(job, s, settings, err);
    if (rc == RC_OK && (!timed || (rc = prompt_rate(s, &rate, err)) == RC_OK) &&
        (rc = profile_measure(job, settings, &s->subject, err)) == RC_OK && timed) {
        rc = add_prompt_rate(job, s->subject.count, rate, err);
    }
    if (rc == RC_OK && timed) {
        rc = worker_job_set(job, "operators", operators_unavailable("libllama does not time its operators"),
                            err);
    }
    for (size_t i = PROFILE_MAX_INSTANCES; i-- > 0;) { /* the weights belong to the first */
        llama_lm_free(s->instances[i].lm);
    }
    free(s);
    return rc;
}

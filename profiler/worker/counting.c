/* counting.c -- see counting.h. */
#include "profiler/worker/counting.h"

#include <stdlib.h>

#include "core/base/clock.h"
#include "core/base/json.h"
#include "profiler/worker/counters.h"

enum { DEFAULT_RUNS = 50, MAX_RUNS = 1000000, WARMUP_RUNS = 10 };
static const uint64_t WARMUP_NS = (uint64_t)10 * 1000 * 1000 * 1000;

bool counting_wanted(const json_t *job) {
    const json_t *count = json_object_get(job, "count");
    return json_is_array(json_object_get(count, "events")) || json_is_string(json_object_get(count, "by"));
}

static bool by_callgrind(const struct worker_job *job) {
    return json_is_string(json_object_get(json_object_get(job->spec->root, "count"), "by"));
}

enum rc counting_prepare(struct worker_job *job, struct err *err) {
    json_t *count = NULL;
    json_t *events = NULL;
    if (by_callgrind(job)) {
        return RC_OK;
    }
    enum rc rc = json_get_object(job->spec->root, "count", &count, err);
    if (rc == RC_OK) {
        rc = json_get_array(count, "events", &events, err);
    }
    return rc == RC_OK ? counters_choose(job->counters, events, err) : rc;
}

static enum rc warm_up(const struct scenario_instance *in, float *us, struct err *err) {
    uint64_t start = clock_mono_ns();
    enum rc rc = RC_OK;
    for (int i = 0; rc == RC_OK && i < WARMUP_RUNS && (i == 0 || clock_mono_ns() - start < WARMUP_NS); i++) {
        rc = in->run(in->user, us, err);
    }
    return rc;
}

/* `runs` runs of the instance; without `run` nothing but what surrounds it. */
static enum rc count_runs(struct counters *c, const struct scenario_instance *in, int64_t runs, float *us,
                          struct counters_reading *ret, struct err *err) {
    struct err why;
    enum rc rc = counters_start(c, err);
    if (rc != RC_OK) {
        return rc;
    }
    for (int64_t i = 0; rc == RC_OK && i < runs; i++) {
        rc = in->run(in->user, us, err);
    }
    enum rc stopped = counters_stop(c, ret, rc == RC_OK ? err : &why);
    return rc == RC_OK ? stopped : rc;
}

#ifdef __clang__
#define ON_ITS_OWN __attribute__((noinline))
#else
#define ON_ITS_OWN __attribute__((noinline, noclone))
#endif

/* Known to callgrind by its name (--toggle-collect): it must stay a function of its own. */
enum rc counting_marked(const struct scenario_instance *in, int64_t runs, float *us, struct err *err);

ON_ITS_OWN enum rc counting_marked(const struct scenario_instance *in, int64_t runs, float *us,
                                   struct err *err) {
    enum rc rc = RC_OK;
    for (int64_t i = 0; rc == RC_OK && i < runs; i++) {
        rc = in->run(in->user, us, err);
    }
    return rc;
}

static enum rc run_nothing(void *user, float *us, struct err *err) {
    (void)user;
    (void)us;
    (void)err;
    return RC_OK;
}

static enum rc report(struct worker_job *job, const struct counters_reading *full,
                      const struct counters_reading *empty, double inferences, struct err *err) {
    json_t *each = json_object();
    for (size_t i = 0; i < full->n; i++) {
        double value = (double)(full->values[i] - empty->values[i]) / inferences;
        json_object_set_new(each, full->names[i], json_real(value > 0 ? value : 0));
    }
    return worker_job_set(
        job, "counters",
        json_pack("{s:b, s:o, s:f}", "available", 1, "per_inference", each, "inferences", inferences), err);
}

/* What callgrind counted is in its own file; the agent divides it by "inferences". */
static enum rc run_for_callgrind(struct worker_job *job, const struct scenario_instance *in, int64_t runs,
                                 float *us, double units, struct err *err) {
    enum rc rc = in->run(in->user, us, err);
    if (rc != RC_OK || (rc = counting_marked(in, runs, us, err)) != RC_OK) {
        return rc;
    }
    return worker_job_set(
        job, "counters",
        json_pack("{s:b, s:{}, s:f}", "available", 1, "per_inference", "inferences", (double)runs * units),
        err);
}

enum rc counting_run(struct worker_job *job, const struct profile_subject *subject, struct err *err) {
    const struct scenario_instance *in = &subject->instances[0];
    const struct scenario_instance without = {.run = in->idle ? in->idle : run_nothing, .user = in->user};
    struct counters_reading full;
    struct counters_reading empty;
    int64_t runs = DEFAULT_RUNS;
    enum rc rc = json_opt_int(json_object_get(job->spec->root, "count"), "runs", 1, MAX_RUNS, &runs, err);
    if (rc != RC_OK) {
        return rc;
    }
    float *us = calloc(subject->samples_per_run, sizeof(float));
    if (!us) {
        return err_memory(err);
    }
    double units = (double)subject->samples_per_run * subject->units_per_sample;
    lines_progress(job->lines, 0.5, "counting");
    if (by_callgrind(job)) {
        rc = run_for_callgrind(job, in, runs, us, units, err);
        free(us);
        return rc;
    }
    if ((rc = warm_up(in, us, err)) == RC_OK &&
        (rc = count_runs(job->counters, in, runs, us, &full, err)) == RC_OK &&
        (rc = count_runs(job->counters, &without, runs, us, &empty, err)) == RC_OK) {
        rc = report(job, &full, &empty, (double)runs * units, err);
    }
    free(us);
    return rc;
}

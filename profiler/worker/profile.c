/* profile.c -- see profile.h. The order: drift kernel, the scenarios, drift kernel; memory is the peak over
 * all. A machine that was not steady (conditions.h) repeats the measurement once; if it then is not either,
 * the profile is marked. Counters are not switched on here: they get workers of their own (counting.h), so
 * that counting cannot disturb the times; the result only says which there are. With one instance
 * single-stream and offline are the same closed loop: it is measured once and stands for both. */
#include "profiler/worker/profile.h"

#include "core/base/json.h"
#include "core/base/scenario_name.h"
#include "profiler/worker/counters.h"
#include "profiler/worker/counting.h"
#include "profiler/worker/profile_report.h"
#include "profiler/worker/profile_scenarios.h"

static const double SERVER_TIMES = 3; /* time for the search of a rate, beside that for the others */

static enum rc read_scenarios(const json_t *root, struct profile_settings *ret, struct err *err) {
    const json_t *names = json_object_get(root, "scenarios"), *name;
    size_t i;
    if (names && !json_is_array(names)) {
        return err_set(err, RC_INPUT, "field \"scenarios\": not a list of names");
    }
    json_array_foreach(names, i, name) {
        enum scenario_kind kind;
        enum rc rc = json_is_string(name)
                         ? scenario_parse(json_string_value(name), &kind, err)
                         : err_set(err, RC_INPUT, "field \"scenarios\": not a list of names");
        if (rc != RC_OK) {
            return rc;
        }
        ret->multi_stream = ret->multi_stream || kind == SCENARIO_MULTI_STREAM;
        ret->server = ret->server || kind == SCENARIO_SERVER;
    }
    return RC_OK;
}

static enum rc read_limits(const json_t *root, struct profile_settings *ret, struct err *err) {
    const json_t *list = json_object_get(root, "latency_limits"), *item;
    size_t i;
    if (json_array_size(list) > RATE_WATCH_LIMITS_MAX) {
        return err_set(err, RC_INPUT, "field \"latency_limits\": more than %d", RATE_WATCH_LIMITS_MAX);
    }
    json_array_foreach(list, i, item) {
        struct rate_limit *l = &ret->limits[i];
        enum rc rc = json_get_number(item, "quantile", &l->quantile, err);
        if (rc == RC_OK) {
            rc = json_get_number(item, "limit_us", &l->limit_us, err);
        }
        if (rc == RC_OK && !(l->quantile >= 0.01 && l->quantile <= 0.9999 && l->limit_us > 0)) {
            rc = err_set(err, RC_INPUT,
                         "field \"latency_limits\": a quantile is within 0.01 and 0.9999, and "
                         "its limit above 0");
        }
        if (rc != RC_OK) {
            return rc;
        }
        ret->limit_count++;
    }
    return RC_OK;
}

/* What the scenarios beyond single-stream and offline need. */
static enum rc read_wishes(const json_t *root, struct profile_settings *ret, struct err *err) {
    ret->confidence = 0.95;
    ret->server_limit_s = SERVER_TIMES * ret->time_limit_s;
    enum rc rc = read_scenarios(root, ret, err);
    if (rc == RC_OK) {
        rc = read_limits(root, ret, err);
    }
    if (rc == RC_OK) {
        rc = json_opt_number(root, "confidence", &ret->confidence, err);
    }
    if (rc == RC_OK && !(ret->confidence >= 0.5 && ret->confidence <= 0.9999)) {
        rc =
            err_set(err, RC_INPUT, "field \"confidence\": %g is not between 0.5 and 0.9999", ret->confidence);
    }
    return rc;
}

enum rc profile_settings_read(const struct job_spec *spec, struct profile_settings *ret, struct err *err) {
    json_t *runtime = NULL;
    int64_t instances = 1;
    int64_t threads = 1;
    int64_t batch = 1;
    int64_t generate = 64;
    int64_t min_samples = 500;
    double limit = 20;
    enum rc rc = json_get_object(spec->root, "runtime", &runtime, err);
    if (rc != RC_OK ||
        (rc = json_get_int(runtime, "instances", 1, PROFILE_MAX_INSTANCES, &instances, err)) != RC_OK ||
        (rc = json_get_int(runtime, "threads", 1, 1024, &threads, err)) != RC_OK ||
        (rc = json_opt_int(runtime, "batch", 1, 65536, &batch, err)) != RC_OK ||
        (rc = json_opt_int(spec->root, "generate", 1, 65536, &generate, err)) != RC_OK ||
        (rc = json_opt_int(spec->root, "min_samples", 1, 100000000, &min_samples, err)) != RC_OK ||
        (rc = json_opt_number(spec->root, "time_limit_s", &limit, err)) != RC_OK) {
        return rc;
    }
    if (!(limit >= 0.1 && limit <= 86400)) {
        return err_set(err, RC_INPUT, "field \"time_limit_s\": %g is not between 0.1 and 86400", limit);
    }
    cpu_set_t allowed;
    int cores = sched_getaffinity(0, sizeof(allowed), &allowed) == 0 ? CPU_COUNT(&allowed) : 1;
    if (instances * threads > cores) {
        return err_set(err, RC_INPUT, "%lld x %lld threads need %lld cores; this machine gives the worker %d",
                       (long long)instances, (long long)threads, (long long)(instances * threads), cores);
    }
    *ret = (struct profile_settings){.instances = (uint32_t)instances,
                                     .threads = (uint32_t)threads,
                                     .batch = (uint32_t)batch,
                                     .time_limit_s = limit,
                                     .min_samples = (uint64_t)min_samples,
                                     .generate = (uint32_t)generate};
    return read_wishes(spec->root, ret, err);
}

void profile_cores(const cpu_set_t *allowed, uint32_t threads, uint32_t instance, cpu_set_t *ret) {
    uint32_t first = instance * threads;
    uint32_t seen = 0;
    CPU_ZERO(ret);
    for (unsigned cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (CPU_ISSET(cpu, allowed)) {
            if (seen >= first && seen < first + threads) {
                CPU_SET(cpu, ret);
            }
            seen++;
        }
    }
}

enum rc profile_measure(struct worker_job *job, const struct profile_settings *settings,
                        const struct profile_subject *subject, struct err *err) {
    struct profile_measured measured = {0};
    if (counting_wanted(job->spec->root)) {
        return counting_run(job, subject, err);
    }
    lines_progress(job->lines, 0.1, "measuring");
    enum rc rc = profile_scenarios_run(job->lines, settings, subject, &measured, err);
    if (rc == RC_OK && !conditions_stable(&measured.conditions)) {
        lines_progress(job->lines, 0.1, "the machine was not steady: measuring again");
        profile_scenarios_release(&measured);
        rc = profile_scenarios_run(job->lines, settings, subject, &measured, err);
    }
    if (rc == RC_OK) {
        rc = profile_report(job, settings, subject, &measured, err);
    }
    if (rc == RC_OK) {
        rc = worker_job_set(job, "counters", counters_state(job->counters), err);
    }
    profile_scenarios_release(&measured);
    return rc;
}

enum rc profile_run(struct worker_job *job, struct err *err) {
    struct profile_settings settings;
    enum rc rc = profile_settings_read(job->spec, &settings, err);
    if (rc != RC_OK) {
        return rc;
    }
    return job->spec->model.family == FAMILY_GGUF ? profile_text(job, &settings, err)
                                                  : profile_onnx(job, &settings, err);
}

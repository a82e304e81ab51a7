/* profile.c -- see profile.h. The order: drift kernel, single-stream, offline, drift kernel; memory is the
 * peak over both. A machine that was not steady (conditions.h) repeats the measurement once; if it then is
 * not either, the profile is marked. Counters are not switched on here: they get workers of their own
 * (counting.h), so that counting cannot disturb the times; the result only says which there are. With one
 * instance the two scenarios are the same closed loop: it is measured once and stands for both. */
#include "profiler/worker/profile.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/file.h"
#include "core/base/json.h"
#include "profiler/worker/conditions.h"
#include "profiler/worker/counters.h"
#include "profiler/worker/counting.h"
#include "profiler/worker/energy.h"
#include "profiler/worker/percentiles.h"

enum { IDLE_US = 500 * 1000 };
static const double MIN_MEASURED_SHARE =
    0.25; /* of a scenario's time limit, however many samples there are by then */
static const uint64_t MIN_MEASURED_NS = (uint64_t)1000 * 1000 * 1000;

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
    return RC_OK;
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

static enum rc run_scenario(const struct profile_settings *settings, const struct profile_subject *subject,
                            size_t instances, struct scenario_sample *ret, struct err *err) {
    double share = subject->count > 1 ? 0.5 : 1; /* the limit is for all scenarios together */
    double limit_ns = settings->time_limit_s * 1e9 * share;
    uint64_t least = (uint64_t)(limit_ns * MIN_MEASURED_SHARE);
    const struct scenario_opts opts = {.samples_per_run = subject->samples_per_run,
                                       .min_samples = settings->min_samples,
                                       .min_ns = least < MIN_MEASURED_NS ? least : MIN_MEASURED_NS,
                                       .limit_ns = (uint64_t)limit_ns};
    return scenario_run(subject->instances, instances, &opts, ret, err);
}

static enum rc report_scenario(const struct profile_subject *subject, const char *name, const char *file,
                               const struct scenario_sample *sample, json_t *scenarios, struct err *err) {
    json_t *entry = json_pack("{s:I, s:f, s:s}", "n", (json_int_t)sample->n, "throughput_per_s",
                              sample->rate_per_s * subject->units_per_sample, "samples", file);
    enum rc rc = percentiles_summary(sample->us, sample->n, entry, err);
    if (json_object_set_new(scenarios, name, entry) != 0 && rc == RC_OK) {
        rc = err_memory(err);
    }
    return rc;
}

static enum rc write_samples(struct worker_job *job, const char *file, const struct scenario_sample *sample,
                             struct err *err) {
    enum rc rc = file_write(file, sample->us, sample->n * sizeof(float), 0600, err);
    if (rc != RC_OK) {
        return rc;
    }
    return json_array_append_new(job->files, json_pack("{s:s}", "path", file)) == 0 ? RC_OK : err_memory(err);
}

struct energy {
    struct energy_meter meter;
    double idle_w; /* NAN: not measured */
    struct energy_use use;
};

/* What the machine takes while this process does nothing. */
static void measure_idle(struct energy *e) {
    struct energy_reading before, after;
    struct err err;
    e->idle_w = NAN;
    if (energy_read(&e->meter, &before, &err) != RC_OK) {
        return;
    }
    usleep(IDLE_US);
    if (energy_read(&e->meter, &after, &err) == RC_OK && after.at_ns > before.at_ns) {
        e->idle_w =
            energy_between_j(&e->meter, &before, &after) / ((double)(after.at_ns - before.at_ns) / 1e9);
    }
}

/* The scenario with all instances busy, and what it takes. */
static enum rc run_filled(const struct profile_settings *settings, const struct profile_subject *subject,
                          struct scenario_sample *sample, struct energy *e, struct err *err) {
    struct energy_reading before, after;
    struct err ignored;
    e->use = (struct energy_use){.idle_w = e->idle_w};
    bool metered = energy_read(&e->meter, &before, &ignored) == RC_OK;
    enum rc rc = run_scenario(settings, subject, subject->count, sample, err);
    if (rc == RC_OK && metered && energy_read(&e->meter, &after, &ignored) == RC_OK) {
        double runs = (double)sample->warmup_runs + (double)sample->n / (double)subject->samples_per_run;
        e->use.joules = energy_between_j(&e->meter, &before, &after);
        e->use.seconds = (double)(after.at_ns - before.at_ns) / 1e9;
        e->use.inferences = runs * (double)subject->samples_per_run * subject->units_per_sample;
    }
    return rc;
}

/* Both scenarios once. `offline` stays empty with one instance. */
static enum rc run_all(struct worker_job *job, const struct profile_settings *settings,
                       const struct profile_subject *subject, struct conditions *conditions,
                       struct scenario_sample *single, struct scenario_sample *offline, struct energy *energy,
                       struct err *err) {
    conditions_begin(conditions);
    enum rc rc = subject->count > 1 ? run_scenario(settings, subject, 1, single, err)
                                    : run_filled(settings, subject, single, energy, err);
    if (rc == RC_OK && subject->count > 1) {
        lines_progress(job->lines, 0.5, "single-stream measured");
        rc = run_filled(settings, subject, offline, energy, err);
    }
    conditions_end(conditions);
    return rc;
}

static enum rc report(struct worker_job *job, const struct profile_subject *subject,
                      const struct conditions *conditions, const struct scenario_sample *single,
                      const struct scenario_sample *offline, const struct energy *energy, struct err *err) {
    json_t *scenarios = json_object();
    json_t *state = conditions_json(conditions);
    bool one = subject->count == 1;
    const struct scenario_sample *all = one ? single : offline;
    const char *all_file = one ? "single-stream.bin" : "offline.bin";
    uint64_t peak = 0;
    enum rc rc = write_samples(job, "single-stream.bin", single, err);
    if (rc == RC_OK && !one) {
        rc = write_samples(job, "offline.bin", offline, err);
    }
    if (rc != RC_OK ||
        (rc = report_scenario(subject, "single-stream", "single-stream.bin", single, scenarios, err)) !=
            RC_OK ||
        (rc = report_scenario(subject, "offline", all_file, all, scenarios, err)) != RC_OK ||
        (rc = memory_peak(&subject->mark, &peak, err)) != RC_OK) {
        goto out;
    }
    json_object_set_new(state, "warmup_runs",
                        json_integer((json_int_t)single->warmup_runs + (json_int_t)offline->warmup_runs));
    json_object_set_new(state, "memory_method",
                        json_string(subject->mark.reset ? "peak resident set above the empty worker"
                                                        : "resident set at the end above the empty worker"));
    json_t *part = json_pack(
        "{s:O, s:f, s:f, s:I, s:O, s:o, s:s}", "scenarios", scenarios, "memory_mib", (double)peak / 1048576.0,
        "load_ms", subject->load_ms, "size_bytes", (json_int_t)job->spec->model.bytes, "conditions", state,
        "energy", energy_json(&energy->meter, &energy->use), "runtime_version", subject->runtime_version);
    rc = json_object_update_new(job->result, part) == 0 ? RC_OK : err_memory(err);

out:
    json_decref(scenarios);
    json_decref(state);
    return rc;
}

enum rc profile_measure(struct worker_job *job, const struct profile_settings *settings,
                        const struct profile_subject *subject, struct err *err) {
    struct conditions conditions;
    struct scenario_sample single = {0};
    struct scenario_sample offline = {0};
    struct energy energy = {0};
    if (counting_wanted(job->spec->root)) {
        return counting_run(job, subject, err);
    }
    lines_progress(job->lines, 0.1, "measuring");
    energy_open(ENERGY_ROOT, &energy.meter);
    measure_idle(&energy);
    enum rc rc = run_all(job, settings, subject, &conditions, &single, &offline, &energy, err);
    if (rc == RC_OK && !conditions_stable(&conditions)) {
        lines_progress(job->lines, 0.1, "the machine was not steady: measuring again");
        scenario_sample_release(&single);
        scenario_sample_release(&offline);
        rc = run_all(job, settings, subject, &conditions, &single, &offline, &energy, err);
    }
    if (rc == RC_OK) {
        rc = report(job, subject, &conditions, &single, &offline, &energy, err);
    }
    if (rc == RC_OK) {
        rc = worker_job_set(job, "counters", counters_state(job->counters), err);
    }
    scenario_sample_release(&single);
    scenario_sample_release(&offline);
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

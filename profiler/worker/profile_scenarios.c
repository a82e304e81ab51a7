/* profile_scenarios.c -- see profile_scenarios.h. */
#include "profiler/worker/profile_scenarios.h"

#include <math.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/base/scenario_name.h"
#include "profiler/worker/multi_stream.h"

enum { IDLE_US = 500 * 1000 };
static const double MIN_MEASURED_SHARE =
    0.25; /* of a scenario's time limit, however many samples there are by then */
static const uint64_t MIN_MEASURED_NS = (uint64_t)1000 * 1000 * 1000;

static void skip(struct profile_measured *m, enum scenario_kind kind, const char *why) {
    json_array_append_new(m->skipped, json_pack("{s:s, s:s}", "scenario", scenario_name(kind), "why", why));
}

/* Of each scenario in closed loops: the limit is for all of them together. */
static uint64_t limit_ns(const struct profile_settings *settings, const struct profile_subject *subject) {
    int loops = 1 + (subject->count > 1) + settings->multi_stream;
    return (uint64_t)(settings->time_limit_s * 1e9 / loops);
}

static uint64_t least_ns(uint64_t limit) {
    uint64_t least = (uint64_t)((double)limit * MIN_MEASURED_SHARE);
    return least < MIN_MEASURED_NS ? least : MIN_MEASURED_NS;
}

static enum rc run_scenario(const struct profile_settings *settings, const struct profile_subject *subject,
                            size_t instances, struct scenario_sample *ret, struct err *err) {
    uint64_t limit = limit_ns(settings, subject);
    const struct scenario_opts opts = {.samples_per_run = subject->samples_per_run,
                                       .min_samples = settings->min_samples,
                                       .min_ns = least_ns(limit),
                                       .limit_ns = limit};
    return scenario_run(subject->instances, instances, &opts, ret, err);
}

/* ---- energy ---- */

/* What the machine takes while this process does nothing, in watts; NAN: it does not tell. */
static double idle_w(const struct energy_meter *meter) {
    struct energy_reading before, after;
    struct err err;
    if (energy_read(meter, &before, &err) != RC_OK) {
        return NAN;
    }
    usleep(IDLE_US);
    if (energy_read(meter, &after, &err) != RC_OK || after.at_ns <= before.at_ns) {
        return NAN;
    }
    return energy_between_j(meter, &before, &after) / ((double)(after.at_ns - before.at_ns) / 1e9);
}

/* The scenario with all instances busy, and what it takes. */
static enum rc run_filled(const struct profile_settings *settings, const struct profile_subject *subject,
                          struct scenario_sample *sample, struct profile_measured *m, struct err *err) {
    struct energy_reading before, after;
    struct err ignored;
    bool metered = energy_read(&m->meter, &before, &ignored) == RC_OK;
    enum rc rc = run_scenario(settings, subject, subject->count, sample, err);
    if (rc == RC_OK && metered && energy_read(&m->meter, &after, &ignored) == RC_OK) {
        double runs = (double)sample->warmup_runs + (double)sample->n / (double)subject->samples_per_run;
        m->use.joules = energy_between_j(&m->meter, &before, &after);
        m->use.seconds = (double)(after.at_ns - before.at_ns) / 1e9;
        m->use.inferences = runs * (double)subject->samples_per_run * subject->units_per_sample;
    }
    return rc;
}

/* ---- multi-stream and server ---- */

static enum rc run_multi(const struct profile_settings *settings, const struct profile_subject *subject,
                         struct profile_measured *m, struct err *err) {
    uint64_t limit = limit_ns(settings, subject);
    if (subject->samples_per_run > 1) {
        skip(m, SCENARIO_MULTI_STREAM, "a language model's latency is that of a token, not of a query");
        return RC_OK;
    }
    if (settings->batch > MULTI_STREAM_SAMPLES) {
        skip(m, SCENARIO_MULTI_STREAM, "a query of 8 samples is smaller than the batch");
        return RC_OK;
    }
    const struct multi_stream_opts opts = {.samples_per_query = MULTI_STREAM_SAMPLES,
                                           .batch = settings->batch,
                                           .min_queries = settings->min_samples,
                                           .min_ns = least_ns(limit),
                                           .limit_ns = limit};
    return multi_stream_run(subject->instances, subject->count, &opts, &m->multi, err);
}

static enum rc run_server(const struct profile_settings *settings, const struct profile_subject *subject,
                          struct profile_measured *m, struct err *err) {
    const struct server_rate_opts opts = {.limits = settings->limits,
                                          .limit_count = settings->limit_count,
                                          .confidence = settings->confidence,
                                          .min_queries = settings->min_samples,
                                          .limit_ns = (uint64_t)(settings->server_limit_s * 1e9),
                                          .batch = settings->batch,
                                          .samples_per_run = subject->samples_per_run};
    if (settings->limit_count == 0) {
        skip(m, SCENARIO_SERVER, "there is no budget for a latency percentile, such as p99<=5ms");
        return RC_OK;
    }
    const struct scenario_sample *filled = subject->count > 1 ? &m->offline : &m->single;
    enum rc rc = server_rate_run(subject->instances, subject->count, filled, &opts, &m->server, err);
    if (rc == RC_TIMEOUT) {
        skip(m, SCENARIO_SERVER, err->text);
        return RC_OK;
    }
    return rc;
}

enum rc profile_scenarios_run(struct lines *lines, const struct profile_settings *settings,
                              const struct profile_subject *subject, struct profile_measured *ret,
                              struct err *err) {
    bool several = subject->count > 1;
    *ret = (struct profile_measured){.skipped = json_array()};
    if (!ret->skipped) {
        return err_memory(err);
    }
    energy_open(ENERGY_ROOT, &ret->meter);
    ret->use.idle_w = idle_w(&ret->meter);
    conditions_begin(&ret->conditions);
    enum rc rc = several ? run_scenario(settings, subject, 1, &ret->single, err)
                         : run_filled(settings, subject, &ret->single, ret, err);
    if (rc == RC_OK && several) {
        lines_progress(lines, 0.3, "single-stream measured");
        rc = run_filled(settings, subject, &ret->offline, ret, err);
    }
    if (rc == RC_OK && settings->multi_stream) {
        lines_progress(lines, 0.4, "multi-stream");
        rc = run_multi(settings, subject, ret, err);
    }
    if (rc == RC_OK && settings->server) {
        lines_progress(lines, 0.5, "server: looking for the highest rate");
        rc = run_server(settings, subject, ret, err);
    }
    conditions_add_waited(&ret->conditions, ret->single.waited_ns + ret->offline.waited_ns +
                                                ret->multi.waited_ns + ret->server.waited_ns);
    conditions_end(&ret->conditions);
    return rc;
}

void profile_scenarios_release(struct profile_measured *m) {
    scenario_sample_release(&m->single);
    scenario_sample_release(&m->offline);
    scenario_sample_release(&m->multi);
    server_rate_release(&m->server);
    json_decref(m->skipped);
    *m = (struct profile_measured){0};
}

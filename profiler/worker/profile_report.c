/* profile_report.c -- see profile_report.h. */
#include "profiler/worker/profile_report.h"

#include "core/base/file.h"
#include "core/base/scenario_name.h"
#include "profiler/worker/multi_stream.h"
#include "profiler/worker/percentiles.h"

struct part { /* of the result: a scenario with its samples */
    enum scenario_kind kind;
    const char *file;
    const float *us;
    size_t n;
    double units_per_s;
};

static enum rc add_part(const struct part *p, json_t *scenarios, struct err *err) {
    json_t *entry = json_pack("{s:I, s:f, s:s}", "n", (json_int_t)p->n, "throughput_per_s", p->units_per_s,
                              "samples", p->file);
    enum rc rc = percentiles_summary(p->us, p->n, entry, err);
    if (json_object_set_new(scenarios, scenario_name(p->kind), entry) != 0 && rc == RC_OK) {
        rc = err_memory(err);
    }
    return rc;
}

static enum rc write_part(struct worker_job *job, const struct part *p, struct err *err) {
    enum rc rc = file_write(p->file, p->us, p->n * sizeof(float), 0600, err);
    if (rc != RC_OK) {
        return rc;
    }
    return json_array_append_new(job->files, json_pack("{s:s}", "path", p->file)) == 0 ? RC_OK
                                                                                       : err_memory(err);
}

static enum rc add_written(struct worker_job *job, const struct part *p, json_t *scenarios, struct err *err) {
    enum rc rc = write_part(job, p, err);
    return rc == RC_OK ? add_part(p, scenarios, err) : rc;
}

/* Single-stream and offline: one file where one loop stands for both. */
static enum rc add_loops(struct worker_job *job, const struct profile_subject *subject,
                         const struct profile_measured *m, json_t *scenarios, struct err *err) {
    bool several = subject->count > 1;
    const struct scenario_sample *all = several ? &m->offline : &m->single;
    struct part single = {SCENARIO_SINGLE_STREAM, "single-stream.bin", m->single.us, m->single.n,
                          m->single.rate_per_s * subject->units_per_sample};
    struct part offline = {SCENARIO_OFFLINE, several ? "offline.bin" : single.file, all->us, all->n,
                           all->rate_per_s * subject->units_per_sample};
    enum rc rc = add_written(job, &single, scenarios, err);
    if (rc == RC_OK) {
        rc = several ? add_written(job, &offline, scenarios, err) : add_part(&offline, scenarios, err);
    }
    return rc;
}

static enum rc add_multi(struct worker_job *job, const struct profile_measured *m, json_t *scenarios,
                         struct err *err) {
    struct part p = {SCENARIO_MULTI_STREAM, "multi-stream.bin", m->multi.us, m->multi.n, m->multi.rate_per_s};
    enum rc rc = m->multi.n > 0 ? add_written(job, &p, scenarios, err) : RC_OK;
    if (rc == RC_OK && m->multi.n > 0) {
        json_object_set_new(json_object_get(scenarios, scenario_name(p.kind)), "samples_per_query",
                            json_integer(MULTI_STREAM_SAMPLES));
    }
    return rc;
}

static json_t *limits_json(const struct profile_settings *settings) {
    json_t *list = json_array();
    for (size_t i = 0; i < settings->limit_count; i++) {
        json_array_append_new(list, json_pack("{s:f, s:f}", "quantile", settings->limits[i].quantile,
                                              "limit_us", settings->limits[i].limit_us));
    }
    return list;
}

/* A query of the server is one example, or one text of many tokens. */
static enum rc add_server(struct worker_job *job, const struct profile_settings *settings,
                          const struct profile_subject *subject, const struct profile_measured *m,
                          json_t *scenarios, struct err *err) {
    const struct server_rate_result *s = &m->server;
    double units = (double)subject->samples_per_run;
    struct part p = {SCENARIO_SERVER, "server.bin", s->us, s->n, s->rate_per_s * units};
    if (s->n == 0) {
        return RC_OK;
    }
    enum rc rc = add_written(job, &p, scenarios, err);
    double unmet_per_s = s->search.unmet_per_s > s->rate_per_s ? s->search.unmet_per_s : s->rate_per_s;
    json_t *more = json_pack("{s:b, s:b, s:f, s:I, s:o, s:o}", "met", (int)(s->search.met_per_s > 0),
                             "complete", (int)s->search.complete, "unmet_per_s", unmet_per_s * units,
                             "queries", (json_int_t)s->search.queries, "limits", limits_json(settings),
                             "probes", server_rate_probes_json(s));
    if (json_object_update_new(json_object_get(scenarios, scenario_name(p.kind)), more) != 0 && rc == RC_OK) {
        rc = err_memory(err);
    }
    return rc;
}

static json_t *state_json(const struct profile_subject *subject, const struct profile_measured *m) {
    json_t *state = conditions_json(&m->conditions);
    uint64_t warmup = m->single.warmup_runs + m->offline.warmup_runs + m->multi.warmup_runs;
    json_object_set_new(state, "warmup_runs", json_integer((json_int_t)warmup));
    json_object_set_new(state, "memory_method",
                        json_string(subject->mark.reset ? "peak resident set above the empty worker"
                                                        : "resident set at the end above the empty worker"));
    return state;
}

enum rc profile_report(struct worker_job *job, const struct profile_settings *settings,
                       const struct profile_subject *subject, const struct profile_measured *m,
                       struct err *err) {
    json_t *scenarios = json_object();
    uint64_t peak = 0;
    enum rc rc = add_loops(job, subject, m, scenarios, err);
    if (rc != RC_OK || (rc = add_multi(job, m, scenarios, err)) != RC_OK ||
        (rc = add_server(job, settings, subject, m, scenarios, err)) != RC_OK ||
        (rc = memory_peak(&subject->mark, &peak, err)) != RC_OK) {
        goto out;
    }
    json_t *part =
        json_pack("{s:O, s:O, s:f, s:f, s:I, s:o, s:o, s:s}", "scenarios", scenarios, "skipped", m->skipped,
                  "memory_mib", (double)peak / 1048576.0, "load_ms", subject->load_ms, "size_bytes",
                  (json_int_t)job->spec->model.bytes, "conditions", state_json(subject, m), "energy",
                  energy_json(&m->meter, &m->use), "runtime_version", subject->runtime_version);
    rc = json_object_update_new(job->result, part) == 0 ? RC_OK : err_memory(err);

out:
    json_decref(scenarios);
    return rc;
}

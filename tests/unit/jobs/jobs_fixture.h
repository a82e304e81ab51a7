/* jobs_fixture.h -- jobs on a temporary folder with a clock of its own, and an agent whose worker is made up:
 * it answers every job at once with figures chosen by the test. Real workers are tested elsewhere; here the
 * planner is. */
#pragma once

#include <jansson.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "advisor/jobs/answer.h"
#include "advisor/jobs/dispatch.h"
#include "advisor/jobs/gates.h"
#include "advisor/jobs/intake.h"
#include "advisor/jobs/jobs.h"
#include "advisor/jobs/machines.h"
#include "advisor/jobs/views.h"
#include "core/base/file.h"
#include "core/base/json.h"
#include "core/base/log.h"
#include "core/base/sha256.h"
#include "db/store.h"
#include "db/store_blobs.h"

#define FINE(call)                                                                                           \
    do {                                                                                                     \
        struct err err_ = {0};                                                                               \
        struct err *err = &err_;                                                                             \
        enum rc rc_ = (call);                                                                                \
        if (rc_ != RC_OK) {                                                                                  \
            fail_msg("%s: %s: %s", #call, rc_name(rc_), err_.text);                                          \
        }                                                                                                    \
    } while (0)

/* y = Relu(x), x [N, 4]: the smallest model whose header says everything. */
static const unsigned char TINY_ONNX[] = {
    0x08, 0x08, 0x3a, 0x3d, 0x0a, 0x0c, 0x0a, 0x01, 0x78, 0x12, 0x01, 0x79, 0x22, 0x04, 0x52,
    0x65, 0x6c, 0x75, 0x12, 0x01, 0x67, 0x5a, 0x14, 0x0a, 0x01, 0x78, 0x12, 0x0f, 0x0a, 0x0d,
    0x08, 0x01, 0x12, 0x09, 0x0a, 0x03, 0x12, 0x01, 0x4e, 0x0a, 0x02, 0x08, 0x04, 0x62, 0x14,
    0x0a, 0x01, 0x79, 0x12, 0x0f, 0x0a, 0x0d, 0x08, 0x01, 0x12, 0x09, 0x0a, 0x03, 0x12, 0x01,
    0x4e, 0x0a, 0x02, 0x08, 0x04, 0x42, 0x04, 0x0a, 0x00, 0x10, 0x11};

struct fixture {
    char folder[64];
    struct jobs *jobs;
    int64_t now_ms;
    char target[64], other_target[64];
    char model[64], dataset[64];
    /* what the made-up worker does */
    const char *fails;    /* kind:label prefix, "compress:fp16", NULL = nothing */
    bool crashes;         /* and it crashes instead of saying why */
    const char *labels;   /* "example" */
    const char *unsteady; /* label prefix of profiles that are marked, NULL = none */
    int evaluated;        /* jobs of a kind that were done */
    int compressed, profiled, inspected;
    char order[512]; /* labels of the evaluations, in order */
};

static inline int64_t fixture_now(void *user) {
    return ((struct fixture *)user)->now_ms;
}

static inline void fixture_open(struct fixture *f) {
    struct jobs_opts opts = {.folder = f->folder, .now_ms = fixture_now, .now_user = f, .lease_s = 30};
    FINE(jobs_open(&opts, &f->jobs, err));
}

static inline json_t *fixture_json(const char *text) {
    json_t *json = json_loads(text, 0, NULL);
    assert_non_null(json);
    return json;
}

static inline void fixture_put(struct fixture *f, const void *data, size_t size,
                               char sha256[SHA256_HEX_SIZE]) {
    FINE(store_blob_put(jobs_store(f->jobs), data, size, sha256, err));
}

static inline json_t *fixture_file(struct fixture *f, const char *path, const void *data, size_t size) {
    char sha256[SHA256_HEX_SIZE];
    fixture_put(f, data, size, sha256);
    return json_pack("{s:s, s:s, s:I}", "path", path, "sha256", sha256, "bytes", (json_int_t)size);
}

static inline const char *id_of(const json_t *object) {
    const char *id = json_string_value(json_object_get(object, "id"));
    assert_non_null(id);
    return id;
}

static inline void fixture_register(struct fixture *f, const char *name, const char *isa, char target[64]) {
    char text[1024];
    json_t *answer = NULL;
    snprintf(text, sizeof(text),
             "{\"name\": \"%s\", \"fingerprint\": {\"cpu\": {\"model\": \"Test CPU %s\", \"vendor\": \"T\", "
             "\"cores\": 2, "
             "\"threads\": 2, \"isa\": [\"avx2\", \"%s\"], \"l1d_bytes\": 32768, \"l2_bytes\": 1048576, "
             "\"l3_bytes\": "
             "33554432}, \"memory_bytes\": 25000000000, \"kernel\": \"6.1.0\", \"os\": \"Debian\", "
             "\"virtual\": \"kvm\", "
             "\"arch\": \"x86_64\", \"pmu\": {\"available\": false, \"reason\": \"none\"}, \"runtimes\": "
             "{\"onnxruntime\": "
             "\"1.30.0\"}, \"sandbox\": {}}}",
             name, isa, isa);
    json_t *body = fixture_json(text);
    FINE(dispatch_register(f->jobs, body, &answer, err));
    snprintf(target, 64, "%s", json_string_value(json_object_get(answer, "target_id")));
    json_decref(answer);
    json_decref(body);
}

static inline void fixture_submit(struct fixture *f) {
    json_t *answer = NULL, *file = fixture_file(f, "tiny.onnx", TINY_ONNX, sizeof(TINY_ONNX));
    bool created = false;
    json_object_del(file, "bytes");
    json_t *body = json_pack("{s:s, s:[o]}", "name", "tiny", "files", file);
    FINE(intake_model(f->jobs, body, &answer, &created, err));
    snprintf(f->model, sizeof(f->model), "%s", id_of(answer));
    json_decref(answer);
    json_decref(body);
    file = fixture_file(f, "data.npz", "made up", 7);
    json_object_set_new(file, "role", json_string("arrays"));
    body = json_pack("{s:s, s:s, s:[o]}", "name", "data", "format", "npz", "files", file);
    FINE(intake_dataset(f->jobs, body, &answer, &created, err));
    snprintf(f->dataset, sizeof(f->dataset), "%s", id_of(answer));
    json_decref(answer);
    json_decref(body);
}

static inline int fixture_setup(void **state) {
    struct fixture *f = calloc(1, sizeof(*f));
    snprintf(f->folder, sizeof(f->folder), "/tmp/pare-jobs-XXXXXX");
    assert_non_null(mkdtemp(f->folder));
    log_set_level(LOG_ERROR);
    f->now_ms = 1700000000000;
    f->labels = "example";
    fixture_open(f);
    fixture_register(f, "here", "avx512_vnni", f->target);
    fixture_submit(f);
    *state = f;
    return 0;
}

static inline int fixture_teardown(void **state) {
    struct fixture *f = *state;
    jobs_close(f->jobs);
    FINE(file_remove_tree(f->folder, err));
    free(f);
    return 0;
}

static inline bool starts(const char *text, const char *prefix) {
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

/* ---- the made-up worker ---- */

/* Examples of 750 answered right, and latency in us with 2 threads. int4 breaks any reasonable floor,
 * int8:dynamic is slow. */
static inline int right_of(const char *recipe) {
    return starts(recipe, "int4") ? 400 : starts(recipe, "int8:static") ? 728 : 730;
}

static inline double latency_of(const char *recipe) {
    return starts(recipe, "int8:static")    ? 200
           : starts(recipe, "int8:dynamic") ? 5000
           : starts(recipe, "int4")         ? 100
                                            : 500;
}

static inline json_t *made_inspect(struct fixture *f) {
    f->inspected++;
    return json_pack("{s:s, s:[{s:s, s:s, s:[n, i]}], s:i, s:i, s:i, s:s, s:[s], s:i, s:s}", "family", "onnx",
                     "inputs", "name", "x", "dtype", "float32", "shape", 4, "examples", 1000,
                     "calibration_examples", 0, "overlap_dropped", 0, "labels", f->labels, "metrics", "top1",
                     "classes", 4, "runtime", "test 1");
}

/* With a reference model in the job, also agreement with it. */
static inline json_t *made_scores(struct fixture *f, const char *label, const json_t *spec, json_t *files) {
    enum { ROWS = 750 };
    float scores[ROWS][2];
    for (int i = 0; i < ROWS; i++) {
        scores[i][0] = i < right_of(label) ? 1 : 0;
        scores[i][1] = 1;
    }
    json_array_append_new(files, fixture_file(f, "scores-top1.bin", scores, sizeof(scores)));
    f->evaluated++;
    snprintf(f->order + strlen(f->order), sizeof(f->order) - strlen(f->order), "%s ", label);
    double value = right_of(label) / (double)ROWS;
    /* the primary metric is not the first */
    json_t *result =
        json_pack("{s:s, s:{s:f, s:f}, s:i, s:i, s:[{s:s, s:s, s:i, s:i}, {s:s, s:s, s:i, s:i}], s:f}",
                  "primary", "top1", "metrics", "f1", value, "top1", value, "examples", ROWS, "positions",
                  ROWS, "scores", "metric", "f1", "path", "scores-top1.bin", "rows", ROWS, "columns", 1,
                  "metric", "top1", "path", "scores-top1.bin", "rows", ROWS, "columns", 1, "seconds", 0.1);
    if (json_is_object(json_object_get(spec, "reference"))) {
        json_object_set_new(json_object_get(result, "metrics"), "agreement", json_real(value));
        json_array_append_new(json_object_get(result, "scores"),
                              json_pack("{s:s, s:s, s:i, s:i}", "metric", "agreement", "path",
                                        "scores-top1.bin", "rows", ROWS, "columns", 1));
    }
    return result;
}

static inline json_t *made_scenario(struct fixture *f, const char *file, double us, double per_s,
                                    json_t *files) {
    enum { N = 600 };
    float samples[N];
    for (int i = 0; i < N; i++) {
        samples[i] = (float)(us * (1 + 0.001 * (i % 7)));
    }
    json_array_append_new(files, fixture_file(f, file, samples, sizeof(samples)));
    return json_pack("{s:i, s:{s:f, s:f}, s:f, s:s}", "n", N, "latency_us", "mean", us, "p50", us,
                     "throughput_per_s", per_s, "samples", file);
}

static inline bool spec_wants(const json_t *spec, const char *scenario) {
    size_t i;
    const json_t *name;
    json_array_foreach(json_object_get(spec, "scenarios"), i, name) {
        if (strcmp(json_string_value(name), scenario) == 0) {
            return true;
        }
    }
    return false;
}

/* Seven tenths of what the machine does offline, where there is a limit to keep. */
static inline void made_server(struct fixture *f, const json_t *spec, double us, double offline_per_s,
                               json_t *result, json_t *files) {
    json_t *limits = json_object_get(spec, "latency_limits");
    if (!spec_wants(spec, "server")) {
        return;
    }
    if (json_array_size(limits) == 0) {
        json_object_set_new(result, "skipped",
                            json_pack("[{s:s, s:s}]", "scenario", "server", "why", "no budget"));
        return;
    }
    json_t *server = made_scenario(f, "server.bin", 2 * us, 0.7 * offline_per_s, files);
    json_object_set_new(server, "met", json_true());
    json_object_set_new(server, "unmet_per_s", json_real(0.72 * offline_per_s));
    json_object_set_new(json_object_get(result, "scenarios"), "server", server);
}

static inline json_t *made_profile(struct fixture *f, const char *label, const json_t *spec, json_t *files) {
    const json_t *runtime = json_object_get(spec, "runtime");
    double instances = (double)json_integer_value(json_object_get(runtime, "instances"));
    double batch = (double)json_integer_value(json_object_get(runtime, "batch"));
    double us = latency_of(label) * (instances > 1 ? 1.8 : 1) * (batch > 1 ? 7.8 * batch / 8 : 1);
    f->profiled++;
    json_t *single = made_scenario(f, "single-stream.bin", us, 1e6 / us, files);
    json_t *offline = made_scenario(f, "offline.bin", us, instances * batch * 1e6 / us, files);
    bool steady = !f->unsteady || !starts(label, f->unsteady);
    json_t *why = steady ? json_array() : json_pack("[s, s]", "it drifted", "it was stolen from");
    json_t *result =
        json_pack("{s:{s:o, s:o}, s:f, s:f, s:{s:b, s:s}, s:{s:b, s:f}, s:{s:b, s:o}, s:s}", "scenarios",
                  "single-stream", single, "offline", offline, "memory_mib", 20.5, "load_ms", 3.0, "counters",
                  "available", 0, "reason", "none here", "energy", "available", 1, "per_inference_j", 0.25,
                  "conditions", "stable", (int)steady, "unstable", why, "runtime_version", "test 1");
    made_server(f, spec, us, instances * batch * 1e6 / us, result, files);
    return result;
}

static inline json_t *made_compress(struct fixture *f, const char *label, json_t *files) {
    f->compressed++;
    json_array_append_new(files, fixture_file(f, "model.onnx", label, strlen(label)));
    return json_pack("{s:i, s:f, s:b, s:[], s:[], s:[]}", "bytes", (int)strlen(label), "seconds", 0.5,
                     "storage_only", 0, "changed", "left_alone", "notes");
}

static inline json_t *fixture_claim(struct fixture *f, const char *target) {
    json_t *answer = NULL, *body = json_pack("{s:s}", "target_id", target);
    FINE(dispatch_claim(f->jobs, body, &answer, err));
    json_decref(body);
    return answer;
}

static inline json_t *result_body(struct fixture *f, const json_t *job) {
    const char *kind = json_string_value(json_object_get(job, "kind"));
    const char *label = json_string_value(json_object_get(job, "label"));
    json_t *files = json_array(), *result;
    result = strcmp(kind, "inspect") == 0    ? made_inspect(f)
             : strcmp(kind, "compress") == 0 ? made_compress(f, label, files)
             : strcmp(kind, "evaluate") == 0 ? made_scores(f, label, json_object_get(job, "spec"), files)
                                             : made_profile(f, label, json_object_get(job, "spec"), files);
    assert_non_null(result);
    return json_pack("{s:O, s:o, s:o}", "token", json_object_get(job, "token"), "result", result, "files",
                     files);
}

/* Does one job. False when there is none. */
static inline bool fixture_work_one(struct fixture *f, const char *target) {
    json_t *claimed = fixture_claim(f, target), *answer = NULL, *body;
    if (!claimed) {
        return false;
    }
    const json_t *job = json_object_get(claimed, "job");
    char what[400];
    snprintf(what, sizeof(what), "%s:%s", json_string_value(json_object_get(job, "kind")),
             json_string_value(json_object_get(job, "label")));
    if (f->fails && starts(what, f->fails)) {
        body = json_pack("{s:O, s:{s:s, s:s}, s:b, s:s}", "token", json_object_get(job, "token"), "error",
                         "code", "unsupported", "text", "it has no MatMul", "crashed", (int)f->crashes, "log",
                         "last lines");
        FINE(dispatch_failure(f->jobs, id_of(job), body, &answer, err));
    } else {
        body = result_body(f, job);
        FINE(dispatch_result(f->jobs, id_of(job), body, &answer, err));
    }
    json_decref(answer);
    json_decref(body);
    json_decref(claimed);
    return true;
}

/* Planner and worker in turns until neither has anything to do. */
static inline void fixture_run(struct fixture *f) {
    bool busy = true;
    for (int i = 0; i < 500 && busy; i++) {
        FINE(jobs_step(f->jobs, err));
        f->now_ms += 1000;
        busy = fixture_work_one(f, f->target);
        if (f->other_target[0]) {
            busy = fixture_work_one(f, f->other_target) || busy;
        }
    }
    FINE(jobs_step(f->jobs, err));
}

static inline json_t *fixture_study(struct fixture *f, const char *more) {
    char text[4096];
    json_t *study = NULL;
    snprintf(text, sizeof(text), "{\"model\": \"%s\", \"dataset\": \"%s\"%s}", f->model, f->dataset, more);
    json_t *body = fixture_json(text);
    FINE(intake_study(f->jobs, body, &study, err));
    json_decref(body);
    return study;
}

static inline json_t *fixture_view(struct fixture *f, const char *id) {
    json_t *study = NULL;
    FINE(view_study(f->jobs, id, &study, err));
    return study;
}

static inline const char *text_at(const json_t *object, const char *key) {
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

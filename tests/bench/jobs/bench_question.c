/* A recommendation over many measured configurations, from the request's JSON to the stored answer. */
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "advisor/decide/latency.h"
#include "advisor/decide/throughput.h"
#include "advisor/jobs/answer.h"
#include "advisor/jobs/jobs.h"
#include "core/base/clock.h"
#include "core/base/file.h"
#include "core/base/log.h"
#include "db/store.h"
#include "db/store_machines.h"
#include "db/store_models.h"
#include "db/store_work.h"

enum { VARIANTS = 12, SETTINGS = 834, SAMPLES = 600, REPEATS = 10 };

static const char *const RECIPES[VARIANTS] = {"fp32",
                                              "fp16",
                                              "int8:dynamic",
                                              "int8:static,act=u8",
                                              "int8:static,act=s8",
                                              "int4",
                                              "int4:group=128",
                                              "int4:symmetric",
                                              "prune:magnitude,ratio=0.3",
                                              "prune:magnitude,ratio=0.4",
                                              "prune:magnitude,ratio=0.6",
                                              "prune:magnitude,ratio=0.7"};

static void must(enum rc rc, const struct err *err) {
    if (rc != RC_OK) {
        fprintf(stderr, "%s\n", err->text);
        exit(1);
    }
}

static enum rc add_profile(struct store_tx *tx, const char *variant, int v, int i, struct err *err) {
    char cfg[64], prof[64];
    float samples[SAMPLES];
    struct latency l;
    struct throughput t;
    struct buf packed;
    double us = 200 + 13 * (v * SETTINGS + i) % 9973;
    for (int k = 0; k < SAMPLES; k++) {
        samples[k] = (float)(us * (1 + 0.001 * (k % 11)));
    }
    snprintf(cfg, sizeof(cfg), "cfg_%d_%d", v, i);
    snprintf(prof, sizeof(prof), "prof_%d_%d", v, i);
    struct store_configuration c = {
        .id = cfg, .variant = variant, .machine_type = "mt_1", .instances = 1, .threads = 2, .batch = 1 + i};
    struct store_profile p = {.id = prof, .configuration = cfg, .memory_mib = 20, .result_json = "{}"};
    buf_init(&packed, 4096);
    must(latency_summarise(samples, SAMPLES, 0.95, &l, err), err);
    must(throughput_from_samples(1e6 / us, samples, SAMPLES, 0.95, &t, err), err);
    must(latency_pack(&l, &packed, err), err);
    struct store_figures f = {"offline", 0.95,   packed.data, packed.size, t.per_s,
                              t.low,     t.high, t.log_error, t.freedom};
    enum rc rc = store_configuration_add(tx, &c, err);
    if (rc == RC_OK) {
        rc = store_profile_add(tx, &p, &(struct store_profile_parts){.figures = &f, .n_figures = 1}, err);
    }
    buf_free(&packed);
    return rc;
}

static enum rc fill(struct store_tx *tx, void *user, struct err *err) {
    (void)user;
    bool created;
    struct store_model m = {.id = "mdl_1", .name = "m", .family = "onnx", .main = "m.onnx"};
    struct store_machine_type t = {.id = "mt_1", .name = "machine", .fingerprint_json = "{}"};
    must(store_model_add(tx, &m, NULL, 0, &created, err), err);
    must(store_machine_type_add(tx, &t, err), err);
    for (int v = 0; v < VARIANTS; v++) {
        char id[32];
        snprintf(id, sizeof(id), "var_%d", v);
        struct store_variant variant = {.id = id, .model = "mdl_1", .recipe = RECIPES[v]};
        must(store_variant_add(tx, &variant, err), err);
        for (int i = 0; i < SETTINGS; i++) {
            must(add_profile(tx, id, v, i, err), err);
        }
    }
    return RC_OK;
}

int main(void) {
    char folder[] = "/tmp/pare-bench-XXXXXX";
    struct jobs *j;
    struct err err;
    log_set_level(LOG_ERROR);
    if (!mkdtemp(folder)) {
        return 1;
    }
    must(jobs_open(&(struct jobs_opts){.folder = folder}, &j, &err), &err);
    must(store_write(jobs_store(j), fill, NULL, &err), &err);
    json_t *body = json_pack("{s:s, s:[s]}", "model", "mdl_1", "budgets", "p50<=1ms");
    for (int i = 0; i < REPEATS; i++) {
        json_t *answer = NULL;
        uint64_t start = clock_mono_ns();
        clock_t cpu = clock();
        must(answer_recommend(j, body, &answer, &err), &err);
        printf("%d configurations: %.1f ms, %.1f ms of CPU\n", VARIANTS * SETTINGS,
               (double)(clock_mono_ns() - start) / 1e6, (double)(clock() - cpu) * 1e3 / CLOCKS_PER_SEC);
        json_decref(answer);
    }
    json_decref(body);
    jobs_close(j);
    return file_remove_tree(folder, &err) == RC_OK ? 0 : 1;
}

#include "advisor/jobs/comparison_tail.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "advisor/jobs/stored_json.h"
#include "core/base/sha256.h"
#include "core/stats/hierarchical.h"
#include "core/stats/quantile.h"
#include "core/stats/sequential.h"
#include "db/store_blobs.h"
#include "db/store_comparisons.h"

enum { SAMPLES_MAX = 1 << 22, MIN_SAMPLES = 20, SIDES = 2 }; /* two samples above the p90 */
static const double TAIL = 0.9;
static const char *const NAMES[SIDES] = {"model", "reference"};

struct tail {
    size_t n;
    char sha256[SEQUENTIAL_LAST][SIDES][SHA256_HEX_SIZE];
    float *us[SEQUENTIAL_LAST][SIDES]; /* owned, ascending */
    size_t count[SEQUENTIAL_LAST][SIDES];
};

/* The names of the files; they are read after the transaction. */
static enum rc find_files(struct store *s, const char *id, struct tail *t, struct err *err) {
    struct store_tx *tx;
    struct store_replicate *replicates;
    size_t n = 0;
    enum rc rc = store_read_begin(s, &tx, err);
    if (rc != RC_OK) {
        return rc;
    }
    rc = store_replicates(tx, id, &replicates, &n, err);
    t->n = n < SEQUENTIAL_LAST ? n : SEQUENTIAL_LAST;
    for (size_t i = 0; rc == RC_OK && i < t->n; i++) {
        for (int side = 0; rc == RC_OK && side < SIDES; side++) {
            struct store_replicate_samples found;
            rc = store_replicate_sample(tx, id, replicates[i].number, NAMES[side], &found, err);
            if (rc == RC_OK) {
                memcpy(t->sha256[i][side], found.sha256, SHA256_HEX_SIZE);
            }
        }
    }
    store_read_end(tx);
    return rc;
}

static enum rc read_files(struct store *s, struct tail *t, struct err *err) {
    for (size_t i = 0; i < t->n; i++) {
        for (int side = 0; side < SIDES; side++) {
            char *data = NULL;
            size_t size = 0;
            enum rc rc =
                store_blob_read(s, t->sha256[i][side], SAMPLES_MAX * sizeof(float), &data, &size, err);
            if (rc != RC_OK) {
                return rc;
            }
            t->us[i][side] = (float *)(void *)data;
            t->count[i][side] = size / sizeof(float);
            quantile_sort(t->us[i][side], t->count[i][side]);
        }
    }
    return RC_OK;
}

static json_t *ratio_of(const struct tail *t, double confidence) {
    struct hierarchical_process processes[SEQUENTIAL_LAST];
    struct hierarchical_ratio r;
    struct err none;
    if (t->n < SEQUENTIAL_FIRST) {
        return json_null();
    }
    for (size_t i = 0; i < t->n; i++) {
        processes[i] =
            (struct hierarchical_process){t->us[i][0], t->us[i][1], t->count[i][0], t->count[i][1]};
        if (t->count[i][0] < MIN_SAMPLES || t->count[i][1] < MIN_SAMPLES) {
            return json_null();
        }
    }
    /* The comparison stopped because of what these replicates showed. */
    double look = sequential_look_confidence(confidence);
    if (hierarchical_ratio_of(processes, t->n, TAIL, look, 1, &r, &none) != RC_OK) {
        return json_null();
    }
    return json_pack("{s:o, s:o, s:o}", "value", stored_number(r.ratio), "low", stored_number(r.low), "high",
                     stored_number(r.high));
}

enum rc comparison_tail(struct store *s, const char *id, double confidence, json_t **ret, struct err *err) {
    struct tail *t = calloc(1, sizeof(*t));
    enum rc rc = t ? find_files(s, id, t, err) : err_memory(err);
    if (rc == RC_OK) {
        rc = read_files(s, t, err);
    }
    if (rc == RC_OK) {
        rc = stored_give(json_pack("{s:o}", "p90_ratio", ratio_of(t, confidence)), ret, err);
    }
    for (size_t i = 0; t && i < t->n; i++) {
        free(t->us[i][0]);
        free(t->us[i][1]);
    }
    free(t);
    return rc;
}

/* onnx_accuracy.h -- the repository's models with their data, and top-1 accuracy of an ONNX model, for tests
 * and benches. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/data/dataset.h"
#include "runtimes/onnxruntime.h"

enum { EVAL_BATCH = 16, CALIBRATION_EXAMPLES = 500, EVAL_INPUTS_MAX = 8 };

static inline void die(const char *what, const struct err *err) {
    fprintf(stderr, "%s: %s\n", what, err->text);
    exit(1);
}

static inline const char *models_folder(void) {
    const char *folder = getenv("PARE_MODELS");
    return folder ? folder : "../shared";
}

/* --- data --- */

/* Debian's package dataset-fashion-mnist. */
static inline const char *fashion_folder(void) {
    const char *folder = getenv("FASHION_MNIST");
    return folder ? folder : "/usr/share/datasets/fashion-mnist";
}

static inline json_t *describe_idx(bool train) {
    const char *stem = train ? "train" : "t10k";
    return json_pack("{s:s, s:[{s:s,s:o,s:s},{s:s,s:o,s:s}], s:s, s:{s:{s:f,s:[f],s:[f],s:s}}, s:{s:s,s:i}}",
                     "format", "idx", "files", "path", "images.gz", "local",
                     json_sprintf("%s/%s-images-idx3-ubyte.gz", fashion_folder(), stem), "role", "images",
                     "path", "labels.gz", "local",
                     json_sprintf("%s/%s-labels-idx1-ubyte.gz", fashion_folder(), stem), "role", "labels",
                     "input", "image", "preprocess", "image", "scale", 1.0 / 255, "mean", 0.2860, "std",
                     0.3530, "layout", "nchw", "split", "take", train ? "calibration" : "all",
                     "calibration_examples", CALIBRATION_EXAMPLES);
}

static inline json_t *describe_npz(const char *stem, bool train) {
    return json_pack("{s:s, s:[{s:s,s:o,s:s}], s:s, s:{s:s,s:i}}", "format", "npz", "files", "path",
                     "data.npz", "local",
                     json_sprintf("%s/data/%s.%s.npz", models_folder(), stem, train ? "train" : "eval"),
                     "role", "arrays", "labels", "labels", "split", "take", train ? "calibration" : "all",
                     "calibration_examples", CALIBRATION_EXAMPLES);
}

/* `stem`: of the npz files; NULL: Fashion-MNIST. train: 500 calibration examples, else all evaluation
 * examples. */
static inline struct dataset *open_data(const char *stem, bool train) {
    json_t *d = stem ? describe_npz(stem, train) : describe_idx(train);
    struct dataset *data = NULL;
    struct err err;
    if (!d || dataset_open(d, 0, &data, &err)) {
        die("dataset", &err);
    }
    json_decref(d);
    return data;
}

/* --- measuring --- */

struct feed {
    struct onnxruntime_tensor tensors[EVAL_INPUTS_MAX];
    size_t count;
};

static inline void feed_fill(struct feed *f, const struct dataset *d, size_t first, size_t rows) {
    for (size_t i = 0; i < f->count; i++) {
        const struct tensor_spec *spec = dataset_input(d, i);
        struct onnxruntime_tensor *t = &f->tensors[i];
        t->dtype = spec->dtype;
        t->rank = spec->rank;
        memcpy(t->dims, spec->dims, sizeof(t->dims));
        t->dims[0] = (int64_t)rows;
        t->bytes = rows * dataset_input_bytes(d, i);
        t->data = t->data ? t->data : malloc(EVAL_BATCH * dataset_input_bytes(d, i));
        dataset_fill(d, i, first, rows, t->data);
    }
}

static inline bool is_largest(const float *row, size_t classes, int64_t label) {
    size_t best = 0;
    for (size_t c = 1; c < classes; c++) {
        best = row[c] > row[best] ? c : best;
    }
    return (int64_t)best == label;
}

static inline void count_right(const struct onnxruntime_tensor *out, const struct dataset *d, size_t first,
                               size_t rows, size_t *right, size_t *total) {
    size_t classes = (size_t)out->dims[out->rank - 1];
    size_t positions = out->bytes / sizeof(float) / classes / rows;
    const float *values = out->data;
    for (size_t r = 0; r < rows; r++) {
        for (size_t p = 0; p < positions; p++) {
            int64_t label = dataset_label(d, first + r)[p];
            if (dataset_labels(d) == LABELS_POSITION && dataset_ignored(label)) {
                continue;
            }
            *right += is_largest(values + (r * positions + p) * classes, classes, label);
            (*total)++;
        }
    }
}

/* Of the first `limit` examples (0: all). */
static inline double accuracy(struct onnxruntime_session *s, const struct dataset *d, struct feed *f,
                              size_t limit) {
    size_t right = 0;
    size_t total = 0;
    size_t n = dataset_count(d);
    n = limit > 0 && limit < n ? limit : n;
    for (size_t first = 0; first < n; first += EVAL_BATCH) {
        size_t rows = n - first < EVAL_BATCH ? n - first : EVAL_BATCH;
        struct onnxruntime_result *result = NULL;
        struct err err;
        feed_fill(f, d, first, rows);
        if (onnxruntime_run(s, f->tensors, &result, &err)) {
            die("run", &err);
        }
        count_right(onnxruntime_result_output(result, 0), d, first, rows, &right, &total);
        onnxruntime_result_free(result);
    }
    return (double)right / (double)total;
}

static inline void feed_release(struct feed *f) {
    for (size_t i = 0; i < f->count; i++) {
        free(f->tensors[i].data);
    }
}

/* int8_fixture.h -- a calibration set made in a test: images of noise in an IDX file, 8 x 8, read as floats
 * around 0. */
#pragma once

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "compressors/compressor.h"
#include "core/base/file.h"
#include "core/data/dataset.h"
#include "core/recipes/recipe.h"
#include "tests/unit/compressors_onnx/model_fixture.h"

enum { SIDE = 8, IMAGE = SIDE * SIDE, IMAGES = 48, IDX_HEAD = 16 };

static inline uint32_t noise_next(uint32_t *state) {
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

/* In -1 .. 1, the same on every machine. */
static inline float noise(uint32_t *state) {
    return (float)(noise_next(state) % 20001) / 10000.0F - 1;
}

static inline void noise_fill(float *out, size_t n, uint32_t seed, float scale) {
    for (size_t i = 0; i < n; i++) {
        out[i] = noise(&seed) * scale;
    }
}

static inline struct dataset *noise_dataset(void) {
    static unsigned char bytes[IDX_HEAD + IMAGES * IMAGE];
    const unsigned char head[IDX_HEAD] = {0, 0, 8, 3, 0, 0, 0, IMAGES, 0, 0, 0, SIDE, 0, 0, 0, SIDE};
    char path[] = "/tmp/pare-test-idx-XXXXXX";
    uint32_t seed = 11;
    struct dataset *d = NULL;
    struct err err = {0};
    memcpy(bytes, head, IDX_HEAD);
    for (size_t i = IDX_HEAD; i < sizeof(bytes); i++) {
        bytes[i] = (unsigned char)noise_next(&seed);
    }
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(file_write(path, bytes, sizeof(bytes), 0600, &err), RC_OK);
    json_t *o = json_pack("{s:s, s:[{s:s,s:s,s:s}], s:s, s:{s:{s:f,s:[f],s:[f]}}}", "format", "idx", "files",
                          "path", "images", "local", path, "role", "images", "input", "x", "preprocess", "x",
                          "scale", 1.0, "mean", 127.5, "std", 127.5);
    assert_non_null(o);
    if (dataset_open(o, 0, &d, &err)) {
        fail_msg("%s", err.text);
    }
    json_decref(o);
    unlink(path);
    return d;
}

/* Applies one technique; the caller checks the code and releases the record. */
static inline enum rc int8_apply(compress_fn *technique, const char *recipe_text, struct graph *g,
                                 struct dataset *d, uint32_t threads, struct record *record,
                                 struct err *err) {
    struct recipe recipe;
    struct compress_job job = {.graph = g, .calibration = d, .threads = threads, .record = record};
    record_init(record);
    if (recipe_parse(recipe_text, FAMILY_ONNX, &recipe, err)) {
        fail_msg("%s", err->text);
    }
    return technique(&job, &recipe.steps[0], err);
}

static inline bool record_says(const struct record_list *list, const char *tensor, const char *text) {
    for (size_t i = 0; i < list->count; i++) {
        const struct record_entry *e = &list->entries[i];
        if ((!tensor || (e->tensor && strcmp(e->tensor, tensor) == 0)) && strstr(e->text, text)) {
            return true;
        }
    }
    return false;
}

/* Largest difference as a part of the largest reference value. */
static inline double relative_error(const float *reference, const float *values, size_t n) {
    double largest = 0;
    double worst = 0;
    for (size_t i = 0; i < n; i++) {
        largest = fmax(largest, fabs((double)reference[i]));
        worst = fmax(worst, fabs((double)reference[i] - (double)values[i]));
    }
    return worst / largest;
}

static inline size_t count_ops(const struct graph *g, const char *op) {
    size_t n = 0;
    for (const struct graph_node *node = graph_first(g); node; node = node->next) {
        n += strcmp(node->proto->op_type, op) == 0;
    }
    return n;
}

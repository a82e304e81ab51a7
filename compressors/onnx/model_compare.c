#include "compressors/onnx/model_compare.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "compressors/onnx/model_feed.h"
#include "core/data/dataset.h"
#include "core/formats/dtype.h"
#include "runtimes/onnxruntime.h"

static const double least_scale = 1e-6;

static double distance(const float *a, const float *b, size_t n) {
    double scale = least_scale, worst = 0;
    for (size_t i = 0; i < n; i++) {
        scale = fmax(scale, fabs((double)a[i]));
    }
    for (size_t i = 0; i < n; i++) {
        if (isnan(a[i]) != isnan(b[i])) {
            return INFINITY;
        }
        bool equal = isnan(a[i]) || a[i] == b[i]; /* infinities too */
        worst = equal ? worst : fmax(worst, fabs((double)a[i] - (double)b[i]) / scale);
    }
    return worst;
}

/* Floats of any width, as float32; NULL: no memory. */
static float *widen(const struct onnxruntime_tensor *t, size_t n) {
    float *values = malloc((n + 1) * sizeof(*values));
    for (size_t i = 0; values && i < n; i++) {
        values[i] = t->dtype == DTYPE_FLOAT64   ? (float)((const double *)t->data)[i]
                    : t->dtype == DTYPE_FLOAT16 ? dtype_float_of_half(((const uint16_t *)t->data)[i])
                                                : dtype_float_of_bfloat16(((const uint16_t *)t->data)[i]);
    }
    return values;
}

static double compare_tensors(const struct onnxruntime_tensor *a, const struct onnxruntime_tensor *b) {
    if (a->dtype != b->dtype || a->rank != b->rank || a->bytes != b->bytes ||
        memcmp(a->dims, b->dims, a->rank * sizeof(*a->dims)) != 0) {
        return INFINITY;
    }
    if (a->dtype == DTYPE_FLOAT32) {
        return distance(a->data, b->data, a->bytes / sizeof(float));
    }
    if (!dtype_is_float(a->dtype)) {
        return memcmp(a->data, b->data, a->bytes) == 0 ? 0 : INFINITY;
    }
    size_t n = a->bytes / dtype_bytes(a->dtype);
    float *x = widen(a, n), *y = widen(b, n);
    double error = x && y ? distance(x, y, n) : INFINITY;
    free(x);
    free(y);
    return error;
}

static enum rc compare_outputs(const struct onnxruntime_session *sa, const struct onnxruntime_session *sb,
                               const struct onnxruntime_result *a, const struct onnxruntime_result *b,
                               double *error, struct err *err) {
    const struct tensor_spec *names_a, *names_b;
    size_t count = onnxruntime_outputs(sa, &names_a);
    if (onnxruntime_outputs(sb, &names_b) != count) {
        return err_set(err, RC_UNSUPPORTED, "the models have different outputs");
    }
    for (size_t i = 0; i < count; i++) {
        const struct onnxruntime_tensor *x = onnxruntime_result_output(a, i);
        const struct onnxruntime_tensor *y = onnxruntime_result_output(b, i);
        if (strcmp(names_a[i].name, names_b[i].name) != 0 || x->dtype == DTYPE_OTHER) {
            return err_set(err, RC_UNSUPPORTED, "output \"%.200s\" cannot be compared", names_a[i].name);
        }
        *error = fmax(*error, compare_tensors(x, y));
    }
    return RC_OK;
}

static enum rc compare(struct onnxruntime_session *sa, struct onnxruntime_session *sb, struct dataset *data,
                       size_t examples, double *error, struct err *err) {
    enum { ROWS = 4 };
    struct model_feed feed;
    enum rc rc = model_feed_init(&feed, sa, data, ROWS, err);
    if (rc != RC_OK) {
        return rc;
    }
    size_t rows = model_feed_rows(&feed, ROWS);
    size_t total = data && dataset_count(data) < examples ? dataset_count(data) : examples;
    for (size_t first = 0; first < total && rc == RC_OK; first += rows) {
        struct onnxruntime_result *a = NULL, *b = NULL;
        model_feed_fill(&feed, data, first, total - first < rows ? total - first : rows);
        rc = onnxruntime_run(sa, feed.tensors, &a, err);
        rc = rc != RC_OK ? rc : onnxruntime_run(sb, feed.tensors, &b, err);
        rc = rc != RC_OK ? rc : compare_outputs(sa, sb, a, b, error, err);
        onnxruntime_result_free(a);
        onnxruntime_result_free(b);
    }
    model_feed_release(&feed);
    return rc;
}

enum rc model_compare(const struct model_bytes *a, const struct model_bytes *b, struct dataset *data,
                      size_t examples, double *error, struct err *err) {
    struct onnxruntime *runtime = NULL;
    struct onnxruntime_session *sa = NULL, *sb = NULL;
    struct onnxruntime_session_opts opts = {.threads = 1};
    *error = 0;
    enum rc rc = onnxruntime_new(NULL, &runtime, err);
    rc = rc != RC_OK ? rc : onnxruntime_open_bytes(runtime, a->data, a->size, &opts, &sa, err);
    rc = rc != RC_OK ? rc : onnxruntime_open_bytes(runtime, b->data, b->size, &opts, &sb, err);
    rc = rc != RC_OK ? rc : compare(sa, sb, data, examples, error, err);
    onnxruntime_close(sa);
    onnxruntime_close(sb);
    onnxruntime_free(runtime);
    return rc;
}

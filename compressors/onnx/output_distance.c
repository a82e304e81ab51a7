#include "compressors/onnx/output_distance.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "compressors/onnx/model_feed.h"
#include "core/data/dataset.h"
#include "runtimes/onnxruntime.h"

enum { ROWS = 8 };

struct output_reference {
    struct onnxruntime *runtime;
    struct onnxruntime_session *session;
    struct dataset *data;
    struct model_feed feed;
    struct onnxruntime_result **results; /* [batches] */
    size_t batches, rows, examples;
};

struct distance {
    double moved, variance;
};

static size_t rows_of_batch(const struct output_reference *r, size_t batch) {
    size_t left = r->examples - batch * r->rows;
    return left < r->rows ? left : r->rows;
}

static enum rc run_all(struct output_reference *r, struct err *err) {
    enum rc rc = RC_OK;
    for (size_t i = 0; i < r->batches && rc == RC_OK; i++) {
        model_feed_fill(&r->feed, r->data, i * r->rows, rows_of_batch(r, i));
        rc = onnxruntime_run(r->session, r->feed.tensors, &r->results[i], err);
    }
    return rc;
}

enum rc output_reference_new(const char *model, size_t size, struct dataset *data, size_t examples,
                             struct output_reference **ret, struct err *err) {
    struct onnxruntime_session_opts opts = {.threads = 1};
    struct output_reference *r = calloc(1, sizeof(*r));
    enum rc rc = r ? onnxruntime_new(NULL, &r->runtime, err) : err_memory(err);
    rc = rc != RC_OK ? rc : onnxruntime_open_bytes(r->runtime, model, size, &opts, &r->session, err);
    rc = rc != RC_OK ? rc : model_feed_init(&r->feed, r->session, data, ROWS, err);
    if (rc == RC_OK) {
        r->data = data;
        r->rows = model_feed_rows(&r->feed, ROWS);
        r->examples = examples < dataset_count(data) ? examples : dataset_count(data);
        r->batches = (r->examples + r->rows - 1) / r->rows;
        r->results = calloc(r->batches + 1, sizeof(struct onnxruntime_result *));
        rc = r->results ? run_all(r, err) : err_memory(err);
    }
    if (rc != RC_OK) {
        output_reference_free(r);
        return rc;
    }
    *ret = r;
    return RC_OK;
}

void output_reference_free(struct output_reference *r) {
    if (!r) {
        return;
    }
    for (size_t i = 0; r->results && i < r->batches; i++) {
        onnxruntime_result_free(r->results[i]);
    }
    free(r->results);
    model_feed_release(&r->feed);
    onnxruntime_close(r->session);
    onnxruntime_free(r->runtime);
    free(r);
}

static void add_row(struct distance *d, const float *a, const float *b, size_t n) {
    double mean_a = 0, mean_b = 0;
    for (size_t i = 0; n > 1 && i < n; i++) {
        mean_a += (double)a[i] / (double)n;
        mean_b += (double)b[i] / (double)n;
    }
    for (size_t i = 0; i < n; i++) {
        double x = (double)a[i] - mean_a, y = (double)b[i] - mean_b;
        d->moved += (x - y) * (x - y);
        d->variance += x * x;
    }
}

static enum rc add_batch(const struct output_reference *r, const struct onnxruntime_result *a,
                         const struct onnxruntime_result *b, struct distance *d, struct err *err) {
    const struct tensor_spec *specs;
    size_t count = onnxruntime_outputs(r->session, &specs), compared = 0;
    for (size_t i = 0; i < count; i++) {
        const struct onnxruntime_tensor *x = onnxruntime_result_output(a, i);
        const struct onnxruntime_tensor *y = onnxruntime_result_output(b, i);
        if (x->dtype != DTYPE_FLOAT32) {
            continue;
        }
        size_t n = x->rank && x->dims[x->rank - 1] > 0 ? (size_t)x->dims[x->rank - 1] : 1;
        if (y->dtype != DTYPE_FLOAT32 || y->bytes != x->bytes) {
            d->moved = INFINITY;
            return RC_OK;
        }
        for (size_t row = 0; row < x->bytes / sizeof(float) / n; row++) {
            add_row(d, (const float *)x->data + row * n, (const float *)y->data + row * n, n);
        }
        compared++;
    }
    return compared ? RC_OK : err_set(err, RC_UNSUPPORTED, "the model has no float32 output to compare");
}

enum rc output_reference_distance(struct output_reference *r, const char *model, size_t size,
                                  double *distance, struct err *err) {
    struct onnxruntime_session_opts opts = {.threads = 1};
    struct onnxruntime_session *changed = NULL;
    struct distance d = {0};
    enum rc rc = onnxruntime_open_bytes(r->runtime, model, size, &opts, &changed, err);
    for (size_t i = 0; i < r->batches && rc == RC_OK; i++) {
        struct onnxruntime_result *result = NULL;
        model_feed_fill(&r->feed, r->data, i * r->rows, rows_of_batch(r, i));
        rc = onnxruntime_run(changed, r->feed.tensors, &result, err);
        rc = rc != RC_OK ? rc : add_batch(r, r->results[i], result, &d, err);
        onnxruntime_result_free(result);
    }
    onnxruntime_close(changed);
    *distance = isnan(d.moved) ? INFINITY : d.variance > 0 ? d.moved / d.variance : d.moved;
    return rc;
}

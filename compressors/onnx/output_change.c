#include "compressors/onnx/output_change.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>

#include "compressors/onnx/graph.h"
#include "compressors/onnx/graph_beside.h"
#include "compressors/onnx/observe.h"
#include "core/data/dataset.h"

enum { NAME_SIZE = 1024 };

struct sums {
    bool classes;
    double change, scale;
};

static double log_sum(const float *x, size_t count) {
    double most = -INFINITY, sum = 0;
    for (size_t i = 0; i < count; i++) {
        most = fmax(most, (double)x[i]);
    }
    for (size_t i = 0; i < count; i++) {
        sum += exp((double)x[i] - most);
    }
    return most + log(sum);
}

double output_change_divergence(const float *a, const float *b, size_t count) {
    double all_a = log_sum(a, count), all_b = log_sum(b, count), sum = 0;
    for (size_t i = 0; i < count; i++) {
        double p = (double)a[i] - all_a, q = (double)b[i] - all_b;
        sum += exp(p) * (p - q);
    }
    return sum > 0 ? sum : 0;
}

static enum rc take(void *user, size_t part, size_t thread, const struct onnxruntime_tensor *const *tensors,
                    struct err *err) {
    struct sums *s = user;
    const struct onnxruntime_tensor *now = tensors[0], *was = tensors[1];
    const float *a = was->data, *b = now->data;
    size_t count = was->bytes / sizeof(float), last = was->rank ? (size_t)was->dims[was->rank - 1] : 1;
    (void)part;
    (void)thread;
    if (now->bytes != was->bytes) {
        return err_set(err, RC_INTERNAL, "the changed model has other shapes");
    }
    for (size_t i = 0; s->classes && last > 1 && i + last <= count; i += last) {
        s->change += output_change_divergence(a + i, b + i, last);
        s->scale += 1;
    }
    for (size_t i = 0; !(s->classes && last > 1) && i < count; i++) {
        double d = (double)a[i] - (double)b[i];
        s->change += d * d;
        s->scale += (double)a[i] * (double)a[i];
    }
    return RC_OK;
}

enum rc output_change(const struct compress_job *job, const char *was, size_t was_size, size_t max_examples,
                      double *change, struct err *err) {
    struct compress_job both = *job;
    char before[NAME_SIZE];
    struct sums s = {0};
    const struct observe_opts opts = {.max_examples = max_examples, .text = "measuring what layers matter"};
    const struct observe_sink sink = {take, &s, 1};
    if (graph_result_count(job->graph) == 0 || !job->calibration) {
        return err_set(err, RC_INPUT, "calibration examples are needed: give a dataset to calibrate with");
    }
    const char *name = graph_result(job->graph, 0)->name;
    if (snprintf(before, sizeof(before), "%s%s", GRAPH_BESIDE_PREFIX, name) >= NAME_SIZE) {
        return err_set(err, RC_UNSUPPORTED, "a tensor's name is too long");
    }
    enum dataset_labels labels = dataset_labels(job->calibration);
    s.classes = labels == LABELS_EXAMPLE || labels == LABELS_POSITION;
    both.on_progress = NULL;
    enum rc rc = graph_beside(job->graph, was, was_size, &both.graph, err);
    if (rc != RC_OK) {
        return rc;
    }
    rc = observe_run(&both, (const char *const[]){name, before}, 2, &opts, &sink, NULL, err);
    graph_free(both.graph);
    *change = s.scale > 0 ? s.change / s.scale : 0;
    return rc;
}

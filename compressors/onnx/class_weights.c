#include "compressors/onnx/class_weights.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "compressors/onnx/observe.h"
#include "core/data/dataset.h"

enum { EXAMPLES = 128 };
static const double even_part = 0.1;

struct sums {
    double *probability; /* [classes] */
    size_t classes, rows;
    bool fits;
};

static enum rc take(void *user, size_t part, size_t thread, const struct onnxruntime_tensor *const *tensors,
                    struct err *err) {
    struct sums *s = user;
    const struct onnxruntime_tensor *t = tensors[0];
    const float *x = t->data;
    size_t count = t->bytes / sizeof(float);
    (void)part;
    (void)thread;
    (void)err;
    s->fits = t->rank > 0 && (size_t)t->dims[t->rank - 1] == s->classes;
    for (size_t i = 0; s->fits && i + s->classes <= count; i += s->classes) {
        double most = -INFINITY, sum = 0;
        for (size_t c = 0; c < s->classes; c++) {
            most = fmax(most, (double)x[i + c]);
        }
        for (size_t c = 0; c < s->classes; c++) {
            sum += exp((double)x[i + c] - most);
        }
        for (size_t c = 0; c < s->classes; c++) {
            s->probability[c] += exp((double)x[i + c] - most) / sum;
        }
        s->rows++;
    }
    return RC_OK;
}

bool class_weights_is_last(const struct graph *g, const struct graph_node *n) {
    const struct graph_value *out = graph_output(g, n, 0);
    const struct graph_use *use = out && !out->is_output ? graph_sole_use(out) : NULL;
    if (use && graph_is_op(use->node, "Add") && graph_constant(g, graph_input(g, use->node, 1 - use->slot))) {
        out = graph_output(g, use->node, 0);
    }
    return out && graph_result_count(g) > 0 && graph_result(g, 0) == out;
}

enum rc class_weights(const struct compress_job *job, const struct graph_node *n, size_t classes,
                      double **ret, struct err *err) {
    enum dataset_labels labels = job->calibration ? dataset_labels(job->calibration) : LABELS_NONE;
    const struct observe_opts opts = {.max_examples = EXAMPLES, .text = "counting likely classes"};
    struct compress_job quiet = *job;
    *ret = NULL;
    if ((labels != LABELS_EXAMPLE && labels != LABELS_POSITION) || classes < 2 ||
        !class_weights_is_last(job->graph, n)) {
        return RC_OK;
    }
    struct sums s = {.probability = calloc(classes, sizeof(double)), .classes = classes};
    const struct observe_sink sink = {take, &s, 1};
    const char *name = graph_result(job->graph, 0)->name;
    quiet.on_progress = NULL;
    enum rc rc = s.probability ? observe_run(&quiet, &name, 1, &opts, &sink, NULL, err) : err_memory(err);
    if (rc != RC_OK || !s.fits || s.rows == 0) {
        free(s.probability);
        return rc;
    }
    for (size_t c = 0; c < classes; c++) {
        double mean = s.probability[c] / (double)s.rows;
        s.probability[c] = sqrt((1 - even_part) * mean + even_part / (double)classes);
    }
    *ret = s.probability;
    return RC_OK;
}

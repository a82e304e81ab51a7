/* Scores by loss: each unit is switched off by itself while examples run, and what the model's loss rises by
 * is its score. That is the difference whose first-order estimate is the Taylor criterion of Molchanov et al.
 * 2017
 * ("Pruning Convolutional Neural Networks for Resource Efficient Inference"), measured instead of derived: no
 * gradients are needed. The loss is the squared distance from the outputs of the whole model, of each row the
 * mean taken off, so labels are not needed either. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "compressors/onnx/channel_score.h"
#include "compressors/onnx/gated_graph.h"
#include "compressors/onnx/model_feed.h"
#include "compressors/onnx/parallel.h"
#include "core/data/dataset.h"
#include "runtimes/onnxruntime.h"

enum { EXAMPLES = 16, TENSORS_MAX = MODEL_FEED_MAX };

struct ablation {
    struct compress_job *job;
    const struct channel_groups *groups;
    const struct channel_family *family;
    struct gates gates;
    struct onnxruntime_session *session;
    const struct tensor_spec *inputs;
    size_t input_count;               /* of the model; the gates come after */
    struct onnxruntime_tensor *feed;  /* [input_count], shared by all runs */
    struct onnxruntime_result *whole; /* with all gates open */
    double *losses;                   /* by unit of the family */
};

static enum rc feed_examples(struct ablation *a, struct err *err) {
    const struct dataset *data = a->job->calibration;
    size_t have = dataset_count(data) < EXAMPLES ? dataset_count(data) : EXAMPLES;
    a->feed = calloc(a->input_count + 1, sizeof(*a->feed));
    if (!a->feed) {
        return err_memory(err);
    }
    for (size_t i = 0; i < a->input_count; i++) {
        const struct tensor_spec *spec = dataset_input(data, i);
        size_t bytes = dataset_input_bytes(data, i);
        bool fixed = a->inputs[i].rank > 0 && a->inputs[i].dims[0] > 0;
        size_t rows = fixed ? (size_t)a->inputs[i].dims[0] : have, real = rows < have ? rows : have;
        struct onnxruntime_tensor *t = &a->feed[i];
        t->dtype = spec->dtype;
        t->rank = spec->rank;
        memcpy(t->dims, spec->dims, sizeof(t->dims));
        t->dims[0] = (int64_t)rows;
        t->bytes = rows * bytes;
        t->data = malloc(t->bytes + 1);
        if (!t->data) {
            return err_memory(err);
        }
        dataset_fill(data, i, 0, real, t->data);
        for (size_t r = real; r < rows; r++) {
            memcpy((char *)t->data + r * bytes, (char *)t->data + (real - 1) * bytes, bytes);
        }
    }
    return RC_OK;
}

/* Runs with `unit` off; CHANNEL_NO_UNIT: all on. */
static enum rc run_without(const struct ablation *a, uint32_t unit, struct onnxruntime_result **ret,
                           struct err *err) {
    struct onnxruntime_tensor tensors[TENSORS_MAX];
    enum rc rc = RC_OK;
    memset(tensors, 0, sizeof(tensors));
    memcpy(tensors, a->feed, a->input_count * sizeof(*tensors));
    for (size_t i = 0; i < a->gates.count && rc == RC_OK; i++) {
        struct onnxruntime_tensor *t = &tensors[a->input_count + i];
        const struct gate *gate = &a->gates.list[i];
        float *open = malloc((gate->axis->length + 1) * sizeof(*open));
        t->dtype = DTYPE_FLOAT32;
        t->rank = gate->rank;
        t->bytes = gate->axis->length * sizeof(*open);
        t->data = open;
        rc = open ? RC_OK : err_memory(err);
        for (uint32_t k = 0; k < gate->rank; k++) {
            t->dims[k] = k == gate->axis->index ? (int64_t)gate->axis->length : 1;
        }
        for (uint32_t k = 0; rc == RC_OK && k < gate->axis->length; k++) {
            uint32_t at = a->groups->unit_of[gate->axis->first + k];
            open[k] = at == unit && unit != CHANNEL_NO_UNIT ? 0 : 1;
        }
    }
    rc = rc != RC_OK ? rc : onnxruntime_run(a->session, tensors, ret, err);
    for (size_t i = 0; i < a->gates.count; i++) {
        free(tensors[a->input_count + i].data);
    }
    return rc;
}

static double row_distance(const float *a, const float *b, size_t n) {
    double mean = 0, sum = 0;
    for (size_t i = 0; n > 1 && i < n; i++) {
        mean += ((double)a[i] - (double)b[i]) / (double)n;
    }
    for (size_t i = 0; i < n; i++) {
        double d = (double)a[i] - (double)b[i] - mean;
        sum += d * d;
    }
    return sum;
}

static double distance(const struct ablation *a, const struct onnxruntime_result *other) {
    const struct tensor_spec *outputs;
    size_t count = onnxruntime_outputs(a->session, &outputs);
    double sum = 0;
    for (size_t i = 0; i < count; i++) {
        const struct onnxruntime_tensor *x = onnxruntime_result_output(a->whole, i);
        const struct onnxruntime_tensor *y = onnxruntime_result_output(other, i);
        if (x->dtype != DTYPE_FLOAT32 || x->bytes != y->bytes) {
            continue;
        }
        size_t n = x->rank && x->dims[x->rank - 1] > 0 ? (size_t)x->dims[x->rank - 1] : 1;
        for (size_t row = 0; row < x->bytes / sizeof(float) / n; row++) {
            sum += row_distance((const float *)x->data + row * n, (const float *)y->data + row * n, n);
        }
    }
    return isnan(sum) ? INFINITY : sum;
}

static enum rc ablate_unit(void *user, size_t item, size_t thread, struct err *err) {
    struct ablation *a = user;
    struct onnxruntime_result *result = NULL;
    (void)thread;
    enum rc rc = run_without(a, a->family->first + (uint32_t)item, &result, err);
    if (rc == RC_OK) {
        a->losses[item] = distance(a, result);
    }
    onnxruntime_result_free(result);
    return rc;
}

static enum rc ablate(struct ablation *a, double *scores, struct err *err) {
    enum rc rc = feed_examples(a, err);
    rc = rc != RC_OK ? rc : run_without(a, CHANNEL_NO_UNIT, &a->whole, err);
    rc = rc != RC_OK ? rc : parallel_for(a->job->threads, a->family->count, ablate_unit, a, err);
    for (uint32_t u = 0; u < a->family->count && rc == RC_OK; u++) {
        scores[a->family->first + u] = a->losses[u];
    }
    return rc;
}

static void ablation_release(struct ablation *a) {
    for (size_t i = 0; a->feed && i < a->input_count; i++) {
        free(a->feed[i].data);
    }
    free(a->feed);
    free(a->losses);
    onnxruntime_result_free(a->whole);
    onnxruntime_close(a->session);
    gates_release(&a->gates);
}

enum rc channel_score_loss(struct compress_job *job, const struct channel_groups *groups, size_t family,
                           double *scores, struct err *err) {
    struct ablation a = {.job = job, .groups = groups, .family = &groups->families[family]};
    struct onnxruntime_session_opts opts = {.threads = 1};
    struct onnxruntime *runtime = NULL;
    char *data = NULL;
    size_t size = 0;
    a.losses = calloc(a.family->count + 1, sizeof(*a.losses));
    enum rc rc = a.losses ? gated_graph_pack(job->graph, groups, family, &a.gates, &data, &size, err)
                          : err_memory(err);
    rc = rc != RC_OK ? rc : onnxruntime_new(NULL, &runtime, err);
    rc = rc != RC_OK ? rc : onnxruntime_open_bytes(runtime, data, size, &opts, &a.session, err);
    free(data);
    size_t all = rc == RC_OK ? onnxruntime_inputs(a.session, &a.inputs) : 0;
    if (rc == RC_OK && (all > TENSORS_MAX || a.gates.count == 0)) {
        rc = record_note(job->record, err, "%s and what belongs to it: ranked by weights, as no gate fits",
                         a.family->label);
    } else if (rc == RC_OK) {
        a.input_count = all - a.gates.count;
        rc = ablate(&a, scores, err);
    }
    ablation_release(&a);
    onnxruntime_free(runtime);
    return rc;
}

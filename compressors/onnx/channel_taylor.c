/* Scores by the first-order change of the loss: the square of the loss's derivative by a gate on the unit,
 * example by example (Molchanov et al. 2019, "Importance Estimation for Neural Network Pruning", with gates).
 * The loss is the model's outputs times random signs, so no labels are needed and the score is, on average,
 * the squared distance that channel_ablate.c measures by switching the unit off, to first order: see
 * gate_derivatives.h. All units are scored by the same few runs. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "compressors/onnx/channel_score.h"
#include "compressors/onnx/gate_derivatives.h"
#include "compressors/onnx/model_feed.h"
#include "compressors/onnx/parallel.h"
#include "core/base/checked.h"
#include "core/data/dataset.h"
#include "core/stats/rng.h"
#include "runtimes/onnxruntime.h"

/* An example and its signs are a run. As the mean over examples averages over the signs too, more examples
 * are better than more signs for each. Runs of a round are kept apart and added in order. */
enum { RUNS = 256, ROUND = 32 };

struct taylor {
    struct compress_job *job;
    const struct channel_groups *groups;
    struct gate_derivatives gates;
    struct onnxruntime_session *session;
    const struct tensor_spec *inputs; /* the model's, then the signs */
    size_t input_count;
    struct onnxruntime_tensor *feeds; /* [threads][input_count], data owned */
    size_t threads, first;            /* run of the round */
    double *derivatives;              /* [ROUND][units]: by each gate */
};

/* --- inputs --- */

static enum rc feed_init(const struct taylor *t, struct onnxruntime_tensor *feed, struct err *err) {
    for (size_t i = 0; i < t->input_count; i++) {
        const bool signs = i + 1 == t->input_count;
        const struct tensor_spec *spec = signs ? &t->inputs[i] : dataset_input(t->job->calibration, i);
        size_t row = signs ? sizeof(float) : dataset_input_bytes(t->job->calibration, i);
        size_t rows = signs                                               ? t->gates.sign_count
                      : t->inputs[i].rank > 0 && t->inputs[i].dims[0] > 0 ? (size_t)t->inputs[i].dims[0]
                                                                          : 1;
        feed[i].dtype = spec->dtype;
        feed[i].rank = signs ? 1 : spec->rank;
        memcpy(feed[i].dims, spec->dims, sizeof(feed[i].dims));
        feed[i].dims[0] = (int64_t)rows;
        if (checked_mul(rows, row, &feed[i].bytes)) {
            return err_set(err, RC_TOO_LARGE, "input \"%.160s\" is too large", spec->name);
        }
        feed[i].data = malloc(feed[i].bytes + 1);
        if (!feed[i].data) {
            return err_memory(err);
        }
    }
    return RC_OK;
}

/* The examples of run `run`, as many as the model's batch has, and its signs. */
static void feed_fill(const struct taylor *t, struct onnxruntime_tensor *feed, size_t run) {
    const struct dataset *data = t->job->calibration;
    struct onnxruntime_tensor *signs = &feed[t->input_count - 1];
    struct rng rng;
    uint64_t bits = 0;
    for (size_t i = 0; i + 1 < t->input_count; i++) {
        size_t row = dataset_input_bytes(data, i), rows = (size_t)feed[i].dims[0];
        for (size_t r = 0; r < rows; r++) {
            dataset_fill(data, i, (run * rows + r) % dataset_count(data), 1, (char *)feed[i].data + r * row);
        }
    }
    rng_seed(&rng, run);
    for (size_t i = 0; i < t->gates.sign_count; i++) {
        bits = i % 64 == 0 ? rng_next(&rng) : bits >> 1;
        ((float *)signs->data)[i] = bits & 1 ? 1 : -1;
    }
}

/* --- runs --- */

static enum rc take(const struct taylor *t, const struct onnxruntime_result *result, double *derivatives,
                    struct err *err) {
    for (size_t k = 0; k < t->gates.count; k++) {
        const struct onnxruntime_tensor *y = onnxruntime_result_output(result, k);
        const struct channel_axis *a = t->gates.axes[k];
        if (y->dtype != DTYPE_FLOAT32 || y->bytes != a->length * sizeof(float)) {
            return err_set(err, RC_INTERNAL, "a derivative has another shape than its channels");
        }
        for (uint32_t i = 0; i < a->length; i++) {
            uint32_t unit = t->groups->unit_of[a->first + i];
            if (unit != CHANNEL_NO_UNIT) {
                derivatives[unit] += (double)((const float *)y->data)[i];
            }
        }
    }
    return RC_OK;
}

static enum rc run_one(void *user, size_t item, size_t thread, struct err *err) {
    struct taylor *t = user;
    struct onnxruntime_tensor *feed = t->feeds + thread * t->input_count;
    double *derivatives = t->derivatives + item * t->groups->unit_count;
    struct onnxruntime_result *result = NULL;
    memset(derivatives, 0, t->groups->unit_count * sizeof(*derivatives));
    feed_fill(t, feed, t->first + item);
    enum rc rc = onnxruntime_run(t->session, feed, &result, err);
    rc = rc != RC_OK ? rc : take(t, result, derivatives, err);
    onnxruntime_result_free(result);
    return rc;
}

/* sums[unit]: of squares, over all runs. */
static enum rc run_all(struct taylor *t, double from, double to, double *sums, struct err *err) {
    const size_t units = t->groups->unit_count;
    enum rc rc = RC_OK;
    for (t->first = 0; t->first < RUNS && rc == RC_OK; t->first += ROUND) {
        rc = parallel_for(t->threads, ROUND, run_one, t, err);
        for (size_t i = 0; i < ROUND * units && rc == RC_OK; i++) {
            sums[i % units] += t->derivatives[i] * t->derivatives[i];
        }
        double done = (double)(t->first + ROUND) / RUNS;
        compress_progress(t->job, from + (to - from) * done, "taking derivatives by channels");
    }
    return rc;
}

/* --- scores --- */

/* Families of which a product reads something get these scores; units that move nothing have none. */
static enum rc keep_scores(const struct taylor *t, const double *sums, double *scores, struct err *err) {
    const struct channel_groups *c = t->groups;
    bool *read = calloc(c->unit_count + 1, sizeof(*read));
    enum rc rc = read ? RC_OK : err_memory(err);
    for (size_t k = 0; k < t->gates.count && rc == RC_OK; k++) {
        for (uint32_t i = 0; i < t->gates.axes[k]->length; i++) {
            uint32_t unit = c->unit_of[t->gates.axes[k]->first + i];
            read[unit != CHANNEL_NO_UNIT ? unit : c->unit_count] = true;
        }
    }
    for (size_t i = 0; i < c->family_count && rc == RC_OK; i++) {
        const struct channel_family *f = &c->families[i];
        bool any = false;
        for (uint32_t u = f->first; u < f->first + f->count; u++) {
            any = any || read[u];
        }
        for (uint32_t u = f->first; u < f->first + f->count && any && sums; u++) {
            scores[u] = isnan(sums[u]) ? INFINITY : sums[u] / RUNS;
        }
        if (!any) {
            rc = record_note(t->job->record, err,
                             "%s and what belongs to it: ranked by weights, as no gate fits", f->label);
        }
    }
    free(read);
    return rc;
}

static enum rc score(struct taylor *t, double from, double to, double *scores, struct err *err) {
    const size_t units = t->groups->unit_count;
    double *sums = calloc(units + 1, sizeof(*sums));
    size_t cells = 0;
    t->threads = t->job->threads < 1                      ? 1
                 : t->job->threads < PARALLEL_THREADS_MAX ? t->job->threads
                                                          : PARALLEL_THREADS_MAX;
    t->feeds = calloc(t->threads * t->input_count + 1, sizeof(*t->feeds));
    t->derivatives = checked_mul(ROUND, units, &cells) ? NULL : calloc(cells + 1, sizeof(*t->derivatives));
    enum rc rc = sums && t->feeds && t->derivatives ? RC_OK : err_memory(err);
    for (size_t k = 0; k < t->threads && rc == RC_OK; k++) {
        rc = feed_init(t, t->feeds + k * t->input_count, err);
    }
    rc = rc != RC_OK ? rc : run_all(t, from, to, sums, err);
    rc = rc != RC_OK ? rc : keep_scores(t, sums, scores, err);
    free(sums);
    return rc;
}

static void taylor_release(struct taylor *t) {
    for (size_t i = 0; t->feeds && i < t->threads * t->input_count; i++) {
        free(t->feeds[i].data);
    }
    free(t->feeds);
    free(t->derivatives);
    onnxruntime_close(t->session);
    gate_derivatives_release(&t->gates);
}

enum rc channel_score_taylor(struct compress_job *job, const struct channel_groups *groups, double from,
                             double to, double *scores, struct err *err) {
    struct taylor t = {.job = job, .groups = groups};
    struct onnxruntime_session_opts opts = {.threads = 1};
    struct onnxruntime *runtime = NULL;
    char *data = NULL;
    size_t size = 0;
    if (!job->calibration || dataset_count(job->calibration) == 0) {
        return err_set(err, RC_INPUT, "calibration examples are needed: give a dataset to calibrate with");
    }
    enum rc rc = gate_derivatives_pack(job->graph, groups, job->calibration, &t.gates, &data, &size, err);
    if (rc == RC_UNSUPPORTED) {
        return err_prefix(err, "score=taylor needs the model's derivatives (score=fit, energy, l1 and loss "
                               "do without)");
    }
    if (rc == RC_OK && t.gates.count > 0) {
        rc = onnxruntime_new(NULL, &runtime, err);
        rc = rc != RC_OK ? rc : onnxruntime_open_bytes(runtime, data, size, &opts, &t.session, err);
        t.input_count = rc == RC_OK ? onnxruntime_inputs(t.session, &t.inputs) : 0;
        rc = rc != RC_OK ? rc : score(&t, from, to, scores, err);
    } else if (rc == RC_OK) {
        rc = keep_scores(&t, NULL, scores, err);
    }
    free(data);
    taylor_release(&t);
    onnxruntime_free(runtime);
    return rc;
}

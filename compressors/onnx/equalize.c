/* equalize.c -- "Data-free quantization through weight equalization and bias correction" (Nagel, van Baalen,
 * Blankevoort, Welling 2019), section 4.1: where f(s x) = s f(x) stands between two layers, output channel i
 * of the first may be divided by s_i and input channel i of the second multiplied by it. With s_i = sqrt(r1_i
 * / r2_i), r the largest absolute weight of the channel, both become equally large (equation 11); pairs are
 * visited in turn until no scale moves. Section 4.1.3, absorbing high biases, is equalize_absorb.c. */
#include "compressors/onnx/equalize.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compressors/onnx/equalize_absorb.h"
#include "compressors/onnx/equalize_pairs.h"
#include "compressors/onnx/graph.h"
#include "compressors/onnx/passes.h"
#include "core/recipes/recipe.h"

enum { SWEEPS_MAX = 20, NAME_SIZE = 512 };

static const double settled = 1e-3;  /* largest |log s| of a sweep that ends it */
static const double scale_max = 1e4; /* of one sweep, and 1 / it at least */

struct work {
    struct equalize_pairs pairs;
    double **scales;       /* [pairs.count] of [channels]: all sweeps together */
    float *first, *second; /* [channels of the widest], scratch: r1, r2 */
};

static enum rc work_init(struct work *w, struct err *err) {
    size_t widest = 0;
    w->scales = calloc(w->pairs.count + 1, sizeof(*w->scales));
    if (!w->scales) {
        return err_memory(err);
    }
    for (size_t i = 0; i < w->pairs.count; i++) {
        size_t channels = w->pairs.layers[w->pairs.pairs[i].from].outputs;
        widest = channels > widest ? channels : widest;
        w->scales[i] = malloc((channels + 1) * sizeof(**w->scales));
        if (!w->scales[i]) {
            return err_memory(err);
        }
        for (size_t c = 0; c < channels; c++) {
            w->scales[i][c] = 1;
        }
    }
    w->first = calloc(widest + 1, sizeof(*w->first));
    w->second = calloc(widest + 1, sizeof(*w->second));
    return w->first && w->second ? RC_OK : err_memory(err);
}

static void work_release(struct work *w) {
    for (size_t i = 0; w->scales && i < w->pairs.count; i++) {
        free(w->scales[i]);
    }
    free(w->scales);
    free(w->first);
    free(w->second);
    equalize_pairs_release(&w->pairs);
}

/* --- scales --- */

static void widen(float *range, float value) {
    float a = fabsf(value);
    *range = a > *range || isnan(a) ? a : *range;
}

static void read_ranges(const struct work *w, const struct equalize_pair *pair) {
    const struct equalize_layer *from = &w->pairs.layers[pair->from];
    memset(w->first, 0, from->outputs * sizeof(*w->first));
    memset(w->second, 0, from->outputs * sizeof(*w->second));
    for (size_t i = 0; i < from->count; i++) {
        widen(&w->first[equalize_output_of(from, i)], from->w[i]);
    }
    for (size_t k = 0; k < pair->to_count; k++) {
        const struct equalize_layer *to = &w->pairs.layers[pair->to[k]];
        for (size_t i = 0; i < to->count; i++) {
            widen(&w->second[equalize_input_of(to, i, from->outputs)], to->w[i]);
        }
    }
}

/* Equation 11; 1 for a channel without weights on one side. */
static double scale_of(float first, float second) {
    if (!(first > 0) || !(second > 0) || !isfinite(first) || !isfinite(second)) {
        return 1;
    }
    double s = sqrt((double)first / (double)second);
    return s > scale_max ? scale_max : s < 1 / scale_max ? 1 / scale_max : s;
}

/* `first` holds the scales on the way. Returns the largest |log s|. */
static double equalize_pair(struct work *w, size_t at) {
    const struct equalize_pair *pair = &w->pairs.pairs[at];
    struct equalize_layer *from = &w->pairs.layers[pair->from];
    double largest = 0;
    read_ranges(w, pair);
    for (size_t c = 0; c < from->outputs; c++) {
        w->first[c] = (float)scale_of(w->first[c], w->second[c]);
        w->scales[at][c] *= (double)w->first[c];
        largest = fmax(largest, fabs(log((double)w->first[c])));
    }
    for (size_t i = 0; i < from->count; i++) {
        from->w[i] /= w->first[equalize_output_of(from, i)];
    }
    for (size_t c = 0; from->bias && c < from->outputs; c++) {
        from->bias[c] /= w->first[c];
    }
    from->changed = true;
    for (size_t k = 0; k < pair->to_count; k++) {
        struct equalize_layer *to = &w->pairs.layers[pair->to[k]];
        for (size_t i = 0; i < to->count; i++) {
            to->w[i] *= w->first[equalize_input_of(to, i, from->outputs)];
        }
        to->changed = true;
    }
    return largest;
}

static void equalize_all(struct work *w, const struct compress_job *job) {
    for (int sweep = 0; sweep < SWEEPS_MAX; sweep++) {
        double largest = 0;
        for (size_t i = 0; i < w->pairs.count; i++) {
            largest = fmax(largest, equalize_pair(w, i));
        }
        compress_progress(job, (sweep + 1) / (double)SWEEPS_MAX, "equalizing");
        if (largest < settled) {
            return;
        }
    }
}

/* --- writing back --- */

static enum rc write_floats(struct graph *g, struct graph_node *n, size_t slot, const float *values,
                            size_t count, struct err *err) {
    const struct graph_value *v = graph_input(g, n, slot);
    const Onnx__TensorProto *t = graph_constant(g, v);
    struct graph_value *fresh = NULL;
    char hint[NAME_SIZE];
    (void)snprintf(hint, sizeof(hint), "%.480s_equalized", v->name);
    enum rc rc = graph_add_initializer(g, hint, GRAPH_FLOAT32, t->dims, t->n_dims, values,
                                       count * sizeof(*values), &fresh, err);
    return rc != RC_OK ? rc : graph_set_input(g, n, slot, fresh->name, err);
}

static enum rc write_layer(struct compress_job *job, const struct equalize_layer *l, struct err *err) {
    const char *name = l->weights.value->name;
    enum rc rc = write_floats(job->graph, l->node, l->weights.slot, l->w, l->count, err);
    if (rc == RC_OK && l->bias) {
        rc = write_floats(job->graph, l->add, l->add_slot, l->bias, l->outputs, err);
    }
    return rc != RC_OK ? rc
                       : record_changed(job->record, err, name,
                                        "channels rescaled against the layers beside it (cross-layer "
                                        "equalization)");
}

static enum rc write_all(struct compress_job *job, const struct work *w, struct err *err) {
    enum rc rc = RC_OK;
    for (size_t i = 0; i < w->pairs.layer_count && rc == RC_OK; i++) {
        const struct equalize_layer *l = &w->pairs.layers[i];
        rc = l->changed ? write_layer(job, l, err)
                        : record_left_alone(job->record, err, l->weights.value->name,
                                            "no layer follows or precedes it alone, through operators that a "
                                            "factor passes");
    }
    return rc;
}

static enum rc absorb(struct compress_job *job, struct work *w, const struct equalize_norms *norms,
                      struct err *err) {
    size_t channels = 0;
    for (size_t i = 0; i < w->pairs.count; i++) {
        channels += equalize_absorb(&w->pairs, i, w->scales[i], norms);
    }
    return record_note(
        job->record, err,
        "high biases of %zu channels moved into the layers behind them: outputs change where a "
        "value lies more than three standard deviations below its mean",
        channels);
}

enum rc equalize_compress(struct compress_job *job, const struct recipe_step *step, struct err *err) {
    struct work w = {0};
    struct equalize_norms norms = {0};
    bool absorbs = recipe_flag(step, "absorb");
    enum rc rc = pass_fold_constants(job->graph, NULL, err);
    if (rc == RC_OK && absorbs) {
        rc = equalize_norms_read(job->graph, &norms, err); /* folding forgets them */
    }
    rc = rc != RC_OK ? rc : pass_fold_batchnorm(job->graph, NULL, err);
    rc = rc != RC_OK ? rc : graph_sort(job->graph, err);
    rc = rc != RC_OK ? rc : equalize_pairs_find(job->graph, &w.pairs, err);
    if (rc == RC_OK && w.pairs.count == 0) {
        rc = err_set(
            err, RC_UNSUPPORTED,
            "no Conv, Gemm or MatMul goes to another one alone, through Relu, pools or nothing: there "
            "is nothing to equalize");
    }
    rc = rc != RC_OK ? rc : work_init(&w, err);
    if (rc == RC_OK) {
        equalize_all(&w, job);
    }
    if (rc == RC_OK && absorbs) {
        rc = absorb(job, &w, &norms, err);
    }
    rc = rc != RC_OK ? rc : write_all(job, &w, err);
    rc = rc != RC_OK ? rc : pass_remove_dead(job->graph, NULL, err);
    equalize_norms_release(&norms);
    work_release(&w);
    return rc;
}

#include "compressors/onnx/channel_score.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "compressors/onnx/channel_reading.h"
#include "compressors/onnx/moments.h"

enum { ROWS_MAX = 32768 }; /* of a layer's inputs: more change no order */

/* --- by weights --- */

static bool is_contraction(const struct channel_groups *c, size_t axis) {
    for (size_t i = 0; i < c->contraction_count; i++) {
        if (c->contractions[i].axis == axis) {
            return true;
        }
    }
    return false;
}

static bool has_units(const struct channel_groups *c, const struct channel_axis *a) {
    for (uint32_t i = 0; i < a->length; i++) {
        if (c->unit_of[a->first + i] != CHANNEL_NO_UNIT) {
            return true;
        }
    }
    return false;
}

static enum rc add_l1(const struct graph *g, const struct channel_groups *c, const struct channel_axis *a,
                      double *scores, struct err *err) {
    const Onnx__TensorProto *t = graph_constant(g, a->value);
    float *values;
    size_t count, inner = 1;
    if (!t || t->n_dims < 2 || !has_units(c, a)) {
        return RC_OK;
    }
    if (graph_tensor_floats(g, t, &values, &count, err) != RC_OK) {
        return RC_OK; /* not weights: integers */
    }
    for (size_t i = a->index + 1; i < t->n_dims; i++) {
        inner *= (size_t)t->dims[i];
    }
    for (size_t i = 0; i < count; i++) {
        uint32_t unit = c->unit_of[a->first + i / inner % a->length];
        if (unit != CHANNEL_NO_UNIT) {
            scores[unit] += fabs((double)values[i]);
        }
    }
    free(values);
    return RC_OK;
}

enum rc channel_score_l1(struct graph *g, const struct channel_groups *groups, double *scores,
                         struct err *err) {
    enum rc rc = RC_OK;
    memset(scores, 0, groups->unit_count * sizeof(*scores));
    for (size_t i = 0; i < groups->axis_count && rc == RC_OK; i++) {
        if (!is_contraction(groups, i)) {
            rc = add_l1(g, groups, &groups->axes[i], scores, err);
        }
    }
    for (size_t i = 0; i < groups->family_count; i++) {
        const struct channel_family *f = &groups->families[i];
        double total = 0;
        for (uint32_t u = f->first; u < f->first + f->count; u++) {
            total += scores[u];
        }
        for (uint32_t u = f->first; u < f->first + f->count && total > 0; u++) {
            scores[u] /= total;
        }
    }
    return rc;
}

/* --- by what is read of it --- */

struct reading {
    struct channel_reading of;
    const struct moments_layer *moments;
    float *weights;
};

/* Covariance of rows k and l of one group. */
static double covariance(const struct reading *r, size_t group, size_t k, size_t l) {
    size_t width = r->moments->rows.width;
    double n = r->moments->count ? (double)r->moments->count : 1;
    const double *sums = r->moments->sums + group * width;
    return r->moments->products[(group * width + k) * width + l] / n - sums[k] / n * (sums[l] / n);
}

/* Variance of the part of all outputs of the group that comes from rows[count]. */
static double part(const struct reading *r, size_t group, const size_t *rows, size_t count) {
    double sum = 0;
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j <= i; j++) {
            double dot = 0;
            for (size_t o = 0; o < r->of.layer.outputs; o++) {
                dot += (double)r->weights[product_layer_at(&r->of.layer, group, o, rows[i])] *
                       (double)r->weights[product_layer_at(&r->of.layer, group, o, rows[j])];
            }
            sum += (i == j ? 1 : 2) * dot * covariance(r, group, rows[i], rows[j]);
        }
    }
    return sum > 0 ? sum : 0;
}

static enum rc add_energy(const struct graph *g, struct reading *r, double *scores, struct err *err) {
    size_t count, units = r->of.groups->unit_count;
    double *own = calloc(units + 1, sizeof(*own)), total = 0;
    size_t *rows = malloc((r->of.layer.rows.width + 1) * sizeof(*rows));
    enum rc rc = own && rows ? graph_tensor_floats(g, r->of.layer.weights.tensor, &r->weights, &count, err)
                             : err_memory(err);
    if (rc == RC_OK) {
        for (uint32_t i = 0; i < r->of.axis->length; i++) {
            uint32_t unit = r->of.groups->unit_of[r->of.axis->first + i];
            if (unit == CHANNEL_NO_UNIT || own[unit] != 0) {
                continue;
            }
            for (size_t group = 0; group < r->of.layer.rows.groups; group++) {
                own[unit] += part(r, group, rows, channel_reading_rows(&r->of, group, unit, rows));
            }
            total += own[unit];
        }
        for (size_t i = 0; i < units && total > 0; i++) {
            scores[i] += own[i] / total;
        }
        free(r->weights);
    }
    free(own);
    free(rows);
    return rc;
}

/* The contractions whose rows can be made, with their nodes. */
static size_t choose(struct compress_job *job, const struct channel_groups *c, struct reading *list,
                     const struct graph_node **nodes) {
    size_t count = 0;
    for (size_t i = 0; i < c->contraction_count; i++) {
        if (channel_reading_of(job->graph, c, i, &list[count].of)) {
            nodes[count] = list[count].of.layer.node;
            count++;
        }
    }
    return count;
}

static enum rc add_all(struct compress_job *job, struct reading *list, const struct graph_node **nodes,
                       size_t count, double from, double to, double *scores, struct err *err) {
    enum rc rc = RC_OK;
    for (size_t first = 0, n; first < count && rc == RC_OK; first += n) {
        struct moments *m = NULL;
        double whole = (double)count, span = to - from;
        n = moments_fit(job->graph, nodes + first, count - first, MOMENTS_BYTES_MAX / 2);
        struct moments_opts opts = {.observe = {.from = from + span * (double)first / whole,
                                                .to = from + span * (double)(first + n) / whole,
                                                .text = "observing what layers read"},
                                    .max_rows = ROWS_MAX};
        rc = moments_run(job, nodes + first, n, &opts, &m, err);
        for (size_t i = 0; i < n && rc == RC_OK; i++) {
            list[first + i].moments = moments_at(m, i);
            rc = add_energy(job->graph, &list[first + i], scores, err);
        }
        moments_free(m);
    }
    return rc;
}

enum rc channel_score_energy(struct compress_job *job, const struct channel_groups *groups, double from,
                             double to, double *scores, struct err *err) {
    struct reading *list = calloc(groups->contraction_count + 1, sizeof(*list));
    const struct graph_node **nodes = calloc(groups->contraction_count + 1, sizeof(struct graph_node *));
    memset(scores, 0, groups->unit_count * sizeof(*scores));
    enum rc rc = list && nodes ? RC_OK : err_memory(err);
    if (rc == RC_OK) {
        size_t count = choose(job, groups, list, nodes);
        rc = add_all(job, list, nodes, count, from, to, scores, err);
    }
    free(list);
    free(nodes);
    return rc;
}

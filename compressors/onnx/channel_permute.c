#include "compressors/onnx/channel_permute.h"

#include <stdlib.h>

#include "compressors/onnx/channel_groups.h"
#include "compressors/onnx/channel_reading.h"
#include "compressors/onnx/channel_reorder.h"
#include "compressors/onnx/class_weights.h"
#include "compressors/onnx/graph_shapes.h"
#include "compressors/onnx/model_compare.h"
#include "compressors/onnx/moments.h"
#include "compressors/onnx/passes.h"
#include "compressors/onnx/prune_layers.h"
#include "compressors/onnx/prune_permute.h"
#include "compressors/onnx/weight_rows.h"

/* Norms of inputs need few examples; a sample of the outputs tells channels apart as well as all. */
enum { EXAMPLES = 64, ROWS_MAX = 8192, OUTPUTS_MAX = 4096, CHECKED_EXAMPLES = 8 };
static const double MOST_ERROR = 1e-3; /* as of prune_channels.c */
static const uint64_t WORK_MAX = UINT64_C(1) << 35;
static const double LEAST_GAIN = 0.01; /* of what the pattern takes */

struct permuting {
    struct compress_job *job;
    size_t n, m;
    bool spare_last;
    struct graph_shapes *shapes;
    struct channel_groups *groups;
    struct channel_reading *readings;
    double **norms; /* [reading_count]: of its rows, [groups, width], squared */
    size_t reading_count;
    uint32_t *order; /* by unit: the unit that comes in its place */
    double *gains;   /* by family: the part of what the pattern takes that the order saves; 0: as it was */
};

static void permuting_release(struct permuting *p) {
    for (size_t i = 0; i < p->reading_count; i++) {
        free(p->norms[i]);
    }
    channel_groups_free(p->groups);
    graph_shapes_free(p->shapes);
    free(p->readings);
    free(p->norms);
    free(p->order);
    free(p->gains);
}

/* --- what is read --- */

/* True when the units of a family lie one by one, in order, on the whole axis that r sums over. */
static bool covers(const struct permuting *p, const struct channel_reading *r) {
    const struct channel_groups *c = p->groups;
    uint32_t first = c->unit_of[r->axis->first];
    if (first == CHANNEL_NO_UNIT || r->axis->length % p->m != 0) {
        return false;
    }
    const struct channel_family *f = &c->families[c->units[first].family];
    for (uint32_t i = 0; i < r->axis->length; i++) {
        if (c->unit_of[r->axis->first + i] != f->first + i) {
            return false;
        }
    }
    return first == f->first && f->count == r->axis->length;
}

/* Layers that pruning changes, as far as it depends on the layer alone, and that can be observed. */
static bool counts(const struct permuting *p, const struct channel_reading *r) {
    const struct weights *w = &r->layer.weights;
    const char *why;
    size_t count = 0;
    bool spared = p->spare_last && class_weights_is_last(p->job->graph, r->layer.node);
    return !spared && weight_rows_possible(r->layer.node, w, &why) &&
           r->layer.rows.kind != LAYER_ROWS_SECOND_LAST &&
           graph_tensor_count(w->tensor, &count, NULL) == RC_OK && count >= PRUNE_MIN_WEIGHTS &&
           moments_bytes(p->job->graph, r->layer.node) <= MOMENTS_BYTES_MAX / 2;
}

static enum rc find_readings(struct permuting *p, struct err *err) {
    size_t count = p->groups->contraction_count;
    p->readings = calloc(count + 1, sizeof(*p->readings));
    p->norms = calloc(count + 1, sizeof(*p->norms));
    if (!p->readings || !p->norms) {
        return err_memory(err);
    }
    for (size_t i = 0; i < count; i++) {
        struct channel_reading *r = &p->readings[p->reading_count];
        p->reading_count +=
            channel_reading_of(p->job->graph, p->groups, i, r) && counts(p, r) && covers(p, r);
    }
    return RC_OK;
}

static enum rc take_norms(struct permuting *p, const struct moments *m, size_t first, size_t count,
                          struct err *err) {
    for (size_t i = 0; i < count; i++) {
        const struct moments_layer *l = moments_at(m, i);
        size_t width = l->rows.width, all = l->rows.groups * width;
        double *norms = p->norms[first + i] = malloc((all + 1) * sizeof(*norms));
        if (!norms) {
            return err_memory(err);
        }
        for (size_t k = 0; k < all; k++) {
            norms[k] = l->products[k * width + k % width];
        }
    }
    return RC_OK;
}

static enum rc observe(struct permuting *p, struct err *err) {
    const struct graph_node **nodes = calloc(p->reading_count + 1, sizeof(struct graph_node *));
    enum rc rc = nodes ? RC_OK : err_memory(err);
    for (size_t i = 0; i < p->reading_count && rc == RC_OK; i++) {
        nodes[i] = p->readings[i].layer.node;
    }
    for (size_t first = 0, n; first < p->reading_count && rc == RC_OK; first += n) {
        struct moments *m = NULL;
        const struct moments_opts opts = {
            .observe = {.max_examples = EXAMPLES, .text = "looking for an order of the channels"},
            .max_rows = ROWS_MAX};
        struct compress_job quiet = *p->job;
        quiet.on_progress = NULL;
        n = moments_fit(p->job->graph, nodes + first, p->reading_count - first, MOMENTS_BYTES_MAX / 2);
        rc = moments_run(&quiet, nodes + first, n, &opts, &m, err);
        rc = rc != RC_OK ? rc : take_norms(p, m, first, n, err);
        moments_free(m);
    }
    free(nodes);
    return rc;
}

/* --- an order for a family --- */

static bool reads(const struct permuting *p, const struct channel_reading *r, size_t family) {
    return p->groups->units[p->groups->unit_of[r->axis->first]].family == family;
}

/* Rows of `loss` that a layer gives: outputs of all groups at every position of its kernel. */
static size_t lines_of(const struct channel_reading *r) {
    return r->layer.rows.groups * r->layer.outputs * r->layer.rows_per_channel;
}

/* Every step-th line of a layer as parts of what the whole layer holds; loss [channels, lines]. */
static enum rc fill_loss(const struct permuting *p, size_t i, size_t step, float *loss, size_t lines,
                         size_t *at, struct err *err) {
    const struct channel_reading *r = &p->readings[i];
    const struct product_layer *l = &r->layer;
    size_t count, per = l->rows_per_channel, channels = r->axis->length;
    float *w;
    enum rc rc = graph_tensor_floats(p->job->graph, l->weights.tensor, &w, &count, err);
    if (rc != RC_OK) {
        return rc;
    }
    double total = 0;
    size_t begin = *at;
    for (size_t line = 0; line < lines_of(r); line += step, (*at)++) {
        size_t k = line % per, output = line / per % l->outputs, group = line / per / l->outputs;
        for (size_t c = 0; c < channels; c++) {
            size_t row = c * per + k;
            double value = w[product_layer_at(l, group, output, row)];
            double part = value * value * p->norms[i][group * l->rows.width + row];
            loss[c * lines + *at] = (float)part;
            total += part;
        }
    }
    for (size_t c = 0; c < channels && total > 0; c++) {
        for (size_t k = begin; k < *at; k++) {
            loss[c * lines + k] = (float)((double)loss[c * lines + k] / total);
        }
    }
    free(w);
    return RC_OK;
}

static enum rc order_family(struct permuting *p, size_t family, size_t *moved, struct err *err) {
    const struct channel_family *f = &p->groups->families[family];
    size_t lines = 0, at = 0, readings = 0;
    for (size_t i = 0; i < p->reading_count; i++) {
        bool read = reads(p, &p->readings[i], family);
        lines += read ? lines_of(&p->readings[i]) : 0;
        readings += read;
    }
    size_t step = lines / OUTPUTS_MAX + 1, kept = lines / step + readings + 1;
    if (lines == 0) {
        return RC_OK;
    }
    float *loss = calloc(kept * f->count, sizeof(*loss));
    uint32_t *order = malloc(f->count * sizeof(*order));
    double before = 0, after = 0;
    enum rc rc = loss && order ? RC_OK : err_memory(err);
    for (size_t i = 0; i < p->reading_count && rc == RC_OK; i++) {
        rc = reads(p, &p->readings[i], family) ? fill_loss(p, i, step, loss, kept, &at, err) : RC_OK;
    }
    rc = rc != RC_OK ? rc
                     : prune_permute(loss, kept, f->count, p->n, p->m, WORK_MAX, order, &before, &after, err);
    if (rc == RC_OK && after < (1 - LEAST_GAIN) * before) {
        for (uint32_t i = 0; i < f->count; i++) {
            p->order[f->first + i] = f->first + order[i];
        }
        p->gains[family] = 1 - after / before;
        (*moved)++;
    }
    free(loss);
    free(order);
    return rc;
}

/* --- all --- */

static enum rc prepare(struct permuting *p, char **original, size_t *size, struct err *err) {
    struct graph *g = p->job->graph;
    enum rc rc = pass_fold_constants(g, NULL, err);
    rc = rc != RC_OK ? rc : pass_remove_dead(g, NULL, err);
    rc = rc != RC_OK ? rc : graph_sort(g, err);
    rc = rc != RC_OK ? rc : graph_pack(g, original, size, err);
    rc = rc != RC_OK ? rc : graph_shapes_observe(g, p->job->calibration, &p->shapes, err);
    rc = rc != RC_OK ? rc : channel_groups_find(g, p->shapes, CHANNEL_TO_ORDER, &p->groups, err);
    rc = rc != RC_OK ? rc : find_readings(p, err);
    if (rc == RC_OK) {
        p->order = malloc((p->groups->unit_count + 1) * sizeof(*p->order));
        p->gains = calloc(p->groups->family_count + 1, sizeof(*p->gains));
        rc = p->order && p->gains ? RC_OK : err_memory(err);
    }
    for (size_t i = 0; rc == RC_OK && i < p->groups->unit_count; i++) {
        p->order[i] = (uint32_t)i;
    }
    return rc;
}

static enum rc restore(struct permuting *p, const char *original, size_t size, struct err *err) {
    struct graph *restored;
    enum rc rc = graph_parse(original, size, &restored, err);
    if (rc == RC_OK) {
        graph_free(p->job->graph);
        p->job->graph = restored;
    }
    return rc;
}

static enum rc note(const struct permuting *p, struct err *err) {
    enum rc rc = RC_OK;
    for (size_t i = 0; i < p->groups->family_count && rc == RC_OK; i++) {
        const struct channel_family *f = &p->groups->families[i];
        if (p->gains[i] > 0) {
            rc = record_changed(p->job->record, err, f->label,
                                "its %u channels are in another order: %zu:%zu takes %.1f %% less of the "
                                "weights",
                                f->count, p->n, p->m, 100 * p->gains[i]);
        }
    }
    return rc;
}

/* Compares with the model as it was; restores it where they are not shown to be the same. */
static enum rc check(struct permuting *p, const char *original, size_t size, struct err *err) {
    char *now = NULL;
    size_t now_size = 0;
    double error = 0;
    enum rc rc = graph_pack(p->job->graph, &now, &now_size, err);
    if (rc == RC_OK) {
        struct model_bytes a = {original, size}, b = {now, now_size};
        rc = model_compare(&a, &b, p->job->calibration, CHECKED_EXAMPLES, &error, err);
    }
    free(now);
    bool comparable = rc != RC_UNSUPPORTED;
    if (comparable && (rc != RC_OK || error <= MOST_ERROR)) {
        return rc != RC_OK ? rc : note(p, err);
    }
    rc = restore(p, original, size, err);
    if (rc != RC_OK) {
        return rc;
    }
    return comparable ? record_note(p->job->record, err,
                                    "channels stay in their order: in the new one the model's outputs "
                                    "differed by %.3g",
                                    error)
                      : record_note(p->job->record, err,
                                    "channels stay in their order: the model's outputs are of a kind that "
                                    "cannot be compared");
}

enum rc channel_permute(struct compress_job *job, size_t n, size_t m, bool spare_last, struct err *err) {
    struct permuting p = {.job = job, .n = n, .m = m, .spare_last = spare_last};
    char *original = NULL;
    size_t size = 0, moved = 0;
    if (!job->calibration) {
        return err_set(err, RC_INPUT, "an order of channels needs calibration examples");
    }
    enum rc rc = prepare(&p, &original, &size, err);
    rc = rc != RC_OK ? rc : observe(&p, err);
    for (size_t i = 0; rc == RC_OK && i < p.groups->family_count; i++) {
        rc = order_family(&p, i, &moved, err);
    }
    rc = rc != RC_OK || moved == 0 ? rc : channel_reorder(job->graph, p.groups, p.order, err);
    rc = rc != RC_OK || moved == 0 ? rc : check(&p, original, size, err);
    permuting_release(&p);
    free(original);
    return rc;
}

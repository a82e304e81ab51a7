#include "compressors/onnx/mixed_macs.h"

#include <stdlib.h>

#include "compressors/onnx/calibration.h"
#include "compressors/onnx/weights.h"

enum { EXAMPLES = 1 };

/* Output channels: every output element is the sum of (elements of the weights / these) products. */
static double channels_of(const struct weights *w, const struct graph_node *n) {
    bool first = w->kind == WEIGHTS_CONV || (w->kind == WEIGHTS_GEMM && graph_attr_int(n, "transB", 0));
    return (double)w->tensor->dims[first ? 0 : 1];
}

/* A product and the layer whose weights it reads. */
struct product {
    size_t layer;
    double terms; /* of one output element */
};

struct products {
    struct product *list;
    struct calibration_target *targets; /* their outputs */
    size_t count;
};

static void find_products(const struct mixed_model *m, struct products *p) {
    const struct graph *g = m->job->graph;
    for (size_t i = 0; i < m->count; i++) {
        const struct graph_value *v = graph_find(g, m->layers[i].weights);
        for (size_t k = 0; k < v->use_count; k++) {
            const struct graph_node *n = v->uses[k].node;
            struct weights w = weights_of(g, n);
            const struct graph_value *out = graph_output(g, n, 0);
            if (w.value != v || !out || w.kind == WEIGHTS_CONV_TRANSPOSE || channels_of(&w, n) <= 0) {
                continue;
            }
            p->list[p->count] = (struct product){i, m->layers[i].elements / channels_of(&w, n)};
            p->targets[p->count++] = (struct calibration_target){out->name, CALIBRATION_RANGE};
        }
    }
}

static size_t uses_of_all(const struct mixed_model *m) {
    size_t uses = 0;
    for (size_t i = 0; i < m->count; i++) {
        uses += graph_find(m->job->graph, m->layers[i].weights)->use_count;
    }
    return uses;
}

enum rc mixed_macs_count(struct mixed_model *m, struct err *err) {
    const struct calibration_opts opts = {.max_examples = EXAMPLES};
    struct compress_job job = *m->job;
    struct products p = {0};
    struct calibration *c = NULL;
    size_t uses = uses_of_all(m);
    p.list = calloc(uses + 1, sizeof(*p.list));
    p.targets = calloc(uses + 1, sizeof(*p.targets));
    enum rc rc = p.list && p.targets ? RC_OK : err_memory(err);
    if (!rc) {
        find_products(m, &p);
        job.on_progress = NULL;
        rc = p.count > 0 ? calibration_run(&job, p.targets, p.count, &opts, &c, err) : RC_OK;
    }
    for (size_t i = 0; i < p.count && !rc; i++) {
        m->layers[p.list[i].layer].macs += p.list[i].terms * calibration_elements(c, i);
    }
    calibration_free(c);
    free(p.list);
    free(p.targets);
    return rc;
}

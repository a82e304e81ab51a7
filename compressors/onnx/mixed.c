/* mixed.c -- mixed precision by measured sensitivity.
 *
 * Each layer is quantized alone, with every width it can have, and the model's outputs on a few calibration
 * examples are compared with those of the float32 model: that is the layer's loss (as in HAWQ's and Nagel et
 * al. 2021's per-layer analysis; here the divergence of the outputs themselves). Losses are taken to add up,
 * so the widths for a given cost are a multiple-choice knapsack. Layers near the edge of the choice are then
 * measured again on more examples, and the choice is made again. What counts in the end is measured on the
 * whole: for an accuracy target the cost is found by bisection over built models.
 *
 * Nothing is timed: a latency target is met in a model of time (multiplications and bytes of weights for each
 * width), because the same job must give the same bytes. */
#include "compressors/onnx/mixed.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compressors/onnx/mixed_loss.h"
#include "compressors/onnx/mixed_model.h"
#include "core/recipes/recipe.h"

enum {
    CHEAP_EXAMPLES = 32,
    CHEAP_BYTES = 8 << 20, /* of outputs: a language model has many positions in one example */
    CONFIRM_EXAMPLES = 256,
    CONFIRM_BYTES = 64 << 20,
    REFINE = 4,  /* contenders are measured on this many times as many examples */
    NEAR = 3,    /* and are those whose loss for a byte is within this factor of the edge */
    HALVINGS = 7 /* of the budget, when the cost of an accuracy is searched */
};

/* Time of a multiplication-accumulation with each width, in units of a float32 one; and of a byte of weights
 * in the same unit. Rough ratios of x86 with VNNI: 4 bits are unpacked and multiplied as floats. */
static const double mac_time[MIXED_WIDTHS] = {1, 0.4, 1.1};
static const double byte_time = 3;

enum target { TARGET_ACCURACY, TARGET_SIZE, TARGET_LATENCY };

struct mixed {
    struct compress_job *job;
    enum target target;
    bool by_time;        /* what a width costs: time, or bytes */
    double drop;         /* TARGET_ACCURACY: at most, in percentage points */
    double target_bytes; /* TARGET_SIZE: of the file, at most */
    double speedup;      /* TARGET_LATENCY: of the model of time, at least */
    struct mixed_model model;
    struct mixed_loss *loss;
    size_t cheap;                   /* examples that a first look takes */
    struct mixed_prices *prices;    /* [model.count] */
    enum mixed_width *widths;       /* [model.count] the choice */
    enum mixed_width *trial;        /* [model.count] scratch */
    struct mixed_distance distance; /* of the choice, on all examples */
    size_t measured, to_measure;    /* for progress */
};

static void read_options(struct mixed *m, const struct recipe_step *step) {
    const char *target = recipe_choice(step, "target");
    m->target = strcmp(target, "size") == 0      ? TARGET_SIZE
                : strcmp(target, "latency") == 0 ? TARGET_LATENCY
                                                 : TARGET_ACCURACY;
    m->by_time = m->target == TARGET_LATENCY ||
                 (m->target == TARGET_ACCURACY && strcmp(recipe_choice(step, "least"), "latency") == 0);
    m->drop = recipe_number(step, "drop");
    m->target_bytes = recipe_number(step, "mib") * 1024 * 1024;
    m->speedup = recipe_number(step, "speedup");
}

/* --- measuring --- */

static enum rc measure(struct mixed *m, const enum mixed_width *widths, size_t examples,
                       struct mixed_distance *ret, size_t *bytes, struct err *err) {
    char *data = NULL;
    enum rc rc = mixed_model_pack(&m->model, widths, &data, bytes, err);
    rc = rc != RC_OK ? rc : mixed_loss_measure(m->loss, data, *bytes, examples, ret, err);
    free(data);
    return rc;
}

/* Layer i alone with width w. */
static enum rc measure_layer(struct mixed *m, size_t i, enum mixed_width w, size_t examples, double *bytes,
                             struct err *err) {
    struct mixed_distance d;
    size_t size = 0;
    for (size_t k = 0; k < m->model.count; k++) {
        m->trial[k] = MIXED_FP32;
    }
    m->trial[i] = w;
    enum rc rc = measure(m, m->trial, examples, &d, &size, err);
    if (rc != RC_OK) {
        return err_prefix(err, "\"%.100s\"", m->model.layers[i].weights);
    }
    m->prices[i].loss[w] = d.divergence;
    *bytes = (double)size - (double)m->model.plain_size + 4 * m->model.layers[i].elements;
    m->measured++;
    compress_progress(m->job, 0.3 + 0.5 * (double)m->measured / (double)m->to_measure, "measuring layers");
    return RC_OK;
}

static double cost_of(const struct mixed *m, const struct mixed_layer *layer, enum mixed_width w,
                      double bytes) {
    if (!m->by_time) {
        return bytes > 0 ? bytes : 0;
    }
    return layer->macs > 0 ? layer->macs * mac_time[w] + bytes * byte_time : 0; /* a table's row is no work */
}

/* A first look at every layer with every width. One that saves nothing is not offered. */
static enum rc rank(struct mixed *m, struct err *err) {
    enum rc rc = RC_OK;
    for (size_t i = 0; i < m->model.count; i++) {
        const struct mixed_layer *layer = &m->model.layers[i];
        struct mixed_prices *p = &m->prices[i];
        memcpy(p->offered, layer->offered, sizeof(p->offered));
        p->cost[MIXED_FP32] = cost_of(m, layer, MIXED_FP32, 4 * layer->elements);
        m->to_measure += (size_t)p->offered[MIXED_INT8] + (size_t)p->offered[MIXED_INT4];
    }
    for (size_t i = 0; i < m->model.count; i++) {
        for (int w = MIXED_INT8; w < MIXED_WIDTHS && rc == RC_OK; w++) {
            struct mixed_prices *p = &m->prices[i];
            double bytes = 0;
            if (p->offered[w]) {
                rc = measure_layer(m, i, (enum mixed_width)w, m->cheap, &bytes, err);
                p->cost[w] = cost_of(m, &m->model.layers[i], (enum mixed_width)w, bytes);
                p->offered[w] = p->cost[w] < p->cost[MIXED_FP32];
            }
        }
    }
    return rc;
}

/* Loss for each unit of cost saved. */
static double density(const struct mixed_prices *p, int w) {
    return p->loss[w] / (p->cost[MIXED_FP32] - p->cost[w]);
}

static bool is_contender(const struct mixed *m, size_t i, int w, double edge) {
    const struct mixed_prices *p = &m->prices[i];
    return w != MIXED_FP32 && p->offered[w] && density(p, w) >= edge / NEAR && density(p, w) <= edge * NEAR;
}

/* Measures what stands near the edge of the choice again, on more examples. */
static enum rc refine(struct mixed *m, struct err *err) {
    double edge = 0, bytes;
    enum rc rc = RC_OK;
    for (size_t i = 0; i < m->model.count; i++) {
        if (m->widths[i] != MIXED_FP32) {
            edge = fmax(edge, density(&m->prices[i], (int)m->widths[i]));
        }
    }
    for (int pass = 0; pass < 2; pass++) { /* count, then measure: losses change on the way */
        for (size_t i = 0; i < m->model.count; i++) {
            for (int w = MIXED_INT8; w < MIXED_WIDTHS && rc == RC_OK; w++) {
                if (!is_contender(m, i, w, edge)) {
                    continue;
                }
                if (pass == 0) {
                    m->to_measure++;
                } else {
                    rc = measure_layer(m, i, (enum mixed_width)w, REFINE * m->cheap, &bytes, err);
                }
            }
        }
    }
    return rc;
}

/* --- choosing --- */

static enum rc choose_size(struct mixed *m, struct err *err) {
    double fixed = (double)m->model.plain_size, least, most;
    for (size_t i = 0; i < m->model.count; i++) {
        fixed -= 4 * m->model.layers[i].elements;
    }
    mixed_cost_limits(m->prices, m->model.count, &least, &most);
    double budget = m->target_bytes - fixed;
    for (int attempt = 0; attempt < HALVINGS && budget >= least; attempt++) {
        char *data = NULL;
        size_t size = 0;
        enum rc rc = mixed_choose(m->prices, m->model.count, budget, m->widths, err);
        rc = rc != RC_OK ? rc : mixed_model_pack(&m->model, m->widths, &data, &size, err);
        free(data);
        if (rc != RC_OK || (double)size <= m->target_bytes) {
            return rc;
        }
        budget -= (double)size - m->target_bytes; /* what is shared by layers was not counted */
    }
    return err_set(err, RC_UNSUPPORTED,
                   "mib is too small: with the fewest bits everywhere the model takes about %.3g MiB",
                   (fixed + least) / 1024 / 1024);
}

static enum rc choose_latency(struct mixed *m, struct err *err) {
    double least, most, whole = 0;
    for (size_t i = 0; i < m->model.count; i++) {
        whole += m->prices[i].cost[MIXED_FP32];
    }
    mixed_cost_limits(m->prices, m->model.count, &least, &most);
    if (least <= 0 || whole / m->speedup < least) {
        return err_set(err, RC_UNSUPPORTED,
                       "speedup is too large: by the model of time these layers become at most %.3g times as "
                       "fast",
                       least > 0 ? floor(100 * whole / least) / 100 : 1.0);
    }
    return mixed_choose(m->prices, m->model.count, whole / m->speedup, m->widths, err);
}

/* The cheapest widths whose drop, measured on the whole model, is at most m->drop. The widest always are. */
static enum rc choose_accuracy(struct mixed *m, size_t examples, struct err *err) {
    double least, most;
    mixed_cost_limits(m->prices, m->model.count, &least, &most);
    double low = least, high = most, budget = least;
    size_t bytes;
    for (size_t i = 0; i < m->model.count; i++) {
        m->widths[i] = MIXED_FP32;
    }
    for (int step = 0; step <= HALVINGS; step++) {
        struct mixed_distance d;
        enum rc rc = mixed_choose(m->prices, m->model.count, budget, m->trial, err);
        rc = rc != RC_OK ? rc : measure(m, m->trial, examples, &d, &bytes, err);
        if (rc != RC_OK) {
            return rc;
        }
        if (d.drop <= m->drop) {
            memcpy(m->widths, m->trial, m->model.count * sizeof(*m->widths));
            high = budget;
        } else {
            low = budget;
        }
        if (high <= least) {
            return RC_OK; /* the narrowest will do */
        }
        budget = (low + high) / 2;
    }
    return RC_OK;
}

static enum rc choose(struct mixed *m, size_t examples, struct err *err) {
    switch (m->target) {
    case TARGET_SIZE:
        return choose_size(m, err);
    case TARGET_LATENCY:
        return choose_latency(m, err);
    case TARGET_ACCURACY:
        return choose_accuracy(m, examples, err);
    }
    return err_set(err, RC_INTERNAL, "no such target");
}

/* --- telling --- */

static enum rc record_layers(const struct mixed *m, struct err *err) {
    enum rc rc = RC_OK;
    for (size_t i = 0; i < m->model.count && rc == RC_OK; i++) {
        const struct mixed_prices *p = &m->prices[i];
        if (m->widths[i] != MIXED_FP32) {
            continue;
        }
        char reasons[128] = "no narrower width saves anything";
        int used = 0;
        for (int w = MIXED_INT8; w < MIXED_WIDTHS; w++) {
            if (p->offered[w] && used < (int)sizeof(reasons)) {
                used += snprintf(reasons + used, sizeof(reasons) - (size_t)used,
                                 "%s%d bits alone cost a divergence of %.3g", used ? ", " : "",
                                 w == MIXED_INT8 ? 8 : 4, p->loss[w]);
            }
        }
        rc = record_left_alone(m->job->record, err, m->model.layers[i].weights, "kept in float32: %s",
                               reasons);
    }
    return rc;
}

static enum rc record_choice(const struct mixed *m, struct err *err) {
    size_t of[MIXED_WIDTHS] = {0};
    double least = 0, whole = 0;
    for (size_t i = 0; i < m->model.count; i++) {
        of[m->widths[i]]++;
        whole += m->prices[i].cost[MIXED_FP32];
        least += m->prices[i].cost[m->widths[i]];
    }
    enum rc rc = record_note(
        m->job->record, err,
        "%zu layers in 4 bits, %zu in 8 bits, %zu in float32; on %zu calibration examples, without labels: "
        "expected drop %.3f points, divergence %.4g",
        of[MIXED_INT4], of[MIXED_INT8], of[MIXED_FP32], mixed_loss_examples(m->loss), m->distance.drop,
        m->distance.divergence);
    if (rc == RC_OK && m->by_time) {
        rc =
            record_note(m->job->record, err,
                        "%.2f times as fast by a fixed model of time (multiplications and bytes of weights); "
                        "nothing was timed, so that the same job gives the same model",
                        least > 0 ? whole / least : 1.0);
    }
    return rc;
}

/* --- the whole --- */

static enum rc open_loss(struct mixed *m, struct err *err) {
    size_t count = m->model.count;
    m->prices = calloc(count + 1, sizeof(*m->prices));
    m->widths = calloc(count + 1, sizeof(*m->widths));
    m->trial = calloc(count + 1, sizeof(*m->trial));
    if (!m->prices || !m->widths || !m->trial) {
        return err_memory(err);
    }
    enum rc rc = mixed_loss_open(m->job, m->model.plain, m->model.plain_size, CONFIRM_EXAMPLES, CONFIRM_BYTES,
                                 &m->loss, err);
    if (rc == RC_OK && m->target == TARGET_ACCURACY && !mixed_loss_has_classes(m->loss)) {
        return err_set(err, RC_UNSUPPORTED,
                       "target=accuracy needs a model that gives scores of classes; use target=size");
    }
    return rc;
}

/* As many as the outputs' size allows, as a part of those that are kept for confirming. */
static void set_cheap(struct mixed *m) {
    size_t by_bytes = mixed_loss_examples(m->loss) * CHEAP_BYTES / CONFIRM_BYTES;
    bool large =
        mixed_loss_examples(m->loss) < CONFIRM_EXAMPLES; /* perhaps only a small set: then also less */
    m->cheap = large && by_bytes < CHEAP_EXAMPLES ? by_bytes : CHEAP_EXAMPLES;
    m->cheap = m->cheap < 1 ? 1 : m->cheap;
}

static enum rc decide(struct mixed *m, struct err *err) {
    size_t bytes;
    enum rc rc = rank(m, err);
    rc = rc != RC_OK ? rc : choose(m, m->cheap, err);
    rc = rc != RC_OK ? rc : refine(m, err);
    rc = rc != RC_OK ? rc : choose(m, mixed_loss_examples(m->loss), err);
    return rc != RC_OK ? rc : measure(m, m->widths, mixed_loss_examples(m->loss), &m->distance, &bytes, err);
}

static enum rc write_choice(struct mixed *m, struct err *err) {
    struct graph *g = NULL;
    enum rc rc = mixed_model_build(&m->model, m->widths, m->job->record, &g, err);
    rc = rc != RC_OK ? rc : record_layers(m, err);
    rc = rc != RC_OK ? rc : record_choice(m, err);
    if (rc != RC_OK) {
        graph_free(g);
        return rc;
    }
    graph_free(m->job->graph);
    m->job->graph = g;
    return RC_OK;
}

enum rc mixed_compress(struct compress_job *job, const struct recipe_step *step, struct err *err) {
    struct mixed m = {.job = job};
    enum range_type act = strcmp(recipe_choice(step, "act"), "s8") == 0 ? RANGE_INT8 : RANGE_UINT8;
    read_options(&m, step);
    enum rc rc = mixed_model_open(job, act, 0, 0.3, &m.model, err);
    rc = rc != RC_OK ? rc : open_loss(&m, err);
    if (rc == RC_OK) {
        set_cheap(&m);
        rc = decide(&m, err);
    }
    rc = rc != RC_OK ? rc : write_choice(&m, err);
    compress_progress(job, 1, "widths chosen");
    mixed_loss_free(m.loss);
    mixed_model_release(&m.model);
    free(m.prices);
    free(m.widths);
    free(m.trial);
    return rc;
}

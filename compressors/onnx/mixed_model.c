#include "compressors/onnx/mixed_model.h"

#include <stdlib.h>
#include <string.h>

#include "compressors/onnx/int8_smooth.h"
#include "compressors/onnx/mixed_four.h"
#include "compressors/onnx/mixed_macs.h"
#include "compressors/onnx/passes.h"

/* --- building --- */

static enum rc copy_plain(const struct mixed_model *m, struct graph **ret, struct err *err) {
    enum rc rc = graph_parse(m->plain, m->plain_size, ret, err);
    rc = rc != RC_OK ? rc : graph_sort(*ret, err);
    if (rc == RC_OK) {
        graph_infer_types(*ret);
    }
    return rc;
}

static bool has_width(const struct mixed_model *m, const enum mixed_width *widths, enum mixed_width width) {
    for (size_t i = 0; i < m->count; i++) {
        if (widths[i] == width) {
            return true;
        }
    }
    return false;
}

static enum rc write_int8(const struct mixed_model *m, const enum mixed_width *widths, struct graph *g,
                          struct record *record, struct err *err) {
    struct int8_ban ban = {0};
    size_t count = 0;
    enum rc rc = RC_OK;
    for (size_t i = 0; i < m->count && rc == RC_OK; i++) {
        if (widths[i] != MIXED_INT8) {
            rc = int8_ban_add(&ban, graph_find(g, m->layers[i].weights), err);
        }
    }
    rc = rc != RC_OK ? rc : int8_static_write(g, m->ranges, &m->int8, &ban, record, NULL, &count, err);
    int8_ban_release(&ban);
    return rc;
}

enum rc mixed_model_build(const struct mixed_model *m, const enum mixed_width *widths, struct record *record,
                          struct graph **ret, struct err *err) {
    struct graph *g = NULL;
    enum rc rc = copy_plain(m, &g, err);
    if (rc == RC_OK && has_width(m, widths, MIXED_INT8)) {
        rc = write_int8(m, widths, g, record, err);
    }
    if (rc == RC_OK && has_width(m, widths, MIXED_INT4)) {
        rc = mixed_four_write(m, widths, g, record, err);
    }
    rc = rc != RC_OK ? rc : pass_remove_dead(g, NULL, err);
    if (rc != RC_OK) {
        graph_free(g);
        return rc;
    }
    *ret = g;
    return RC_OK;
}

enum rc mixed_model_pack(const struct mixed_model *m, const enum mixed_width *widths, char **data,
                         size_t *size, struct err *err) {
    struct graph *g = NULL;
    struct record unread;
    record_init(&unread);
    enum rc rc = mixed_model_build(m, widths, &unread, &g, err);
    rc = rc != RC_OK ? rc : graph_pack(g, data, size, err);
    graph_free(g);
    record_release(&unread);
    return rc;
}

/* --- which layers there are --- */

static bool is_listed(const struct record *r, const char *name) {
    for (size_t i = 0; i < r->changed.count; i++) {
        if (strcmp(r->changed.entries[i].tensor, name) == 0) {
            return true;
        }
    }
    return false;
}

/* Tries 8 bits on everything: what that changed may have them. */
static enum rc try_int8(const struct mixed_model *m, struct record *tried, struct err *err) {
    struct graph *g = NULL;
    struct int8_ban none = {0};
    size_t count;
    enum rc rc = copy_plain(m, &g, err);
    rc = rc != RC_OK ? rc : int8_static_write(g, m->ranges, &m->int8, &none, tried, NULL, &count, err);
    int8_ban_release(&none);
    graph_free(g);
    return rc;
}

static enum rc add_layer(struct mixed_model *m, const struct graph_value *v, const struct record *int8,
                         const struct record *int4, struct err *err) {
    struct mixed_layer *layer = &m->layers[m->count];
    size_t elements = 0;
    enum rc rc = graph_tensor_count(v->initializer, &elements, err);
    if (rc != RC_OK) {
        return rc;
    }
    layer->weights = strdup(v->name);
    if (!layer->weights) {
        return err_memory(err);
    }
    m->count++;
    layer->elements = (double)elements;
    layer->offered[MIXED_FP32] = true;
    layer->offered[MIXED_INT8] = is_listed(int8, v->name);
    layer->offered[MIXED_INT4] = is_listed(int4, v->name);
    return RC_OK;
}

static enum rc list_layers(struct mixed_model *m, struct err *err) {
    const struct graph *g = m->job->graph;
    struct record int8, int4;
    record_init(&int8);
    record_init(&int4);
    m->layers = calloc(graph_value_count(g) + 1, sizeof(*m->layers));
    enum rc rc = m->layers ? try_int8(m, &int8, err) : err_memory(err);
    rc = rc != RC_OK ? rc : mixed_four_open(m, &int4, err);
    for (size_t i = 0; i < graph_value_count(g) && rc == RC_OK; i++) {
        const struct graph_value *v = graph_value_at(g, i);
        if (v->initializer && (is_listed(&int8, v->name) || is_listed(&int4, v->name))) {
            rc = add_layer(m, v, &int8, &int4, err);
        }
    }
    record_release(&int8);
    record_release(&int4);
    if (rc == RC_OK && m->count == 0) {
        rc = err_set(err, RC_UNSUPPORTED, "the model has no constant weights that 8 or 4 bits can hold");
    }
    return rc;
}

/* --- preparing --- */

static enum rc smooth_and_observe(struct mixed_model *m, double from, double to, struct err *err) {
    struct compress_job *job = m->job;
    const struct int8_smoothing how = {.search = true, .from = from, .to = from + (to - from) / 3};
    struct int8_ban none = {0};
    struct int8_plan plan = {0};
    size_t smoothed = 0;
    enum rc rc = int8_plan_make(job->graph, &none, job->record, &plan, err);
    if (rc == RC_OK && !job->smoothed) {
        rc = int8_smooth(job, &plan, &how, NULL, &smoothed, err);
    }
    rc = rc != RC_OK ? rc : int8_ranges_observe(job, &plan, how.to, to, &m->ranges, err);
    int8_plan_release(&plan);
    return rc;
}

enum rc mixed_model_open(struct compress_job *job, enum range_type act, double from, double to,
                         struct mixed_model *m, struct err *err) {
    *m = (struct mixed_model){
        .job = job, .int8 = {.range = {.act = act, .method = RANGE_MSE}, .weights = INT8_PER_CHANNEL}};
    if (!job->calibration) {
        return err_set(err, RC_INPUT, "calibration examples are needed: give a dataset to calibrate with");
    }
    enum rc rc = int8_plan_prepare(job->graph, err);
    rc = rc != RC_OK ? rc : smooth_and_observe(m, from, to, err);
    rc = rc != RC_OK ? rc : pass_remove_dead(job->graph, NULL, err);
    rc = rc != RC_OK ? rc : graph_pack(job->graph, &m->plain, &m->plain_size, err);
    rc = rc != RC_OK ? rc : list_layers(m, err);
    return rc != RC_OK ? rc : mixed_macs_count(m, err);
}

void mixed_model_release(struct mixed_model *m) {
    for (size_t i = 0; i < m->count; i++) {
        free(m->layers[i].weights);
    }
    free(m->layers);
    free(m->plain);
    int8_ranges_free(m->ranges);
    graph_free(m->four);
    *m = (struct mixed_model){0};
}

/* pooled_run.c -- see pooled_run.h. */
#include "profiler/worker/pooled_run.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/data/dataset.h"
#include "core/formats/onnx_header.h"

static const size_t POOL_BYTES = (size_t)32 << 20;

static enum rc fill_pool(struct input_pool *pool, const struct dataset *d, size_t n_inputs, size_t batch,
                         struct err *err) {
    size_t bytes = feeds_example_bytes(d, n_inputs) * batch;
    size_t examples = dataset_count(d);
    size_t wanted = (examples + batch - 1) / batch;
    size_t fitting = POOL_BYTES / (bytes > 0 ? bytes : 1);
    wanted = wanted > INPUT_POOL_BATCHES ? INPUT_POOL_BATCHES : wanted;
    wanted = wanted > fitting ? fitting : wanted;
    wanted = wanted > 0 ? wanted : 1;
    for (size_t i = 0; i < wanted; i++) {
        struct feeds *feeds = &pool->batches[i];
        enum rc rc = feeds_init(feeds, d, n_inputs, batch, err);
        if (rc != RC_OK) {
            return rc;
        }
        size_t first = i * batch;
        feeds_fill(feeds, first, examples - first < batch ? examples - first : batch);
        feeds->dataset = NULL; /* which is released */
        pool->count++;
    }
    return RC_OK;
}

/* The dataset is read, converted and released before the model is loaded, so that its memory is not the
 * model's. */
enum rc input_pool_open(const struct job_model *model, const json_t *dataset, uint64_t memory_bytes,
                        size_t batch, struct input_pool *ret, struct err *err) {
    struct onnx_header *header = NULL;
    struct dataset *d = NULL;
    *ret = (struct input_pool){0};
    if (!dataset) {
        return err_set(err, RC_INPUT, "field \"dataset\": missing; times are measured on real examples");
    }
    enum rc rc = onnx_header_read(model->main_local, &header, err);
    if (rc != RC_OK || (rc = dataset_open(dataset, memory_bytes, &d, err)) != RC_OK ||
        (rc = dataset_bind(d, header->inputs, header->n_inputs, err)) != RC_OK) {
        goto out;
    }
    int64_t fixed = header->n_inputs > 0 && header->inputs[0].rank > 0 ? header->inputs[0].dims[0] : -1;
    if (fixed > 0 && (size_t)fixed != batch) {
        rc = err_set(err, RC_INPUT, "batch %zu: the model takes exactly %lld examples at once", batch,
                     (long long)fixed);
        goto out;
    }
    rc = fill_pool(ret, d, header->n_inputs, batch, err);

out:
    dataset_free(d);
    onnx_header_free(header);
    return rc;
}

void input_pool_release(struct input_pool *pool) {
    for (size_t i = 0; i < pool->count; i++) {
        feeds_release(&pool->batches[i]);
    }
    pool->count = 0;
}

/* A copy of a pool batch: same shapes, memory of its own. */
static enum rc copy_feeds(const struct feeds *from, struct feeds *ret, struct err *err) {
    *ret = (struct feeds){.batch = from->batch};
    for (size_t i = 0; i < from->count; i++) {
        ret->tensors[i] = from->tensors[i];
        ret->tensors[i].data = aligned_alloc(64, (from->tensors[i].bytes + 64) / 64 * 64);
        if (!ret->tensors[i].data) {
            return err_memory(err);
        }
        ret->count++;
        memcpy(ret->tensors[i].data, from->tensors[i].data, from->tensors[i].bytes);
    }
    return RC_OK;
}

enum rc pooled_run_open(struct onnxruntime *runtime, const struct job_model *model,
                        const struct onnxruntime_session_opts *opts, const struct input_pool *pool,
                        size_t first, struct pooled_run *ret, struct err *err) {
    *ret = (struct pooled_run){.pool = pool, .next = first % pool->count};
    uint64_t start = clock_mono_ns();
    enum rc rc = opened_model_open(runtime, model, opts, &ret->model, err);
    ret->load_ms = (double)(clock_mono_ns() - start) / 1e6;
    if (rc == RC_OK) {
        rc = copy_feeds(&pool->batches[0], &ret->feeds, err);
    }
    return rc == RC_OK ? onnxruntime_binding_new(ret->model.session, ret->feeds.tensors, &ret->binding, err)
                       : rc;
}

void pooled_run_close(struct pooled_run *r) {
    onnxruntime_binding_free(r->binding);
    feeds_release(&r->feeds);
    opened_model_close(&r->model);
    *r = (struct pooled_run){0};
}

static void next_batch(struct pooled_run *in) {
    const struct feeds *from = &in->pool->batches[in->next];
    in->next = (in->next + 1) % in->pool->count;
    for (size_t i = 0; i < in->feeds.count; i++) {
        memcpy(in->feeds.tensors[i].data, from->tensors[i].data, from->tensors[i].bytes);
    }
}

enum rc pooled_run_once(void *user, float *us, struct err *err) {
    struct pooled_run *in = user;
    next_batch(in);
    uint64_t start = clock_mono_ns();
    enum rc rc = onnxruntime_binding_run(in->binding, err);
    us[0] = (float)((double)(clock_mono_ns() - start) / 1e3);
    return rc;
}

enum rc pooled_run_idle(void *user, float *us, struct err *err) {
    struct pooled_run *in = user;
    (void)err;
    next_batch(in);
    uint64_t start = clock_mono_ns();
    us[0] = (float)((double)(clock_mono_ns() - start) / 1e3);
    return RC_OK;
}

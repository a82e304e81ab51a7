/* feeds.c -- see feeds.h. */
#include "profiler/worker/feeds.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/checked.h"

static enum rc make_tensor(const struct dataset *dataset, size_t input, size_t batch,
                           struct onnxruntime_tensor *ret, struct err *err) {
    const struct tensor_spec *spec = dataset_input(dataset, input);
    size_t bytes;
    if (checked_mul(batch, dataset_input_bytes(dataset, input), &bytes)) {
        return err_set(err, RC_TOO_LARGE, "input %s: a batch of %zu examples is too large", spec->name,
                       batch);
    }
    *ret = (struct onnxruntime_tensor){.dtype = spec->dtype,
                                       .rank = spec->rank,
                                       .data = aligned_alloc(64, (bytes + 64) / 64 * 64),
                                       .bytes = bytes};
    memcpy(ret->dims, spec->dims, sizeof(ret->dims));
    ret->dims[0] = (int64_t)batch;
    return ret->data ? RC_OK : err_memory(err);
}

enum rc feeds_init(struct feeds *f, const struct dataset *dataset, size_t n_inputs, size_t batch,
                   struct err *err) {
    *f = (struct feeds){.dataset = dataset, .batch = batch};
    if (n_inputs > FEEDS_MAX_INPUTS) {
        return err_set(err, RC_UNSUPPORTED, "the model has %zu inputs; at most %d are supported", n_inputs,
                       FEEDS_MAX_INPUTS);
    }
    for (size_t i = 0; i < n_inputs; i++) {
        enum rc rc = make_tensor(dataset, i, batch, &f->tensors[i], err);
        if (rc != RC_OK) {
            feeds_release(f);
            return rc;
        }
        f->count++;
    }
    return RC_OK;
}

void feeds_release(struct feeds *f) {
    for (size_t i = 0; i < f->count; i++) {
        free(f->tensors[i].data);
    }
    *f = (struct feeds){0};
}

void feeds_fill(struct feeds *f, size_t first, size_t count) {
    assert(count > 0 && count <= f->batch);
    for (size_t i = 0; i < f->count; i++) {
        size_t bytes = dataset_input_bytes(f->dataset, i);
        char *out = f->tensors[i].data;
        dataset_fill(f->dataset, i, first, count, out);
        for (size_t k = count; k < f->batch; k++) {
            memcpy(out + k * bytes, out + (count - 1) * bytes, bytes);
        }
    }
}

size_t feeds_example_bytes(const struct dataset *dataset, size_t n_inputs) {
    size_t total = 0;
    for (size_t i = 0; i < n_inputs; i++) {
        total += dataset_input_bytes(dataset, i);
    }
    return total;
}

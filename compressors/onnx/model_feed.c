#include "compressors/onnx/model_feed.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/checked.h"
#include "core/data/dataset.h"
#include "core/formats/dtype.h"

/* Free dimensions other than the batch, where no example says how large they are: enough for a network that
 * halves an image five times. */
enum { FREE_DIM = 64 };

static enum rc init_tensor(struct model_feed *f, const struct tensor_spec *declared,
                           const struct tensor_spec *bound, size_t rows, struct err *err) {
    const struct tensor_spec *spec = bound ? bound : declared;
    struct onnxruntime_tensor *t = &f->tensors[f->count];
    size_t width = dtype_bytes(spec->dtype);
    size_t count;
    t->dtype = spec->dtype;
    t->rank = spec->rank;
    f->fixed[f->count] = declared->rank == 0 ? 1 : declared->dims[0] > 0 ? (size_t)declared->dims[0] : 0;
    for (size_t i = 1; i < spec->rank; i++) {
        t->dims[i] = spec->dims[i] >= 0 ? spec->dims[i] : FREE_DIM;
    }
    t->dims[0] = (int64_t)(f->fixed[f->count] ? f->fixed[f->count] : rows);
    if (width == 0) {
        return err_set(err, RC_UNSUPPORTED, "input \"%.200s\" is not a tensor of numbers", declared->name);
    }
    if (checked_product(t->dims, t->rank ? t->rank : 1, &count) || checked_mul(count, width, &t->bytes)) {
        return err_set(err, RC_TOO_LARGE, "input \"%.200s\" is too large", declared->name);
    }
    f->row_bytes[f->count] = t->dims[0] ? t->bytes / (size_t)t->dims[0] : 0;
    t->data = calloc(1, t->bytes + 1);
    return t->data ? RC_OK : err_memory(err);
}

enum rc model_feed_init(struct model_feed *f, const struct onnxruntime_session *s, struct dataset *data,
                        size_t rows, struct err *err) {
    const struct tensor_spec *inputs = NULL;
    memset(f, 0, sizeof(*f));
    size_t count = onnxruntime_inputs(s, &inputs);
    if (count == 0 || count > MODEL_FEED_MAX) {
        return err_set(err, RC_UNSUPPORTED, "the model has %zu inputs; 1 to %d can be fed", count,
                       MODEL_FEED_MAX);
    }
    enum rc rc = data && !dataset_is_bound(data) ? dataset_bind(data, inputs, count, err) : RC_OK;
    for (size_t i = 0; i < count && rc == RC_OK; i++) {
        rc = init_tensor(f, &inputs[i], data ? dataset_input(data, i) : NULL, rows, err);
        f->count++;
    }
    if (rc != RC_OK) {
        model_feed_release(f);
    }
    return rc;
}

void model_feed_release(struct model_feed *f) {
    for (size_t i = 0; i < f->count; i++) {
        free(f->tensors[i].data);
    }
    memset(f, 0, sizeof(*f));
}

/* The same numbers in every run and on every machine (Knuth's 64-bit linear congruential generator). */
static void make_up(struct onnxruntime_tensor *t, uint64_t seed) {
    size_t width = dtype_bytes(t->dtype);
    size_t n = t->bytes / width;
    uint64_t state = seed * 2 + 1;
    for (size_t i = 0; i < n; i++) {
        state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        if (t->dtype == DTYPE_FLOAT32) {
            ((float *)t->data)[i] = (float)(state >> 40) / (float)(1 << 23) - 1.0f;
        } else if (t->dtype == DTYPE_FLOAT64) {
            ((double *)t->data)[i] = (double)(state >> 40) / (double)(1 << 23) - 1.0;
        } else if (t->dtype == DTYPE_INT64) {
            ((int64_t *)t->data)[i] = 1;
        } else if (t->dtype == DTYPE_INT32) {
            ((int32_t *)t->data)[i] = 1;
        } else if (width == 1) {
            ((uint8_t *)t->data)[i] = 1;
        }
    }
}

size_t model_feed_rows(const struct model_feed *f, size_t rows) {
    for (size_t i = 0; i < f->count; i++) {
        rows = f->fixed[i] && f->fixed[i] < rows ? f->fixed[i] : rows;
    }
    return rows;
}

void model_feed_fill(struct model_feed *f, const struct dataset *data, size_t first, size_t count) {
    for (size_t i = 0; i < f->count; i++) {
        struct onnxruntime_tensor *t = &f->tensors[i];
        size_t rows = f->fixed[i] ? f->fixed[i] : count, bytes = f->row_bytes[i];
        size_t have = rows < count ? rows : count;
        if (t->rank > 0) {
            t->dims[0] = (int64_t)rows;
            t->bytes = rows * bytes;
        }
        if (!data) {
            make_up(t, first + i + 1);
            continue;
        }
        dataset_fill(data, i, first, have, t->data);
        for (size_t r = have; r < rows; r++) {
            memcpy((char *)t->data + r * bytes, (char *)t->data + (have - 1) * bytes, bytes);
        }
    }
}

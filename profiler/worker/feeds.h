/* feeds.h -- memory for the inputs of one batch, filled from a dataset. */
#pragma once

#include <stddef.h>

#include "core/base/err.h"
#include "core/data/dataset.h"
#include "runtimes/onnxruntime.h"

enum { FEEDS_MAX_INPUTS = 64 };

struct feeds {
    const struct dataset *dataset; /* bound; borrowed */
    size_t count, batch;
    struct onnxruntime_tensor tensors[FEEDS_MAX_INPUTS]; /* in the model's order; data is owned */
};

/* Room for `batch` examples of each of the model's n_inputs inputs. RC_TOO_LARGE, RC_MEMORY. Release with
 * feeds_release. */
MUST_USE enum rc feeds_init(struct feeds *f, const struct dataset *dataset, size_t n_inputs, size_t batch,
                            struct err *err);
void feeds_release(struct feeds *f);

/* Examples first .. first + count - 1, count <= batch. The rest of the batch repeats the last example, so
 * that a full batch can be run whatever is left. */
void feeds_fill(struct feeds *f, size_t first, size_t count);

/* Bytes of one example over all inputs. */
size_t feeds_example_bytes(const struct dataset *dataset, size_t n_inputs);

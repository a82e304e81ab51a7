/* model_feed.h -- inputs for a model: examples of a dataset, or made-up ones where there is none. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/err.h"
#include "runtimes/onnxruntime.h"

struct dataset;

enum { MODEL_FEED_MAX = 64 };

struct model_feed {
    struct onnxruntime_tensor tensors[MODEL_FEED_MAX];
    size_t row_bytes[MODEL_FEED_MAX]; /* of one example */
    size_t fixed[MODEL_FEED_MAX];     /* the batch that the model fixes; 0: free */
    size_t count;
};

/* Memory for up to `rows` examples of the session's inputs (as many as the model fixes, where it does); binds
 * `data` (NULL: made-up values) if nobody did. RC_UNSUPPORTED: the model has no inputs, or more than
 * MODEL_FEED_MAX. On failure *f is empty. */
MUST_USE enum rc model_feed_init(struct model_feed *f, const struct onnxruntime_session *s,
                                 struct dataset *data, size_t rows, struct err *err);
void model_feed_release(struct model_feed *f);

/* Fills in examples first .. first + count - 1 of `data`. A model with a fixed batch gets the last one again
 * until the batch is full. Without data: floats between -1 and 1 from a fixed sequence that `first` seeds,
 * ones for integers. */
void model_feed_fill(struct model_feed *f, const struct dataset *data, size_t first, size_t count);

/* Examples that one run takes: `rows`, or what the model fixes where that is less. */
size_t model_feed_rows(const struct model_feed *f, size_t rows);

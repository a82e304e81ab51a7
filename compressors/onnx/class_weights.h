/* class_weights.h -- how much the rows of a classifier's last layer matter: errors in the logits of classes
 * that are hardly ever likely change no answer. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "compressors/compressor.h"
#include "compressors/onnx/graph.h"
#include "core/base/err.h"

/* Whether n's output is the model's first one, or becomes it when a constant is added. */
bool class_weights_is_last(const struct graph *g, const struct graph_node *n);

/* When n is the product that gives the model's first output (class_weights_is_last), `classes` wide, and the
 * calibration set's labels are classes: *ret [classes] gets the square root of each class's mean probability
 * over calibration examples, mixed with a tenth of an even share. That is the root of the diagonal of the
 * loss's curvature in the logits (of the Fisher information of the softmax), but for the square of the
 * probability; free() it. Otherwise *ret is NULL. Errors as observe_run. */
MUST_USE enum rc class_weights(const struct compress_job *job, const struct graph_node *n, size_t classes,
                               double **ret, struct err *err);

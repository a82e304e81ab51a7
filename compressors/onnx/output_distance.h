/* output_distance.h -- how far a changed model's outputs lie from the original's on calibration examples. */
#pragma once

#include <stddef.h>

#include "core/base/err.h"

struct dataset;
struct output_reference; /* the original's outputs */

/* Runs the original (packed by graph_pack, borrowed for the call) on the first `examples` examples of `data`,
 * which must outlive the reference. Owned by the caller. A process can have one at a time, and no other ONNX
 * Runtime environment beside it. RC_UNSUPPORTED: no float32 output. */
MUST_USE enum rc output_reference_new(const char *model, size_t size, struct dataset *data, size_t examples,
                                      struct output_reference **ret, struct err *err);
void output_reference_free(struct output_reference *r); /* NULL is fine */

/* Squared distance of the changed model's float32 outputs from the original's, as a part of the original's
 * own variance. Of each row along the last axis the mean is taken off first: what all classes share decides
 * nothing. Infinite when the changed model gives a NaN or another shape. */
MUST_USE enum rc output_reference_distance(struct output_reference *r, const char *model, size_t size,
                                           double *distance, struct err *err);

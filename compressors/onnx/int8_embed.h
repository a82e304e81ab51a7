/* int8_embed.h -- embedding tables in 8 bits, for size: Gather reads int8 rows and DequantizeLinear turns
 * only those into float32. */
#pragma once

#include "compressors/onnx/graph.h"
#include "compressors/onnx/int8_plan.h" /* struct int8_ban */
#include "core/base/err.h"
#include "core/recipes/record.h"

/* Quantizes every constant float32 table of at least 64 rows that only Gathers on axis 0 read, with one scale
 * a column, but for those in `ban`. Needs opset 13: raises it when there is such a table. */
MUST_USE enum rc int8_embed_quantize(struct graph *g, const struct int8_ban *ban, struct record *record,
                                     struct err *err);

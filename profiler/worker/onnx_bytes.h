/* onnx_bytes.h -- small ONNX models made in memory, for measuring the machine: one product, or a chain of
 * operators that do nothing worth mentioning. */
#pragma once

#include <stddef.h>

#include "core/base/buf.h"
#include "core/base/err.h"
#include "core/formats/dtype.h"

/* Y = A B with a constant B, as weights are: A [rows, depth], B [depth, columns]. */
struct onnx_product {
    const char *op; /* "MatMul", "MatMulInteger" */
    enum dtype a, b, y;
    size_t rows, depth, columns;
};

/* Writes a model with input "a" and output "y" to `out`. */
MUST_USE enum rc onnx_bytes_product(const struct onnx_product *p, struct buf *out, struct err *err);

/* A chain of `count` operators on a single float: input "a", output "y" [1]. They cannot be merged (Abs and
 * Neg in turn). */
MUST_USE enum rc onnx_bytes_chain(size_t count, struct buf *out, struct err *err);

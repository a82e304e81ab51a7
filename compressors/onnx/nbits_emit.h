/* nbits_emit.h -- puts grouped weights into the graph: into com.microsoft.MatMulNBits, which multiplies with
 * them as they are, or, where the runtime has no kernel, packed and followed by standard operators that the
 * runtime computes once when it loads the model (constant folding).
 *
 * Tried with ONNX Runtime 1.30 on x86-64: MatMulNBits takes 2, 4 and 8 bits and refuses 3, 5, 6 and 7. With
 * activations rounded to 8 bits (accuracy_level 4) all three have fast kernels, but 2 bits in groups of 16.
 * With float activations only 4 bits has one: 2 and 8 are unpacked at every run, many times slower. */
#pragma once

#include <stdbool.h>

#include "compressors/onnx/graph.h"
#include "compressors/onnx/group_quant.h"
#include "compressors/onnx/weights.h"
#include "core/base/err.h"

enum nbits_compute { NBITS_FLOAT, NBITS_INT8 }; /* type of the activations inside the product */

/* Why MatMulNBits cannot stand for this node, or NULL. */
const char *nbits_obstacle(const struct graph *g, const struct graph_node *n, const struct weights *w,
                           unsigned bits);
/* True where the runtime has a kernel that computes with the packed weights. */
bool nbits_is_fast(const struct group_format *f, enum nbits_compute compute);

/* Packed weights in the graph: the inputs of MatMulNBits. */
struct nbits_weights {
    const char *matrix, *scales, *zeros; /* zeros "" when symmetric; borrowed from the graph */
    size_t columns, rows;
    struct group_format format;
};

/* Bytes that add_weights or emit_stored will take. */
size_t nbits_weight_bytes(const struct group_quant *q);
size_t nbits_stored_bytes(const struct group_quant *q);

/* Adds initializers named after `hint`. Scales are multiplied by `factor` (Gemm's alpha). */
MUST_USE enum rc nbits_add_weights(struct graph *g, const char *hint, const struct group_quant *q,
                                   float factor, struct nbits_weights *ret, struct err *err);
/* Puts MatMulNBits, and Add for a bias, in place of n, which is gone afterwards. */
MUST_USE enum rc nbits_replace(struct graph *g, struct graph_node *n, const struct nbits_weights *w,
                               enum nbits_compute compute, struct err *err);

/* Makes everything that reads w->value read weights unpacked from q instead; `transposed`: the tensor has
 * outputs as its last axis. */
enum nbits_lie { NBITS_ROWS_FIRST, NBITS_ROWS_LAST };
MUST_USE enum rc nbits_store(struct graph *g, const struct weights *w, const struct group_quant *q,
                             enum nbits_lie lie, struct err *err);

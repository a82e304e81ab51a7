/* graph_emit.h -- writing formulas as nodes of a graph, one call an operator.
 *
 * The first call that fails keeps its error in the emitter, and all later ones do nothing and give "": so a
 * formula is written down as it is read, and looked at once, at its end. Names given back belong to the
 * graph. All numbers are float32. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "compressors/onnx/graph.h"
#include "core/base/err.h"

struct graph_emitter {
    struct graph *g;
    struct err *err;
    enum rc rc; /* of the first failure */
};

/* A node of one output at the end of the graph; "" leaves an input out. NULL after a failure. */
struct graph_node *emit_node(struct graph_emitter *e, const char *op, const char *const *inputs,
                             size_t count);
void emit_attr_int(struct graph_emitter *e, struct graph_node *n, const char *name, int64_t value);
void emit_attr_ints(struct graph_emitter *e, struct graph_node *n, const char *name, const int64_t *values,
                    size_t count);
const char *emit_output(const struct graph_node *n); /* "" for NULL */

/* Operators without attributes. */
const char *emit_one(struct graph_emitter *e, const char *op, const char *x);
const char *emit_two(struct graph_emitter *e, const char *op, const char *x, const char *y);
const char *emit_three(struct graph_emitter *e, const char *op, const char *x, const char *y, const char *z);

/* Constants: a scalar, a list of int64. */
const char *emit_float(struct graph_emitter *e, float value);
const char *emit_ints(struct graph_emitter *e, const int64_t *values, size_t count);
const char *emit_int(struct graph_emitter *e, int64_t value); /* a list of one */

/* x * factor + term. */
const char *emit_linear(struct graph_emitter *e, const char *x, float factor, float term);

/* ReduceSum or ReduceMean over the axes, which stay with length 1. */
const char *emit_reduce(struct graph_emitter *e, const char *op, const char *x, const int64_t *axes,
                        size_t count);

/* Zeros in the shape of x; x in the shape of `like`, with as many elements; x repeated to that shape. */
const char *emit_zeros_like(struct graph_emitter *e, const char *x);
const char *emit_reshaped_like(struct graph_emitter *e, const char *x, const char *like);
const char *emit_expanded_like(struct graph_emitter *e, const char *x, const char *like);

/* Lists joined: int64 values of one axis. */
const char *emit_joined(struct graph_emitter *e, const char *const *lists, size_t count);
/* Entries first .. end - 1 of the list x. */
const char *emit_entries(struct graph_emitter *e, const char *x, int64_t first, int64_t end);

const char *emit_transposed(struct graph_emitter *e, const char *x, const int64_t *perm, size_t rank);

/* graph_shapes.h -- the shape of every value of a graph, observed by running the model once in ONNX Runtime.
 *
 * Declared shapes are optional in ONNX and often missing; the runtime knows them all. Free dimensions of the
 * inputs get the sizes of the calibration examples, or small ones where there are none. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "compressors/onnx/graph.h"

struct dataset; /* core/data */
struct graph_shapes;

/* Runs `g`, which must be in order (graph_sort), on SHAPES_BATCH examples (or the batch that the model fixes)
 * of `calibration`, or of made-up values when that is NULL. Keeps shapes, not values. Owned by the caller.
 * RC_INPUT: the runtime cannot run the model. RC_UNSUPPORTED: it has no inputs. */
MUST_USE enum rc graph_shapes_observe(struct graph *g, struct dataset *calibration, struct graph_shapes **ret,
                                      struct err *err);
void graph_shapes_free(struct graph_shapes *s); /* NULL is fine */

enum { SHAPES_BATCH = 3 };

/* dims of v (borrowed) and its rank; NULL when it was not seen: a sequence, or a type nobody could infer. */
const int64_t *graph_shapes_of(const struct graph_shapes *s, const struct graph_value *v, size_t *rank);

/* Index of v among the values of the graph that was observed, for tables by value; SIZE_MAX when it is newer.
 */
size_t graph_shapes_index(const struct graph_shapes *s, const struct graph_value *v);

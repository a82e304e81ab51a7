/* gate_derivatives.h -- a copy of a graph that computes how its outputs move when a gate on each channel
 * begins to close.
 *
 * In front of every product that reads channels stands, in thought, a factor of one for each of them (the
 * gates of gated_graph.h). The derivative of a loss by that gate is the sum over all positions of the
 * activation times the loss's derivative by it. The loss here is the outputs times random signs, of which
 * each row is given its mean less, as a constant added to all logits changes no answer: the square of such a
 * derivative is, on average over the signs, the squared length of the outputs' derivative by the gate
 * (Hutchinson 1990), which is what closing the gate moves the outputs by, to first order. */
#pragma once

#include "compressors/onnx/channel_groups.h"

struct dataset; /* core/data */

struct gate_derivatives {
    const struct channel_axis **axes; /* [count] of what a product reads: output i of the copy is float32 with
                                         the derivative by the gate of each index, summed over the batch */
    size_t count;
    size_t sign_count; /* numbers that the copy's last input, of one axis, takes: -1 or 1 each */
};

/* Packs the copy of `g`, in which `groups` were found; free() *data, gate_derivatives_release. `calibration`
 * as graph_shapes_observe. RC_UNSUPPORTED: backward_build has no rule for an operator, which is named. With
 * count 0, *data is NULL: no product that reads channels moves a float32 output. */
MUST_USE enum rc gate_derivatives_pack(struct graph *g, const struct channel_groups *groups,
                                       struct dataset *calibration, struct gate_derivatives *ret, char **data,
                                       size_t *size, struct err *err);
void gate_derivatives_release(struct gate_derivatives *d);

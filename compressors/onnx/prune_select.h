/* prune_select.h -- finds the magnitude that divides the least scores from the others, exactly, and lets the
 * least go. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "compressors/onnx/prune_pattern.h"
#include "core/base/err.h"

/* What goes: magnitudes below `threshold` (bits of a float), and the first `equal` of those that have it. */
struct prune_cut {
    int32_t threshold;
    size_t equal;
};

/* The cut by which the k least of all spans' scores go (k at most their number); of equal ones the first.
 * `keep` of the spans is not looked at. RC_INPUT for scores that are not finite; RC_MEMORY. */
MUST_USE enum rc prune_select(const struct prune_span *spans, size_t span_count, size_t k,
                              struct prune_cut *ret, struct err *err);

/* RC_INPUT, with the place, for scores that are not finite. */
MUST_USE enum rc prune_check_finite(const float *scores, size_t count, struct err *err);

/* keep[i] = 0 for scores that go, else 1. Spans in their order: equal ones that went are taken off the cut.
 */
void prune_cut_mark(struct prune_cut *cut, const float *scores, size_t count, uint8_t *keep);
/* The weights whose scores go become zero. `w` may be `scores`. Returns how many weights are zero then. */
size_t prune_cut_clear(struct prune_cut *cut, const float *scores, size_t count, float *w);

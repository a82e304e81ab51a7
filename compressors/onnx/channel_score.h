/* channel_score.h -- how much each unit of channels matters: the more, the larger its score. Scores are
 * parts of a whole, so that families compare too. */
#pragma once

#include "compressors/compressor.h"
#include "compressors/onnx/channel_groups.h"

/* Sum of the absolute weights that make the unit (Li et al. 2017, "Pruning Filters for Efficient ConvNets"),
 * as a part of its family's. scores[unit_count]. */
MUST_USE enum rc channel_score_l1(struct graph *g, const struct channel_groups *groups, double *scores,
                                  struct err *err);

/* What the layers that read the unit take from it on the calibration examples: the variance of its part of
 * their outputs, summed over outputs, as a part of what they take from all units together (with the
 * activations' second moments; compare Luo et al. 2017, "ThiNet"). RC_INPUT without calibration examples. */
MUST_USE enum rc channel_score_energy(struct compress_job *job, const struct channel_groups *groups,
                                      double from, double to, double *scores, struct err *err);

/* What removing a unit costs when the rest of what each layer reads is fitted again as well as can be, as a
 * part of the variance of its outputs, summed over the layers that read it; units are removed one after
 * another, cheapest first (channel_eliminate.c). The part `most` of the units of family `family` is ranked
 * so, the others come after. Writes the scores of its units; leaves them when no layer that reads it can be
 * described. RC_INPUT without calibration examples. */
MUST_USE enum rc channel_score_eliminate(struct compress_job *job, const struct channel_groups *groups,
                                         size_t family, double most, double from, double to, double *scores,
                                         struct err *err);

/* What the model's outputs move by on a few calibration examples when a unit of family `family` is switched
 * off, as a squared distance (channel_ablate.c). One run a unit. Leaves the scores when no gate fits. */
MUST_USE enum rc channel_score_loss(struct compress_job *job, const struct channel_groups *groups,
                                    size_t family, double *scores, struct err *err);

/* The square of the derivative of the model's outputs by a gate on the unit, the mean over calibration
 * examples: to first order what channel_score_loss measures, for all units by the same runs
 * (channel_taylor.c). Leaves the scores of families of which no product reads anything. RC_INPUT without
 * calibration examples; RC_UNSUPPORTED: an operator has no derivative here, and is named. */
MUST_USE enum rc channel_score_taylor(struct compress_job *job, const struct channel_groups *groups,
                                      double from, double to, double *scores, struct err *err);

/* awq.h -- activation-aware weight quantization (Lin et al. 2023): channels of an activation that are large
 * on the calibration examples get larger weights, and so finer steps, by a factor that the operator before
 * takes back (channel_source.h). Factors are the mean of |x| to a power; of the powers 0, 0.05 .. 1 the one
 * is taken whose rounded weights change the outputs least, by the second moments of the inputs. */
#pragma once

#include "compressors/compressor.h"
#include "compressors/onnx/group_quant.h"
#include "compressors/onnx/moments.h"

/* The weights of the layers that read one activation: matrices [rows[i], columns]. */
struct awq_layers {
    const float *const *weights;
    const size_t *rows;
    size_t count, columns;
};

/* The power, and its factors in scales[columns]: all 1 for the power 0. */
MUST_USE enum rc awq_search(const struct awq_layers *layers, const struct moments_layer *moments,
                            const struct group_format *f, size_t threads, float *scales, double *power,
                            struct err *err);

/* Rescales what can be: where v has a source and only products read it that are among the `count` nodes with
 * moments m. scales[i], of nodes[i], is an array [columns] (free()) of the factors that its weights now
 * carry, NULL where there are none. The model computes what it did before, up to rounding. */
MUST_USE enum rc awq_rescale(const struct compress_job *job, struct graph_node *const *nodes, size_t count,
                             const struct moments *m, const struct group_format *f, float **scales,
                             struct err *err);

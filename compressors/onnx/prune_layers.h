/* prune_layers.h -- the layers of a model whose weights can become zero, and what all techniques of pruning
 * do with them: find them, read them, observe their inputs, write them back, say what was done. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "compressors/compressor.h"
#include "compressors/onnx/moments.h"
#include "compressors/onnx/prune_pattern.h"
#include "compressors/onnx/weight_rows.h"
#include "compressors/onnx/weights.h"
#include "core/base/err.h"

/* Tensors below this hold next to nothing of a model, and pruning them costs the most: on the small
 * Fashion-MNIST ResNet half of everything leaves 50 % accuracy, half of all but the three smallest tensors 73
 * %. */
enum { PRUNE_MIN_WEIGHTS = 512 };

struct prune_layer {
    struct graph_node *node;
    struct weights weights;
    bool flat;               /* the weights as one row, as stored: their place does not matter */
    struct weight_rows rows; /* columns in the order WEIGHT_ROWS_CHANNELS_LAST */
    double *importance;      /* [rows] by which the values are multiplied until they are stored, or NULL */
    bool dense;              /* nothing becomes zero: it is only fitted to its new inputs */
    double ratio;            /* part that becomes zero: the pattern's, or this layer's own */
    bool stored;             /* rows are in the graph again */
};

struct prune_layers {
    struct prune_layer *items;
    size_t count;
};

enum prune_inputs {
    PRUNE_INPUTS_UNKNOWN,
    PRUNE_INPUTS_OBSERVED, /* of the model as it was */
    PRUNE_INPUTS_PAIRED,   /* of the model with the layers before already pruned, and as it was */
};

/* The pattern that a step's options pattern, ratio and block ask for. */
struct prune_pattern prune_layers_pattern(const struct recipe_step *step);

/* Finds and reads every layer with at least PRUNE_MIN_WEIGHTS constant weights that only such layers read,
 * and that fits the pattern; records why others are left alone. Folds constants first. With
 * PRUNE_INPUTS_OBSERVED only layers whose inputs can be observed. RC_UNSUPPORTED, naming the step, when there
 * are none; RC_INPUT for weights that are not finite. Released with prune_layers_release. */
MUST_USE enum rc prune_layers_find(struct compress_job *job, const struct recipe_step *step,
                                   const struct prune_pattern *pattern, enum prune_inputs inputs,
                                   struct prune_layers *ret, struct err *err);
void prune_layers_release(struct prune_layers *l); /* zeroed is fine */

/* One group of a layer: a row of w an output, columns in the same order everywhere. */
struct prune_matrix {
    float *w; /* [rows, columns] */
    size_t rows, columns;
    const double *h;     /* [columns, columns]: the second moments of its inputs; NULL: not asked for */
    const double *cross; /* with PRUNE_INPUTS_PAIRED, [columns, columns]: of its inputs in the original model
                            with those that it gets now (paired_moments.h) */
    const double *owed;  /* [rows, columns] (paired_moments_owed), or NULL */
};

/* Prunes m->w. May run on any thread. */
typedef enum rc prune_matrix_fn(const struct recipe_step *step, const struct prune_pattern *pattern,
                                const struct prune_matrix *m, struct err *err);

/* Prunes every layer by fn, on the job's threads, after running the calibration examples if inputs are
 * wanted: as many layers at once as memory allows, with PRUNE_INPUTS_PAIRED one stage (layer_stages.h) after
 * another, each stored in the graph before the next. */
MUST_USE enum rc prune_layers_run(struct compress_job *job, const struct recipe_step *step,
                                  const struct prune_pattern *pattern, enum prune_inputs inputs,
                                  prune_matrix_fn *fn, prune_matrix_fn *probe, struct prune_layers *layers,
                                  struct err *err);

/* Writes the layers back and records how many weights are zero, what that saves and what it does not. */
MUST_USE enum rc prune_layers_store(struct compress_job *job, const struct prune_pattern *pattern,
                                    const struct prune_layers *layers, struct err *err);

/* fit_samples.h -- rows x that a layer reads and outputs y that it should give, kept in memory: sums over
 * them for ridge_fit.h, and the same for a layer whose outputs go through a Relu.
 *
 * Behind a Relu only positive outputs count. Where both the wanted and the given output are negative nothing
 * is wrong; where only the wanted one is, 0 would do. Fitting to these easier targets, computed from the last
 * fit, again and again lowers the error behind the Relu at every step (majorisation: the target's distance is
 * at least the error, and equal to it at the last fit). */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "compressors/onnx/ridge_fit.h"

struct fit_samples {
    size_t width, outputs;      /* of x and y */
    size_t capacity;            /* rows of each fold */
    float *rows[RIDGE_FOLDS];   /* [capacity, width] */
    float *values[RIDGE_FOLDS]; /* [capacity, outputs] */
    size_t count[RIDGE_FOLDS];
};

enum { FIT_SAMPLES_ROWS_MAX = 32768, FIT_SAMPLES_BYTES_MAX = 256 << 20 };

/* How many rows of such a layer are kept in all. */
size_t fit_samples_capacity(size_t width, size_t outputs);
MUST_USE enum rc fit_samples_init(struct fit_samples *s, size_t width, size_t outputs, struct err *err);
void fit_samples_release(struct fit_samples *s);

/* Adds the sums of all samples, fold by fold. `sums` has the same width and outputs. */
MUST_USE enum rc fit_samples_sums(const struct fit_samples *s, size_t threads, struct ridge_sums *sums,
                                  struct err *err);

/* Sets xy[width, outputs] to the sum of x t^T, where t is the easier target described above for weights
 * w[width, outputs]. Gives the squared error behind the Relu as a part of the squares wanted there. */
MUST_USE enum rc fit_samples_rectified(const struct fit_samples *s, size_t threads, const double *w,
                                       double *xy, double *error, struct err *err);

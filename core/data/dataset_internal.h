/* dataset_internal.h -- the parts of a dataset, shared by the files of core/data. */
#pragma once

#include <stdbool.h>

#include "core/data/dataset.h"

enum { DIGEST_BYTES = 32 };

/* One array of the dataset, [N, ...] in C order. */
struct data_array {
    char *name;
    struct tensor_spec spec; /* spec.name is `name` */
    void *data;
    size_t example_bytes;
};

struct preprocess {
    char *input;
    double scale;
    double *mean, *std; /* NULL: 0 and 1 */
    size_t n_mean, n_std;
    bool nhwc;
};

struct binding; /* dataset_bind.c: how one model input is filled */

enum take { TAKE_ALL, TAKE_EVAL, TAKE_CALIBRATION };

struct dataset {
    size_t n_all; /* examples in the files; text: blocks */
    struct data_array *arrays;
    size_t n_arrays;
    bool unnamed_array; /* IDX images without "input": they feed the model's only input */

    enum dataset_labels labels;
    size_t label_width;
    int64_t *label_values; /* [n_all, label_width] */
    float *target_values;

    struct preprocess *preprocess;
    size_t n_preprocess;

    size_t *order; /* the split: [count] indices into the files' examples */
    size_t count, dropped;

    struct binding *bindings;
    size_t n_bindings;

    bool is_text;
    char *text;
    size_t text_bytes;
    size_t *block_starts; /* [n_all + 1] */
    char *split_text;
    size_t split_text_bytes;
};

/* dataset_read.c: fills arrays and labels, or text, and n_all. `max_bytes` is for all arrays together. */
MUST_USE enum rc dataset_read_files(struct dataset *d, const json_t *descriptor, uint64_t max_bytes,
                                    struct err *err);

/* dataset_labels.c: takes `array` (whose data it may free) as labels of n_all examples. */
MUST_USE enum rc dataset_take_labels(struct dataset *d, struct data_array *array, struct err *err);
/* RC_INPUT "NAME: NaN at example 7" unless every element is finite. Integer arrays are fine. */
MUST_USE enum rc dataset_check_finite(const struct data_array *a, size_t n, struct err *err);
/* Elements of one example. */
size_t dataset_example_elements(const struct data_array *a);

/* preprocess.c: reads the descriptor's "preprocess" object (NULL = none). */
MUST_USE enum rc preprocess_read(struct dataset *d, const json_t *object, struct err *err);
void preprocess_release(struct preprocess *p);

/* dataset_split.c: fills order, count, dropped from the descriptor's "split" (NULL = all). `exclude` is NULL
 * or a dataset whose examples must not be taken. */
MUST_USE enum rc dataset_split(struct dataset *d, const json_t *split, const struct dataset *exclude,
                               struct err *err);

/* dataset_bind.c */
void dataset_release_bindings(struct dataset *d);

/* dataset.h -- a dataset as examples: opened from a descriptor of docs/protocol.md, split by content, checked
 * against a model, and copied batch by batch into the tensors a runtime feeds.
 *
 * In the order of use: dataset_open (reads everything, applies the split), dataset_bind (checks against the
 * model's inputs, fixes the conversion), then dataset_fill. For text: dataset_open, then dataset_text. After
 * dataset_bind a dataset is immutable and may be read by several threads. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/err.h"
#include "core/formats/dtype.h"

struct dataset; /* opaque */

enum dataset_labels {
    LABELS_NONE,
    LABELS_EXAMPLE,  /* one int64 an example */
    LABELS_POSITION, /* int64 [P] an example; DATASET_IGNORE and -1 mark positions that do not count */
    LABELS_TARGET,   /* float [T] an example */
};

enum { DATASET_IGNORE = -100 }; /* PyTorch's ignore_index */

/* `descriptor`: the "dataset" object of a job, its files with "local" paths; borrowed for the call. A "split"
 * is applied, and its "exclude" dataset opened for its hashes. `max_bytes` caps the memory for arrays (0 = 4
 * GiB). RC_INPUT: unknown or missing field, broken file, counts that differ, NaN or infinity in a float array
 * ("input x: NaN at example 7"), a split that leaves nothing; RC_TOO_LARGE; RC_IO. The caller owns *ret. */
MUST_USE enum rc dataset_open(const json_t *descriptor, uint64_t max_bytes, struct dataset **ret,
                              struct err *err);
void dataset_free(struct dataset *d); /* NULL is fine */

/* Examples of this split; for text: blocks. In the order of the file for `all` and `eval`, in the order of
 * their hashes for `calibration` (so the first k are a random sample); text always keeps the order of the
 * file. At least 1. */
size_t dataset_count(const struct dataset *d);
size_t dataset_count_all(const struct dataset *d); /* in the files, before the split */
/* Examples left out because the other side holds identical ones: for `calibration` with "exclude" those that
 * dataset has; for `eval` the further copies of calibration examples; 0 otherwise. */
size_t dataset_overlap_dropped(const struct dataset *d);

/* ---- inputs (npz and idx) ---- */

/* The dataset's own arrays, without labels, sorted by name: name, dtype and [N, ...] as stored. 0 for text.
 */
size_t dataset_array_count(const struct dataset *d);
const struct tensor_spec *dataset_array(const struct dataset *d, size_t index);

/* Checks that every model input has an array of the same name, a fitting shape and a convertible dtype, that
 * no array is left over, and that `preprocess` fits. A missing channel axis of size 1 is added; nhwc becomes
 * nchw where the descriptor says so. Converts any number to floating point, and integers to other integer
 * types when every value fits. `inputs` is borrowed for the call. RC_INPUT with the nearest name, both shapes
 * or both types. May be called once. */
MUST_USE enum rc dataset_bind(struct dataset *d, const struct tensor_spec *inputs, size_t n_inputs,
                              struct err *err);
bool dataset_is_bound(const struct dataset *d);

/* After dataset_bind, by index of the model's inputs: the shape that dataset_fill writes, dims[0] = -1 (the
 * batch), the others fixed; dtype as the model declares it. */
const struct tensor_spec *dataset_input(const struct dataset *d, size_t input);
/* Bytes of one example of that input. */
size_t dataset_input_bytes(const struct dataset *d, size_t input);

/* Copies examples first .. first + count - 1 of the split as [count, ...] into out, which holds count *
 * dataset_input_bytes bytes. The range must lie inside the split (asserted). */
void dataset_fill(const struct dataset *d, size_t input, size_t first, size_t count, void *out);
/* The same for chosen examples, in the order of `examples`. */
void dataset_fill_chosen(const struct dataset *d, size_t input, const size_t *examples, size_t count,
                         void *out);

/* ---- labels ---- */

enum dataset_labels dataset_labels(const struct dataset *d);
size_t dataset_label_width(const struct dataset *d); /* P or T; 1 for LABELS_EXAMPLE; 0 for none */
const int64_t *dataset_label(const struct dataset *d,
                             size_t example); /* [dataset_label_width]; asserts integer labels */
const float *dataset_target(const struct dataset *d,
                            size_t example); /* [dataset_label_width]; asserts LABELS_TARGET */
/* True for a position that does not count. */
static inline int dataset_ignored(int64_t label) {
    return label == DATASET_IGNORE || label == -1;
}

/* RC_INPUT "labels: 10 at example 77; the model has 10 classes (0 to 9)" unless all labels of the split lie
 * in 0 .. classes - 1. Ignored positions are fine in LABELS_POSITION only. RC_OK for LABELS_NONE and
 * LABELS_TARGET. */
MUST_USE enum rc dataset_check_labels(const struct dataset *d, int64_t classes, struct err *err);

/* ---- text ---- */

/* The text of this split (NUL-terminated beyond *size, owned by the dataset), or NULL when it is not a text.
 * Blocks keep the order of the file; those of the other side are cut out. */
const char *dataset_text(const struct dataset *d, size_t *size);

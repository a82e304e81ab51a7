/* record.h -- what compression did to a model: which tensors were changed and how, what was left alone and
 * why, and notes. Written by the steps of a recipe, shown with the variant (docs/protocol.md, result of
 * `compress`). */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "core/base/err.h"

struct record_entry {
    char *tensor; /* name of a tensor or node */
    char *text;   /* how it was changed, or why it was left alone */
};

struct record_list {
    struct record_entry *entries; /* in the order in which they were added */
    size_t count, capacity;
};

struct record {
    struct record_list changed, left_alone;
    struct record_list notes; /* tensor is NULL */
    struct record_list slow; /* the notes that say why the model may run slower than it was; tensor is NULL */
    bool storage_only;       /* smaller on disk or in memory, but not computed with fewer bits */
};

void record_init(struct record *r);
void record_release(struct record *r); /* empty again */

/* Each adds one entry; texts are copied and cut at 1,023 bytes. RC_MEMORY; RC_TOO_LARGE over 200,000 entries.
 */
MUST_USE enum rc record_changed(struct record *r, struct err *err, const char *tensor, const char *format,
                                ...) PRINTF_LIKE(4, 5);
MUST_USE enum rc record_left_alone(struct record *r, struct err *err, const char *tensor, const char *format,
                                   ...) PRINTF_LIKE(4, 5);
/* A note that is already there is not added again. */
MUST_USE enum rc record_note(struct record *r, struct err *err, const char *format, ...) PRINTF_LIKE(3, 4);
/* A note that says why the model may run slower than before: shown where that was measured. */
MUST_USE enum rc record_slow(struct record *r, struct err *err, const char *format, ...) PRINTF_LIKE(3, 4);

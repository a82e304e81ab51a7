/* memory.h -- peak resident memory above the empty worker.
 *
 * Method: just before the model is loaded (libraries loaded, example inputs in place, freed heap given back)
 * the resident set is read and the kernel's high-water mark VmHWM reset by writing 5 to
 * /proc/self/clear_refs; after the runs the figure is VmHWM minus that base. Pages of a mapped model file
 * count once they were touched, as in any other process. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/base/err.h"

struct memory_mark {
    uint64_t base_bytes;
    bool reset; /* false: the high-water mark could not be reset, and may be older than the mark */
};

/* A descriptor to reset with, -1 where there is none; opened before Landlock makes /proc read-only. */
int memory_open_reset(void);

/* Takes the base. */
MUST_USE enum rc memory_begin(int reset_fd, struct memory_mark *ret, struct err *err);

/* Peak since the mark, in bytes above the base. */
MUST_USE enum rc memory_peak(const struct memory_mark *mark, uint64_t *ret, struct err *err);

/* The value of `key` ("VmHWM:") in kB in the text of /proc/self/status, in bytes. RC_INTERNAL when it is not
 * there. */
MUST_USE enum rc memory_status_bytes(const char *text, const char *key, uint64_t *ret, struct err *err);

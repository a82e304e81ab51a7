/* roofline.h -- how fast this machine can be at best, measured by `pare-worker --calibrate` and kept in the
 * agent's cache folder. */
#pragma once

#include <jansson.h>

#include "core/base/err.h"

struct roofline_opts {
    const char *worker;      /* path of pare-worker */
    const char *folder;      /* where roofline.json is kept */
    const char *jobs_folder; /* working directory of the worker */
};

/* The roofline of docs/protocol.md. What is kept is used as long as the machine type, the runtime's version
 * and Pare's version are those it was measured with; otherwise, and when the file is missing or unreadable,
 * it is measured again (one to three seconds). `fingerprint` is borrowed and has no roofline yet. The caller
 * owns *ret. Errors are those of the worker; a file that cannot be written is none. */
MUST_USE enum rc roofline_get(const struct roofline_opts *opts, const json_t *fingerprint, json_t **ret,
                              struct err *err);

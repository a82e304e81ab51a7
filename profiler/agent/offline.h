/* offline.h -- the jobs of a bundle (`pare bundle`), run on a machine that cannot reach the service. What an
 * agent would have sent goes into one signed file (core/formats/results_file.h) that `pare import` takes
 * back. */
#pragma once

#include "core/base/err.h"

struct offline_opts {
    const char *folder;  /* the unpacked bundle: bundle.json, bin/, lib/, blobs/ */
    const char *results; /* where the results go; NULL = FOLDER/results.pare */
    const char *name;    /* of the target; NULL = the host's name */
    const char *sandbox; /* "allow" or "require"; NULL = "allow" */
};

/* Blocking; one line a job on standard output. A job that fails is part of the results. RC_INPUT: the folder
 * holds no bundle, or a file of it was changed; errors of the first worker (--probe); RC_IO. */
MUST_USE enum rc offline_run(const struct offline_opts *opts, struct err *err);

/* worker_kit.h -- pare-worker and pare-runner with every library they need, to travel in a bundle. */
#pragma once

#include "advisor/cli/tar_file.h"
#include "core/base/err.h"

/* Adds bin/ and lib/ under `prefix` to the archive. `arch` is this machine's (uname -m), or another: then a
 * kit folder with bin/ and lib/ is needed, `folder` or build/arm64/kit beside this build. RC_NOT_FOUND says
 * how to make one. */
MUST_USE enum rc worker_kit_add(struct tar_file *t, const char *prefix, const char *arch, const char *folder,
                                struct err *err);

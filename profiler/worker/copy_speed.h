/* copy_speed.h -- how fast this machine copies memory. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "core/base/err.h"

/* Copies an array far beyond the caches with `threads` threads, each its own part, and takes the fastest of
 * several times within about `limit_ns`. *ret: bytes read and bytes written together, in GB (10^9) a second,
 * as STREAM counts (McCalpin, 1995). `bytes`: of the source. RC_MEMORY. */
MUST_USE enum rc copy_speed_measure(uint32_t threads, size_t bytes, uint64_t limit_ns, double *ret,
                                    struct err *err);

/* Bytes of an array that no cache of this machine holds: twice the last level, 32 to 256 MiB, and at most a
 * sixteenth of its memory. */
size_t copy_speed_array_bytes(void);

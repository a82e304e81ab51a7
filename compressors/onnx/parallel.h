/* parallel.h -- the items of a list on several threads. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "core/base/err.h"

enum { PARALLEL_THREADS_MAX = 256 };

/* Works on one item. `thread` (0 is the calling thread) picks scratch memory. What is computed must not
 * depend on `thread`. */
typedef enum rc parallel_fn(void *user, size_t item, size_t thread, struct err *err);

/* Calls fn for every item below `count`, in any order, on at most `threads` threads (the caller's included;
 * fewer when the system gives fewer), and waits. After a failure no further item is begun; the error is that
 * of the lowest item that failed. */
MUST_USE enum rc parallel_for(size_t threads, size_t count, parallel_fn *fn, void *user, struct err *err);

/* Makes OpenBLAS compute on the calling thread alone. How it divides work among threads changes the order of
 * its sums, and so the last bits; everything here divides work by itself, the same way for any number of
 * threads, and calls this before it calls BLAS or LAPACK. */
void parallel_keep_blas_single(void);

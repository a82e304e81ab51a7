/* npy.h -- the header of a NumPy .npy file, versions 1.0, 2.0 and 3.0 (numpy.lib.format). */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "core/base/err.h"
#include "core/formats/dtype.h"

enum { NPY_MAX_HEADER = 64 * 1024 }; /* with the preamble; longer headers are refused */

struct npy_header {
    enum dtype dtype;
    size_t rank;
    int64_t dims[TENSOR_MAX_RANK];
    size_t header_bytes; /* the data begin here */
    size_t data_bytes;   /* product of dims times the element size, checked */
};

/* Bytes of preamble and header together, from the first 12 bytes of the file (fewer: RC_INPUT "truncated").
 */
MUST_USE enum rc npy_header_size(const void *data, size_t size, size_t *ret, struct err *err);

/* Parses the header in the first `size` bytes. RC_INPUT: not an npy file, truncated, broken; RC_UNSUPPORTED
 * with a hint: Fortran order, big endian, objects, strings, complex numbers, more than TENSOR_MAX_RANK axes.
 */
MUST_USE enum rc npy_parse(const void *data, size_t size, struct npy_header *ret, struct err *err);

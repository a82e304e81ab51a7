/* summary_bytes.h -- writing and reading the packed summaries: little-endian whole numbers and IEEE 754
 * figures. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/buf.h"
#include "core/base/err.h"

MUST_USE enum rc summary_bytes_add_u32(struct buf *out, uint32_t value, struct err *err);
MUST_USE enum rc summary_bytes_add_u64(struct buf *out, uint64_t value, struct err *err);
MUST_USE enum rc summary_bytes_add_f64(struct buf *out, double value, struct err *err);
MUST_USE enum rc summary_bytes_add_floats(struct buf *out, const float *values, size_t n, struct err *err);

struct summary_bytes {
    const unsigned char *data;
    size_t size, next;
    bool failed; /* something was read beyond the end; what was read since is 0 */
};

uint32_t summary_bytes_u32(struct summary_bytes *b);
uint64_t summary_bytes_u64(struct summary_bytes *b);
double summary_bytes_f64(struct summary_bytes *b);
void summary_bytes_floats(struct summary_bytes *b, float *values, size_t n);

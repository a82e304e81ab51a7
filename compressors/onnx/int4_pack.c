/* 4-bit groups. Scales as round-to-nearest does everywhere (ggml's Q4_0 and Q4_1, MLAS): symmetric, the value
 * of largest magnitude becomes -8 (the one code that has no positive partner); asymmetric, the range from
 * least to largest, widened to hold 0, is divided into 15 steps. */
#include "compressors/onnx/int4_pack.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/checked.h"

enum { LEVELS = 16, MIDDLE = 8 };

void int4_release(struct int4_packed *p) {
    free(p->quants);
    free(p->scales);
    free(p->zero_points);
    memset(p, 0, sizeof(*p));
}

static enum rc allocate(struct int4_packed *p, const struct int4_matrix *m, size_t group, enum int4_zero zero,
                        struct err *err) {
    p->groups = m->columns / group + (m->columns % group != 0);
    size_t zero_row = p->groups / 2 + p->groups % 2;
    if (checked_mul(m->rows, p->groups, &p->scale_count) ||
        checked_mul(p->scale_count, group / 2, &p->quant_bytes) ||
        checked_mul(m->rows, zero_row, &p->zero_bytes)) {
        return err_set(err, RC_TOO_LARGE, "the matrix is too large");
    }
    p->quants = calloc(p->quant_bytes + 1, 1);
    p->scales = calloc(p->scale_count + 1, sizeof(float));
    p->zero_points = zero == INT4_ASYMMETRIC ? calloc(p->zero_bytes + 1, 1) : NULL;
    bool ok = p->quants && p->scales && (p->zero_points || zero == INT4_SYMMETRIC);
    return ok ? RC_OK : err_memory(err);
}

/* Scale and zero point of one group of `n` weights. */
static void choose_symmetric(const float *w, size_t n, float *scale, int *zero) {
    float extreme = 0.0f;
    for (size_t i = 0; i < n; i++) {
        extreme = fabsf(w[i]) > fabsf(extreme) ? w[i] : extreme;
    }
    *scale = extreme / -(float)MIDDLE;
    *zero = MIDDLE;
}

static void choose_asymmetric(const float *w, size_t n, float *scale, int *zero) {
    float low = 0.0f, high = 0.0f;
    for (size_t i = 0; i < n; i++) {
        low = fminf(low, w[i]);
        high = fmaxf(high, w[i]);
    }
    *scale = (high - low) / (LEVELS - 1);
    float z = *scale > 0.0f ? nearbyintf(-low / *scale) : MIDDLE;
    *zero = (int)fminf(fmaxf(z, 0.0f), LEVELS - 1);
}

static unsigned quantize(float w, float scale, int zero) {
    if (scale == 0.0f) {
        return (unsigned)zero;
    }
    float q = nearbyintf(w / scale) + (float)zero;
    return (unsigned)fminf(fmaxf(q, 0.0f), LEVELS - 1);
}

static void put_nibble(uint8_t *bytes, size_t i, unsigned value) {
    bytes[i / 2] = (uint8_t)(bytes[i / 2] | value << (i % 2 ? 4 : 0));
}

static bool read_group(const struct int4_matrix *m, size_t row, size_t first, size_t n, float *w) {
    bool finite = true;
    for (size_t i = 0; i < n; i++) {
        w[i] = m->data[row * m->row_stride + (first + i) * m->column_stride] * m->factor;
        finite = finite && isfinite(w[i]);
    }
    return finite;
}

static void pack_group(struct int4_packed *p, const float *w, size_t n, size_t row, size_t index,
                       size_t group, enum int4_zero mode) {
    size_t at = row * p->groups + index;
    float scale;
    int zero;
    (mode == INT4_SYMMETRIC ? choose_symmetric : choose_asymmetric)(w, n, &scale, &zero);
    p->scales[at] = scale;
    if (p->zero_points) {
        put_nibble(p->zero_points + row * (p->groups / 2 + p->groups % 2), index, (unsigned)zero);
    }
    for (size_t i = 0; i < group; i++) {
        put_nibble(p->quants + at * (group / 2), i, i < n ? quantize(w[i], scale, zero) : (unsigned)zero);
    }
}

enum rc int4_pack(const struct int4_matrix *m, size_t group, enum int4_zero zero, struct int4_packed *ret,
                  struct err *err) {
    struct int4_packed p = {0};
    float *w = malloc(group * sizeof(*w));
    enum rc rc = w ? allocate(&p, m, group, zero, err) : err_memory(err);
    for (size_t row = 0; row < m->rows && rc == RC_OK; row++) {
        for (size_t g = 0; g < p.groups && rc == RC_OK; g++) {
            size_t first = g * group, n = m->columns - first < group ? m->columns - first : group;
            if (!read_group(m, row, first, n, w)) {
                rc = err_set(err, RC_INPUT, "a weight of output %zu is not a finite number", row);
            } else {
                pack_group(&p, w, n, row, g, group, zero);
            }
        }
    }
    free(w);
    if (rc != RC_OK) {
        int4_release(&p);
        return rc;
    }
    *ret = p;
    return RC_OK;
}

static unsigned get_nibble(const uint8_t *bytes, size_t i) {
    return ((unsigned)bytes[i / 2] >> (i % 2 ? 4 : 0)) & 15u;
}

float int4_value(const struct int4_packed *p, size_t group, size_t row, size_t column) {
    size_t index = column / group, at = row * p->groups + index;
    unsigned q = get_nibble(p->quants + at * (group / 2), column % group);
    size_t zero_row = p->groups / 2 + p->groups % 2;
    unsigned zero = p->zero_points ? get_nibble(p->zero_points + row * zero_row, index) : MIDDLE;
    return p->scales[at] * (float)((int)q - (int)zero);
}

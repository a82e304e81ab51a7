#include "advisor/decide/summary_bytes.h"

#include <string.h>

static void encode(uint64_t value, unsigned char *bytes, size_t n) {
    for (size_t i = 0; i < n; i++) {
        bytes[i] = (unsigned char)(value >> (8 * i));
    }
}

enum rc summary_bytes_add_u32(struct buf *out, uint32_t value, struct err *err) {
    unsigned char bytes[4];
    encode(value, bytes, sizeof bytes);
    return buf_add(out, bytes, sizeof bytes, err);
}

enum rc summary_bytes_add_u64(struct buf *out, uint64_t value, struct err *err) {
    unsigned char bytes[8];
    encode(value, bytes, sizeof bytes);
    return buf_add(out, bytes, sizeof bytes, err);
}

enum rc summary_bytes_add_f64(struct buf *out, double value, struct err *err) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return summary_bytes_add_u64(out, bits, err);
}

enum rc summary_bytes_add_floats(struct buf *out, const float *values, size_t n, struct err *err) {
    for (size_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, &values[i], sizeof bits);
        enum rc rc = summary_bytes_add_u32(out, bits, err);
        if (rc != RC_OK) {
            return rc;
        }
    }
    return RC_OK;
}

static uint64_t decode(struct summary_bytes *b, size_t n) {
    uint64_t value = 0;
    if (b->failed || b->size - b->next < n) {
        b->failed = true;
        return 0;
    }
    for (size_t i = 0; i < n; i++) {
        value |= (uint64_t)b->data[b->next + i] << (8 * i);
    }
    b->next += n;
    return value;
}

uint32_t summary_bytes_u32(struct summary_bytes *b) {
    return (uint32_t)decode(b, 4);
}

uint64_t summary_bytes_u64(struct summary_bytes *b) {
    return decode(b, 8);
}

double summary_bytes_f64(struct summary_bytes *b) {
    uint64_t bits = decode(b, 8);
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

void summary_bytes_floats(struct summary_bytes *b, float *values, size_t n) {
    for (size_t i = 0; i < n; i++) {
        uint32_t bits = summary_bytes_u32(b);
        memcpy(&values[i], &bits, sizeof bits);
    }
}

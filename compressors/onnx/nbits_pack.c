#include "compressors/onnx/nbits_pack.h"

#include <string.h>

#include "compressors/onnx/round_loops.h"

size_t nbits_bytes(size_t count, unsigned width) {
    size_t each = 8 / width;
    return count / each + (count % each != 0);
}

VECTOR_LOOPS static void pack_nibbles(const uint8_t *codes, size_t pairs, uint8_t *out) {
    round_pack_nibbles(codes, pairs, out);
}

void nbits_pack(const uint8_t *codes, size_t count, unsigned shift, unsigned width, uint8_t *out) {
    unsigned mask = (1U << width) - 1;
    size_t each = 8 / width, whole = count / each;
    if (width == 8) {
        memcpy(out, codes, count);
        return;
    }
    if (width == 4 && shift == 0) {
        pack_nibbles(codes, whole, out);
    } else {
        for (size_t i = 0; i < whole; i++) {
            unsigned byte = 0;
            for (size_t k = 0; k < each; k++) {
                byte |= (codes[i * each + k] >> shift & mask) << (k * width);
            }
            out[i] = (uint8_t)byte;
        }
    }
    if (count % each) {
        unsigned byte = 0;
        for (size_t k = 0; k < count % each; k++) {
            byte |= (codes[whole * each + k] >> shift & mask) << (k * width);
        }
        out[whole] = (uint8_t)byte;
    }
}

size_t nbits_matrix_bytes(const struct group_quant *q) {
    return q->rows * q->groups * nbits_bytes(q->format.group, q->format.bits);
}

void nbits_pack_matrix(const struct group_quant *q, uint8_t *out) {
    size_t group = q->format.group, bytes = nbits_bytes(group, q->format.bits);
    size_t whole = q->columns / group, rest = q->columns % group;
    for (size_t row = 0; row < q->rows; row++) {
        const uint8_t *codes = q->codes + row * q->columns;
        nbits_pack(codes, whole * group, 0, q->format.bits, out);
        out += whole * bytes;
        if (rest) {
            uint8_t last[256];
            memset(last, q->zeros[row * q->groups + whole], group);
            memcpy(last, codes + whole * group, rest);
            nbits_pack(last, group, 0, q->format.bits, out);
            out += bytes;
        }
    }
}

size_t nbits_zeros_bytes(const struct group_quant *q) {
    return q->rows * nbits_bytes(q->groups, q->format.bits);
}

void nbits_pack_zeros(const struct group_quant *q, uint8_t *out) {
    size_t bytes = nbits_bytes(q->groups, q->format.bits);
    for (size_t row = 0; row < q->rows; row++) {
        nbits_pack(q->zeros + row * q->groups, q->groups, 0, q->format.bits, out + row * bytes);
    }
}

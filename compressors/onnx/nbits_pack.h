/* nbits_pack.h -- codes of 1, 2, 4 or 8 bits packed into bytes, the first code in the lowest bits; and the
 * layout of com.microsoft.MatMulNBits (ONNX Runtime's ContribOperators.md). */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "compressors/onnx/group_quant.h"

/* Bytes of `count` codes of `width` bits. */
size_t nbits_bytes(size_t count, unsigned width);
/* Packs bits shift .. shift + width - 1 of each code; the last byte is filled with zeros. */
void nbits_pack(const uint8_t *codes, size_t count, unsigned shift, unsigned width, uint8_t *out);

/* MatMulNBits' B: [rows, groups, group * bits / 8], the last group of a row filled with its zero point. */
size_t nbits_matrix_bytes(const struct group_quant *q);
void nbits_pack_matrix(const struct group_quant *q, uint8_t *out);
/* Its zero points: [rows, bytes of `groups` codes]. */
size_t nbits_zeros_bytes(const struct group_quant *q);
void nbits_pack_zeros(const struct group_quant *q, uint8_t *out);

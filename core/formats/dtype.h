/* dtype.h -- element types of tensors and arrays, and the shape of a model's input or output. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* X(enumerator, name, bytes of an element, number in ONNX's TensorProto.DataType, NumPy descr without byte
 * order or NULL) */
#define DTYPE_TABLE(X)                                                                                       \
    X(DTYPE_BOOL, "bool", 1, 9, "b1")                                                                        \
    X(DTYPE_UINT8, "uint8", 1, 2, "u1")                                                                      \
    X(DTYPE_INT8, "int8", 1, 3, "i1")                                                                        \
    X(DTYPE_UINT16, "uint16", 2, 4, "u2")                                                                    \
    X(DTYPE_INT16, "int16", 2, 5, "i2")                                                                      \
    X(DTYPE_UINT32, "uint32", 4, 12, "u4")                                                                   \
    X(DTYPE_INT32, "int32", 4, 6, "i4")                                                                      \
    X(DTYPE_UINT64, "uint64", 8, 13, "u8")                                                                   \
    X(DTYPE_INT64, "int64", 8, 7, "i8")                                                                      \
    X(DTYPE_FLOAT16, "float16", 2, 10, "f2")                                                                 \
    X(DTYPE_BFLOAT16, "bfloat16", 2, 16, NULL)                                                               \
    X(DTYPE_FLOAT32, "float32", 4, 1, "f4")                                                                  \
    X(DTYPE_FLOAT64, "float64", 8, 11, "f8")

enum dtype {
#define X(id, name, bytes, onnx, numpy) id,
    DTYPE_TABLE(X)
#undef X
        DTYPE_OTHER /* a type of ONNX that Pare does not feed: string, complex, 4-bit, ... */
};

enum { TENSOR_MAX_RANK = 8 };

/* The declared type of a model's input or output. */
struct tensor_spec {
    const char *name;
    enum dtype dtype;
    size_t rank;
    int64_t dims[TENSOR_MAX_RANK]; /* -1 where free or symbolic; the first axis is the batch */
};

const char *dtype_name(enum dtype dtype); /* "float32"; "other" for DTYPE_OTHER */
size_t dtype_bytes(enum dtype dtype);     /* of an element; 0 for DTYPE_OTHER */
bool dtype_is_float(enum dtype dtype);

enum dtype dtype_from_onnx(int64_t type); /* TensorProto.DataType */
int dtype_to_onnx(enum dtype dtype);      /* 0 (UNDEFINED) for DTYPE_OTHER */

/* The type of a NumPy descr without its byte order ("f4"), DTYPE_OTHER for an unknown one. */
enum dtype dtype_from_numpy(const char *descr, size_t size);

/* IEEE 754 binary16 and bfloat16 to and from float; to nearest, ties to even; too large becomes infinity. */
float dtype_float_of_half(uint16_t bits);
uint16_t dtype_half_of_float(float value);
float dtype_float_of_bfloat16(uint16_t bits);
uint16_t dtype_bfloat16_of_float(float value);

enum { SHAPE_TEXT_SIZE = 192 };
/* "[N, 1, 28, 28]"; a free axis reads "?", except the first, "N". */
void dtype_shape_text(const int64_t *dims, size_t rank, char text[SHAPE_TEXT_SIZE]);

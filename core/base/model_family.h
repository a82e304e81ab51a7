/* model_family.h -- the two kinds of model files that Pare knows. */
#pragma once

#include "core/base/err.h"

enum model_family {
    FAMILY_UNKNOWN = 0,
    FAMILY_ONNX = 1,
    FAMILY_GGUF = 2
}; /* bits, so that a set fits into an unsigned */

/* "onnx", "gguf" or "unknown". */
const char *model_family_name(enum model_family family);

/* RC_INPUT with the valid names for anything but "onnx" and "gguf". */
MUST_USE enum rc model_family_parse(const char *name, enum model_family *ret, struct err *err);

#include "core/base/model_family.h"

#include <string.h>

const char *model_family_name(enum model_family family) {
    return family == FAMILY_ONNX ? "onnx" : family == FAMILY_GGUF ? "gguf" : "unknown";
}

enum rc model_family_parse(const char *name, enum model_family *ret, struct err *err) {
    if (strcmp(name, "onnx") == 0) {
        *ret = FAMILY_ONNX;
    } else if (strcmp(name, "gguf") == 0) {
        *ret = FAMILY_GGUF;
    } else {
        return err_set(err, RC_INPUT, "unknown model family \"%.32s\": it must be onnx or gguf", name);
    }
    return RC_OK;
}

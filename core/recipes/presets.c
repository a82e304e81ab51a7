/* The levels that are tried when nobody names recipes. */
#include <string.h>

#include "core/recipes/recipe.h"

static const char *const names[] = {"quick", "standard", "thorough", NULL};

static const char *const onnx_quick[] = {"fp32", "int8:dynamic", "int8:static", NULL};
static const char *const onnx_standard[] = {
    "fp32", "fp16", "int8:dynamic", "int8:static", "int8:static,calib=entropy", "int4", NULL};
static const char *const onnx_thorough[] = {"fp32",
                                            "fp16",
                                            "int8:dynamic",
                                            "int8:static",
                                            "int8:static,calib=entropy",
                                            "int8:static,calib=minmax",
                                            "int8:static,calib=percentile",
                                            "int4",
                                            "int4:group=128",
                                            "int4:symmetric",
                                            "prune:magnitude,ratio=0.3",
                                            "prune:magnitude,ratio=0.3+int8:static",
                                            NULL};

static const char *const gguf_quick[] = {"original", "Q8_0", "Q4_K_M:imatrix", NULL};
static const char *const gguf_standard[] = {
    "original", "Q8_0", "Q5_K_M:imatrix", "Q4_K_M:imatrix", "Q3_K_M:imatrix", "Q2_K:imatrix", NULL};
static const char *const gguf_thorough[] = {"original", "Q8_0",           "Q5_K_M", "Q5_K_M:imatrix",
                                            "Q4_K_M",   "Q4_K_M:imatrix", "Q3_K_M", "Q3_K_M:imatrix",
                                            "Q2_K",     "Q2_K:imatrix",   NULL};

static const char *const *const onnx_presets[] = {onnx_quick, onnx_standard, onnx_thorough};
static const char *const *const gguf_presets[] = {gguf_quick, gguf_standard, gguf_thorough};

const char *const *recipe_preset_names(void) {
    return names;
}

enum rc recipe_preset(enum model_family family, const char *preset, const char *const **ret,
                      struct err *err) {
    if (family != FAMILY_ONNX && family != FAMILY_GGUF) {
        return err_set(err, RC_INPUT, "presets exist for onnx and gguf models only");
    }
    for (size_t i = 0; names[i]; i++) {
        if (strcmp(names[i], preset) == 0) {
            *ret = family == FAMILY_ONNX ? onnx_presets[i] : gguf_presets[i];
            return RC_OK;
        }
    }
    return err_set(err, RC_INPUT, "unknown preset \"%.32s\": it must be quick, standard or thorough", preset);
}

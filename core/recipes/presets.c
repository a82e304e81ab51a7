/* The levels that are tried when nobody names recipes. */
#include <string.h>

#include "core/recipes/recipe.h"

static const char *const names[] = {"quick", "standard", "thorough", NULL};

/* What serves faster on most machines and is made in seconds. */
static const char *const onnx_quick[] = {"fp32", "int8:dynamic", "int8:static", "int8:static,calib=entropy",
                                         "int4", "int8:weights", NULL};

/* What is usually worth trying. */
static const char *const onnx_standard[] = {"fp32",
                                            "int8:dynamic",
                                            "int8:static",
                                            "int8:static,calib=entropy",
                                            "int8:static,biascorrect",
                                            "smoothquant+int8:dynamic",
                                            "mixed",
                                            "int8:weights",
                                            "int4",
                                            "int4:gptq",
                                            "prune:channels,ratio=0.25",
                                            "prune:channels,ratio=0.25+int8:static",
                                            "prune:channels",
                                            "prune:channels+int8:static",
                                            "fp16",
                                            NULL};

/* Also what seldom pays, or only makes the file smaller. */
static const char *const onnx_thorough[] = {"fp32",
                                            "int8:dynamic",
                                            "int8:static",
                                            "int8:static,calib=entropy",
                                            "int8:static,calib=minmax",
                                            "int8:static,calib=percentile",
                                            "int8:static,biascorrect",
                                            "smoothquant+int8:dynamic",
                                            "smoothquant+int8:static",
                                            "equalize+int8:static,weights=tensor",
                                            "mixed",
                                            "mixed:drop=1",
                                            "mixed:least=latency",
                                            "mixed:speedup=1.5,target=latency",
                                            "int8:weights",
                                            "int8:gptq",
                                            "int4",
                                            "int4:group=128",
                                            "int4:compute=float",
                                            "int4:gptq",
                                            "int4:gptq,group=16",
                                            "int4:gptq,group=128",
                                            "int3:gptq",
                                            "int2:gptq",
                                            "prune:channels,ratio=0.25",
                                            "prune:channels,ratio=0.25+int8:static",
                                            "prune:channels",
                                            "prune:channels+int8:static",
                                            "prune:channels,scope=model",
                                            "prune:channels,scope=model+int8:static",
                                            "prune:channels+int4:gptq",
                                            "prune:channels,ratio=0.7+int8:static",
                                            "prune:layers",
                                            "prune:layers+int8:static",
                                            "prune:sparsegpt",
                                            "prune:sparsegpt,pattern=2:4",
                                            "prune:sparsegpt+int8:static",
                                            "prune:wanda",
                                            "prune:magnitude,ratio=0.3",
                                            "fp16",
                                            NULL};

static const char *const gguf_quick[] = {
    "original", "Q8_0", "Q5_K_M:imatrix", "Q4_K_M:imatrix", "Q4_K_M", "Q3_K_M:imatrix", NULL};
/* All there are. */
static const char *const gguf_standard[] = {"original", "Q8_0",           "Q5_K_M", "Q5_K_M:imatrix",
                                            "Q4_K_M",   "Q4_K_M:imatrix", "Q3_K_M", "Q3_K_M:imatrix",
                                            "Q2_K",     "Q2_K:imatrix",   NULL};

static const char *const *const onnx_presets[] = {onnx_quick, onnx_standard, onnx_thorough};
static const char *const *const gguf_presets[] = {gguf_quick, gguf_standard, gguf_standard};

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

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
                                            "int8:static,biascorrect",
                                            "smoothquant+int8:dynamic",
                                            "smoothquant+int8:static",
                                            "equalize+int8:static,weights=tensor",
                                            "mixed",
                                            "mixed:drop=1",
                                            "mixed:least=latency",
                                            "mixed:speedup=1.5,target=latency",
                                            "int8:weights",
                                            "int4",
                                            "int4:hqq",
                                            "int4:awq",
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
                                            "lowrank:svd",
                                            "lowrank:svd,form=pair+int8:static",
                                            "prune:layers",
                                            "prune:layers+int8:static",
                                            "prune:sparsegpt",
                                            "prune:sparsegpt,pattern=2:4",
                                            "prune:sparsegpt+int8:static",
                                            "prune:wanda",
                                            "fp16",
                                            NULL};

static const char *const gguf_quick[] = {
    "original", "Q8_0", "Q5_K_M:imatrix", "Q4_K_M:imatrix", "Q4_K_M", "Q3_K_M:imatrix", NULL};

/* First what is made at once, then what needs the calibration text read by the model; each from wide to
 * narrow. */
static const char *const gguf_standard[] = {
    "original",       "Q8_0",           "Q6_K",           "Q5_K_M",
    "Q4_K_M",         "Q4_0",           "Q3_K_M",         "Q2_K",
    "Q5_K_M:imatrix", "Q4_K_M:imatrix", "Q4_K_S:imatrix", "IQ4_XS:imatrix",
    "Q3_K_M:imatrix", "IQ3_M:imatrix",  "Q2_K:imatrix",   NULL};

/* Also what is seldom better than its neighbours, and what few models survive. */
static const char *const gguf_thorough[] = {"original",
                                            "F16",
                                            "BF16",
                                            "Q8_0",
                                            "Q6_K",
                                            "Q5_K_M",
                                            "Q5_K_S",
                                            "Q5_1",
                                            "Q5_0",
                                            "Q4_K_M",
                                            "Q4_K_S",
                                            "Q4_1",
                                            "Q4_0",
                                            "IQ4_NL",
                                            "IQ4_XS",
                                            "Q3_K_L",
                                            "Q3_K_M",
                                            "Q3_K_S",
                                            "IQ3_S",
                                            "Q2_K",
                                            "Q5_K_M:imatrix",
                                            "Q4_K_M:imatrix",
                                            "Q4_K_M:embed=Q8_0,imatrix,output=Q8_0",
                                            "Q4_K_S:imatrix",
                                            "Q4_0:imatrix",
                                            "IQ4_NL:imatrix",
                                            "IQ4_XS:imatrix",
                                            "Q3_K_L:imatrix",
                                            "Q3_K_M:imatrix",
                                            "Q3_K_M:embed=Q8_0,imatrix,output=Q8_0",
                                            "Q3_K_S:imatrix",
                                            "IQ3_M:imatrix",
                                            "IQ3_XS",
                                            "IQ3_XXS",
                                            "Q2_K:imatrix",
                                            "IQ2_M",
                                            "IQ2_S",
                                            "IQ2_XS",
                                            "IQ2_XXS",
                                            "IQ1_M",
                                            "IQ1_S",
                                            NULL};

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

/* hardware.c -- see hardware.h. ONNX Runtime 1.30 on CPUs: its matrix library chooses kernels in
 * onnxruntime/core/mlas/lib/platform.cpp. */
#include "core/recipes/hardware.h"

#include <stdbool.h>
#include <string.h>

#include "core/base/container.h"

#define MLAS      "ONNX Runtime, onnxruntime/core/mlas/lib/"
#define ORT_GUIDE "ONNX Runtime documentation, Quantize ONNX models"
#define ORT       "onnxruntime"

static const struct hardware_rule rules[] = {
    {"int8", ORT, {"amx_int8"}, HARDWARE_SPEED, "AMX multiplies tiles of bytes", MLAS "qgemm_kernel_amx.cpp"},
    {"int8",
     ORT,
     {"avx512_vnni", "avx_vnni"},
     HARDWARE_SPEED,
     "VNNI multiplies bytes and adds in one instruction",
     ORT_GUIDE "; " MLAS "platform.cpp"},
    {"int8",
     ORT,
     {"i8mm", "asimddp"},
     HARDWARE_SPEED,
     "the CPU has dot products of bytes",
     MLAS "qgemm_kernel_sdot.cpp, qgemm_kernel_smmla.cpp"},
    {"int8",
     ORT,
     {"avx2", "avx512bw", "asimd"},
     HARDWARE_SOME,
     "without VNNI or a dot product of bytes several instructions do one's work",
     ORT_GUIDE},
    {"int8", ORT, {NULL}, HARDWARE_NONE, "the CPU has no vector instructions for bytes", ORT_GUIDE},

    {"fp16",
     ORT,
     {"asimdhp"},
     HARDWARE_SPEED,
     "the CPU computes with 16-bit floats, and the runtime has kernels for it",
     MLAS "halfgemm_kernel_neon_fp16.cpp"},
    {"fp16",
     ORT,
     {NULL},
     HARDWARE_NONE,
     "ONNX Runtime has no fp16 kernels for this CPU and computes in fp32",
     MLAS "platform.cpp (fp16 kernels for NEON alone)"},

    {"few-bits",
     ORT,
     {"avx2", "avx512bw", "asimddp"},
     HARDWARE_SOME,
     "weights are read as few bits and unpacked: faster where products wait for memory",
     MLAS "sqnbitgemm_kernel_avx2.cpp, sqnbitgemm_kernel_avx512.cpp, qnbitgemm_kernel_neon.cpp"},
    {"few-bits",
     ORT,
     {NULL},
     HARDWARE_NONE,
     "ONNX Runtime has no kernels for few bits on this CPU",
     MLAS "qnbitgemm.cpp"},

    {"three-bits",
     ORT,
     {NULL},
     HARDWARE_NONE,
     "ONNX Runtime has no kernels for 3 bits: weights are unpacked when the model is loaded",
     "ONNX Runtime, contrib_ops/cpu/quantization/matmul_nbits.cc (2, 4 and 8 bits); measured"},

    {"sparse",
     ORT,
     {NULL},
     HARDWARE_NONE,
     "the runtime multiplies zeros like other weights, in every pattern",
     "ONNX Runtime, CPU operator kernels (sparse weights only in SparseToDenseMatMul); measured"},

    {"structure", ORT, {NULL}, HARDWARE_SPEED, "fewer multiplications on every machine", "by construction"},
    {"rank", ORT, {NULL}, HARDWARE_SPEED, "fewer multiplications on every machine", "by construction"},

    {"half-floats",
     "llama",
     {NULL},
     HARDWARE_SOME,
     "generating reads all weights for every token: half of float32's bytes, as many as of another 16-bit "
     "type",
     "llama.cpp, ggml/src/ggml-cpu/vec.cpp"},
    {"k-quants",
     "llama",
     {"avx2", "avx512bw", "asimd", "asimddp"},
     HARDWARE_SPEED,
     "generating reads all weights for every token, and there are vector kernels to unpack them",
     "llama.cpp, ggml/src/ggml-cpu/arch/x86/quants.c, arch/arm/quants.c"},
    {"k-quants",
     "llama",
     {NULL},
     HARDWARE_SOME,
     "generating reads all weights for every token, unpacked without vector instructions here",
     "llama.cpp, ggml/src/ggml-cpu/quants.c"},
};

const struct hardware_rule *hardware_rules(size_t *count) {
    *count = ARRAY_SIZE(rules);
    return rules;
}

const char *hardware_gain_name(enum hardware_gain gain) {
    static const char *const names[] = {
        [HARDWARE_NONE] = "none", [HARDWARE_SOME] = "some", [HARDWARE_SPEED] = "speed"};
    return names[gain];
}

/* NULL: a step that gains nothing by itself. */
static const char *technique_of(const struct compressor_desc *d) {
    static const struct {
        const char *name, *technique; /* by the beginning of the name; the first that fits */
    } precisions[] = {{"int8:static", "int8"}, {"int8:dynamic", "int8"}, {"mixed", "int8"},
                      {"fp16", "fp16"},        {"int3", "three-bits"},   {"int", "few-bits"}};
    if (d->families == FAMILY_GGUF) {
        bool floats = strcmp(d->name, "F16") == 0 || strcmp(d->name, "BF16") == 0;
        return d->place == PLACE_ALONE ? NULL : floats ? "half-floats" : "k-quants";
    }
    switch (d->place) {
    case PLACE_LAYERS:
    case PLACE_CHANNELS:
        return "structure";
    case PLACE_RANK:
        return "rank";
    case PLACE_SPARSE:
        return "sparse";
    case PLACE_PRECISION:
        break;
    default:
        return NULL;
    }
    for (size_t i = 0; i < ARRAY_SIZE(precisions); i++) {
        if (strncmp(d->name, precisions[i].name, strlen(precisions[i].name)) == 0) {
            return precisions[i].technique;
        }
    }
    return NULL;
}

static bool holds(const struct hardware_rule *rule, const char *const *sets, size_t n) {
    if (!rule->sets[0]) {
        return true;
    }
    for (size_t i = 0; i < HARDWARE_SETS_MAX && rule->sets[i]; i++) {
        for (size_t k = 0; k < n; k++) {
            if (strcmp(rule->sets[i], sets[k]) == 0) {
                return true;
            }
        }
    }
    return false;
}

static const struct hardware_rule *rule_of(const char *technique, const char *const *sets, size_t n) {
    for (size_t i = 0; technique && i < ARRAY_SIZE(rules); i++) {
        if (strcmp(rules[i].technique, technique) == 0 && holds(&rules[i], sets, n)) {
            return &rules[i];
        }
    }
    return NULL;
}

const struct hardware_rule *hardware_judge(const struct recipe *r, const char *const *sets, size_t n_sets) {
    const struct hardware_rule *best = NULL;
    for (size_t i = 0; i < r->n_steps; i++) {
        const struct hardware_rule *rule = rule_of(technique_of(r->steps[i].descriptor), sets, n_sets);
        if (rule && (!best || rule->gain > best->gain)) {
            best = rule;
        }
    }
    return best;
}

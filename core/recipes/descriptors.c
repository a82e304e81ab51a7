/* What each compressor is called, which options it takes and what it needs. The functions are bound to these
 * names in compressors/registry.c; help, API schemas and documentation are made from this table. Options are
 * sorted by name. */
#include "core/base/container.h"
#include "core/recipes/recipe.h"

static const char *const act_types[] = {"u8", "s8", NULL};
static const char *const calibrations[] = {"minmax", "percentile", "entropy", "mse", NULL};
static const char *const smoothings[] = {"auto", "none", NULL};
static const char *const alphas[] = {"search", "0.1", "0.2",  "0.25", "0.3",   "0.375", "0.4", "0.5", "0.6",
                                     "0.625",  "0.7", "0.75", "0.8",  "0.875", "0.9",   "1",   NULL};
/* Steps that compute with 8-bit activations: only those have outliers to fear. */
static const char *const eight_bit_steps[] = {"int8:static", "int8:dynamic", "mixed", NULL};
static const char *const weight_scales[] = {"channel", "tensor", NULL};
static const char *const rank_choices[] = {"budget", "ratio", "energy", NULL};
static const char *const prune_heads[] = {"auto", "dense", "prune", NULL};
static const char *const rank_heads[] = {"factor", "whole", NULL};
static const char *const rank_forms[] = {"pair", "pivot", NULL};
static const char *const prune_blocks[] = {"1", "4", "8", "16", "32", "64", NULL};
static const char *const prune_patterns[] = {"any", "1:2", "1:4", "2:4", "4:8", NULL};
static const char *const prune_scopes[] = {"tensor", "model", NULL};
static const char *const compute_types[] = {"float", "int8", NULL};
static const char *const group_sizes[] = {"16", "32", "64", "128", "256", NULL};

/* act: u8 suits x86 (VNNI multiplies u8 by s8), s8 suits ARM; the planner sets it for the targets of a study.
 */
static const struct option_desc int8_static_options[] = {
    {.name = "act",
     .type = OPTION_CHOICE,
     .choices = act_types,
     .default_text = "u8",
     .help = "type of activations: u8 is fastest on x86, s8 on ARM",
     .always_written = true},
    {.name = "biascorrect",
     .type = OPTION_FLAG,
     .help = "biases make up for what rounding the weights does to mean outputs on the calibration set"},
    {.name = "calib",
     .type = OPTION_CHOICE,
     .choices = calibrations,
     .default_text = "mse",
     .help = "how ranges are chosen from the calibration set"},
    {.name = "percentile",
     .type = OPTION_NUMBER,
     .min = 90,
     .max = 100,
     .default_text = "99.99",
     .help = "part of the absolute values that the range must hold, in percent",
     .only_with = "calib=percentile"},
    {.name = "smooth",
     .type = OPTION_CHOICE,
     .choices = smoothings,
     .default_text = "auto",
     .help = "auto moves outliers of activations into the weights first, unless smoothquant stands before"},
    {.name = "weights",
     .type = OPTION_CHOICE,
     .choices = weight_scales,
     .default_text = "channel",
     .help = "one scale for each output channel, or one for the whole tensor"},
};

static const struct option_desc equalize_options[] = {
    {.name = "absorb",
     .type = OPTION_FLAG,
     .help =
         "also move high biases into the layer behind, by the statistics of batch normalization: not exact"},
};

static const struct option_desc smoothquant_options[] = {
    {.name = "alpha",
     .type = OPTION_CHOICE,
     .choices = alphas,
     .default_text = "search",
     .help =
         "how far outliers move into the weights, 0 to 1; search: for each activation, by expected error"},
};

static const char *const mixed_targets[] = {"accuracy", "size", "latency", NULL};
static const char *const mixed_costs[] = {"size", "latency", NULL};

static const struct option_desc mixed_options[] = {
    {.name = "act",
     .type = OPTION_CHOICE,
     .choices = act_types,
     .default_text = "u8",
     .help = "type of 8-bit activations: u8 is fastest on x86, s8 on ARM",
     .always_written = true},
    {.name = "drop",
     .type = OPTION_NUMBER,
     .min = 0,
     .max = 50,
     .default_text = "0.5",
     .help =
         "accuracy that may be lost, in percentage points, estimated on the calibration set without labels",
     .only_with = "target=accuracy"},
    {.name = "least",
     .type = OPTION_CHOICE,
     .choices = mixed_costs,
     .default_text = "size",
     .help = "what is made least for that accuracy: bytes, or time by a fixed model of it",
     .only_with = "target=accuracy"},
    {.name = "mib",
     .type = OPTION_NUMBER,
     .min = 0.001,
     .max = 100000,
     .default_text = "5",
     .help = "size of the model's file in MiB, at most",
     .only_with = "target=size"},
    {.name = "speedup",
     .type = OPTION_NUMBER,
     .min = 1,
     .max = 100,
     .default_text = "2",
     .help = "how many times as fast the matrix products must be, by a fixed model of time: nothing is timed",
     .only_with = "target=latency"},
    {.name = "target",
     .type = OPTION_CHOICE,
     .choices = mixed_targets,
     .default_text = "accuracy",
     .help = "accuracy: the least cost for it; size or latency: the least loss within it"},
};

/* Options of weights in groups. */
#define WEIGHTS_COMPUTE                                                                                      \
    {                                                                                                        \
        .name = "compute", .type = OPTION_CHOICE, .choices = compute_types, .default_text = "int8",          \
        .help = "type of activations inside the products: the fast kernels are int8; float is exact, and "   \
                "fast with 4 bits only"                                                                      \
    }
#define WEIGHTS_DAMP                                                                                         \
    {                                                                                                        \
        .name = "damp", .type = OPTION_NUMBER, .min = 0.0001, .max = 1, .default_text = "0.01",              \
        .help = "how far to distrust the calibration set: part of the mean input added to each"              \
    }
#define WEIGHTS_GROUP                                                                                        \
    {                                                                                                        \
        .name = "group", .type = OPTION_INT, .min = 16, .max = 256, .choices = group_sizes,                  \
        .default_text = "32", .help = "weights that share one scale"                                         \
    }
#define WEIGHTS_SYMMETRIC                                                                                    \
    {                                                                                                        \
        .name = "symmetric", .type = OPTION_FLAG,                                                            \
        .help = "no zero points: a little smaller, a little less accurate"                                   \
    }

static const struct option_desc weights_options[] = {WEIGHTS_COMPUTE, WEIGHTS_GROUP, WEIGHTS_SYMMETRIC};
static const struct option_desc gptq_options[] = {WEIGHTS_COMPUTE, WEIGHTS_DAMP, WEIGHTS_GROUP,
                                                  WEIGHTS_SYMMETRIC};

#define WEIGHTS_NEAREST(step, text)                                                                          \
    {                                                                                                        \
        .name = step, .families = FAMILY_ONNX, .summary = text, .options = weights_options,                  \
        .n_options = ARRAY_SIZE(weights_options), .place = PLACE_PRECISION                                   \
    }
#define WEIGHTS_AWQ(step, text)                                                                              \
    {                                                                                                        \
        .name = step, .families = FAMILY_ONNX, .summary = text, .options = weights_options,                  \
        .n_options = ARRAY_SIZE(weights_options), .needs = NEEDS_CALIBRATION, .place = PLACE_PRECISION       \
    }
#define WEIGHTS_GPTQ(step, text)                                                                             \
    {                                                                                                        \
        .name = step, .families = FAMILY_ONNX, .summary = text, .options = gptq_options,                     \
        .n_options = ARRAY_SIZE(gptq_options), .needs = NEEDS_CALIBRATION, .place = PLACE_PRECISION          \
    }
static const struct option_desc lowrank_svd_options[] = {
    {.name = "energy",
     .type = OPTION_NUMBER,
     .min = 0.5,
     .max = 0.9999,
     .default_text = "0.99",
     .help = "part of the energy of each layer's outputs that its directions hold",
     .only_with = "rank=energy"},
    {.name = "form",
     .type = OPTION_CHOICE,
     .choices = rank_forms,
     .default_text = "pivot",
     .help = "a MatMul becomes some of its outputs and what the others are of those, or a pair of matrices: "
             "larger, but milder to later steps that round"},
    {.name = "head",
     .type = OPTION_CHOICE,
     .choices = rank_heads,
     .default_text = "whole",
     .help =
         "whether the layer that gives the model's output is factorised too, or left whole and not counted"},
    {.name = "rank",
     .type = OPTION_CHOICE,
     .choices = rank_choices,
     .default_text = "budget",
     .help = "ratio for all layers together, ratio for each layer, or energy for each layer"},
    {.name = "ratio",
     .type = OPTION_NUMBER,
     .min = 0.05,
     .max = 0.95,
     .default_text = "0.75",
     .help =
         "part of the parameters (and of the operations) of all layers that can be factorised that is kept"},
};

/* Which weights of a matrix become zero, beside those of each technique. */
#define PRUNE_BLOCK                                                                                          \
    {                                                                                                        \
        .name = "block", .type = OPTION_INT, .min = 1, .max = 64, .choices = prune_blocks,                   \
        .default_text = "1", .help = "weights go in square tiles of so many outputs by as many inputs",      \
        .only_with = "pattern=any"                                                                           \
    }
#define PRUNE_PATTERN                                                                                        \
    {                                                                                                        \
        .name = "pattern", .type = OPTION_CHOICE, .choices = prune_patterns, .default_text = "any",          \
        .help = "n:m keeps at most n of every m inputs in a row, as sparse matrix units want it"             \
    }
#define PRUNE_PERMUTE                                                                                        \
    {                                                                                                        \
        .name = "permute", .type = OPTION_CHOICE, .choices = prune_permutes, .default_text = "on",           \
        .help = "with n:m, put channels into an order in which the pattern takes less"                       \
    }
#define PRUNE_RATIO(text)                                                                                    \
    {                                                                                                        \
        .name = "ratio", .type = OPTION_NUMBER, .min = 0.01, .max = 0.99, .default_text = "0.5",             \
        .help = text, .only_with = "pattern=any"                                                             \
    }

static const char *const prune_permutes[] = {"on", "off", NULL};

static const struct option_desc prune_magnitude_options[] = {
    PRUNE_BLOCK,
    PRUNE_PATTERN,
    PRUNE_RATIO("part of the weights that becomes zero"),
    {.name = "scope",
     .type = OPTION_CHOICE,
     .choices = prune_scopes,
     .default_text = "tensor",
     .help = "that part of each tensor, or of the whole model by one threshold",
     .only_with = "pattern=any"},
};

static const struct option_desc prune_wanda_options[] = {
    PRUNE_BLOCK,
    PRUNE_PATTERN,
    PRUNE_RATIO("part of each output's weights that becomes zero"),
};

static const struct option_desc prune_sparsegpt_options[] = {
    PRUNE_BLOCK,
    {.name = "damp",
     .type = OPTION_NUMBER,
     .min = 0.0001,
     .max = 1,
     .default_text = "0.01",
     .help = "how far to distrust the calibration set: part of the mean input added to each"},
    {.name = "head",
     .type = OPTION_CHOICE,
     .choices = prune_heads,
     .default_text = "auto",
     .help = "whether the layer that gives the model's output is pruned too, or stays dense; auto: dense "
             "with n:m"},
    PRUNE_PATTERN,
    PRUNE_PERMUTE,
    PRUNE_RATIO("part of the weights that becomes zero"),
    {.name = "scope",
     .type = OPTION_CHOICE,
     .choices = prune_scopes,
     .default_text = "model",
     .help = "that part of the whole model, most where it is measured to matter least, or of each tensor",
     .only_with = "pattern=any"},
};

static const char *const channel_fits[] = {"least-squares", "none", NULL};
static const char *const channel_multiples[] = {"1", "2", "4", "8", "16", "32", "64", NULL};
static const char *const channel_scores[] = {"fit", "energy", "l1", "loss", "taylor", NULL};
static const char *const channel_scopes[] = {"layer", "model", NULL};

static const struct option_desc channel_options[] = {
    {.name = "ratio",
     .type = OPTION_NUMBER,
     .min = 0.01,
     .max = 0.95,
     .default_text = "0.5",
     .help = "part of the channels that is removed"},
    {.name = "refit",
     .type = OPTION_CHOICE,
     .choices = channel_fits,
     .default_text = "least-squares",
     .help = "whether the layers that read what is left are fitted to what the original gives"},
    {.name = "round",
     .type = OPTION_INT,
     .min = 1,
     .max = 64,
     .choices = channel_multiples,
     .default_text = "8",
     .help = "widths are left as multiples of this: convolution kernels work on 8 or 16 channels at a time"},
    {.name = "scope",
     .type = OPTION_CHOICE,
     .choices = channel_scopes,
     .default_text = "layer",
     .help = "the same part of every layer, or the least important of all layers together"},
    {.name = "score",
     .type = OPTION_CHOICE,
     .choices = channel_scores,
     .default_text = "fit",
     .help = "which go first: what the rest can best make up for, what later layers take least of, small "
             "weights, or what moves the outputs least: measured without each (loss), or by derivatives "
             "(taylor)"},
};

static const struct option_desc drop_options[] = {
    {.name = "ratio",
     .type = OPTION_NUMBER,
     .min = 0.01,
     .max = 0.9,
     .default_text = "0.25",
     .help = "part of the residual blocks that is dropped, at least one"},
};

static const char *const gguf_kept_types[] = {"auto", "Q6_K", "Q8_0", "F16", NULL};

#define GGUF_EMBED                                                                                           \
    {                                                                                                        \
        .name = "embed", .type = OPTION_CHOICE, .choices = gguf_kept_types, .default_text = "auto",          \
        .help = "type of the table of token embeddings; auto: as the level has it"                           \
    }
#define GGUF_OUTPUT                                                                                          \
    {                                                                                                        \
        .name = "output", .type = OPTION_CHOICE, .choices = gguf_kept_types, .default_text = "auto",         \
        .help =                                                                                              \
            "type of the layer that gives the logits (of the table of embeddings where that is the same)"    \
    }

static const struct option_desc gguf_options[] = {
    GGUF_EMBED,
    {.name = "imatrix",
     .type = OPTION_FLAG,
     .help = "weigh errors by an importance matrix computed from the calibration text"},
    GGUF_OUTPUT,
};
static const struct option_desc gguf_weighed_options[] = {GGUF_EMBED, GGUF_OUTPUT};

#define GGUF_FLOAT(level, text)                                                                              \
    { .name = level, .families = FAMILY_GGUF, .summary = text, .place = PLACE_PRECISION }
#define GGUF_LEVEL(level, text)                                                                              \
    {                                                                                                        \
        .name = level, .families = FAMILY_GGUF, .summary = text, .options = gguf_options,                    \
        .n_options = ARRAY_SIZE(gguf_options), .calibration_flag = "imatrix", .place = PLACE_PRECISION       \
    }
/* Always with an importance matrix: without one libllama refuses these. */
#define GGUF_WEIGHED(level, text)                                                                            \
    {                                                                                                        \
        .name = level, .families = FAMILY_GGUF, .summary = text ", always by an importance matrix",          \
        .options = gguf_weighed_options, .n_options = ARRAY_SIZE(gguf_weighed_options),                      \
        .needs = NEEDS_CALIBRATION, .place = PLACE_PRECISION                                                 \
    }

static const struct compressor_desc descriptors[] = {
    {.name = "fp32",
     .families = FAMILY_ONNX,
     .summary = "the model as submitted: the baseline",
     .place = PLACE_ALONE},
    {.name = "original",
     .families = FAMILY_GGUF,
     .summary = "the model as submitted: the baseline",
     .place = PLACE_ALONE},
    {.name = "equalize",
     .families = FAMILY_ONNX,
     .summary =
         "moves scales between layers, so that channels of weights are equally large: for per-tensor scales",
     .options = equalize_options,
     .n_options = ARRAY_SIZE(equalize_options),
     .place = PLACE_EQUALIZE},
    {.name = "smoothquant",
     .families = FAMILY_ONNX,
     .summary = "moves outliers of activations into the weights, so that both fit 8 bits",
     .options = smoothquant_options,
     .n_options = ARRAY_SIZE(smoothquant_options),
     .needs = NEEDS_CALIBRATION,
     .place = PLACE_SMOOTH,
     .leads_to = eight_bit_steps},
    {.name = "fp16",
     .families = FAMILY_ONNX,
     .summary = "weights and activations as 16-bit floats: half the size; most CPUs compute it no faster",
     .place = PLACE_PRECISION},
    {.name = "int8:dynamic",
     .families = FAMILY_ONNX,
     .summary = "8-bit weights; the ranges of activations are measured at every run",
     .place = PLACE_PRECISION},
    {.name = "int8:static",
     .families = FAMILY_ONNX,
     .summary = "8-bit weights and activations, with ranges fixed by a calibration set",
     .options = int8_static_options,
     .n_options = ARRAY_SIZE(int8_static_options),
     .needs = NEEDS_CALIBRATION,
     .place = PLACE_PRECISION},
    WEIGHTS_NEAREST("int8:weights", "8-bit weights in groups; activations stay as they are between layers"),
    WEIGHTS_GPTQ("int8:gptq", "the same, rounded so that outputs change least: hardly ever needed at 8 bits"),
    WEIGHTS_NEAREST("int4", "4-bit weights in groups; activations stay as they are between layers"),
    WEIGHTS_NEAREST("int4:hqq",
                    "4-bit weights, rounded so that outliers matter less; needs no calibration set"),
    WEIGHTS_AWQ("int4:awq",
                "4-bit weights, finer where the inputs are large: scales moved to the layer before"),
    WEIGHTS_GPTQ("int4:gptq", "4-bit weights, rounded so that outputs change least on the calibration set"),
    WEIGHTS_NEAREST("int3", "3-bit weights, for storage: unpacked when the model is loaded"),
    WEIGHTS_NEAREST("int3:hqq", "3-bit weights for storage, rounded so that outliers matter less"),
    WEIGHTS_AWQ("int3:awq",
                "3-bit weights, finer where the inputs are large: scales moved to the layer before"),
    WEIGHTS_GPTQ("int3:gptq", "3-bit weights for storage, rounded so that outputs change least"),
    WEIGHTS_NEAREST("int2", "2-bit weights in groups: few models survive it"),
    WEIGHTS_NEAREST("int2:hqq", "2-bit weights, rounded so that outliers matter less"),
    WEIGHTS_AWQ("int2:awq",
                "2-bit weights, finer where the inputs are large: scales moved to the layer before"),
    WEIGHTS_GPTQ("int2:gptq",
                 "2-bit weights, rounded so that outputs change least: for models with much to spare"),
    {.name = "mixed",
     .families = FAMILY_ONNX,
     .summary = "32, 8 or 4 bits for each layer, by how much each loses, measured on a calibration set",
     .options = mixed_options,
     .n_options = ARRAY_SIZE(mixed_options),
     .needs = NEEDS_CALIBRATION,
     .place = PLACE_PRECISION},
    {.name = "lowrank:svd",
     .families = FAMILY_ONNX,
     .summary = "two thin matrices in place of a wide one, as close as can be on the calibration set",
     .options = lowrank_svd_options,
     .n_options = ARRAY_SIZE(lowrank_svd_options),
     .needs = NEEDS_CALIBRATION,
     .place = PLACE_RANK},
    {.name = "prune:magnitude",
     .families = FAMILY_ONNX,
     .summary = "the smallest weights become zero: compresses better in transit, runs no faster by itself",
     .options = prune_magnitude_options,
     .n_options = ARRAY_SIZE(prune_magnitude_options),
     .place = PLACE_SPARSE},
    {.name = "prune:wanda",
     .families = FAMILY_ONNX,
     .summary = "weights that do least to the outputs become zero: size times the strength of their input",
     .options = prune_wanda_options,
     .n_options = ARRAY_SIZE(prune_wanda_options),
     .needs = NEEDS_CALIBRATION,
     .place = PLACE_SPARSE},
    {.name = "prune:sparsegpt",
     .families = FAMILY_ONNX,
     .summary = "weights become zero and those that are left make up for them: the most accurate pruning",
     .options = prune_sparsegpt_options,
     .n_options = ARRAY_SIZE(prune_sparsegpt_options),
     .needs = NEEDS_CALIBRATION,
     .place = PLACE_SPARSE},
    {.name = "prune:layers",
     .families = FAMILY_ONNX,
     .summary = "drops the residual blocks that change the outputs least: fewer layers, one after another",
     .options = drop_options,
     .n_options = ARRAY_SIZE(drop_options),
     .needs = NEEDS_CALIBRATION,
     .place = PLACE_LAYERS},
    {.name = "prune:channels",
     .families = FAMILY_ONNX,
     .summary = "removes whole channels, hidden units and attention heads: a smaller, faster model",
     .options = channel_options,
     .n_options = ARRAY_SIZE(channel_options),
     .needs = NEEDS_CALIBRATION,
     .place = PLACE_CHANNELS},
    GGUF_FLOAT("F16", "16-bit floats: half of a float32 model, nothing less of a 16-bit one"),
    GGUF_FLOAT("BF16",
               "16-bit floats of float32's range and 8 bits of precision: for machines that compute it"),
    GGUF_LEVEL("Q8_0", "8.5 bits a weight: nearly the accuracy of the original"),
    GGUF_LEVEL("Q6_K", "6.6 bits a weight: hardly a loss"),
    GGUF_LEVEL("Q5_K_M", "about 5.7 bits a weight"),
    GGUF_LEVEL("Q5_K_S", "about 5.5 bits a weight"),
    GGUF_LEVEL("Q5_1",
               "6 bits a weight in blocks of 32 with offsets: for widths that are no multiple of 256"),
    GGUF_LEVEL("Q5_0", "5.5 bits a weight in blocks of 32: for widths that are no multiple of 256"),
    GGUF_LEVEL("Q4_K_M", "about 4.9 bits a weight: the usual choice"),
    GGUF_LEVEL("Q4_K_S", "about 4.6 bits a weight"),
    GGUF_LEVEL("Q4_1", "5 bits a weight in blocks of 32 with offsets"),
    GGUF_LEVEL("Q4_0", "4.5 bits a weight in blocks of 32: the fastest kernels on many machines"),
    GGUF_LEVEL("IQ4_NL", "4.5 bits a weight in blocks of 32, of 16 values that are not evenly spaced"),
    GGUF_LEVEL("IQ4_XS", "4.25 bits a weight, of 16 values that are not evenly spaced"),
    GGUF_LEVEL("Q3_K_L", "about 4.3 bits a weight"),
    GGUF_LEVEL("Q3_K_M", "about 3.9 bits a weight"),
    GGUF_LEVEL("Q3_K_S", "about 3.5 bits a weight"),
    GGUF_LEVEL("IQ3_M", "about 3.7 bits a weight, groups of weights from a code book"),
    GGUF_LEVEL("IQ3_S", "about 3.4 bits a weight, groups of weights from a code book"),
    GGUF_WEIGHED("IQ3_XS", "about 3.3 bits a weight"),
    GGUF_WEIGHED("IQ3_XXS", "about 3.1 bits a weight"),
    GGUF_LEVEL("Q2_K", "about 3 bits a weight: visible loss"),
    GGUF_WEIGHED("Q2_K_S", "about 2.8 bits a weight"),
    GGUF_WEIGHED("IQ2_M", "about 2.7 bits a weight"),
    GGUF_WEIGHED("IQ2_S", "about 2.5 bits a weight"),
    GGUF_WEIGHED("IQ2_XS", "about 2.3 bits a weight"),
    GGUF_WEIGHED("IQ2_XXS", "about 2.1 bits a weight"),
    GGUF_WEIGHED("IQ1_M", "about 1.8 bits a weight: few models survive it"),
    GGUF_WEIGHED("IQ1_S", "about 1.6 bits a weight: few models survive it"),
};

const struct compressor_desc *recipe_descriptors(size_t *count) {
    *count = ARRAY_SIZE(descriptors);
    return descriptors;
}

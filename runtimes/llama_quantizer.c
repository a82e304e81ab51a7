/* llama_quantizer.c -- llama_model_quantize by level name, with an importance matrix. */
#include "runtimes/llama_quantizer.h"

#include "runtimes/llama_internal.h"

#define LEVELS                                                                                               \
    X(F16)                                                                                                   \
    X(BF16)                                                                                                  \
    X(Q8_0)                                                                                                  \
    X(Q6_K)                                                                                                  \
    X(Q5_K_M)                                                                                                \
    X(Q5_K_S)                                                                                                \
    X(Q5_1)                                                                                                  \
    X(Q5_0)                                                                                                  \
    X(Q4_K_M)                                                                                                \
    X(Q4_K_S)                                                                                                \
    X(Q4_1)                                                                                                  \
    X(Q4_0)                                                                                                  \
    X(IQ4_NL)                                                                                                \
    X(IQ4_XS)                                                                                                \
    X(Q3_K_L)                                                                                                \
    X(Q3_K_M)                                                                                                \
    X(Q3_K_S)                                                                                                \
    X(IQ3_M)                                                                                                 \
    X(IQ3_S)                                                                                                 \
    X(IQ3_XS)                                                                                                \
    X(IQ3_XXS)                                                                                               \
    X(Q2_K)                                                                                                  \
    X(Q2_K_S)                                                                                                \
    X(IQ2_M)                                                                                                 \
    X(IQ2_S)                                                                                                 \
    X(IQ2_XS)                                                                                                \
    X(IQ2_XXS)                                                                                               \
    X(IQ1_M)                                                                                                 \
    X(IQ1_S)

const char *const *llama_quantizer_levels(void) {
#define X(level) #level,
    static const char *const levels[] = {LEVELS NULL};
#undef X
    return levels;
}

#ifdef PARE_HAVE_LLAMA

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/container.h"
#include "core/base/nearest.h"

static enum rc find_level(const char *name, enum llama_ftype *ret, struct err *err) {
    static const struct {
        const char *name;
        enum llama_ftype type;
    } table[] = {
#define X(level) {#level, LLAMA_FTYPE_MOSTLY_##level},
        LEVELS
#undef X
    };
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        if (strcmp(table[i].name, name) == 0) {
            *ret = table[i].type;
            return RC_OK;
        }
    }
    const char *near = nearest_name(name, llama_quantizer_levels());
    return err_set(err, RC_USAGE, "unknown GGUF level \"%s\"%s%s%s", name, near ? "; did you mean " : "",
                   near ? near : "", near ? "?" : "");
}

/* The type of that name; NULL: GGML_TYPE_COUNT, which leaves it to the level. */
static enum rc find_type(const char *name, enum ggml_type *ret, struct err *err) {
    static const struct {
        const char *name;
        enum ggml_type type;
    } table[] = {{"Q6_K", GGML_TYPE_Q6_K}, {"Q8_0", GGML_TYPE_Q8_0}, {"F16", GGML_TYPE_F16}};
    *ret = GGML_TYPE_COUNT;
    for (size_t i = 0; name && i < ARRAY_SIZE(table); i++) {
        if (strcmp(table[i].name, name) == 0) {
            *ret = table[i].type;
            return RC_OK;
        }
    }
    return name ? err_set(err, RC_USAGE, "unknown type \"%s\": Q6_K, Q8_0 or F16", name) : RC_OK;
}

/* The list as libllama takes it, ended by a NULL name. NULL when out of memory. */
static struct llama_model_imatrix_data *importance_list(const struct llama_quantizer_opts *opts) {
    struct llama_model_imatrix_data *list = calloc(opts->importances + 1, sizeof *list);
    for (size_t i = 0; list && i < opts->importances; i++) {
        list[i] = (struct llama_model_imatrix_data){.name = opts->importance[i].tensor,
                                                    .data = opts->importance[i].values,
                                                    .size = opts->importance[i].count};
    }
    return list;
}

/* The keys that llama-quantize writes about the importance matrix, without names of files. */
static void describe_importance(const struct llama_quantizer_opts *opts,
                                struct llama_model_kv_override keys[3]) {
    memset(keys, 0, 3 * sizeof *keys);
    keys[0].tag = keys[1].tag = LLAMA_KV_OVERRIDE_TYPE_INT;
    snprintf(keys[0].key, sizeof keys[0].key, "quantize.imatrix.entries_count");
    keys[0].val_i64 = (int64_t)opts->importances;
    snprintf(keys[1].key, sizeof keys[1].key, "quantize.imatrix.chunks_count");
    keys[1].val_i64 = (int64_t)opts->chunks;
}

enum rc llama_quantizer_run(const char *input, const char *output, const struct llama_quantizer_opts *opts,
                            struct err *err) {
    struct llama_model_quantize_params params = llama_model_quantize_default_params();
    enum rc rc = find_level(opts->level, &params.ftype, err);
    rc = rc != RC_OK ? rc : find_type(opts->embed, &params.token_embedding_type, err);
    rc = rc != RC_OK ? rc : find_type(opts->output, &params.output_tensor_type, err);
    if (rc == RC_OK) {
        rc = llama_lm_open_libraries(err);
    }
    if (rc) {
        return rc;
    }
    params.nthread = opts->threads ? (int32_t)opts->threads : 1;
    struct llama_model_imatrix_data *importance = NULL;
    struct llama_model_kv_override keys[3];
    if (opts->importances) {
        importance = importance_list(opts);
        if (!importance) {
            return err_memory(err);
        }
        describe_importance(opts, keys);
        params.imatrix = importance;
        params.kv_overrides = keys;
    }
    struct llama_words words;
    llama_words_begin(&words);
    uint32_t failed = llama_model_quantize(input, output, &params);
    llama_words_end();
    free(importance);
    if (failed) {
        unlink(output);
        return err_set(err, RC_INPUT, "libllama cannot quantize the model: %s", llama_words_reason(&words));
    }
    return RC_OK;
}

#endif

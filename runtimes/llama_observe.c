/* llama_observe.c -- the inputs of weight matrices, from the callback that ggml's scheduler makes after each
 * node. Which multiplications are taken, and how stacked matrices are told apart, follows llama.cpp's
 * tools/imatrix/imatrix.cpp. */
#include "runtimes/llama_observe.h"

#include "runtimes/llama_internal.h"

#ifdef PARE_HAVE_LLAMA

#include <stdlib.h>
#include <string.h>

enum { MIN_ROWS = 16 };

struct observer {
    const struct llama_observe_opts *opts;
    enum rc rc; /* the first failure; nothing is reported after it */
    struct err err;
};

/* "CPU#blk.0.attn_k.weight#0" is a copy of blk.0.attn_k.weight that the scheduler made. */
static void weight_name(const struct ggml_tensor *weight, char name[GGML_MAX_NAME]) {
    const char *begin = strchr(weight->name, '#');
    begin = begin ? begin + 1 : weight->name;
    size_t size = strcspn(begin, "#");
    memcpy(name, begin, size);
    name[size] = '\0';
}

static bool is_wanted(const struct ggml_tensor *node) {
    if (node->op == GGML_OP_MUL_MAT_ID) {
        return true;
    }
    if (node->op != GGML_OP_MUL_MAT || node->src[1]->ne[1] < MIN_ROWS ||
        node->src[1]->type != GGML_TYPE_F32) {
        return false;
    }
    char name[GGML_MAX_NAME];
    weight_name(node->src[0], name);
    return strncmp(name, "blk.", 4) == 0;
}

static void report(struct observer *w, struct llama_observation *o, const char *data) {
    if (w->rc == RC_OK) {
        o->data = (const float *)(const void *)data;
        w->rc = w->opts->on_rows(w->opts->rows_user, o, &w->err);
    }
}

/* weight [columns, out, a, b] times input [columns, rows, i2, i3]. */
static void observe_plain(struct observer *w, const struct ggml_tensor *weight,
                          const struct ggml_tensor *input, struct llama_observation *o) {
    o->rows = (size_t)input->ne[1];
    o->stride = input->nb[1] / sizeof(float);
    o->matrices = (size_t)(weight->ne[2] * weight->ne[3]);
    for (int64_t i3 = 0; i3 < input->ne[3]; i3++) {
        for (int64_t i2 = 0; i2 < input->ne[2]; i2++) {
            o->matrix = (size_t)((i3 % weight->ne[3]) * weight->ne[2] + i2 % weight->ne[2]);
            report(w, o, (const char *)input->data + (size_t)i2 * input->nb[2] + (size_t)i3 * input->nb[3]);
        }
    }
}

/* weight [columns, out, experts], input [columns, used or 1, tokens], ids [used, tokens]. */
static void observe_experts(struct observer *w, const struct ggml_tensor *weight,
                            const struct ggml_tensor *input, const struct ggml_tensor *ids,
                            struct llama_observation *o) {
    o->rows = 1;
    o->stride = o->columns;
    o->matrices = (size_t)weight->ne[2];
    for (int64_t slot = 0; slot < ids->ne[0]; slot++) {
        for (int64_t token = 0; token < ids->ne[1]; token++) {
            int32_t expert;
            memcpy(&expert, (const char *)ids->data + (size_t)token * ids->nb[1] + (size_t)slot * ids->nb[0],
                   sizeof expert);
            if (expert < 0 || expert >= weight->ne[2]) {
                continue; /* routed to none */
            }
            o->matrix = (size_t)expert;
            report(w, o,
                   (const char *)input->data + (size_t)(slot % input->ne[1]) * input->nb[1] +
                       (size_t)token * input->nb[2]);
        }
    }
}

static bool on_node(struct ggml_tensor *node, bool ask, void *user) {
    struct observer *w = user;
    if (ask) {
        return is_wanted(node);
    }
    const struct ggml_tensor *weight = node->src[0], *input = node->src[1], *ids = node->src[2];
    if (input->type != GGML_TYPE_F32 || input->nb[0] != sizeof(float) ||
        !ggml_backend_buffer_is_host(input->buffer)) {
        w->rc = w->rc ? w->rc
                      : err_set(&w->err, RC_UNSUPPORTED,
                                "the input of %s does not lie in memory as float32 rows", weight->name);
        return false;
    }
    char name[GGML_MAX_NAME];
    weight_name(weight, name);
    struct llama_observation o = {.tensor = name, .columns = (size_t)input->ne[0]};
    if (node->op == GGML_OP_MUL_MAT_ID) {
        observe_experts(w, weight, input, ids, &o);
    } else {
        observe_plain(w, weight, input, &o);
    }
    return w->rc == RC_OK;
}

/* Every position is an output, so that the last layer too computes all rows. */
static enum rc read_chunk(struct llama_lm *lm, const int32_t *tokens, uint32_t context, struct observer *w,
                          struct err *err) {
    llama_lm_clear(lm);
    for (uint32_t begin = 0, end; begin < context; begin = end) {
        end = llama_lm_piece_end(lm, begin, context, 0);
        enum rc rc = llama_lm_decode(lm, tokens, begin, end, 0, err);
        if (w->rc) {
            *err = w->err;
            return w->rc;
        }
        if (rc) {
            return rc;
        }
    }
    return RC_OK;
}

static enum rc read_chunks(struct llama_lm *lm, int32_t *tokens, size_t count, struct observer *w,
                           uint64_t *ret, struct err *err) {
    const struct llama_observe_opts *opts = w->opts;
    uint64_t chunks = count / lm->context;
    if (chunks == 0) {
        return err_set(err, RC_INPUT,
                       "the text has %zu tokens; at least one chunk of %u is needed: use a longer text",
                       count, lm->context);
    }
    if (opts->max_chunks && chunks > opts->max_chunks) {
        chunks = opts->max_chunks;
    }
    for (uint64_t i = 0; i < chunks; i++) {
        int32_t *chunk = tokens + i * lm->context;
        chunk[0] = llama_lm_first_token(lm, chunk[0]);
        enum rc rc = read_chunk(lm, chunk, lm->context, w, err);
        if (rc) {
            return rc;
        }
        if (opts->on_progress) {
            opts->on_progress(opts->progress_user, (double)(i + 1) / (double)chunks);
        }
    }
    *ret = chunks;
    return RC_OK;
}

enum rc llama_observe_text(const char *path, const char *text, size_t size,
                           const struct llama_observe_opts *opts, uint64_t *chunks, struct err *err) {
    struct observer w = {.opts = opts};
    struct llama_lm_opts lm_opts = {.context = opts->context, .threads = opts->threads};
    struct llama_lm *lm;
    struct err own;
    enum rc rc = llama_lm_load_observed(path, &lm_opts, on_node, &w, &lm, err ? err : &own);
    if (rc) {
        return rc;
    }
    int32_t *tokens = NULL;
    size_t count;
    uint64_t read = 0;
    rc = llama_lm_tokenize(lm, text, size, &tokens, &count, err ? err : &own);
    if (rc == RC_OK) {
        rc = read_chunks(lm, tokens, count, &w, &read, err ? err : &own);
    }
    if (rc == RC_OK && chunks) {
        *chunks = read;
    }
    free(tokens);
    llama_lm_free(lm);
    return rc;
}

#endif

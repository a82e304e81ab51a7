/* llama_lm.c -- loading a model, its context, decoding. */
#include "runtimes/llama_internal.h"

#ifdef PARE_HAVE_LLAMA

#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/formats/gguf_header.h"

enum {
    DEFAULT_CONTEXT = 512,
    UBATCH = 512,                       /* tokens computed together, as llama.cpp's tools do */
    MAX_LOGITS_BYTES = 32 * 1024 * 1024 /* of one decode */
};

bool llama_lm_available(void) {
    return true;
}

const char *llama_lm_version(void) {
    static _Thread_local char text[64]; /* libllama's own text does not say whose version it is */
    snprintf(text, sizeof text, "libllama %s", llama_version());
    return text;
}

/* --- libraries --- */

/* The folder of libggml: the backends are installed beside it. dlsym gives the address in the library itself,
 * where that of a function called from a program may be a jump in the program. */
static enum rc backend_folder(char folder[PATH_MAX], struct err *err) {
    Dl_info info;
    void *symbol = dlsym(RTLD_DEFAULT, "ggml_backend_load_all_from_path");
    if (!symbol || !dladdr(symbol, &info) || !info.dli_fname || !realpath(info.dli_fname, folder)) {
        return err_set(err, RC_IO, "the folder of libggml cannot be found: install Pare again");
    }
    char *slash = strrchr(folder, '/');
    *(slash == folder ? slash + 1 : slash) = '\0';
    return RC_OK;
}

/* The last words of a process whose library gives up: they go into the worker's log. Without this, ggml
 * starts a debugger. */
static void on_abort(const char *message) {
    fprintf(stderr, "libllama gave up: %s\n", message);
}

enum rc llama_lm_open_libraries(struct err *err) {
    if (ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU)) {
        return RC_OK;
    }
    char folder[PATH_MAX];
    enum rc rc = backend_folder(folder, err);
    if (rc) {
        return rc;
    }
    llama_words_end();
    ggml_set_abort_callback(on_abort);
    llama_backend_init();
    ggml_backend_load_all_from_path(folder);
    if (!ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU)) {
        return err_set(err, RC_IO, "no libggml-cpu library for this processor lies in %s: install Pare again",
                       folder);
    }
    return RC_OK;
}

/* --- model --- */

/* Reads the header by our own strict reader: libllama's answers to broken files are an abort or a riddle. */
static enum rc check_header(const char *path, struct err *err) {
    struct gguf_header *h;
    enum rc rc = gguf_header_read(path, &h, err);
    if (rc) {
        return rc;
    }
    uint64_t splits = 0, tokens = 0;
    if (!gguf_header_string(h, "general.architecture")) {
        rc = err_set(err, RC_INPUT,
                     "the file names no architecture (general.architecture): it is not a model");
    } else if (gguf_header_uint(h, "split.count", &splits) && splits > 1) {
        rc = err_set(err, RC_UNSUPPORTED,
                     "this is one of %llu parts: merge them with llama-gguf-split --merge",
                     (unsigned long long)splits);
    } else if (!gguf_header_array_count(h, "tokenizer.ggml.tokens", &tokens) || tokens == 0) {
        rc = err_set(err, RC_UNSUPPORTED,
                     "the model has no tokenizer (tokenizer.ggml.tokens): it cannot read text");
    }
    gguf_header_free(h);
    return rc;
}

static enum rc load_model(const char *path, struct llama_model **ret, struct err *err) {
    ggml_backend_dev_t no_devices[] = {NULL}; /* beside the CPU */
    struct llama_model_params params = llama_model_default_params();
    params.devices = no_devices;
    params.n_gpu_layers = 0;
    struct llama_words words;
    llama_words_begin(&words);
    struct llama_model *model = llama_model_load_from_file(path, params);
    llama_words_end();
    if (!model) {
        return err_set(err, RC_INPUT, "libllama cannot load the model: %s", llama_words_reason(&words));
    }
    if (!llama_model_has_decoder(model) || llama_model_has_encoder(model)) {
        llama_model_free(model);
        return err_set(err, RC_UNSUPPORTED, "only models that generate text (decoders) are supported");
    }
    *ret = model;
    return RC_OK;
}

/* --- context --- */

static enum rc choose_context(const struct llama_model *model, uint32_t asked, uint32_t *ret,
                              struct err *err) {
    int32_t trained_signed = llama_model_n_ctx_train(model);
    uint32_t trained = trained_signed > 0 ? (uint32_t)trained_signed : DEFAULT_CONTEXT;
    if (asked > trained) {
        return err_set(err, RC_INPUT,
                       "a context of %u tokens was asked for; the model was trained on %u: ask for less",
                       asked, trained);
    }
    *ret = asked ? asked : trained < DEFAULT_CONTEXT ? trained : DEFAULT_CONTEXT;
    return RC_OK;
}

static uint32_t choose_max_outputs(const struct llama_lm *lm) {
    uint32_t vocabulary = (uint32_t)llama_vocab_n_tokens(lm->vocab);
    uint32_t outputs = (uint32_t)(MAX_LOGITS_BYTES / sizeof(float)) / (vocabulary ? vocabulary : 1);
    outputs = outputs < 1 ? 1 : outputs;
    return outputs < lm->context ? outputs : lm->context;
}

static enum rc make_context(struct llama_lm *lm, const struct llama_lm_opts *opts,
                            ggml_backend_sched_eval_callback on_node, void *user, struct err *err) {
    lm->vocab = llama_model_get_vocab(lm->model);
    enum rc rc = choose_context(lm->model, opts ? opts->context : 0, &lm->context, err);
    if (rc) {
        return rc;
    }
    lm->max_outputs = choose_max_outputs(lm);
    struct llama_context_params params = llama_context_default_params();
    params.n_ctx = lm->context;
    params.n_batch = lm->context;
    params.n_ubatch = lm->context < UBATCH ? lm->context : UBATCH;
    params.n_outputs_max = lm->max_outputs;
    lm->threads = opts && opts->threads ? opts->threads : 1;
    params.n_threads = (int32_t)lm->threads;
    params.n_threads_batch = params.n_threads;
    params.cb_eval = on_node;
    params.cb_eval_user_data = user;
    struct llama_words words;
    llama_words_begin(&words);
    lm->ctx = llama_init_from_model(lm->model, params);
    llama_words_end();
    if (!lm->ctx) {
        return err_set(err, RC_MEMORY, "libllama cannot make a context of %u tokens: %s", lm->context,
                       llama_words_reason(&words));
    }
    lm->batch = llama_batch_init((int32_t)lm->context, 0, 1);
    return llama_threads_start(lm, lm->threads, err);
}

static enum rc check_tokenizer(const struct llama_lm *lm, struct err *err) {
    if (llama_vocab_n_tokens(lm->vocab) <= 0) {
        return err_set(err, RC_UNSUPPORTED, "the model has no tokenizer: it cannot read text");
    }
    if (llama_vocab_get_add_eos(lm->vocab)) {
        return err_set(err, RC_UNSUPPORTED,
                       "the model's tokenizer ends every text with EOS: perplexity is not defined for it");
    }
    return RC_OK;
}

static enum rc lm_new(struct llama_model *model, bool owns_model, const struct llama_lm_opts *opts,
                      ggml_backend_sched_eval_callback on_node, void *user, struct llama_lm **ret,
                      struct err *err) {
    struct llama_lm *lm = calloc(1, sizeof *lm);
    if (!lm) {
        return err_memory(err);
    }
    lm->model = model;
    enum rc rc = make_context(lm, opts, on_node, user, err);
    if (rc == RC_OK) {
        rc = check_tokenizer(lm, err);
    }
    if (rc) {
        llama_lm_free(lm); /* the model stays the caller's */
        return rc;
    }
    lm->owns_model = owns_model;
    *ret = lm;
    return RC_OK;
}

enum rc llama_lm_load_observed(const char *path, const struct llama_lm_opts *opts,
                               ggml_backend_sched_eval_callback on_node, void *user, struct llama_lm **ret,
                               struct err *err) {
    enum rc rc = check_header(path, err);
    if (rc == RC_OK) {
        rc = llama_lm_open_libraries(err);
    }
    struct llama_model *model;
    if (rc == RC_OK) {
        rc = load_model(path, &model, err);
    }
    if (rc) {
        return rc;
    }
    rc = lm_new(model, true, opts, on_node, user, ret, err);
    if (rc) {
        llama_model_free(model);
    }
    return rc;
}

enum rc llama_lm_load(const char *path, const struct llama_lm_opts *opts, struct llama_lm **ret,
                      struct err *err) {
    return llama_lm_load_observed(path, opts, NULL, NULL, ret, err);
}

enum rc llama_lm_instance(const struct llama_lm *base, const struct llama_lm_opts *opts,
                          struct llama_lm **ret, struct err *err) {
    return lm_new(base->model, false, opts, NULL, NULL, ret, err);
}

void llama_lm_free(struct llama_lm *lm) {
    if (!lm) {
        return;
    }
    if (lm->ctx) {
        llama_threads_stop(lm);
        llama_free(lm->ctx);
    }
    if (lm->batch.token) {
        llama_batch_free(lm->batch);
    }
    if (lm->owns_model) {
        llama_model_free(lm->model);
    }
    free(lm);
}

void llama_lm_describe(const struct llama_lm *lm, struct llama_lm_info *ret) {
    *ret = (struct llama_lm_info){
        .parameters = llama_model_n_params(lm->model),
        .tensor_bytes = llama_model_size(lm->model),
        .vocabulary = (uint32_t)llama_vocab_n_tokens(lm->vocab),
        .trained_context = (uint32_t)llama_model_n_ctx_train(lm->model),
        .layers = (uint32_t)llama_model_n_layer(lm->model),
        .context = lm->context,
        .adds_bos = llama_vocab_get_add_bos(lm->vocab),
    };
    llama_model_meta_val_str(lm->model, "general.architecture", ret->architecture, sizeof ret->architecture);
    llama_model_desc(lm->model, ret->description, sizeof ret->description);
}

/* --- decoding --- */

void llama_lm_clear(struct llama_lm *lm) {
    llama_memory_clear(llama_get_memory(lm->ctx), true);
}

uint32_t llama_lm_piece_end(const struct llama_lm *lm, uint32_t begin, uint32_t count,
                            uint32_t first_output) {
    uint32_t from = begin > first_output ? begin : first_output;
    return count - from > lm->max_outputs ? from + lm->max_outputs : count;
}

enum rc llama_lm_decode(struct llama_lm *lm, const int32_t *tokens, uint32_t begin, uint32_t end,
                        uint32_t first_output, struct err *err) {
    struct llama_batch *b = &lm->batch;
    b->n_tokens = (int32_t)(end - begin);
    for (uint32_t i = 0; i < end - begin; i++) {
        b->token[i] = tokens[begin + i];
        b->pos[i] = (llama_pos)(begin + i);
        b->n_seq_id[i] = 1;
        b->seq_id[i][0] = 0;
        b->logits[i] = begin + i >= first_output;
    }
    int32_t answer = llama_decode(lm->ctx, *b);
    if (answer == -2) {
        return err_memory(err);
    }
    if (answer) {
        return err_set(err, RC_INTERNAL, "libllama could not decode %u tokens (code %d)", end - begin,
                       answer);
    }
    return RC_OK;
}

const float *llama_lm_logits(struct llama_lm *lm, uint32_t begin, uint32_t position) {
    return llama_get_logits_ith(lm->ctx, (int32_t)(position - begin));
}

int32_t llama_lm_first_token(const struct llama_lm *lm, int32_t token) {
    return llama_vocab_get_add_bos(lm->vocab) ? llama_vocab_bos(lm->vocab) : token;
}

#endif

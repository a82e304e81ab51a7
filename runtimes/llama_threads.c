/* llama_threads.c -- a pool of threads a context, kept from token to token as llama.cpp's own programs do. */
#include "runtimes/llama_internal.h"

#ifdef PARE_HAVE_LLAMA

/* As ggml-cpu.h declares them. */
typedef struct ggml_threadpool *pool_new_fn(struct ggml_threadpool_params *params);
typedef void pool_free_fn(struct ggml_threadpool *pool);

/* The functions lie in the backend that ggml chose for this processor: they are asked for by name. */
static void *backend_function(const char *name) {
    ggml_backend_dev_t cpu = ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU);
    return cpu ? ggml_backend_reg_get_proc_address(ggml_backend_dev_backend_reg(cpu), name) : NULL;
}

enum rc llama_threads_start(struct llama_lm *lm, uint32_t threads, struct err *err) {
    if (threads <= 1) {
        return RC_OK;
    }
    if (threads > GGML_MAX_N_THREADS) {
        return err_set(err, RC_USAGE, "%u threads were asked for; libggml has at most %d", threads,
                       GGML_MAX_N_THREADS);
    }
    pool_new_fn *pool_new = (pool_new_fn *)backend_function("ggml_threadpool_new");
    struct ggml_threadpool_params params = ggml_threadpool_params_default((int)threads);
    lm->pool = pool_new ? pool_new(&params) : NULL;
    if (!lm->pool) {
        return err_set(err, RC_INTERNAL, "libggml could not start %u threads", threads);
    }
    llama_attach_threadpool(lm->ctx, lm->pool, lm->pool);
    return RC_OK;
}

void llama_threads_stop(struct llama_lm *lm) {
    if (!lm->pool) {
        return;
    }
    pool_free_fn *pool_free = (pool_free_fn *)backend_function("ggml_threadpool_free");
    llama_detach_threadpool(lm->ctx);
    if (pool_free) {
        pool_free(lm->pool);
    }
    lm->pool = NULL;
}

#endif

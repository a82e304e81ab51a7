/* onnxruntime.h -- load and run ONNX models with ONNX Runtime (C API). Only pare-worker links this.
 *
 * One environment a process; any number of sessions. Everything here is blocking. Two sessions may be used by
 * two threads at once, and so may one session through two bindings; a binding belongs to one thread at a
 * time. Models are hostile input: a bad one gives RC_INPUT with the runtime's own words, never an exception.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "core/base/err.h"
#include "core/formats/dtype.h" /* enum dtype, struct tensor_spec */

struct onnxruntime;         /* the process's environment */
struct onnxruntime_session; /* a loaded model */
struct onnxruntime_result;  /* the outputs of one run */
struct onnxruntime_binding; /* a run prepared once and repeated without allocations */

/* A tensor in row-major order. As an input `data` is borrowed for as long as the run or the binding lasts. */
struct onnxruntime_tensor {
    enum dtype dtype; /* DTYPE_OTHER: not a tensor of numbers; data is then NULL */
    size_t rank;
    int64_t dims[TENSOR_MAX_RANK];
    void *data;
    size_t bytes; /* product of dims times dtype_bytes(dtype) */
};

/* --- environment --- */

struct onnxruntime_opts {
    uint32_t shared_threads; /* n: one pool of n threads (the caller's included) for all sessions that ask for
                                it; 0: no such pool */
};

/* Starts the runtime, with its telemetry switched off and its log reduced to errors. `opts` may be NULL.
 * Owned by the caller; all sessions must be freed before it. A process can have one at a time. */
MUST_USE enum rc onnxruntime_new(const struct onnxruntime_opts *opts, struct onnxruntime **ret,
                                 struct err *err);
void onnxruntime_free(struct onnxruntime *r); /* NULL is fine */

/* "onnxruntime 1.30.0" */
const char *onnxruntime_version(void);

/* --- sessions --- */

enum onnxruntime_threads { ONNXRUNTIME_OWN_POOL, ONNXRUNTIME_SHARED_POOL };
enum onnxruntime_spin {
    ONNXRUNTIME_SPIN,
    ONNXRUNTIME_NO_SPIN
}; /* idle pool threads spin (the runtime's default) or sleep */
enum onnxruntime_arena {
    ONNXRUNTIME_ARENA,
    ONNXRUNTIME_NO_ARENA
}; /* keep freed memory for the next run, or give it back */
enum onnxruntime_optimize {
    ONNXRUNTIME_OPTIMIZE_ALL,
    ONNXRUNTIME_OPTIMIZE_NONE,
    ONNXRUNTIME_OPTIMIZE_BASIC,
    ONNXRUNTIME_OPTIMIZE_EXTENDED,
};

/* A file of external data: where the model says it is, and where it really is. */
struct onnxruntime_file {
    const char *location; /* as in the model: "weights.bin" */
    const char *local;    /* path to open */
};

/* All zero is a good default: as many threads as the machine has cores, every optimisation. */
struct onnxruntime_session_opts {
    uint32_t
        threads; /* intra-op threads, the caller's included; 0 = one a core. Not used with the shared pool. */
    enum onnxruntime_threads pool;
    enum onnxruntime_spin spin; /* not used with the shared pool, which never spins */
    enum onnxruntime_arena arena;
    enum onnxruntime_optimize optimize;
    const char *profile_prefix; /* not NULL: profile every operator into PREFIX_<date>.json */
    const char *save_optimized; /* not NULL: write the optimised graph there, to see what was fused */
    /* External data. What `external` lists is taken from there; the rest is looked for in `external_folder`,
     * which by default is the model's own folder (models from memory have none: all their files must be
     * listed or the folder given). */
    const struct onnxruntime_file *external;
    size_t external_count;
    const char *external_folder;
};

/* Loads a model. `opts` may be NULL; it is borrowed for the call. Owned by the caller.
 * RC_INPUT: the runtime refuses the model. RC_UNSUPPORTED: an operator or opset it does not have. RC_IO: a
 * file cannot be read. */
MUST_USE enum rc onnxruntime_open(struct onnxruntime *r, const char *path,
                                  const struct onnxruntime_session_opts *opts,
                                  struct onnxruntime_session **ret, struct err *err);
/* The same from memory, which may be released after the call. */
MUST_USE enum rc onnxruntime_open_bytes(struct onnxruntime *r, const void *data, size_t size,
                                        const struct onnxruntime_session_opts *opts,
                                        struct onnxruntime_session **ret, struct err *err);
void onnxruntime_close(struct onnxruntime_session *s); /* NULL is fine */

/* The declared inputs and outputs, in the model's order, with dims -1 where free; the session owns them.
 * Initializers that are also inputs are left out. DTYPE_OTHER: not a tensor of numbers. Rank 0 also stands
 * for "no shape declared". */
size_t onnxruntime_inputs(const struct onnxruntime_session *s, const struct tensor_spec **ret);
size_t onnxruntime_outputs(const struct onnxruntime_session *s, const struct tensor_spec **ret);

/* Ends profiling and gives the name of the file written; free() it. RC_USAGE when the session was not opened
 * for it. */
MUST_USE enum rc onnxruntime_end_profile(struct onnxruntime_session *s, char **path, struct err *err);

/* --- one run --- */

/* Runs the model on `inputs` (one for each of onnxruntime_inputs, in that order, borrowed). All outputs come
 * back in *ret, owned by the caller. RC_INPUT: dtype, rank or a fixed dimension does not fit, named in the
 * text, or the runtime failed on these values. */
MUST_USE enum rc onnxruntime_run(struct onnxruntime_session *s, const struct onnxruntime_tensor *inputs,
                                 struct onnxruntime_result **ret, struct err *err);

/* Output i in the order of onnxruntime_outputs; the result owns its data. */
const struct onnxruntime_tensor *onnxruntime_result_output(const struct onnxruntime_result *r, size_t i);
void onnxruntime_result_free(struct onnxruntime_result *r); /* NULL is fine */

/* --- many runs --- */

/* Prepares runs on the memory of `inputs` (borrowed until the binding is freed: change the bytes between
 * runs, not the shape). The outputs' shapes are found by one run; their memory belongs to the binding. Owned
 * by the caller, freed before the session. */
MUST_USE enum rc onnxruntime_binding_new(struct onnxruntime_session *s,
                                         const struct onnxruntime_tensor *inputs,
                                         struct onnxruntime_binding **ret, struct err *err);
void onnxruntime_binding_free(struct onnxruntime_binding *b); /* NULL is fine */

/* Runs once. This is the runtime's own call and nothing else. RC_INPUT when it fails, also when an output's
 * shape changes with the values (use onnxruntime_run for such a model). */
MUST_USE enum rc onnxruntime_binding_run(struct onnxruntime_binding *b, struct err *err);

/* Output i after a run; valid until the next run. */
const struct onnxruntime_tensor *onnxruntime_binding_output(const struct onnxruntime_binding *b, size_t i);

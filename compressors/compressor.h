/* compressor.h -- what every compression technique is: one function over a job.
 *
 * A recipe is a list of steps, a step names a technique (descriptors: core/recipes). registry.c binds names
 * to functions. ONNX steps edit one graph in memory, one after another; a GGUF step reads a file and writes a
 * file. Everything is deterministic: the same job gives the same bytes, whatever the number of threads. A
 * technique refuses what it cannot do (RC_UNSUPPORTED and a reason a user understands), and records what it
 * changed, how, and what it left alone and why (core/recipes/record.h). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/err.h"
#include "core/recipes/record.h" /* struct record: record_changed, record_left_alone, record_note */

struct dataset;     /* core/data */
struct graph;       /* compressors/onnx/graph.h */
struct recipe;      /* core/recipes */
struct recipe_step; /* core/recipes */

enum { COMPRESS_PATH_SIZE = 4096 };

struct compress_job {
    /* What to work on. ONNX: `graph` (edited in place, owned by the job; a step may put another in its
     * place), the other three NULL. GGUF: `graph` NULL, `input` is the file to read, `output` the file to
     * write, `folder` an existing folder for temporary files; all three absolute paths. */
    struct graph *graph;
    const char *input, *output, *folder;

    /* Calibration examples, NULL when the study has none. A technique that needs them and gets NULL returns
     * RC_INPUT. */
    struct dataset *calibration;
    uint32_t threads; /* at least 1 */

    /* Called with the fraction of this step that is done, 0 to 1, never from another thread; NULL is fine:
     * use compress_progress. */
    void (*on_progress)(void *user, double fraction, const char *text);
    void *user;

    /* Which weights a step may change, by the name of their initializer ("" for products without any); NULL:
     * all. Set by a step that uses others for a part of the model; ask compress_wants. */
    bool (*wanted)(const void *wanted_user, const char *weights);
    const void *wanted_user;

    bool smoothed; /* an earlier step chose the scales of activations: later ones leave them as they are */

    struct record *record; /* filled by the steps; never NULL */
};

/* The type of every technique. Options come from the step by name, defaults filled in (core/recipes). On
 * failure the job's graph or output is of no further use. */
typedef enum rc compress_fn(struct compress_job *job, const struct recipe_step *step, struct err *err);

/* Tells how far the step is. `fraction` is clamped to 0..1. */
static inline void compress_progress(const struct compress_job *job, double fraction, const char *text) {
    if (job->on_progress) {
        job->on_progress(job->user, fraction < 0 ? 0 : fraction > 1 ? 1 : fraction, text);
    }
}

static inline bool compress_wants(const struct compress_job *job, const char *weights) {
    return !job->wanted || job->wanted(job->wanted_user, weights);
}

/* --- running a whole recipe (registry.c) --- */

/* A file of the model: `path` inside the model, `local` where it lies. */
struct compress_file {
    const char *path;
    const char *local;
};

struct compress_request {
    const struct recipe *recipe;
    const struct compress_file *files;
    size_t file_count;
    const char *main_path; /* path of the main file */
    const char
        *out_folder; /* existing; the artifact is written there: model.onnx [model.onnx.data] or model.gguf */
    struct dataset *calibration; /* borrowed; NULL: none */
    uint32_t threads;            /* 0 counts as 1 */
    void (*on_progress)(void *user, double fraction,
                        const char *text); /* over the whole recipe; NULL is fine */
    void *user;
};

struct compress_result {
    char paths[2][32]; /* files of the artifact relative to out_folder, main first */
    size_t path_count;
    uint64_t bytes; /* of all files */
    double seconds;
    struct record record;
};

/* Runs every step of the recipe. A recipe without steps (fp32) copies an ONNX model through the graph, or the
 * GGUF file, unchanged. Errors name the step. On success the caller releases *result with
 * compress_result_release; on failure *result is empty. */
MUST_USE enum rc compressors_run(const struct compress_request *request, struct compress_result *result,
                                 struct err *err);
void compress_result_release(struct compress_result *result);

/* The function of a technique by the name in its descriptor ("int8:static"), or NULL. */
compress_fn *compressors_find(const char *name);
/* Names with a function, i < count. */
size_t compressors_count(void);
const char *compressors_name(size_t i);

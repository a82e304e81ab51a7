/* Binds the names of core/recipes to functions, and runs a recipe over a model. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "compressors/compressor.h"
#include "compressors/gguf/gguf_quantize.h"
#include "compressors/onnx/drop_layers.h"
#include "compressors/onnx/equalize.h"
#include "compressors/onnx/fp16.h"
#include "compressors/onnx/graph.h"
#include "compressors/onnx/int8_dynamic.h"
#include "compressors/onnx/int8_static.h"
#include "compressors/onnx/lowrank_svd.h"
#include "compressors/onnx/mixed.h"
#include "compressors/onnx/passes.h"
#include "compressors/onnx/prune_channels.h"
#include "compressors/onnx/prune_magnitude.h"
#include "compressors/onnx/prune_sparsegpt.h"
#include "compressors/onnx/prune_wanda.h"
#include "compressors/onnx/smoothquant.h"
#include "compressors/onnx/weight_only.h"
#include "core/base/clock.h"
#include "core/base/file.h"
#include "core/recipes/recipe.h"

static const char GGUF_NAME[] = "model.gguf";

/* The baseline of ONNX: nothing to do, the graph is written as it was read. */
static enum rc keep_onnx(struct compress_job *job, const struct recipe_step *step, struct err *err) {
    (void)job;
    (void)step;
    (void)err;
    return RC_OK;
}

static enum rc copy_stream(FILE *in, FILE *out, const struct compress_job *job, struct err *err) {
    enum { CHUNK = 1 << 20 };
    uint64_t total, done = 0;
    char *chunk = malloc(CHUNK);
    enum rc rc = chunk ? file_size(job->input, &total, err) : err_memory(err);
    for (size_t n; rc == RC_OK && !feof(in) && !ferror(in) && (n = fread(chunk, 1, CHUNK, in)) > 0;) {
        rc = fwrite(chunk, 1, n, out) == n ? RC_OK : file_error(job->output, err);
        done += n;
        compress_progress(job, (double)done / (double)total, "copying");
    }
    if (rc == RC_OK && ferror(in)) {
        rc = file_error(job->input, err);
    }
    if (rc == RC_OK && (fflush(out) != 0 || fsync(fileno(out)) != 0)) {
        rc = file_error(job->output, err);
    }
    free(chunk);
    return rc;
}

/* The baseline of GGUF: a copy of the file. */
static enum rc keep_gguf(struct compress_job *job, const struct recipe_step *step, struct err *err) {
    (void)step;
    FILE *in = fopen(job->input, "rb");
    if (!in) {
        return file_error(job->input, err);
    }
    FILE *out = fopen(job->output, "wb");
    enum rc rc = out ? copy_stream(in, out, job, err) : file_error(job->output, err);
    (void)fclose(in);
    if (out && fclose(out) != 0 && rc == RC_OK) {
        rc = file_error(job->output, err);
    }
    return rc;
}

static const struct {
    const char *name;
    compress_fn *run;
} techniques[] = {
    {"fp32", keep_onnx},
    {"fp16", fp16_compress},
    {"int8:dynamic", int8_dynamic_compress},
    {"int8:static", int8_static_compress},
    {"int8:weights", weight_only_compress},
    {"int8:gptq", weight_only_compress},
    {"int4", weight_only_compress},
    {"int4:awq", weight_only_compress},
    {"int4:hqq", weight_only_compress},
    {"int4:gptq", weight_only_compress},
    {"int3", weight_only_compress},
    {"int3:awq", weight_only_compress},
    {"int3:hqq", weight_only_compress},
    {"int3:gptq", weight_only_compress},
    {"int2", weight_only_compress},
    {"int2:awq", weight_only_compress},
    {"int2:hqq", weight_only_compress},
    {"int2:gptq", weight_only_compress},
    {"mixed", mixed_compress},
    {"equalize", equalize_compress},
    {"smoothquant", smoothquant_compress},
    {"lowrank:svd", lowrank_svd_compress},
    {"prune:magnitude", prune_magnitude_compress},
    {"prune:wanda", prune_wanda_compress},
    {"prune:sparsegpt", prune_sparsegpt_compress},
    {"prune:channels", prune_channels_compress},
    {"prune:layers", drop_layers_compress},
    {"original", keep_gguf},
    {"F16", gguf_quantize_compress},
    {"BF16", gguf_quantize_compress},
    {"Q8_0", gguf_quantize_compress},
    {"Q6_K", gguf_quantize_compress},
    {"Q5_K_M", gguf_quantize_compress},
    {"Q5_K_S", gguf_quantize_compress},
    {"Q5_1", gguf_quantize_compress},
    {"Q5_0", gguf_quantize_compress},
    {"Q4_K_M", gguf_quantize_compress},
    {"Q4_K_S", gguf_quantize_compress},
    {"Q4_1", gguf_quantize_compress},
    {"Q4_0", gguf_quantize_compress},
    {"IQ4_NL", gguf_quantize_compress},
    {"IQ4_XS", gguf_quantize_compress},
    {"Q3_K_L", gguf_quantize_compress},
    {"Q3_K_M", gguf_quantize_compress},
    {"Q3_K_S", gguf_quantize_compress},
    {"IQ3_M", gguf_quantize_compress},
    {"IQ3_S", gguf_quantize_compress},
    {"IQ3_XS", gguf_quantize_compress},
    {"IQ3_XXS", gguf_quantize_compress},
    {"Q2_K", gguf_quantize_compress},
    {"Q2_K_S", gguf_quantize_compress},
    {"IQ2_M", gguf_quantize_compress},
    {"IQ2_S", gguf_quantize_compress},
    {"IQ2_XS", gguf_quantize_compress},
    {"IQ2_XXS", gguf_quantize_compress},
    {"IQ1_M", gguf_quantize_compress},
    {"IQ1_S", gguf_quantize_compress},
};

enum { TECHNIQUES = sizeof(techniques) / sizeof(techniques[0]) };

compress_fn *compressors_find(const char *name) {
    for (size_t i = 0; i < TECHNIQUES; i++) {
        if (strcmp(techniques[i].name, name) == 0) {
            return techniques[i].run;
        }
    }
    return NULL;
}

size_t compressors_count(void) {
    return TECHNIQUES;
}

const char *compressors_name(size_t i) {
    return i < TECHNIQUES ? techniques[i].name : NULL;
}

/* --- running a recipe --- */

struct run {
    const struct compress_request *request;
    struct compress_job job;
    size_t step;                     /* the one that runs */
    char output[COMPRESS_PATH_SIZE]; /* GGUF: the file to write */
};

/* Progress of a step as progress of the whole recipe: every step counts the same. */
static void on_step_progress(void *user, double fraction, const char *text) {
    const struct run *r = user;
    double whole = ((double)r->step + fraction) / (double)r->request->recipe->n_steps;
    r->request->on_progress(r->request->user, whole, text);
}

static enum rc run_step(struct run *r, const struct recipe_step *step, struct err *err) {
    const char *name = step->descriptor->name;
    compress_fn *run = compressors_find(name);
    if (!run) {
        return err_set(err, RC_INTERNAL, "%s has no function in this build", name);
    }
    enum rc rc = run(&r->job, step, err);
    return rc == RC_OK ? rc : err_prefix(err, "%s", name);
}

/* What every technique is better off with: constants as constants, and no normalisation that is a part of the
 * convolution before it. The baseline stays as it was submitted. */
static enum rc tidy(struct graph *g, struct record *record, struct err *err) {
    size_t closed = graph_close_initializers(g), folded = 0;
    enum rc rc =
        closed ? record_note(record, err, "%zu weights that a caller could have overridden are constants now",
                             closed)
               : RC_OK;
    rc = rc != RC_OK ? rc : pass_fold_constants(g, NULL, err);
    rc = rc != RC_OK ? rc : pass_fold_batchnorm(g, &folded, err);
    return rc != RC_OK || !folded
               ? rc
               : record_note(record, err, "%zu BatchNormalization are part of the Conv before them", folded);
}

/* What steps left behind: nodes and constants that nothing reads, and constants that are there twice. */
static enum rc clean_up(struct graph *g, struct err *err) {
    enum rc rc = pass_remove_dead(g, NULL, err);
    return rc != RC_OK ? rc : pass_dedup_initializers(g, NULL, err);
}

static enum rc run_onnx(struct run *r, struct compress_result *result, struct err *err) {
    const struct compress_request *q = r->request;
    struct graph_saved saved;
    enum rc rc = graph_load(q->files, q->file_count, q->main_path, &r->job.graph, err);
    if (rc != RC_OK) {
        return rc;
    }
    bool change = !recipe_is_baseline(q->recipe);
    rc = change ? tidy(r->job.graph, &result->record, err) : RC_OK;
    for (r->step = 0; r->step < q->recipe->n_steps && rc == RC_OK; r->step++) {
        rc = run_step(r, &q->recipe->steps[r->step], err);
    }
    rc = rc != RC_OK || !change ? rc : clean_up(r->job.graph, err);
    rc = rc != RC_OK ? rc : graph_save(r->job.graph, q->out_folder, 0, &saved, err);
    graph_free(r->job.graph);
    r->job.graph = NULL;
    if (rc != RC_OK) {
        return rc;
    }
    for (size_t i = 0; i < saved.path_count; i++) {
        (void)snprintf(result->paths[i], sizeof(result->paths[i]), "%s", saved.paths[i]);
    }
    result->path_count = saved.path_count;
    result->bytes = saved.bytes;
    return RC_OK;
}

static const char *local_of(const struct compress_request *q) {
    for (size_t i = 0; i < q->file_count; i++) {
        if (strcmp(q->files[i].path, q->main_path) == 0) {
            return q->files[i].local;
        }
    }
    return NULL;
}

static enum rc run_gguf(struct run *r, struct compress_result *result, struct err *err) {
    const struct compress_request *q = r->request;
    r->job.input = local_of(q);
    r->job.output = r->output;
    r->job.folder = q->out_folder;
    if (!r->job.input) {
        return err_set(err, RC_INPUT, "the model's main file \"%.200s\" is not among its files",
                       q->main_path);
    }
    if (q->recipe->n_steps != 1) {
        return err_set(err, RC_UNSUPPORTED, "a GGUF model takes one step; this recipe has %zu",
                       q->recipe->n_steps);
    }
    if (snprintf(r->output, sizeof(r->output), "%s/%s", q->out_folder, GGUF_NAME) >= (int)sizeof(r->output)) {
        return err_set(err, RC_INPUT, "the name of the folder is too long");
    }
    enum rc rc = run_step(r, &q->recipe->steps[0], err);
    rc = rc != RC_OK ? rc : file_size(r->output, &result->bytes, err);
    (void)snprintf(result->paths[0], sizeof(result->paths[0]), "%s", GGUF_NAME);
    result->path_count = 1;
    return rc;
}

enum rc compressors_run(const struct compress_request *request, struct compress_result *result,
                        struct err *err) {
    struct run r = {.request = request};
    uint64_t start_ns = clock_mono_ns();
    memset(result, 0, sizeof(*result));
    record_init(&result->record);
    r.job.calibration = request->calibration;
    r.job.threads = request->threads ? request->threads : 1;
    r.job.on_progress = request->on_progress ? on_step_progress : NULL;
    r.job.user = &r;
    r.job.record = &result->record;
    bool gguf = (request->recipe->steps[0].descriptor->families & FAMILY_GGUF) != 0;
    enum rc rc = gguf ? run_gguf(&r, result, err) : run_onnx(&r, result, err);
    if (rc != RC_OK) {
        compress_result_release(result);
        return rc;
    }
    result->seconds = (double)(clock_mono_ns() - start_ns) / 1e9;
    return RC_OK;
}

void compress_result_release(struct compress_result *result) {
    record_release(&result->record);
    memset(result, 0, sizeof(*result));
}

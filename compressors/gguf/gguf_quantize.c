/* gguf_quantize.c -- one GGUF level: importance matrix, quantization, and the record of what became of every
 * tensor, read back from the written file. */
#include "compressors/gguf/gguf_quantize.h"

#include <stdbool.h>
#include <string.h>

#include "compressors/gguf/gguf_record.h"
#include "compressors/gguf/imatrix.h"
#include "core/data/dataset.h"
#include "core/formats/gguf_header.h"
#include "core/recipes/recipe.h"
#include "runtimes/llama_quantizer.h"

enum {
    CALIBRATION_CHUNKS = 200, /* 100,000 tokens at a context of 512; more changes little */
};
static const double imatrix_share = 0.8; /* of the step's time, for its progress */

static bool is_plain_type(const char *type) {
    return strcmp(type, "F32") == 0 || strcmp(type, "F16") == 0 || strcmp(type, "BF16") == 0;
}

/* Quantizing twice adds the errors of both: such a model is refused. */
static enum rc check_input(const struct gguf_header *h, struct err *err) {
    for (size_t i = 0; i < gguf_header_tensor_count(h); i++) {
        const struct gguf_tensor *t = gguf_header_tensor(h, i);
        if (t->rank >= 2 && !is_plain_type(t->type_name)) {
            return err_set(
                err, RC_UNSUPPORTED,
                "the model is quantized already (%s is %s): submit its original, in f16, bf16 or f32",
                t->name, t->type_name);
        }
    }
    return RC_OK;
}

/* --- importance matrix --- */

static void on_progress(void *user, double fraction) {
    compress_progress(user, imatrix_share * fraction, "importance matrix");
}

static enum rc collect(struct imatrix *m, struct compress_job *job, uint64_t *chunks, struct err *err) {
    size_t size;
    const char *text = job->calibration ? dataset_text(job->calibration, &size) : NULL;
    if (!text) {
        return err_set(err, RC_INPUT,
                       "an importance matrix needs a calibration text: give one, or take a level without");
    }
    struct imatrix_opts opts = {
        .max_chunks = CALIBRATION_CHUNKS, .threads = job->threads, .on_progress = on_progress, .user = job};
    enum rc rc = imatrix_collect(m, job->input, text, size, &opts, chunks, err);
    return rc ? err_prefix(err, "importance matrix") : RC_OK;
}

/* Computes the importance matrix into `m` and puts it into *opts. */
static enum rc weigh(struct imatrix *m, struct compress_job *job, struct llama_quantizer_opts *opts,
                     struct err *err) {
    enum rc rc = collect(m, job, &opts->chunks, err);
    if (rc == RC_OK) {
        rc = imatrix_importance(m, &opts->importance, &opts->importances, err);
    }
    if (rc == RC_OK) {
        rc = record_note(job->record, err,
                         "importance matrix of %zu tensors from %llu chunks of the calibration text",
                         opts->importances, (unsigned long long)opts->chunks);
    }
    return rc;
}

static bool is_weighed(const struct recipe_step *step) {
    const struct compressor_desc *d = step->descriptor;
    return d->needs & NEEDS_CALIBRATION || (d->calibration_flag && recipe_flag(step, d->calibration_flag));
}

/* What the option says of a tensor's type; NULL: nothing. */
static const char *chosen_type(const struct recipe_step *step, const char *option) {
    const char *type = step->descriptor->n_options ? recipe_choice(step, option) : "auto";
    return strcmp(type, "auto") == 0 ? NULL : type;
}

static enum rc quantize(struct compress_job *job, const struct llama_quantizer_opts *how, bool weighted,
                        struct err *err) {
    struct llama_quantizer_opts opts = *how;
    if (!weighted || strcmp(opts.level, "Q8_0") == 0) {
        compress_progress(job, 0, "quantizing");
        enum rc rc = llama_quantizer_run(job->input, job->output, &opts, err);
        return rc || !weighted ? rc
                               : record_note(job->record, err,
                                             "Q8_0 takes no account of importance: imatrix changes nothing");
    }
    struct imatrix *m = imatrix_new();
    if (!m) {
        return err_memory(err);
    }
    enum rc rc = weigh(m, job, &opts, err);
    if (rc == RC_OK) {
        compress_progress(job, imatrix_share, "quantizing");
        rc = llama_quantizer_run(job->input, job->output, &opts, err);
    }
    imatrix_free(m);
    return rc;
}

static enum rc record_output(struct compress_job *job, const struct gguf_header *before,
                             const struct llama_quantizer_opts *how, struct err *err) {
    struct gguf_header *after;
    enum rc rc = gguf_header_read(job->output, &after, err);
    if (rc) {
        return err_prefix(err, "the written file");
    }
    rc = gguf_record_changes(job->record, before, after, how, err);
    gguf_header_free(after);
    return rc;
}

enum rc gguf_quantize_compress(struct compress_job *job, const struct recipe_step *step, struct err *err) {
    const struct llama_quantizer_opts how = {.level = step->descriptor->name,
                                             .embed = chosen_type(step, "embed"),
                                             .output = chosen_type(step, "output"),
                                             .threads = job->threads};
    struct gguf_header *before;
    enum rc rc = gguf_header_read(job->input, &before, err);
    if (rc) {
        return rc;
    }
    rc = check_input(before, err);
    if (rc == RC_OK) {
        rc = quantize(job, &how, is_weighed(step), err);
    }
    if (rc == RC_OK) {
        rc = record_output(job, before, &how, err);
    }
    gguf_header_free(before);
    if (rc == RC_OK) {
        compress_progress(job, 1, "quantized");
    }
    return rc;
}

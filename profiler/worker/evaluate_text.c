/* evaluate_text.c -- perplexity of a language model on a text, and divergence from a reference model
 * (runtimes/llama_score.h). */
#include <string.h>

#include "core/base/json.h"
#include "profiler/worker/evaluate.h"
#include "profiler/worker/score_table.h"
#include "runtimes/llama_lm.h"
#include "runtimes/llama_score.h"

static void on_progress(void *user, double fraction) {
    lines_progress(user, fraction, "scoring the text");
}

/* Writes one array of scores as it is. `rows` is borrowed. */
static enum rc add_scores(struct worker_job *job, json_t *scores, json_t *values, const char *metric,
                          float (*rows)[2], size_t count, double mean, struct err *err) {
    const struct score_table table = {.metric = metric, .rows = count, .columns = 1, .data = &rows[0][0]};
    if (json_object_set_new(values, metric, json_real(mean)) != 0) {
        return err_memory(err);
    }
    return score_table_write(&table, scores, job->files, err);
}

static enum rc report(struct worker_job *job, const struct llama_scores *s, struct err *err) {
    json_t *values = json_object();
    json_t *scores = json_array();
    enum rc rc = add_scores(job, scores, values, "ppl", s->ppl, s->chunks, s->mean_ppl, err);
    if (rc == RC_OK && s->kld) {
        rc = add_scores(job, scores, values, "kld", s->kld, s->chunks, s->mean_kld, err);
    }
    if (rc == RC_OK && s->same_top) {
        rc = add_scores(job, scores, values, "agreement", s->same_top, s->chunks, s->mean_same_top, err);
    }
    if (rc == RC_OK &&
        json_object_update_new(job->result, json_pack("{s:s, s:O, s:I, s:I, s:O, s:s}", "primary", "ppl",
                                                      "metrics", values, "examples", (json_int_t)s->chunks,
                                                      "positions", (json_int_t)s->tokens, "scores", scores,
                                                      "runtime_version", llama_lm_version())) != 0) {
        rc = err_memory(err);
    }
    json_decref(values);
    json_decref(scores);
    return rc;
}

enum rc evaluate_text(struct worker_job *job, struct dataset *d, struct err *err) {
    const struct job_spec *spec = job->spec;
    struct llama_lm *own = NULL;
    struct llama_lm *reference = NULL;
    struct llama_scores scores = {0};
    int64_t context = 0;
    size_t size = 0;
    const char *text = dataset_text(d, &size);
    if (!text) {
        return err_set(err, RC_INPUT,
                       "a GGUF model is evaluated on a text, and this dataset is none: give format \"text\"");
    }
    enum rc rc = json_opt_int(spec->root, "context", 0, 1 << 20, &context, err);
    if (rc != RC_OK) {
        return rc;
    }
    const struct llama_lm_opts opts = {.context = (uint32_t)context, .threads = job_spec_threads(spec)};
    if ((rc = llama_lm_load(spec->model.main_local, &opts, &own, err)) != RC_OK) {
        return rc;
    }
    if (spec->has_reference &&
        (rc = llama_lm_load(spec->reference.main_local, &opts, &reference, err)) != RC_OK) {
        err_prefix(err, "the reference model");
        goto out;
    }
    const struct llama_score_opts how = {
        .context = (uint32_t)context, .on_progress = on_progress, .user = job->lines};
    rc = llama_score_text(own, reference, text, size, &how, &scores, err);
    if (rc == RC_OK) {
        rc = report(job, &scores, err);
    }

out:
    llama_scores_free(&scores);
    llama_lm_free(reference);
    llama_lm_free(own);
    return rc;
}

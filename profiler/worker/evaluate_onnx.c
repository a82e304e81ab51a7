/* evaluate_onnx.c -- runs an ONNX model, and the reference beside it, over every example. One session a model
 * with a single thread inside, used by as many threads as the job may have, each with a batch of its own:
 * examples are independent, so this scales better than threads inside an operator, and no pool spins. Scores
 * are stored by example, so that the result does not depend on which thread was faster. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "profiler/worker/evaluate.h"
#include "profiler/worker/feeds.h"
#include "profiler/worker/metrics.h"
#include "profiler/worker/opened_model.h"

enum { MAX_BATCH = 8, MAX_THREADS = 256 };
static const size_t BATCH_BYTES = (size_t)16 << 20; /* inputs and outputs of one batch */

struct evaluation {
    struct worker_job *job;
    struct dataset *dataset;
    struct onnxruntime *runtime;
    struct opened_model own, reference;
    size_t own_output, reference_output; /* which output holds the logits */
    size_t batch;
    struct metrics metrics;
    atomic_size_t next, done;
    atomic_bool failed;
    pthread_mutex_t lock; /* guards *err */
    struct err *err;
};

/* One model prepared for batches, by one thread. */
struct runner {
    struct onnxruntime_binding *binding;
    size_t output;
    float *room;
    size_t room_size;
};

static enum rc runner_init(struct runner *r, const struct opened_model *model, size_t output,
                           const struct feeds *feeds, struct err *err) {
    *r = (struct runner){.output = output};
    return onnxruntime_binding_new(model->session, feeds->tensors, &r->binding, err);
}

static void runner_release(struct runner *r) {
    onnxruntime_binding_free(r->binding);
    free(r->room);
    *r = (struct runner){0};
}

static enum rc runner_run(struct runner *r, size_t batch, struct logits *ret, struct err *err) {
    enum rc rc = onnxruntime_binding_run(r->binding, err);
    return rc == RC_OK ? logits_view(onnxruntime_binding_output(r->binding, r->output), batch, &r->room,
                                     &r->room_size, ret, err)
                       : rc;
}

static enum rc open_model(struct evaluation *e, const struct job_model *model, struct opened_model *ret,
                          size_t *output, struct err *err) {
    struct onnxruntime_session_opts opts = {.threads = 1};
    enum rc rc = opened_model_open(e->runtime, model, &opts, ret, err);
    return rc == RC_OK ? logits_choose(ret->outputs, ret->n_outputs, output, err) : rc;
}

static enum rc open_models(struct evaluation *e, struct err *err) {
    const struct job_spec *spec = e->job->spec;
    enum rc rc = onnxruntime_new(NULL, &e->runtime, err);
    if (rc != RC_OK || (rc = open_model(e, &spec->model, &e->own, &e->own_output, err)) != RC_OK) {
        return rc;
    }
    if (spec->has_reference) {
        rc = open_model(e, &spec->reference, &e->reference, &e->reference_output, err);
        if (rc != RC_OK) {
            return err_prefix(err, "the reference model");
        }
        if (e->reference.n_inputs != e->own.n_inputs) {
            return err_set(err, RC_INPUT, "the model has %zu inputs, the reference model %zu",
                           e->own.n_inputs, e->reference.n_inputs);
        }
    }
    return dataset_bind(e->dataset, e->own.inputs, e->own.n_inputs, err);
}

/* Runs the first examples through both models to learn the outputs' shape. `probe` is 1, or the fixed batch.
 */
static enum rc probe(struct evaluation *e, size_t batch, struct logits *own, struct logits *reference,
                     struct err *err) {
    struct feeds feeds;
    struct runner a = {0};
    struct runner b = {0};
    size_t count = batch < dataset_count(e->dataset) ? batch : dataset_count(e->dataset);
    enum rc rc = feeds_init(&feeds, e->dataset, e->own.n_inputs, batch, err);
    if (rc != RC_OK) {
        return rc;
    }
    feeds_fill(&feeds, 0, count);
    bool both = e->job->spec->has_reference;
    if ((rc = runner_init(&a, &e->own, e->own_output, &feeds, err)) != RC_OK ||
        (rc = runner_run(&a, batch, own, err)) != RC_OK ||
        (both && ((rc = runner_init(&b, &e->reference, e->reference_output, &feeds, err)) != RC_OK ||
                  (rc = runner_run(&b, batch, reference, err)) != RC_OK))) {
        goto out;
    }
    if (both && (own->positions != reference->positions || own->classes != reference->classes)) {
        rc = err_set(err, RC_INPUT,
                     "the model answers with %zu x %zu values, the reference model with %zu x %zu",
                     own->positions, own->classes, reference->positions, reference->classes);
        goto out;
    }
    e->metrics.probabilities = both && logits_are_probabilities(own) && logits_are_probabilities(reference);

out:
    runner_release(&a);
    runner_release(&b);
    feeds_release(&feeds);
    own->data = reference->data = NULL;
    return rc;
}

/* Chooses the batch and makes the score tables. */
static enum rc prepare(struct evaluation *e, struct err *err) {
    size_t fixed = 0;
    bool mixes = false;
    struct logits own = {0};
    struct logits reference = {0};
    const struct job_spec *spec = e->job->spec;
    enum rc rc = opened_model_fixed_batch(&e->own, &fixed, err);
    if (rc != RC_OK || (rc = opened_model_mixes_batch(&spec->model, &mixes, err)) != RC_OK ||
        (rc = probe(e, fixed > 0 ? fixed : 1, &own, &reference, err)) != RC_OK) {
        return rc;
    }
    size_t bytes =
        feeds_example_bytes(e->dataset, e->own.n_inputs) + own.positions * own.classes * sizeof(float);
    size_t fitting = BATCH_BYTES / (bytes > 0 ? bytes : 1);
    size_t free_batch = fitting < 1 ? 1 : fitting > MAX_BATCH ? MAX_BATCH : fitting;
    e->batch = fixed > 0 ? fixed : mixes ? 1 : free_batch;
    bool probabilities = e->metrics.probabilities;
    rc = metrics_init(&e->metrics, e->dataset, own.positions, own.classes, spec->has_reference, err);
    e->metrics.probabilities = probabilities;
    return rc;
}

static enum rc run_batches(struct evaluation *e, struct feeds *feeds, struct runner *own,
                           struct runner *reference, struct err *err) {
    size_t total = dataset_count(e->dataset);
    while (!atomic_load(&e->failed)) {
        size_t first = atomic_fetch_add(&e->next, e->batch);
        if (first >= total) {
            return RC_OK;
        }
        size_t count = total - first < e->batch ? total - first : e->batch;
        struct logits a = {0};
        struct logits b = {0};
        feeds_fill(feeds, first, count);
        enum rc rc = runner_run(own, e->batch, &a, err);
        if (rc == RC_OK && reference) {
            rc = runner_run(reference, e->batch, &b, err);
        }
        if (rc == RC_OK) {
            rc = metrics_score(&e->metrics, first, count, &a, &b, err);
        }
        if (rc != RC_OK) {
            return rc;
        }
        size_t done = atomic_fetch_add(&e->done, count) + count;
        char text[64];
        snprintf(text, sizeof(text), "evaluated %zu of %zu", done, total);
        lines_progress(e->job->lines, (double)done / (double)total, text);
    }
    return RC_OK;
}

static void *on_thread(void *user) {
    struct evaluation *e = user;
    struct feeds feeds = {0};
    struct runner own = {0};
    struct runner reference = {0};
    struct err err = {0};
    bool both = e->job->spec->has_reference;
    enum rc rc = feeds_init(&feeds, e->dataset, e->own.n_inputs, e->batch, &err);
    if (rc == RC_OK) { /* a binding runs once: on real values */
        feeds_fill(&feeds, 0, dataset_count(e->dataset) < e->batch ? dataset_count(e->dataset) : e->batch);
        rc = runner_init(&own, &e->own, e->own_output, &feeds, &err);
    }
    if (rc == RC_OK && both) {
        rc = runner_init(&reference, &e->reference, e->reference_output, &feeds, &err);
    }
    if (rc == RC_OK) {
        rc = run_batches(e, &feeds, &own, both ? &reference : NULL, &err);
    }
    if (rc != RC_OK) {
        pthread_mutex_lock(&e->lock);
        if (!atomic_exchange(&e->failed, true)) {
            *e->err = err;
        }
        pthread_mutex_unlock(&e->lock);
    }
    runner_release(&own);
    runner_release(&reference);
    feeds_release(&feeds);
    return NULL;
}

static enum rc run_threads(struct evaluation *e, struct err *err) {
    pthread_t threads[MAX_THREADS];
    size_t wanted = job_spec_threads(e->job->spec);
    size_t batches = (dataset_count(e->dataset) + e->batch - 1) / e->batch;
    wanted = wanted > MAX_THREADS ? MAX_THREADS : wanted;
    wanted = wanted > batches ? batches : wanted;
    size_t started = 0;
    e->err = err;
    while (started + 1 < wanted && pthread_create(&threads[started], NULL, on_thread, e) == 0) {
        started++;
    }
    on_thread(e); /* the caller works too, alone if no thread could be started */
    for (size_t i = 0; i < started; i++) {
        pthread_join(threads[i], NULL);
    }
    return atomic_load(&e->failed) ? err->rc : RC_OK;
}

static enum rc report(struct evaluation *e, struct err *err) {
    struct worker_job *job = e->job;
    json_t *values = json_object();
    json_t *scores = json_array();
    enum rc rc = RC_OK;
    for (size_t i = 0; rc == RC_OK && i < e->metrics.count; i++) {
        const struct score_table *table = &e->metrics.tables[i];
        rc = json_object_set_new(values, table->metric, json_real(score_table_mean(table))) == 0
                 ? RC_OK
                 : err_memory(err);
        if (rc == RC_OK) {
            rc = score_table_write(table, scores, job->files, err);
        }
    }
    const struct score_table *primary = &e->metrics.tables[0];
    if (rc == RC_OK &&
        json_object_update_new(job->result,
                               json_pack("{s:s, s:O, s:I, s:I, s:O, s:s}", "primary", primary->metric,
                                         "metrics", values, "examples", (json_int_t)primary->rows,
                                         "positions", (json_int_t)score_table_weight(primary), "scores",
                                         scores, "runtime_version", onnxruntime_version())) != 0) {
        rc = err_memory(err);
    }
    json_decref(values);
    json_decref(scores);
    return rc;
}

enum rc evaluate_onnx(struct worker_job *job, struct dataset *d, struct err *err) {
    struct evaluation e = {.job = job, .dataset = d};
    pthread_mutex_init(&e.lock, NULL);
    enum rc rc = open_models(&e, err);
    if (rc == RC_OK && (rc = prepare(&e, err)) == RC_OK && (rc = run_threads(&e, err)) == RC_OK) {
        rc = report(&e, err);
    }
    metrics_release(&e.metrics);
    opened_model_close(&e.reference);
    opened_model_close(&e.own);
    onnxruntime_free(e.runtime);
    pthread_mutex_destroy(&e.lock);
    return rc;
}

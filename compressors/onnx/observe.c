#include "compressors/onnx/observe.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "compressors/onnx/graph.h"
#include "compressors/onnx/parallel.h"
#include "core/base/checked.h"
#include "core/data/dataset.h"

/* A batch: its inputs, and what a run made of them. One for each thread. */
struct batch {
    struct onnxruntime_tensor *feed; /* [input_count], data owned */
    struct onnxruntime_result *result;
    const struct onnxruntime_tensor **tensors; /* [target_count] of feed or result */
    size_t first, count;                       /* examples */
};

struct run {
    const struct compress_job *job;
    const struct observe_opts *opts;
    const struct observe_sink *sink;
    const char *const *names;
    size_t target_count;
    struct onnxruntime *runtime;
    struct onnxruntime_session *session;
    const struct tensor_spec *inputs;
    size_t input_count;
    size_t *place_of; /* [target_count]: index among the outputs, or input_count + index among the inputs */
    size_t output_count;
    bool fixed_batch; /* by the model */
    size_t batch_size, total;
    struct batch *batches; /* [batch_count], of this round: round_count */
    size_t batch_count, round_count;
};

/* --- the copy of the graph --- */

static enum rc choose_outputs(struct run *run, struct graph *copy, struct err *err) {
    enum rc rc = RC_OK;
    bool any = false;
    for (size_t i = 0; i < run->target_count && rc == RC_OK; i++) {
        any = any || !graph_find(copy, run->names[i]) || !graph_find(copy, run->names[i])->is_input;
    }
    if (!any) {
        return RC_OK; /* inputs alone: the model keeps its outputs, as it must have one */
    }
    graph_drop_outputs(copy);
    for (size_t i = 0; i < run->target_count && rc == RC_OK; i++) {
        struct graph_value *v = graph_find(copy, run->names[i]);
        if (!v) {
            rc = err_set(err, RC_INTERNAL, "observe: no value \"%s\"", run->names[i]);
        } else if (!v->is_input) {
            rc = graph_add_output(copy, v, GRAPH_FLOAT32, err);
        }
    }
    return rc;
}

static enum rc pack_copy(struct run *run, char **data, size_t *size, struct err *err) {
    struct graph *copy = NULL;
    char *plain = NULL;
    size_t plain_size = 0;
    enum rc rc = graph_pack(run->job->graph, &plain, &plain_size, err);
    rc = rc != RC_OK ? rc : graph_parse(plain, plain_size, &copy, err);
    free(plain);
    rc = rc != RC_OK ? rc : choose_outputs(run, copy, err);
    rc = rc != RC_OK ? rc : graph_pack(copy, data, size, err);
    graph_free(copy);
    return rc;
}

static size_t index_of(const struct tensor_spec *specs, size_t count, const char *name) {
    for (size_t i = 0; i < count; i++) {
        if (strcmp(specs[i].name, name) == 0) {
            return i;
        }
    }
    return SIZE_MAX;
}

static enum rc find_places(struct run *run, struct err *err) {
    const struct tensor_spec *outputs = NULL;
    run->output_count = onnxruntime_outputs(run->session, &outputs);
    run->place_of = calloc(run->target_count + 1, sizeof(*run->place_of));
    if (!run->place_of) {
        return err_memory(err);
    }
    for (size_t i = 0; i < run->target_count; i++) {
        size_t in = index_of(run->inputs, run->input_count, run->names[i]);
        size_t out = index_of(outputs, run->output_count, run->names[i]);
        if (in == SIZE_MAX && out == SIZE_MAX) {
            return err_set(err, RC_INTERNAL, "observe: the runtime does not give \"%s\"", run->names[i]);
        }
        run->place_of[i] = out != SIZE_MAX ? out : run->output_count + in;
    }
    return RC_OK;
}

static enum rc open_copy(struct run *run, struct err *err) {
    struct onnxruntime_session_opts opts = {.threads = 1};
    char *data = NULL;
    size_t size = 0;
    enum rc rc = pack_copy(run, &data, &size, err);
    rc = rc != RC_OK ? rc : onnxruntime_new(NULL, &run->runtime, err);
    rc = rc != RC_OK ? rc : onnxruntime_open_bytes(run->runtime, data, size, &opts, &run->session, err);
    free(data);
    if (rc != RC_OK) {
        return rc;
    }
    run->input_count = onnxruntime_inputs(run->session, &run->inputs);
    if (run->input_count == 0) {
        return err_set(err, RC_UNSUPPORTED, "the model has no inputs: there is nothing to observe");
    }
    if (!dataset_is_bound(run->job->calibration)) {
        rc = dataset_bind(run->job->calibration, run->inputs, run->input_count, err);
    }
    return rc != RC_OK ? rc : find_places(run, err);
}

/* --- batches --- */

static void batches_free(struct run *run) {
    for (size_t k = 0; run->batches && k < run->batch_count; k++) {
        struct batch *b = &run->batches[k];
        for (size_t i = 0; b->feed && i < run->input_count; i++) {
            free(b->feed[i].data);
        }
        free(b->feed);
        free(b->tensors);
        onnxruntime_result_free(b->result);
    }
    free(run->batches);
}

static size_t rows_of(const struct run *run, size_t input, size_t count) {
    const struct tensor_spec *s = &run->inputs[input];
    return s->rank > 0 && s->dims[0] > 0 ? (size_t)s->dims[0] : count;
}

static enum rc batch_init(struct run *run, struct batch *b, struct err *err) {
    b->feed = calloc(run->input_count + 1, sizeof(*b->feed));
    b->tensors = calloc(run->target_count + 1, sizeof(struct onnxruntime_tensor *));
    if (!b->feed || !b->tensors) {
        return err_memory(err);
    }
    for (size_t i = 0; i < run->input_count; i++) {
        const struct tensor_spec *spec = dataset_input(run->job->calibration, i);
        size_t bytes = 0;
        if (checked_mul(rows_of(run, i, OBSERVE_BATCH_MAX), dataset_input_bytes(run->job->calibration, i),
                        &bytes)) {
            return err_set(err, RC_TOO_LARGE, "input \"%s\" is too large", spec->name);
        }
        b->feed[i].dtype = spec->dtype;
        b->feed[i].rank = spec->rank;
        memcpy(b->feed[i].dims, spec->dims, sizeof(b->feed[i].dims));
        b->feed[i].data = malloc(bytes + 1);
        if (!b->feed[i].data) {
            return err_memory(err);
        }
    }
    return RC_OK;
}

/* Fills the inputs. A model with a fixed batch and fewer examples than that gets the last one again. */
static void feed_fill(const struct run *run, struct batch *b) {
    const struct dataset *data = run->job->calibration;
    for (size_t i = 0; i < run->input_count; i++) {
        struct onnxruntime_tensor *t = &b->feed[i];
        size_t bytes = dataset_input_bytes(data, i), rows = rows_of(run, i, b->count);
        size_t have = rows < b->count ? rows : b->count;
        dataset_fill(data, i, b->first, have, t->data);
        for (size_t r = have; r < rows; r++) {
            memcpy((char *)t->data + r * bytes, (char *)t->data + (have - 1) * bytes, bytes);
        }
        t->dims[0] = (int64_t)rows;
        t->bytes = rows * bytes;
    }
}

static enum rc run_one(struct run *run, struct batch *b, struct err *err) {
    feed_fill(run, b);
    onnxruntime_result_free(b->result);
    b->result = NULL;
    enum rc rc = onnxruntime_run(run->session, b->feed, &b->result, err);
    for (size_t i = 0; i < run->target_count && rc == RC_OK; i++) {
        size_t place = run->place_of[i];
        b->tensors[i] = place < run->output_count ? onnxruntime_result_output(b->result, place)
                                                  : &b->feed[place - run->output_count];
        if (b->tensors[i]->dtype != DTYPE_FLOAT32) {
            rc = err_set(err, RC_UNSUPPORTED, "\"%s\" is not a float32 tensor", run->names[i]);
        }
    }
    return rc;
}

static enum rc run_item(void *user, size_t item, size_t thread, struct err *err) {
    struct run *run = user;
    (void)thread;
    return run_one(run, &run->batches[item], err);
}

static enum rc take_part(void *user, size_t part, size_t thread, struct err *err) {
    struct run *run = user;
    enum rc rc = RC_OK;
    for (size_t k = 0; k < run->round_count && rc == RC_OK; k++) {
        rc = run->sink->take(run->sink->user, part, thread, run->batches[k].tensors, err);
    }
    return rc;
}

/* Examples a run: what the model fixes, else as many as fit the memory, measured by running the first one. */
static enum rc choose_batch(struct run *run, struct err *err) {
    struct batch *b = &run->batches[0];
    for (size_t i = 0; i < run->input_count; i++) {
        size_t rows = rows_of(run, i, 0);
        if (rows > 0) {
            run->batch_size = rows;
            run->fixed_batch = true;
            return RC_OK;
        }
    }
    b->first = 0;
    b->count = 1;
    enum rc rc = run_one(run, b, err);
    size_t bytes = 1;
    for (size_t i = 0; i < run->target_count && rc == RC_OK; i++) {
        bytes += b->tensors[i]->bytes;
    }
    size_t fits = OBSERVE_BATCH_BYTES / bytes;
    run->batch_size = fits < 1 ? 1 : fits < OBSERVE_BATCH_MAX ? fits : OBSERVE_BATCH_MAX;
    return rc;
}

static enum rc run_rounds(struct run *run, size_t *examples, struct err *err) {
    const struct observe_opts *o = run->opts;
    enum rc rc = RC_OK;
    size_t done = 0;
    while (done < run->total && rc == RC_OK) {
        for (run->round_count = 0; run->round_count < run->batch_count && done < run->total;) {
            size_t left = run->total - done, count = left < run->batch_size ? left : run->batch_size;
            if (run->fixed_batch && count < run->batch_size && done > 0) {
                done = run->total; /* repeated examples would count twice */
                break;
            }
            run->batches[run->round_count].first = done;
            run->batches[run->round_count++].count = count;
            done += count;
            *examples += count;
        }
        rc = parallel_for(run->batch_count, run->round_count, run_item, run, err);
        rc = rc != RC_OK ? rc : parallel_for(run->batch_count, run->sink->parts, take_part, run, err);
        compress_progress(run->job, o->from + (o->to - o->from) * (double)done / (double)run->total, o->text);
    }
    return rc;
}

static enum rc observe(struct run *run, size_t *examples, struct err *err) {
    enum rc rc = open_copy(run, err);
    run->batch_count = run->job->threads < 1                      ? 1
                       : run->job->threads < PARALLEL_THREADS_MAX ? run->job->threads
                                                                  : PARALLEL_THREADS_MAX;
    if (rc != RC_OK) {
        return rc;
    }
    run->batches = calloc(run->batch_count, sizeof(*run->batches));
    rc = run->batches ? RC_OK : err_memory(err);
    for (size_t k = 0; k < run->batch_count && rc == RC_OK; k++) {
        rc = batch_init(run, &run->batches[k], err);
    }
    run->total = dataset_count(run->job->calibration);
    if (run->opts->max_examples > 0 && run->opts->max_examples < run->total) {
        run->total = run->opts->max_examples;
    }
    if (rc == RC_OK && run->total == 0) {
        rc = err_set(err, RC_INPUT, "the calibration dataset has no examples");
    }
    rc = rc != RC_OK ? rc : choose_batch(run, err);
    return rc != RC_OK ? rc : run_rounds(run, examples, err);
}

enum rc observe_run(const struct compress_job *job, const char *const *names, size_t count,
                    const struct observe_opts *opts, const struct observe_sink *sink, size_t *examples,
                    struct err *err) {
    struct run run = {.job = job, .names = names, .target_count = count, .opts = opts, .sink = sink};
    size_t done = 0;
    if (!job->calibration) {
        return err_set(err, RC_INPUT, "calibration examples are needed: give a dataset to calibrate with");
    }
    enum rc rc = observe(&run, &done, err);
    batches_free(&run);
    onnxruntime_close(run.session);
    onnxruntime_free(run.runtime);
    free(run.place_of);
    if (examples) {
        *examples = done;
    }
    return rc;
}

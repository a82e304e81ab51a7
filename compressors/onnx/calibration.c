#include "compressors/onnx/calibration.h"

#include <math.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "compressors/onnx/graph.h"
#include "core/base/checked.h"
#include "core/data/dataset.h"
#include "runtimes/onnxruntime.h"

enum {
    SAMPLE_MAX = 1 << 16,
    BATCH_MAX = 8,
    ROUND_EXAMPLES = 32,
    THREADS_MAX = 256,
    INPUTS_MAX = 64,
    MIN_EXAMPLES = 64
};

/* A tensor has settled when a round moved what holds this part of its values by less than this ratio. */
static const double settled_percent = 99.9;
static const double settled_ratio = 0.03;

/* Statistics of one target. */
struct target_stats {
    struct range_stats range;
    uint64_t elements; /* of all runs */
    float *channels;   /* [channel_count]; NULL while unknown or not wanted */
    size_t channel_count;
    bool no_channels; /* the last axis changed: given up */
};

struct calibration {
    size_t count, examples;
    struct target_stats *targets;
};

/* What all threads share. Only `next` and `error` change while threads run, under the lock. */
struct run {
    const struct compress_job *job;
    const struct calibration_opts *opts;
    const struct calibration_target *targets;
    size_t target_count;
    struct onnxruntime *runtime;
    struct onnxruntime_session *session;
    const struct tensor_spec *inputs;
    size_t input_count;
    size_t *output_of; /* [target_count]: index among the session's outputs; SIZE_MAX: it is input -1 - ...
                          see `input_of` */
    size_t *input_of;  /* [target_count]: index among the inputs, SIZE_MAX when it is an output */
    size_t batch;      /* examples a run */
    size_t total;      /* examples there are */
    pthread_mutex_t lock;
    size_t next, end; /* examples of this round that nobody has taken yet */
    struct err error;
    bool failed;
};

/* One thread: its own buffers and statistics. */
struct worker {
    struct run *run;
    pthread_t thread;
    bool started;
    struct target_stats *stats;      /* [target_count] */
    struct onnxruntime_tensor *feed; /* [input_count], data owned */
};

/* --- statistics --- */

static void target_stats_free(struct target_stats *stats, size_t count) {
    for (size_t i = 0; stats && i < count; i++) {
        range_stats_release(&stats[i].range);
        free(stats[i].channels);
    }
    free(stats);
}

static enum rc target_stats_new(const struct calibration_target *targets, size_t count,
                                struct target_stats **ret, struct err *err) {
    struct target_stats *stats = calloc(count + 1, sizeof(*stats));
    if (!stats) {
        return err_memory(err);
    }
    for (size_t i = 0; i < count; i++) {
        enum range_bins bins = targets[i].watch & CALIBRATION_BINS ? RANGE_WITH_BINS : RANGE_WITHOUT_BINS;
        enum rc rc = range_stats_init(&stats[i].range, bins, err);
        if (rc) {
            target_stats_free(stats, count);
            return rc;
        }
    }
    *ret = stats;
    return RC_OK;
}

static enum rc channels_need(struct target_stats *s, size_t channels, struct err *err) {
    if (s->channels && s->channel_count != channels) {
        s->no_channels = true;
    }
    if (s->channels || s->no_channels) {
        return RC_OK;
    }
    s->channels = calloc(channels + 1, sizeof(*s->channels));
    s->channel_count = channels;
    return s->channels ? RC_OK : err_memory(err);
}

static enum rc channels_add(struct target_stats *s, const struct onnxruntime_tensor *t, const float *values,
                            size_t n, struct err *err) {
    size_t channels = t->rank > 0 ? (size_t)t->dims[t->rank - 1] : 1;
    enum rc rc = channels_need(s, channels, err);
    if (rc || s->no_channels) {
        return rc;
    }
    for (size_t i = 0; i + channels <= n && channels > 0; i += channels) {
        for (size_t c = 0; c < channels; c++) {
            float a = fabsf(values[i + c]);
            s->channels[c] = a > s->channels[c] ? a : s->channels[c];
        }
    }
    return RC_OK;
}

static enum rc target_stats_merge(struct target_stats *s, const struct target_stats *other, struct err *err) {
    range_stats_merge(&s->range, &other->range);
    s->elements += other->elements;
    s->no_channels = s->no_channels || other->no_channels;
    if (!other->channels) {
        return RC_OK;
    }
    enum rc rc = channels_need(s, other->channel_count, err);
    for (size_t c = 0; !rc && !s->no_channels && c < s->channel_count; c++) {
        s->channels[c] = fmaxf(s->channels[c], other->channels[c]);
    }
    return rc;
}

/* --- one batch --- */

static const struct onnxruntime_tensor *target_tensor(const struct worker *w,
                                                      const struct onnxruntime_result *result, size_t i) {
    const struct run *run = w->run;
    return run->input_of[i] != SIZE_MAX ? &w->feed[run->input_of[i]]
                                        : onnxruntime_result_output(result, run->output_of[i]);
}

static enum rc observe(struct worker *w, const struct onnxruntime_result *result, struct err *err) {
    for (size_t i = 0; i < w->run->target_count; i++) {
        const struct calibration_target *target = &w->run->targets[i];
        const struct onnxruntime_tensor *t = target_tensor(w, result, i);
        if (t->dtype != DTYPE_FLOAT32) {
            return err_set(err, RC_UNSUPPORTED, "\"%s\" is not a float32 tensor", target->name);
        }
        const float *values = t->data;
        size_t n = t->bytes / sizeof(float);
        range_stats_add(&w->stats[i].range, values, n, n / SAMPLE_MAX + 1);
        w->stats[i].elements += n;
        if (target->watch & CALIBRATION_CHANNELS) {
            enum rc rc = channels_add(&w->stats[i], t, values, n, err);
            if (rc) {
                return rc;
            }
        }
    }
    return RC_OK;
}

/* Runs `count` examples from `first`. A model with a fixed batch gets the last example again until the batch
 * is full. */
static enum rc run_examples(struct worker *w, size_t first, size_t count, struct onnxruntime_result **ret,
                            struct err *err) {
    struct run *run = w->run;
    const struct dataset *data = run->job->calibration;
    for (size_t i = 0; i < run->input_count; i++) {
        struct onnxruntime_tensor *t = &w->feed[i];
        size_t bytes = dataset_input_bytes(data, i);
        size_t rows = run->inputs[i].dims[0] > 0 ? (size_t)run->inputs[i].dims[0] : count;
        size_t have = rows < count ? rows : count;
        dataset_fill(data, i, first, have, t->data);
        for (size_t r = have; r < rows; r++) {
            memcpy((char *)t->data + r * bytes, (char *)t->data + (have - 1) * bytes, bytes);
        }
        t->dims[0] = (int64_t)rows;
        t->bytes = rows * bytes;
    }
    return onnxruntime_run(run->session, w->feed, ret, err);
}

static enum rc run_batch(struct worker *w, size_t first, size_t count, struct err *err) {
    struct onnxruntime_result *result = NULL;
    enum rc rc = run_examples(w, first, count, &result, err);
    if (!rc) {
        rc = observe(w, result, err);
    }
    onnxruntime_result_free(result);
    return rc;
}

/* --- threads --- */

static void *work(void *arg) {
    struct worker *w = arg;
    struct run *run = w->run;
    for (;;) {
        pthread_mutex_lock(&run->lock);
        size_t first = run->next;
        size_t left = run->end - first;
        size_t count = left < run->batch ? left : run->batch;
        bool stop = run->failed || count == 0;
        run->next += stop ? 0 : count;
        pthread_mutex_unlock(&run->lock);
        if (stop) {
            return NULL;
        }
        struct err err;
        if (run_batch(w, first, count, &err)) {
            pthread_mutex_lock(&run->lock);
            run->error = run->failed ? run->error : err;
            run->failed = true;
            pthread_mutex_unlock(&run->lock);
            return NULL;
        }
    }
}

/* The calling thread is the first worker. */
static enum rc run_round(struct run *run, struct worker *workers, size_t count, struct err *err) {
    for (size_t i = 1; i < count; i++) {
        workers[i].started = pthread_create(&workers[i].thread, NULL, work, &workers[i]) == 0;
    }
    work(&workers[0]);
    for (size_t i = 1; i < count; i++) {
        if (workers[i].started) {
            pthread_join(workers[i].thread, NULL);
        }
    }
    if (run->failed && err) {
        *err = run->error;
    }
    return run->failed ? run->error.rc : RC_OK;
}

static void workers_free(struct run *run, struct worker *workers, size_t count) {
    for (size_t i = 0; workers && i < count; i++) {
        target_stats_free(workers[i].stats, run->target_count);
        for (size_t k = 0; workers[i].feed && k < run->input_count; k++) {
            free(workers[i].feed[k].data);
        }
        free(workers[i].feed);
    }
    free(workers);
}

static enum rc feed_new(const struct run *run, struct onnxruntime_tensor **ret, struct err *err) {
    struct onnxruntime_tensor *feed = calloc(run->input_count + 1, sizeof(*feed));
    if (!feed) {
        return err_memory(err);
    }
    *ret = feed; /* released by workers_free, also after a failure below */
    for (size_t i = 0; i < run->input_count; i++) {
        const struct tensor_spec *spec = dataset_input(run->job->calibration, i);
        size_t rows = run->inputs[i].dims[0] > 0 ? (size_t)run->inputs[i].dims[0] : BATCH_MAX;
        size_t bytes = 0;
        if (checked_mul(rows, dataset_input_bytes(run->job->calibration, i), &bytes)) {
            return err_set(err, RC_TOO_LARGE, "input \"%s\" is too large", spec->name);
        }
        feed[i].dtype = spec->dtype;
        feed[i].rank = spec->rank;
        memcpy(feed[i].dims, spec->dims, sizeof(feed[i].dims));
        feed[i].data = malloc(bytes + 1);
        if (!feed[i].data) {
            return err_memory(err);
        }
    }
    return RC_OK;
}

static enum rc workers_new(struct run *run, size_t count, struct worker **ret, struct err *err) {
    struct worker *workers = calloc(count, sizeof(*workers));
    if (!workers) {
        return err_memory(err);
    }
    enum rc rc = RC_OK;
    for (size_t i = 0; i < count && !rc; i++) {
        workers[i].run = run;
        rc = target_stats_new(run->targets, run->target_count, &workers[i].stats, err);
        if (!rc) {
            rc = feed_new(run, &workers[i].feed, err);
        }
    }
    if (rc) {
        workers_free(run, workers, count);
        return rc;
    }
    *ret = workers;
    return RC_OK;
}

/* --- preparing --- */

/* A copy of the graph with the targets as outputs, packed. */
static enum rc pack_observed(struct run *run, char **data, size_t *size, struct err *err) {
    struct graph *copy = NULL;
    char *plain = NULL;
    size_t plain_size = 0;
    enum rc rc = graph_pack(run->job->graph, &plain, &plain_size, err);
    if (!rc) {
        rc = graph_parse(plain, plain_size, &copy, err);
    }
    free(plain);
    for (size_t i = 0; i < run->target_count && !rc; i++) {
        struct graph_value *v = graph_find(copy, run->targets[i].name);
        if (!v) {
            rc = err_set(err, RC_INTERNAL, "calibration: no value \"%s\"", run->targets[i].name);
        } else if (!v->is_input) {
            rc = graph_add_output(copy, v, GRAPH_FLOAT32, err);
        }
    }
    if (!rc) {
        rc = graph_pack(copy, data, size, err);
    }
    graph_free(copy);
    return rc;
}

static enum rc find_outputs(struct run *run, struct err *err) {
    const struct tensor_spec *outputs = NULL;
    size_t n = onnxruntime_outputs(run->session, &outputs);
    run->output_of = calloc(run->target_count + 1, sizeof(*run->output_of));
    run->input_of = calloc(run->target_count + 1, sizeof(*run->input_of));
    if (!run->output_of || !run->input_of) {
        return err_memory(err);
    }
    for (size_t i = 0; i < run->target_count; i++) {
        const char *name = run->targets[i].name;
        run->output_of[i] = run->input_of[i] = SIZE_MAX;
        for (size_t k = 0; k < run->input_count; k++) {
            run->input_of[i] = strcmp(run->inputs[k].name, name) == 0 ? k : run->input_of[i];
        }
        for (size_t k = 0; k < n; k++) {
            run->output_of[i] = strcmp(outputs[k].name, name) == 0 ? k : run->output_of[i];
        }
        if (run->output_of[i] == SIZE_MAX && run->input_of[i] == SIZE_MAX) {
            return err_set(err, RC_INTERNAL, "calibration: the runtime does not give \"%s\"", name);
        }
    }
    return RC_OK;
}

static enum rc open_observed(struct run *run, struct err *err) {
    char *data = NULL;
    size_t size = 0;
    enum rc rc = pack_observed(run, &data, &size, err);
    if (!rc) {
        rc = onnxruntime_new(NULL, &run->runtime, err);
    }
    if (!rc) {
        struct onnxruntime_session_opts opts = {.threads = 1};
        rc = onnxruntime_open_bytes(run->runtime, data, size, &opts, &run->session, err);
    }
    free(data);
    if (rc) {
        return rc;
    }
    run->input_count = onnxruntime_inputs(run->session, &run->inputs);
    if (run->input_count == 0) {
        return err_set(err, RC_UNSUPPORTED, "the model has no inputs: there is nothing to calibrate with");
    }
    if (!dataset_is_bound(run->job->calibration)) {
        rc = dataset_bind(run->job->calibration, run->inputs, run->input_count, err);
    }
    return rc ? rc : find_outputs(run, err);
}

/* Examples a run: what the model fixes, else as many as fit the memory, measured by running the first one.
 * The statistics of that run stay: its examples are not run again. */
static enum rc choose_batch(struct run *run, struct worker *w, struct err *err) {
    run->total = dataset_count(run->job->calibration);
    if (run->opts->max_examples > 0 && run->opts->max_examples < run->total) {
        run->total = run->opts->max_examples;
    }
    for (size_t i = 0; i < run->input_count; i++) {
        if (run->inputs[i].rank > 0 && run->inputs[i].dims[0] > 0) {
            run->batch = (size_t)run->inputs[i].dims[0];
            return RC_OK;
        }
    }
    struct onnxruntime_result *result = NULL;
    enum rc rc = run_examples(w, 0, 1, &result, err);
    if (rc) {
        return rc;
    }
    rc = observe(w, result, err);
    size_t bytes = 1;
    for (size_t i = 0; i < run->target_count; i++) {
        bytes += target_tensor(w, result, i)->bytes;
    }
    onnxruntime_result_free(result);
    size_t fits = CALIBRATION_BATCH_BYTES / bytes;
    run->batch = fits < 1 ? 1 : fits < BATCH_MAX ? fits : BATCH_MAX;
    run->next = 1;
    return rc;
}

/* --- rounds --- */

/* Puts all threads' statistics together and empties theirs. */
static enum rc gather(struct run *run, struct worker *workers, size_t count, struct calibration *c,
                      struct err *err) {
    for (size_t k = 0; k < count; k++) {
        for (size_t i = 0; i < run->target_count; i++) {
            enum rc rc = target_stats_merge(&c->targets[i], &workers[k].stats[i], err);
            if (rc) {
                return rc;
            }
        }
        target_stats_free(workers[k].stats, run->target_count);
        workers[k].stats = NULL;
        enum rc rc = target_stats_new(run->targets, run->target_count, &workers[k].stats, err);
        if (rc) {
            return rc;
        }
    }
    return RC_OK;
}

/* Remembers how far each tensor reaches in *reach; true when none went further than the last time. */
static bool has_settled(const struct calibration *c, double *reach) {
    bool settled = true;
    for (size_t i = 0; i < c->count; i++) {
        double now = range_reach(&c->targets[i].range, settled_percent);
        settled = settled && fabs(now - reach[i]) <= settled_ratio * now;
        reach[i] = now;
    }
    return settled;
}

static enum rc run_rounds(struct run *run, struct worker *workers, size_t count, struct calibration *c,
                          double *reach, struct err *err) {
    const struct calibration_opts *o = run->opts;
    bool settled = false;
    enum rc rc = RC_OK;
    while (!rc && run->next < run->total && !(settled && run->next >= MIN_EXAMPLES)) {
        size_t end = run->next - run->next % ROUND_EXAMPLES + ROUND_EXAMPLES;
        run->end = end < run->total ? end : run->total;
        rc = run_round(run, workers, count, err);
        if (!rc) {
            rc = gather(run, workers, count, c, err);
        }
        settled = has_settled(c, reach);
        double part = (double)run->end / (double)run->total;
        compress_progress(run->job, o->from + (o->to - o->from) * part, "calibrating");
    }
    c->examples = run->next;
    return rc ? rc : gather(run, workers, count, c, err);
}

static enum rc calibrate(struct run *run, struct calibration *c, struct err *err) {
    size_t threads = run->job->threads > 0 ? run->job->threads : 1;
    threads = threads < THREADS_MAX ? threads : THREADS_MAX;
    struct worker *workers = NULL;
    double *reach = calloc(run->target_count + 1, sizeof(*reach));
    enum rc rc = reach ? open_observed(run, err) : err_memory(err);
    if (!rc) {
        rc = workers_new(run, threads, &workers, err);
    }
    if (!rc) {
        rc = choose_batch(run, &workers[0], err);
    }
    if (!rc) {
        rc = run_rounds(run, workers, threads, c, reach, err);
    }
    workers_free(run, workers, threads);
    free(reach);
    return rc;
}

enum rc calibration_run(const struct compress_job *job, const struct calibration_target *targets,
                        size_t count, const struct calibration_opts *opts, struct calibration **ret,
                        struct err *err) {
    if (!job->calibration) {
        return err_set(err, RC_INPUT,
                       "int8:static needs calibration examples: give a dataset to calibrate with");
    }
    struct calibration *c = calloc(1, sizeof(*c));
    if (!c) {
        return err_memory(err);
    }
    struct run run = {.job = job, .opts = opts, .targets = targets, .target_count = count};
    pthread_mutex_init(&run.lock, NULL);
    c->count = count;
    enum rc rc = target_stats_new(targets, count, &c->targets, err);
    if (!rc) {
        rc = calibrate(&run, c, err);
    }
    onnxruntime_close(run.session);
    onnxruntime_free(run.runtime);
    free(run.output_of);
    free(run.input_of);
    pthread_mutex_destroy(&run.lock);
    if (rc) {
        calibration_free(c);
        return rc;
    }
    *ret = c;
    return RC_OK;
}

void calibration_free(struct calibration *c) {
    if (c) {
        target_stats_free(c->targets, c->count);
        free(c);
    }
}

const struct range_stats *calibration_stats(const struct calibration *c, size_t i) {
    return &c->targets[i].range;
}

const float *calibration_channels(const struct calibration *c, size_t i, size_t *channels) {
    const struct target_stats *s = &c->targets[i];
    *channels = s->no_channels ? 0 : s->channel_count;
    return s->no_channels ? NULL : s->channels;
}

size_t calibration_examples(const struct calibration *c) {
    return c->examples;
}

double calibration_elements(const struct calibration *c, size_t i) {
    return c->examples > 0 ? (double)c->targets[i].elements / (double)c->examples : 0;
}

#include "compressors/onnx/mixed_loss.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/checked.h"
#include "core/data/dataset.h"
#include "runtimes/onnxruntime.h"

enum { BATCH = 4, THREADS_MAX = 64 };

static const float least_log = -80.0F; /* logarithm of a probability of 0 */

struct mixed_loss {
    struct dataset *data;
    struct onnxruntime *runtime;
    uint32_t threads;
    size_t batch, examples; /* examples a run; examples there are */
    size_t row;             /* values of one example's output */
    size_t classes;         /* last dimension; 1: no classes */
    bool probabilities;     /* the model itself ends in a softmax */
    size_t output;          /* index of the output that is compared */
    float *reference;       /* [examples, row]: log-probabilities; without classes the values */
};

/* Sums over one batch. */
struct part {
    double divergence, drop, squares;
    size_t positions;
};

/* One pass of a model over the examples. Only `next`, `failed` and `error` change while threads run. */
struct pass {
    struct mixed_loss *m;
    struct onnxruntime_session *session;
    size_t examples;
    struct part *parts; /* [batches]; NULL: the outputs become the reference */
    pthread_mutex_t lock;
    size_t next;
    bool failed;
    struct err error;
};

/* --- one row of classes --- */

/* From scores (or, where the model gives those, probabilities) to logarithms of probabilities. */
static void log_probabilities(float *row, size_t classes, bool probabilities) {
    double sum = 0;
    float max = -INFINITY;
    if (probabilities) {
        for (size_t c = 0; c < classes; c++) {
            row[c] = row[c] > 0 ? logf(row[c]) : least_log;
        }
        return;
    }
    for (size_t c = 0; c < classes; c++) {
        max = row[c] > max ? row[c] : max;
    }
    for (size_t c = 0; c < classes; c++) {
        sum += (double)expf(row[c] - max);
    }
    float log_sum = max + (float)log(sum);
    for (size_t c = 0; c < classes; c++) {
        float l = row[c] - log_sum;
        row[c] = l > least_log ? l : least_log;
    }
}

static size_t largest_at(const float *row, size_t classes) {
    size_t best = 0;
    for (size_t c = 1; c < classes; c++) {
        best = row[c] > row[best] ? c : best;
    }
    return best;
}

/* `row` becomes logarithms on the way. */
static void compare_classes(const struct mixed_loss *m, const float *reference, float *row, struct part *p) {
    for (size_t c = 0; c < m->classes; c++) {
        if (!isfinite(row[c])) {
            p->divergence = INFINITY;
            return;
        }
    }
    size_t chosen = largest_at(row, m->classes), best = largest_at(reference, m->classes);
    log_probabilities(row, m->classes, m->probabilities);
    double sum = 0;
    for (size_t c = 0; c < m->classes; c++) {
        sum += (double)expf(reference[c]) * ((double)reference[c] - (double)row[c]);
    }
    p->divergence += sum > 0 ? sum : 0;
    p->drop += exp((double)reference[best]) - exp((double)reference[chosen]);
    p->positions++;
}

static void compare_values(const float *reference, const float *values, size_t n, struct part *p) {
    for (size_t i = 0; i < n; i++) {
        double d = (double)values[i] - (double)reference[i];
        p->divergence += isfinite(d) ? d * d : INFINITY;
        p->squares += (double)reference[i] * (double)reference[i];
    }
}

static bool looks_like_probabilities(const float *row, size_t classes) {
    double sum = 0;
    for (size_t c = 0; c < classes; c++) {
        if (!(row[c] >= 0 && row[c] <= 1)) {
            return false;
        }
        sum += (double)row[c];
    }
    return fabs(sum - 1) < 1e-3;
}

/* --- one batch --- */

struct feed {
    struct onnxruntime_tensor *tensors;
    size_t count;
};

static void feed_release(struct feed *f) {
    for (size_t i = 0; f->tensors && i < f->count; i++) {
        free(f->tensors[i].data);
    }
    free(f->tensors);
    *f = (struct feed){0};
}

static enum rc feed_init(const struct mixed_loss *m, struct onnxruntime_session *s, struct feed *f,
                         struct err *err) {
    const struct tensor_spec *inputs = NULL;
    size_t count = onnxruntime_inputs(s, &inputs);
    *f = (struct feed){.tensors = calloc(count + 1, sizeof(*f->tensors)), .count = count};
    if (!f->tensors) {
        return err_memory(err);
    }
    for (size_t i = 0; i < count; i++) {
        const struct tensor_spec *spec = dataset_input(m->data, i);
        struct onnxruntime_tensor *t = &f->tensors[i];
        t->dtype = spec->dtype;
        t->rank = spec->rank;
        memcpy(t->dims, spec->dims, sizeof(t->dims));
        if (checked_mul(m->batch, dataset_input_bytes(m->data, i), &t->bytes)) {
            return err_set(err, RC_TOO_LARGE, "input \"%s\" is too large", spec->name);
        }
        t->dims[0] = (int64_t)m->batch;
        t->data = malloc(t->bytes + 1);
        if (!t->data) {
            return err_memory(err);
        }
    }
    return RC_OK;
}

/* The batch is always full: examples past the last are those before it, and are not looked at. */
static void feed_fill(const struct mixed_loss *m, struct feed *f, size_t first, size_t end) {
    for (size_t r = 0; r < m->batch; r++) {
        size_t example = first + r < end ? first + r : end - 1;
        for (size_t i = 0; i < f->count; i++) {
            size_t bytes = dataset_input_bytes(m->data, i);
            dataset_fill(m->data, i, example, 1, (char *)f->tensors[i].data + r * bytes);
        }
    }
}

/* Copies the outputs: comparing works in place. */
static enum rc run_batch(struct pass *p, struct feed *f, size_t first, float *values, struct err *err) {
    struct mixed_loss *m = p->m;
    struct onnxruntime_result *result = NULL;
    feed_fill(m, f, first, p->examples);
    enum rc rc = onnxruntime_run(p->session, f->tensors, &result, err);
    if (rc) {
        return rc;
    }
    const struct onnxruntime_tensor *t = onnxruntime_result_output(result, m->output);
    if (t->dtype != DTYPE_FLOAT32 || t->bytes != m->batch * m->row * sizeof(float)) {
        rc = err_set(err, RC_UNSUPPORTED, "the shape of the model's output depends on its input's values");
    } else {
        memcpy(values, t->data, t->bytes);
    }
    onnxruntime_result_free(result);
    return rc;
}

static void take_batch(struct pass *p, size_t first, float *values) {
    struct mixed_loss *m = p->m;
    size_t left = p->examples - first, rows = left < m->batch ? left : m->batch;
    float *reference = m->reference + first * m->row;
    size_t positions = rows * m->row / m->classes;
    if (!p->parts) {
        memcpy(reference, values, rows * m->row * sizeof(float));
        for (size_t i = 0; i < positions && m->classes > 1; i++) {
            log_probabilities(reference + i * m->classes, m->classes, m->probabilities);
        }
        return;
    }
    struct part *part = &p->parts[first / m->batch];
    if (m->classes == 1) {
        compare_values(reference, values, rows * m->row, part);
        return;
    }
    for (size_t i = 0; i < positions; i++) {
        compare_classes(m, reference + i * m->classes, values + i * m->classes, part);
    }
}

/* --- threads --- */

static bool next_batch(struct pass *p, size_t *first) {
    pthread_mutex_lock(&p->lock);
    *first = p->next;
    bool more = !p->failed && p->next < p->examples;
    p->next += more ? p->m->batch : 0;
    pthread_mutex_unlock(&p->lock);
    return more;
}

static void *work(void *arg) {
    struct pass *p = arg;
    struct feed f = {0};
    struct err err;
    size_t first = 0;
    float *values = malloc(p->m->batch * p->m->row * sizeof(*values));
    enum rc rc = values ? feed_init(p->m, p->session, &f, &err) : err_memory(&err);
    while (!rc && next_batch(p, &first)) {
        rc = run_batch(p, &f, first, values, &err);
        if (!rc) {
            take_batch(p, first, values);
        }
    }
    if (rc) {
        pthread_mutex_lock(&p->lock);
        p->error = p->failed ? p->error : err;
        p->failed = true;
        pthread_mutex_unlock(&p->lock);
    }
    feed_release(&f);
    free(values);
    return NULL;
}

/* The calling thread is the first. */
static enum rc run_pass(struct pass *p, struct err *err) {
    pthread_t threads[THREADS_MAX];
    size_t started = 0;
    pthread_mutex_init(&p->lock, NULL);
    while (started + 1 < p->m->threads && pthread_create(&threads[started], NULL, work, p) == 0) {
        started++;
    }
    work(p);
    for (size_t i = 0; i < started; i++) {
        pthread_join(threads[i], NULL);
    }
    pthread_mutex_destroy(&p->lock);
    if (p->failed && err) {
        *err = p->error;
    }
    return p->failed ? p->error.rc : RC_OK;
}

/* --- opening --- */

static enum rc open_session(struct mixed_loss *m, const void *model, size_t size,
                            struct onnxruntime_session **ret, struct err *err) {
    /* One thread a run, because several runs go side by side. */
    struct onnxruntime_session_opts opts = {.threads = 1, .spin = ONNXRUNTIME_NO_SPIN};
    return onnxruntime_open_bytes(m->runtime, model, size, &opts, ret, err);
}

/* Binds the data, and chooses the batch. */
static enum rc read_inputs(struct mixed_loss *m, struct onnxruntime_session *s, struct err *err) {
    const struct tensor_spec *inputs = NULL;
    size_t count = onnxruntime_inputs(s, &inputs);
    enum rc rc = RC_OK;
    if (count == 0) {
        return err_set(err, RC_UNSUPPORTED, "the model has no inputs: there is nothing to measure with");
    }
    if (!dataset_is_bound(m->data)) {
        rc = dataset_bind(m->data, inputs, count, err);
    }
    m->batch = BATCH;
    for (size_t i = 0; i < count; i++) {
        m->batch = inputs[i].rank > 0 && inputs[i].dims[0] > 0 ? (size_t)inputs[i].dims[0] : m->batch;
    }
    return rc;
}

/* Runs one batch to see what the output is like. */
static enum rc read_output(struct mixed_loss *m, struct onnxruntime_session *s, struct err *err) {
    const struct tensor_spec *outputs = NULL;
    size_t count = onnxruntime_outputs(s, &outputs);
    struct onnxruntime_result *result = NULL;
    struct feed f = {0};
    while (m->output < count && outputs[m->output].dtype != DTYPE_FLOAT32) {
        m->output++;
    }
    if (m->output == count) {
        return err_set(err, RC_UNSUPPORTED, "the model has no float32 output to compare");
    }
    enum rc rc = feed_init(m, s, &f, err);
    if (!rc) {
        feed_fill(m, &f, 0, dataset_count(m->data));
        rc = onnxruntime_run(s, f.tensors, &result, err);
    }
    if (!rc) {
        const struct onnxruntime_tensor *t = onnxruntime_result_output(result, m->output);
        m->row = t->bytes / sizeof(float) / m->batch;
        m->classes = t->rank > 1 ? (size_t)t->dims[t->rank - 1] : 1;
        if (m->row == 0 || m->classes == 0 || m->row % m->classes) {
            rc = err_set(err, RC_UNSUPPORTED, "the model's output is not one row an example");
        } else {
            m->probabilities = m->classes > 1 && looks_like_probabilities(t->data, m->classes);
        }
    }
    onnxruntime_result_free(result);
    feed_release(&f);
    return rc;
}

static enum rc keep_reference(struct mixed_loss *m, struct onnxruntime_session *s, size_t max_examples,
                              size_t max_bytes, struct err *err) {
    size_t bytes = m->row * sizeof(float), fit = max_bytes / bytes, all = dataset_count(m->data);
    m->examples = fit < 1 ? 1 : fit;
    m->examples = m->examples < max_examples ? m->examples : max_examples;
    m->examples = m->examples < all ? m->examples : all;
    m->reference = calloc(m->examples, bytes);
    if (!m->reference) {
        return err_memory(err);
    }
    struct pass p = {.m = m, .session = s, .examples = m->examples};
    return run_pass(&p, err);
}

enum rc mixed_loss_open(const struct compress_job *job, const void *model, size_t size, size_t max_examples,
                        size_t max_bytes, struct mixed_loss **ret, struct err *err) {
    if (!job->calibration) {
        return err_set(err, RC_INPUT, "calibration examples are needed: give a dataset to calibrate with");
    }
    struct onnxruntime_session *s = NULL;
    struct mixed_loss *m = calloc(1, sizeof(*m));
    if (!m) {
        return err_memory(err);
    }
    m->data = job->calibration;
    m->threads = job->threads < 1 ? 1 : job->threads > THREADS_MAX ? THREADS_MAX : job->threads;
    enum rc rc = onnxruntime_new(NULL, &m->runtime, err);
    if (!rc) {
        rc = open_session(m, model, size, &s, err);
    }
    if (!rc) {
        rc = read_inputs(m, s, err);
    }
    if (!rc) {
        rc = read_output(m, s, err);
    }
    if (!rc) {
        rc = keep_reference(m, s, max_examples, max_bytes, err);
    }
    onnxruntime_close(s);
    if (rc) {
        mixed_loss_free(m);
        return rc;
    }
    *ret = m;
    return RC_OK;
}

void mixed_loss_free(struct mixed_loss *m) {
    if (m) {
        onnxruntime_free(m->runtime);
        free(m->reference);
        free(m);
    }
}

size_t mixed_loss_examples(const struct mixed_loss *m) {
    return m->examples;
}

bool mixed_loss_has_classes(const struct mixed_loss *m) {
    return m->classes > 1;
}

/* --- measuring --- */

/* In the order of the batches, whichever thread ran them. */
static void add_parts(const struct mixed_loss *m, const struct part *parts, size_t count,
                      struct mixed_distance *ret) {
    struct part sum = {0};
    for (size_t i = 0; i < count; i++) {
        sum.divergence += parts[i].divergence;
        sum.drop += parts[i].drop;
        sum.squares += parts[i].squares;
        sum.positions += parts[i].positions;
    }
    double whole = m->classes > 1 ? (double)sum.positions : sum.squares;
    ret->divergence = whole > 0 ? sum.divergence / whole : sum.divergence;
    ret->drop = whole > 0 ? 100 * sum.drop / whole : 0;
    if (!isfinite(ret->divergence)) {
        *ret = (struct mixed_distance){.divergence = INFINITY, .drop = 100};
    }
}

enum rc mixed_loss_measure(struct mixed_loss *m, const void *model, size_t size, size_t examples,
                           struct mixed_distance *ret, struct err *err) {
    size_t n = examples < m->examples ? examples : m->examples;
    size_t batches = (n + m->batch - 1) / m->batch;
    struct pass p = {.m = m, .examples = n, .parts = calloc(batches + 1, sizeof(*p.parts))};
    enum rc rc = p.parts ? open_session(m, model, size, &p.session, err) : err_memory(err);
    if (!rc) {
        rc = run_pass(&p, err);
    }
    if (!rc) {
        add_parts(m, p.parts, batches, ret);
    }
    onnxruntime_close(p.session);
    free(p.parts);
    return rc;
}

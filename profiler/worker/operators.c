/* operators.c -- see operators.h. The session is one of its own, after all else was measured: profiling takes
 * a few microseconds an operator. The runtime also writes the graph that it really runs, since convolutions
 * give away their size only in their weights, which it packs away. */
#include "profiler/worker/operators.h"

#include <dirent.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/formats/onnx_header.h"
#include "profiler/worker/opened_model.h"
#include "profiler/worker/operator_work.h"

enum {
    SKIPPED_RUNS = 2, /* the one that finds the outputs' shapes, and one more */
    FEWEST_RUNS = 4,  /* of a graph of thousands of nodes */
    LEAST_RUNS = 12,  /* however long one takes */
    MOST_RUNS = 40,
    MOST_CALLS = 20000, /* of operators, so that the file stays below ONNXRUNTIME_PROFILE_BYTES */
    SHOWN_TYPES = 40,
    SHOWN_NODES = 8,
    SHOWN_NAME = 160,
};
static const uint64_t LIMIT_NS = (uint64_t)400 * 1000 * 1000;
static const uint64_t SAVED_MODEL_MAX = (uint64_t)1 << 30; /* a graph beyond that is not written */
static const char PREFIX[] = "operators", SAVED[] = "operators.onnx";

json_t *operators_unavailable(const char *reason) {
    return json_pack("{s:b, s:s}", "available", 0, "reason", reason);
}

/* ---- the sums ---- */

/* Operators of one kind: the same name and the same type of output. */
struct kind {
    const char *op;
    enum dtype dtype;
    double us, calls, macs, bytes, weight_bytes;
};

struct sums {
    struct kind *kinds;
    size_t n;
    double us;
};

/* Per run. macs NAN: not known. */
static struct kind work_of(const struct onnxruntime_operator *o, const struct onnx_weights *weights) {
    const struct onnx_node_weights *w = weights ? onnx_weights_find(weights, o->node) : NULL;
    const struct operator_shape shape = {.op = o->op,
                                         .first_input = o->first_input,
                                         .first_output = o->first_output,
                                         .last_dim = o->last_dim,
                                         .weights = w ? (double)w->elements : 0,
                                         .weights_first_dim = w ? (double)w->first_dim : 0};
    struct kind k = {.op = o->op, .dtype = o->dtype, .us = o->us, .calls = o->calls};
    k.weight_bytes = w ? (double)w->bytes : 0;
    k.macs = operator_work_macs(&shape) * o->calls;
    k.bytes = o->activation_bytes + (operator_work_is_lookup(o->op) ? 0 : k.weight_bytes * o->calls);
    return k;
}

static int dearer_kind_first(const void *a, const void *b) {
    double x = ((const struct kind *)a)->us, y = ((const struct kind *)b)->us;
    return (y > x) - (y < x);
}

static void add_kind(struct sums *s, const struct kind *k) {
    size_t i = 0;
    while (i < s->n && (strcmp(s->kinds[i].op, k->op) != 0 || s->kinds[i].dtype != k->dtype)) {
        i++;
    }
    struct kind *into = &s->kinds[i];
    if (i == s->n) {
        *into = (struct kind){.op = k->op, .dtype = k->dtype};
        s->n++;
    }
    into->us += k->us;
    into->calls += k->calls;
    into->macs += k->macs;
    into->bytes += k->bytes;
    into->weight_bytes += k->weight_bytes;
    s->us += k->us;
}

/* What is beyond the list becomes one last entry. */
static void shorten(struct sums *s) {
    qsort(s->kinds, s->n, sizeof(*s->kinds), dearer_kind_first);
    for (size_t i = SHOWN_TYPES; i < s->n; i++) {
        struct kind *last = &s->kinds[SHOWN_TYPES - 1];
        last->op = "(others)";
        last->dtype = DTYPE_OTHER;
        last->us += s->kinds[i].us;
        last->calls += s->kinds[i].calls;
        last->macs += s->kinds[i].macs;
        last->bytes += s->kinds[i].bytes;
        last->weight_bytes += s->kinds[i].weight_bytes;
    }
    s->n = s->n < SHOWN_TYPES ? s->n : SHOWN_TYPES;
}

/* ---- as JSON ---- */

static json_t *whole(double value) {
    return isfinite(value) && value < 9e18 ? json_integer((json_int_t)llround(value)) : json_null();
}

static json_t *tenths(double value) {
    return json_real(round(value * 10) / 10);
}

static json_t *kind_json(const struct kind *k, double all_us) {
    char op[SHOWN_NAME];
    snprintf(op, sizeof(op), "%s", k->op);
    return json_pack("{s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:o}", "op", op, "dtype", dtype_name(k->dtype),
                     "calls", tenths(k->calls), "us", tenths(k->us), "share",
                     json_real(all_us > 0 ? round(k->us / all_us * 1e4) / 1e4 : 0), "macs", whole(k->macs),
                     "bytes", whole(k->bytes), "weight_bytes", whole(k->weight_bytes));
}

static json_t *kinds_json(const struct sums *s) {
    json_t *list = json_array();
    for (size_t i = 0; i < s->n; i++) {
        json_array_append_new(list, kind_json(&s->kinds[i], s->us));
    }
    return list;
}

static int dearer_operator_first(const void *a, const void *b) {
    double x = ((const struct onnxruntime_operator *)a)->us, y = ((const struct onnxruntime_operator *)b)->us;
    return (y > x) - (y < x);
}

static json_t *nodes_json(struct onnxruntime_operator *sorted, size_t n, const struct onnx_weights *weights,
                          double all_us) {
    json_t *list = json_array();
    qsort(sorted, n, sizeof(*sorted), dearer_operator_first);
    for (size_t i = 0; i < n && i < SHOWN_NODES; i++) {
        char name[SHOWN_NAME];
        struct kind k = work_of(&sorted[i], weights);
        json_t *entry = kind_json(&k, all_us);
        snprintf(name, sizeof(name), "%s", sorted[i].node);
        json_t *text = json_string(name); /* NULL where a name was cut inside a letter */
        json_object_set_new(entry, "node", text ? text : json_string("?"));
        json_array_append_new(list, entry);
    }
    return list;
}

json_t *operators_json(const struct onnxruntime_profile *profile, const struct onnx_weights *weights,
                       const struct operators_opts *opts) {
    struct sums s = {.kinds = calloc(profile->count + 1, sizeof(*s.kinds))};
    struct onnxruntime_operator *sorted = calloc(profile->count + 1, sizeof(*sorted));
    json_t *json = NULL;
    for (size_t i = 0; s.kinds && sorted && i < profile->count; i++) {
        struct kind k = work_of(&profile->operators[i], weights);
        add_kind(&s, &k);
        sorted[i] = profile->operators[i];
    }
    if (s.kinds && sorted) {
        shorten(&s);
        json = json_pack("{s:b, s:I, s:I, s:I, s:o, s:o, s:o, s:o, s:s, s:o, s:o}", "available", 1, "threads",
                         (json_int_t)opts->threads, "batch", (json_int_t)opts->batch, "runs",
                         (json_int_t)profile->runs, "nodes", json_integer((json_int_t)profile->count),
                         "run_us", tenths(profile->run_us), "operators_us", tenths(s.us), "weight_bytes",
                         weights ? whole((double)onnx_weights_bytes(weights)) : json_null(), "provenance",
                         "measured", "types", kinds_json(&s), "top",
                         nodes_json(sorted, profile->count, weights, s.us));
    }
    free(s.kinds);
    free(sorted);
    return json;
}

/* ---- running ---- */

static unsigned runs_for(const struct job_model *model) {
    struct onnx_header *header = NULL;
    struct err err;
    size_t nodes = 1;
    if (onnx_header_read(model->main_local, &header, &err) == RC_OK) {
        nodes += header->n_nodes;
        onnx_header_free(header);
    }
    size_t runs = MOST_CALLS / nodes;
    return runs < FEWEST_RUNS ? FEWEST_RUNS : runs > MOST_RUNS ? MOST_RUNS : (unsigned)runs;
}

static enum rc run_some(struct onnxruntime_session *session, const struct operators_opts *opts,
                        struct err *err) {
    struct onnxruntime_binding *binding = NULL;
    unsigned most = runs_for(opts->model);
    enum rc rc = onnxruntime_binding_new(session, opts->inputs, &binding, err);
    uint64_t start_ns = clock_mono_ns();
    for (unsigned i = 0; rc == RC_OK && i < most && (i < LEAST_RUNS || clock_mono_ns() - start_ns < LIMIT_NS);
         i++) {
        rc = onnxruntime_binding_run(binding, err);
    }
    onnxruntime_binding_free(binding);
    return rc;
}

/* Writes the profile to *path (free() it) and, unless the model is huge, the graph to SAVED. */
static enum rc profile_session(struct onnxruntime *runtime, const struct operators_opts *opts, char **path,
                               struct err *err) {
    const struct onnxruntime_session_opts session = {
        .threads = opts->threads,
        .spin = ONNXRUNTIME_SPIN,
        .profile_prefix = PREFIX,
        .save_optimized = opts->model->bytes <= SAVED_MODEL_MAX ? SAVED : NULL};
    struct opened_model model = {0};
    enum rc rc = opened_model_open(runtime, opts->model, &session, &model, err);
    if (rc == RC_OK) {
        rc = run_some(model.session, opts, err);
        struct err unused;
        enum rc ended = onnxruntime_end_profile(model.session, path, rc == RC_OK ? err : &unused);
        rc = rc == RC_OK ? ended : rc;
    }
    opened_model_close(&model);
    return rc;
}

/* The files of this measurement, also those of a session that failed. */
static void remove_files(void) {
    DIR *folder = opendir(".");
    struct dirent *entry;
    while (folder && (entry = readdir(folder))) {
        if (strncmp(entry->d_name, PREFIX, sizeof(PREFIX) - 1) == 0) {
            unlink(entry->d_name);
        }
    }
    if (folder) {
        closedir(folder);
    }
}

json_t *operators_measure(struct onnxruntime *runtime, const struct operators_opts *opts) {
    struct onnxruntime_profile profile = {0};
    struct onnx_weights *weights = NULL;
    struct err err = {0}, unused;
    char *path = NULL;
    enum rc rc = profile_session(runtime, opts, &path, &err);
    if (rc == RC_OK) {
        rc = onnxruntime_profile_read(path, SKIPPED_RUNS, &profile, &err);
    }
    if (rc == RC_OK && onnx_weights_read(SAVED, &weights, &unused) != RC_OK) {
        weights = NULL; /* then convolutions have no known size */
    }
    json_t *json = rc == RC_OK ? operators_json(&profile, weights, opts) : operators_unavailable(err.text);
    remove_files();
    onnx_weights_free(weights);
    onnxruntime_profile_release(&profile);
    free(path);
    return json;
}

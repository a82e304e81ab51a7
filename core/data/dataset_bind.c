/* From a dataset's arrays to a model's inputs: names, shapes and types are compared once; then every example
 * is filled in one of three ways: copied; through a table of 256 values a channel (uint8 images into
 * float32); or element by element. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/nearest.h"
#include "core/data/dataset_internal.h"
#include "core/data/element.h"

enum { TABLE_SIZE = 256, MAX_NAMES = 256, EXPLAIN_SIZE = 320 };

struct binding {
    struct tensor_spec spec; /* what is filled; dims[0] = -1; spec.name is owned */
    const struct data_array *array;
    size_t elements, bytes;              /* of an example */
    size_t channels, plane;              /* elements = channels * plane */
    bool transpose;                      /* [plane, channels] in the array is filled as [channels, plane] */
    bool channels_last;                  /* [plane, channels] in the array and in what is filled */
    const struct preprocess *preprocess; /* NULL: values as they are */
    float *table;                        /* [channels, TABLE_SIZE], or NULL */
};

/* ---- names ---- */

/* "a, b, c" and, where one is near to `name`, "; did you mean "b"?" */
static void explain(const char *name, const char *const *names, char text[EXPLAIN_SIZE]) {
    size_t used = 0;
    text[0] = '\0';
    for (size_t i = 0; names[i] && used < EXPLAIN_SIZE / 2; i++) {
        used += (size_t)snprintf(text + used, EXPLAIN_SIZE - used, "%s%.48s", i ? ", " : "", names[i]);
    }
    const char *near = nearest_name(name, names);
    if (near) {
        snprintf(text + used, EXPLAIN_SIZE - used, "; did you mean \"%.48s\"?", near);
    }
}

static void model_names(const struct tensor_spec *inputs, size_t n, const char *names[MAX_NAMES + 1]) {
    size_t kept = n < MAX_NAMES ? n : MAX_NAMES;
    for (size_t i = 0; i < kept; i++) {
        names[i] = inputs[i].name;
    }
    names[kept] = NULL;
}

static bool is_listed(const char *name, const char *const *names) {
    while (*names && strcmp(*names, name) != 0) {
        names++;
    }
    return *names != NULL;
}

/* Every array and every entry of preprocess must belong to an input. */
static enum rc check_names(const struct dataset *d, const char *const *inputs, struct err *err) {
    char text[EXPLAIN_SIZE];
    for (size_t i = 0; i < d->n_arrays && !d->unnamed_array; i++) {
        const char *name = d->arrays[i].name;
        if (!is_listed(name, inputs)) {
            explain(name, inputs, text);
            return err_set(
                err, RC_INPUT, "array \"%.64s\" is not an input of the model, which has: %s%s", name, text,
                d->labels == LABELS_NONE ? " (labels must be called \"labels\", or be named as such)" : "");
        }
    }
    for (size_t i = 0; i < d->n_preprocess; i++) {
        const char *name = d->preprocess[i].input;
        if (!is_listed(name, inputs)) {
            explain(name, inputs, text);
            return err_set(err, RC_INPUT,
                           "preprocess names \"%.64s\", which is not an input of the model, which has: %s",
                           name, text);
        }
    }
    return RC_OK;
}

static enum rc find_array(const struct dataset *d, const char *name, size_t n_inputs,
                          const struct data_array **ret, struct err *err) {
    const char *names[MAX_NAMES + 1] = {0};
    char text[EXPLAIN_SIZE];
    if (d->unnamed_array && n_inputs == 1) {
        *ret = &d->arrays[0];
        return RC_OK;
    }
    for (size_t i = 0; i < d->n_arrays; i++) {
        names[i < MAX_NAMES ? i : MAX_NAMES - 1] = d->arrays[i].name;
        if (strcmp(d->arrays[i].name, name) == 0 && !d->unnamed_array) {
            *ret = &d->arrays[i];
            return RC_OK;
        }
    }
    if (d->unnamed_array) {
        return err_set(err, RC_INPUT, "the model has %zu inputs: say in \"input\" which one the images feed",
                       n_inputs);
    }
    explain(name, names, text);
    return err_set(err, RC_INPUT,
                   "the model's input \"%.64s\" has no array of that name; the dataset has: %s", name, text);
}

/* ---- shapes ---- */

/* An example's shape, without the batch axis. */
struct shape {
    int64_t dims[TENSOR_MAX_RANK];
    size_t rank;
};

static bool fits(const struct shape *s, const struct tensor_spec *model) {
    if (model->rank == 0) { /* the model does not say */
        return s->rank < TENSOR_MAX_RANK;
    }
    if (s->rank + 1 != model->rank) {
        return false;
    }
    for (size_t i = 0; i < s->rank; i++) {
        if (model->dims[i + 1] >= 0 && model->dims[i + 1] != s->dims[i]) {
            return false;
        }
    }
    return true;
}

/* `s` with an axis of size 1 in front or at the end; false where there is no room. */
static bool with_channel(const struct shape *s, bool last, struct shape *ret) {
    if (s->rank >= TENSOR_MAX_RANK - 1) {
        return false;
    }
    ret->rank = s->rank + 1;
    for (size_t i = 0; i < s->rank; i++) {
        ret->dims[last ? i : i + 1] = s->dims[i];
    }
    ret->dims[last ? s->rank : 0] = 1;
    return true;
}

/* [h, w, c] as [c, h, w]. */
static struct shape channels_first(const struct shape *s) {
    struct shape moved = *s;
    moved.dims[0] = s->dims[s->rank - 1];
    memmove(moved.dims + 1, s->dims, (s->rank - 1) * sizeof(*s->dims));
    return moved;
}

static enum rc shape_differs(const struct binding *b, const struct tensor_spec *model, struct err *err) {
    char has[SHAPE_TEXT_SIZE], wants[SHAPE_TEXT_SIZE];
    dtype_shape_text(b->array->spec.dims, b->array->spec.rank, has);
    dtype_shape_text(model->dims, model->rank, wants);
    return err_set(err, RC_INPUT, "input \"%.64s\": the model takes %s, the dataset has %s%s", model->name,
                   wants, has,
                   b->array->spec.rank == 4 && !(b->preprocess && b->preprocess->nhwc)
                       ? " (\"layout\": \"nhwc\" in preprocess moves the channels)"
                       : "");
}

/* Finds how the example's shape fits the model's, in this order: as it is (nhwc: channels moved to the
 * front), channels left last where the model wants them so, an axis of size 1 added. */
static enum rc bind_shape(struct binding *b, const struct tensor_spec *model, struct err *err) {
    const struct tensor_spec *a = &b->array->spec;
    struct shape raw = {.rank = a->rank - 1}, s, more;
    memcpy(raw.dims, a->dims + 1, raw.rank * sizeof(*raw.dims));
    bool nhwc = b->preprocess && b->preprocess->nhwc && raw.rank == 3;
    s = nhwc ? channels_first(&raw) : raw;
    b->transpose = nhwc;
    if (!fits(&s, model)) {
        if (nhwc && fits(&raw, model)) {
            s = raw;
            b->transpose = false;
            b->channels_last = true;
        } else if (with_channel(&s, false, &more) && model->rank > 0 && fits(&more, model)) {
            s = more;
        } else if (with_channel(&s, true, &more) && model->rank > 0 && fits(&more, model)) {
            s = more;
            b->channels_last = true;
        } else {
            return shape_differs(b, model, err);
        }
    }
    b->spec.rank = s.rank + 1;
    b->spec.dims[0] = -1;
    memcpy(b->spec.dims + 1, s.dims, s.rank * sizeof(*s.dims));
    b->elements = dataset_example_elements(b->array);
    b->channels = s.rank < 3 ? 1 : (size_t)s.dims[b->channels_last ? s.rank - 1 : 0];
    b->plane = b->channels ? b->elements / b->channels : 0;
    return RC_OK;
}

/* ---- types ---- */

static enum rc check_range(const struct binding *b, size_t n_all, struct err *err) {
    int64_t min, max, value;
    element_range(b->spec.dtype, &min, &max);
    for (size_t i = 0; i < n_all * b->elements; i++) {
        if (!element_int(b->array->data, b->array->spec.dtype, i, &value) || value < min || value > max) {
            return err_set(err, RC_INPUT,
                           "input \"%.64s\": a value at example %zu does not fit the model's type %s",
                           b->spec.name, i / b->elements, dtype_name(b->spec.dtype));
        }
    }
    return RC_OK;
}

static enum rc bind_type(const struct binding *b, size_t n_all, struct err *err) {
    enum dtype has = b->array->spec.dtype, wants = b->spec.dtype;
    if (wants == DTYPE_OTHER) {
        return err_set(err, RC_UNSUPPORTED,
                       "input \"%.64s\": the model's type is not a number or truth value", b->spec.name);
    }
    if (dtype_is_float(wants)) {
        return RC_OK;
    }
    if (dtype_is_float(has)) {
        return err_set(err, RC_INPUT, "input \"%.64s\": the model takes %s, the dataset has %s", b->spec.name,
                       dtype_name(wants), dtype_name(has));
    }
    if (b->preprocess) {
        return err_set(err, RC_INPUT, "input \"%.64s\": the model takes %s, so \"preprocess\" cannot apply",
                       b->spec.name, dtype_name(wants));
    }
    return has == wants ? RC_OK : check_range(b, n_all, err);
}

/* ---- values ---- */

static enum rc check_channels(const struct binding *b, const char *what, size_t n, struct err *err) {
    if (n > 1 && n != b->channels) {
        return err_set(err, RC_INPUT,
                       "preprocess of \"%.64s\": \"%s\" has %zu numbers, the input %zu channel%s",
                       b->spec.name, what, n, b->channels, b->channels == 1 ? "" : "s");
    }
    return RC_OK;
}

static double value_of(const struct preprocess *p, size_t channel, double raw) {
    double mean = p->n_mean ? p->mean[p->n_mean > 1 ? channel : 0] : 0;
    double std = p->n_std ? p->std[p->n_std > 1 ? channel : 0] : 1;
    return (raw * p->scale - mean) / std;
}

static bool changes_values(const struct preprocess *p) {
    return p && (p->n_mean || p->n_std || p->scale < 1 || p->scale > 1);
}

static enum rc bind_values(struct binding *b, struct err *err) {
    const struct preprocess *p = b->preprocess;
    if (!p) {
        return RC_OK;
    }
    enum rc rc = check_channels(b, "mean", p->n_mean, err);
    if (rc == RC_OK) {
        rc = check_channels(b, "std", p->n_std, err);
    }
    if (rc != RC_OK || b->array->spec.dtype != DTYPE_UINT8 || b->spec.dtype != DTYPE_FLOAT32 ||
        b->channels == 0) {
        return rc;
    }
    b->table = calloc(b->channels, TABLE_SIZE * sizeof(*b->table));
    if (!b->table) {
        return err_memory(err);
    }
    for (size_t i = 0; i < b->channels * TABLE_SIZE; i++) {
        b->table[i] = (float)value_of(p, i / TABLE_SIZE, (double)(i % TABLE_SIZE));
    }
    return RC_OK;
}

static const struct preprocess *find_preprocess(const struct dataset *d, const char *input) {
    for (size_t i = 0; i < d->n_preprocess; i++) {
        if (strcmp(d->preprocess[i].input, input) == 0) {
            return &d->preprocess[i];
        }
    }
    return NULL;
}

static enum rc bind_input(struct dataset *d, struct binding *b, const struct tensor_spec *model,
                          size_t n_inputs, struct err *err) {
    b->preprocess = find_preprocess(d, model->name);
    b->spec = *model;
    b->spec.name = strdup(model->name);
    enum rc rc = b->spec.name ? find_array(d, model->name, n_inputs, &b->array, err) : err_memory(err);
    if (rc == RC_OK) {
        rc = bind_shape(b, model, err);
    }
    if (rc == RC_OK) {
        b->bytes = b->elements * dtype_bytes(b->spec.dtype);
        rc = bind_type(b, d->n_all, err);
    }
    return rc == RC_OK ? bind_values(b, err) : rc;
}

enum rc dataset_bind(struct dataset *d, const struct tensor_spec *inputs, size_t n_inputs, struct err *err) {
    const char *names[MAX_NAMES + 1];
    assert(!d->bindings);
    if (d->is_text) {
        return err_set(err, RC_INPUT,
                       "the dataset is a text, but this model takes arrays: give an .npz or IDX files");
    }
    model_names(inputs, n_inputs, names);
    enum rc rc = check_names(d, names, err);
    if (rc != RC_OK) {
        return rc;
    }
    d->bindings = calloc(n_inputs + 1, sizeof(*d->bindings));
    if (!d->bindings) {
        return err_memory(err);
    }
    for (size_t i = 0; i < n_inputs && rc == RC_OK; i++) {
        d->n_bindings++;
        rc = bind_input(d, &d->bindings[i], &inputs[i], n_inputs, err);
    }
    if (rc != RC_OK) {
        dataset_release_bindings(d);
    }
    return rc;
}

bool dataset_is_bound(const struct dataset *d) {
    return d->bindings != NULL;
}

void dataset_release_bindings(struct dataset *d) {
    for (size_t i = 0; i < d->n_bindings; i++) {
        free((char *)d->bindings[i].spec.name);
        free(d->bindings[i].table);
    }
    free(d->bindings);
    d->bindings = NULL;
    d->n_bindings = 0;
}

const struct tensor_spec *dataset_input(const struct dataset *d, size_t input) {
    assert(input < d->n_bindings);
    return &d->bindings[input].spec;
}

size_t dataset_input_bytes(const struct dataset *d, size_t input) {
    assert(input < d->n_bindings);
    return d->bindings[input].bytes;
}

/* ---- filling ---- */

/* Where in the array element e of what is filled lies, and its channel. */
static size_t source_of(const struct binding *b, size_t e, size_t *channel) {
    *channel = b->channels_last ? e % b->channels : e / b->plane;
    return b->transpose ? (e % b->plane) * b->channels + *channel : e;
}

static void fill_by_table(const struct binding *b, const uint8_t *raw, float *out) {
    if (!b->transpose && b->channels == 1) {
        for (size_t e = 0; e < b->elements; e++) {
            out[e] = b->table[raw[e]];
        }
        return;
    }
    for (size_t e = 0; e < b->elements; e++) {
        size_t channel, at = source_of(b, e, &channel);
        out[e] = b->table[channel * TABLE_SIZE + raw[at]];
    }
}

static void fill_by_element(const struct binding *b, const void *raw, void *out) {
    enum dtype from = b->array->spec.dtype, to = b->spec.dtype;
    bool to_float = dtype_is_float(to), change = changes_values(b->preprocess);
    for (size_t e = 0; e < b->elements; e++) {
        size_t channel, at = source_of(b, e, &channel);
        int64_t integer;
        if (to_float) {
            double value = element_float(raw, from, at);
            element_put_float(out, to, e, change ? value_of(b->preprocess, channel, value) : value);
        } else if (element_int(raw, from, at, &integer)) { /* always: dataset_bind checked the range */
            element_put_int(out, to, e, integer);
        }
    }
}

static void fill_example(const struct binding *b, size_t example, void *out) {
    const char *raw = (const char *)b->array->data + example * b->array->example_bytes;
    if (b->table) {
        fill_by_table(b, (const uint8_t *)raw, out);
    } else if (b->array->spec.dtype == b->spec.dtype && !b->transpose && !changes_values(b->preprocess)) {
        memcpy(out, raw, b->bytes);
    } else {
        fill_by_element(b, raw, out);
    }
}

void dataset_fill(const struct dataset *d, size_t input, size_t first, size_t count, void *out) {
    assert(input < d->n_bindings && first <= d->count && count <= d->count - first);
    const struct binding *b = &d->bindings[input];
    for (size_t i = 0; i < count; i++) {
        fill_example(b, d->order[first + i], (char *)out + i * b->bytes);
    }
}

void dataset_fill_chosen(const struct dataset *d, size_t input, const size_t *examples, size_t count,
                         void *out) {
    assert(input < d->n_bindings);
    const struct binding *b = &d->bindings[input];
    for (size_t i = 0; i < count; i++) {
        assert(examples[i] < d->count);
        fill_example(b, d->order[examples[i]], (char *)out + i * b->bytes);
    }
}

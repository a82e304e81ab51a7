/* "preprocess": {"image": {"scale": 0.00392, "mean": [0.286], "std": [0.353], "layout": "nchw"}} */
#include <stdlib.h>
#include <string.h>

#include "core/base/json.h"
#include "core/data/dataset_internal.h"

enum { MAX_CHANNELS = 4096, MAX_ENTRIES = 256 };

/* A number or an array of numbers; absent leaves *ret NULL. */
static enum rc read_numbers(const json_t *object, const char *key, double **ret, size_t *n, struct err *err) {
    const json_t *value = json_object_get(object, key);
    if (!value || json_is_null(value)) {
        return RC_OK;
    }
    bool list = json_is_array(value);
    size_t count = list ? json_array_size(value) : 1;
    if ((!list && !json_is_number(value)) || count == 0 || count > MAX_CHANNELS) {
        return err_set(err, RC_INPUT, "field \"%s\" must be a number, or an array of one number a channel",
                       key);
    }
    *ret = calloc(count, sizeof(**ret));
    if (!*ret) {
        return err_memory(err);
    }
    *n = count;
    for (size_t i = 0; i < count; i++) {
        const json_t *item = list ? json_array_get(value, i) : value;
        if (!json_is_number(item)) {
            return err_set(err, RC_INPUT, "field \"%s\" must hold numbers only", key);
        }
        (*ret)[i] = json_number_value(item);
    }
    return RC_OK;
}

static enum rc read_layout(const json_t *object, bool *nhwc, struct err *err) {
    const char *layout = "nchw";
    enum rc rc = json_opt_string(object, "layout", &layout, err);
    *nhwc = strcmp(layout, "nhwc") == 0;
    if (rc == RC_OK && !*nhwc && strcmp(layout, "nchw") != 0) {
        return err_set(err, RC_INPUT, "field \"layout\": \"%.32s\" must be nchw or nhwc", layout);
    }
    return rc;
}

static enum rc check_std(const struct preprocess *p, struct err *err) {
    for (size_t i = 0; i < p->n_std; i++) {
        if (!(p->std[i] > 0)) {
            return err_set(err, RC_INPUT, "field \"std\": %g must be above 0", p->std[i]);
        }
    }
    return RC_OK;
}

static enum rc read_entry(struct preprocess *p, const char *input, const json_t *object, struct err *err) {
    static const char *const keys[] = {"scale", "mean", "std", "layout", NULL};
    *p = (struct preprocess){.input = strdup(input), .scale = 1};
    enum rc rc = p->input ? json_only_keys(object, keys, err) : err_memory(err);
    if (rc == RC_OK) {
        rc = json_opt_number(object, "scale", &p->scale, err);
    }
    if (rc == RC_OK) {
        rc = read_numbers(object, "mean", &p->mean, &p->n_mean, err);
    }
    if (rc == RC_OK) {
        rc = read_numbers(object, "std", &p->std, &p->n_std, err);
    }
    if (rc == RC_OK) {
        rc = read_layout(object, &p->nhwc, err);
    }
    if (rc == RC_OK) {
        rc = check_std(p, err);
    }
    return rc == RC_OK ? RC_OK : err_prefix(err, "preprocess of \"%.64s\"", input);
}

enum rc preprocess_read(struct dataset *d, const json_t *object, struct err *err) {
    const char *input;
    json_t *entry;
    if (!object || json_is_null(object)) {
        return RC_OK;
    }
    if (!json_is_object(object) || json_object_size(object) > MAX_ENTRIES) {
        return err_set(err, RC_INPUT, "field \"preprocess\" must be an object with one entry for each input");
    }
    d->preprocess = calloc(json_object_size(object) + 1, sizeof(*d->preprocess));
    if (!d->preprocess) {
        return err_memory(err);
    }
    json_object_foreach((json_t *)object, input, entry) {
        enum rc rc = read_entry(&d->preprocess[d->n_preprocess++], input, entry, err);
        if (rc != RC_OK) {
            return rc;
        }
    }
    return RC_OK;
}

void preprocess_release(struct preprocess *p) {
    free(p->input);
    free(p->mean);
    free(p->std);
}

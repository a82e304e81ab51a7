/* The split of docs/protocol.md. Every example is named by the SHA-256 of its input bytes (arrays in the
 * order of their names; text: the block). Calibration takes the k distinct smallest names, evaluation
 * everything with a larger name than the k-th: both sides can be computed apart, on different machines, and
 * identical examples always fall on one side. */
#include <stdlib.h>
#include <string.h>

#include "core/base/json.h"
#include "core/base/sha256.h"
#include "core/data/dataset_internal.h"

enum { MAX_CALIBRATION = 100 * 1000 * 1000 };

struct digest {
    unsigned char bytes[DIGEST_BYTES];
    size_t example;
};

static int compare_names(const struct digest *a, const struct digest *b) {
    return memcmp(a->bytes, b->bytes, DIGEST_BYTES);
}

static int compare_digests(const void *x, const void *y) {
    const struct digest *a = x, *b = y;
    int order = compare_names(a, b);
    return order ? order : (a->example > b->example) - (a->example < b->example);
}

static int compare_indices(const void *x, const void *y) {
    size_t a = *(const size_t *)x, b = *(const size_t *)y;
    return (a > b) - (a < b);
}

static void hash_example(const struct dataset *d, size_t i, struct digest *ret) {
    struct sha256 h;
    sha256_init(&h);
    if (d->is_text) {
        sha256_add(&h, d->text + d->block_starts[i], d->block_starts[i + 1] - d->block_starts[i]);
    }
    for (size_t k = 0; k < d->n_arrays; k++) {
        const struct data_array *a = &d->arrays[k];
        sha256_add(&h, (const char *)a->data + i * a->example_bytes, a->example_bytes);
    }
    sha256_bytes(&h, ret->bytes);
    ret->example = i;
}

/* All examples, sorted by name. The caller frees. */
static struct digest *hash_examples(const struct dataset *d) {
    struct digest *all = malloc(d->n_all * sizeof(*all));
    for (size_t i = 0; all && i < d->n_all; i++) {
        hash_example(d, i, &all[i]);
    }
    if (all) {
        qsort(all, d->n_all, sizeof(*all), compare_digests);
    }
    return all;
}

/* Removes from `all` what `exclude` holds; both sorted. Returns what is left. */
static size_t subtract(struct digest *all, size_t n, const struct digest *exclude, size_t n_exclude) {
    size_t kept = 0, e = 0;
    for (size_t i = 0; i < n; i++) {
        while (e < n_exclude && compare_names(&exclude[e], &all[i]) < 0) {
            e++;
        }
        if (e == n_exclude || compare_names(&exclude[e], &all[i]) != 0) {
            all[kept++] = all[i];
        }
    }
    return kept;
}

/* How many entries of the sorted list the k smallest distinct names take up, copies included. *distinct is
 * how many names were found: k or, where there are fewer, all. */
static size_t smallest(const struct digest *all, size_t n, size_t k, size_t *distinct) {
    size_t i = 0;
    *distinct = 0;
    for (; i < n; i++) {
        bool is_new = i == 0 || compare_names(&all[i], &all[i - 1]) != 0;
        if (is_new && *distinct == k) {
            break;
        }
        *distinct += is_new;
    }
    return i;
}

static enum rc too_few(size_t distinct, size_t k, struct err *err) {
    return err_set(err, RC_INPUT,
                   "the dataset has %zu distinct examples; with %zu of them for calibration none is left to "
                   "evaluate: give "
                   "more data, a dataset of its own for calibration, or a smaller calibration_examples",
                   distinct, k);
}

/* Fills d->order from the sorted names. */
static enum rc choose(struct dataset *d, enum take take, size_t k, const struct digest *all, size_t n,
                      struct err *err) {
    size_t distinct, calibration = smallest(all, n, k, &distinct);
    if (take == TAKE_EVAL && calibration == n) {
        return too_few(distinct, k, err);
    }
    for (size_t i = take == TAKE_EVAL ? calibration : 0; i < (take == TAKE_CALIBRATION ? calibration : n);
         i++) {
        bool copy = i > 0 && compare_names(&all[i], &all[i - 1]) == 0;
        if (take != TAKE_CALIBRATION || !copy) {
            d->order[d->count++] = all[i].example;
        }
    }
    if (take == TAKE_EVAL) {
        d->dropped += calibration - distinct;
    }
    if (take != TAKE_CALIBRATION || d->is_text) {
        qsort(d->order, d->count, sizeof(*d->order), compare_indices);
    }
    return RC_OK;
}

static enum rc split_by_name(struct dataset *d, enum take take, size_t k, const struct dataset *exclude,
                             struct err *err) {
    struct digest *all = hash_examples(d), *other = exclude ? hash_examples(exclude) : NULL;
    enum rc rc = all && (other || !exclude) ? RC_OK : err_memory(err);
    if (rc == RC_OK) {
        size_t n = other ? subtract(all, d->n_all, other, exclude->n_all) : d->n_all;
        d->dropped = d->n_all - n;
        rc = n > 0 ? choose(d, take, k, all, n, err)
                   : err_set(err, RC_INPUT,
                             "every example of the calibration dataset is also in the evaluation dataset: "
                             "nothing is left to calibrate with");
    }
    free(all);
    free(other);
    return rc;
}

static enum rc read_split(const json_t *split, enum take *take, size_t *k, struct err *err) {
    static const char *const keys[] = {"take", "calibration_examples", "exclude", NULL};
    const char *text = "all";
    int64_t examples = 0;
    enum rc rc = json_only_keys(split, keys, err);
    if (rc == RC_OK) {
        rc = json_opt_string(split, "take", &text, err);
    }
    if (rc != RC_OK) {
        return rc;
    }
    *take = strcmp(text, "eval") == 0          ? TAKE_EVAL
            : strcmp(text, "calibration") == 0 ? TAKE_CALIBRATION
                                               : TAKE_ALL;
    if (*take == TAKE_ALL) {
        return strcmp(text, "all") == 0
                   ? RC_OK
                   : err_set(err, RC_INPUT, "field \"take\": \"%.32s\" must be all, eval or calibration",
                             text);
    }
    rc = json_get_int(split, "calibration_examples", 1, MAX_CALIBRATION, &examples, err);
    *k = (size_t)examples;
    return rc;
}

static enum rc cut_text(struct dataset *d, struct err *err) {
    d->split_text = malloc(d->text_bytes + 1);
    if (!d->split_text) {
        return err_memory(err);
    }
    for (size_t i = 0; i < d->count; i++) {
        size_t start = d->block_starts[d->order[i]], bytes = d->block_starts[d->order[i] + 1] - start;
        memcpy(d->split_text + d->split_text_bytes, d->text + start, bytes);
        d->split_text_bytes += bytes;
    }
    d->split_text[d->split_text_bytes] = '\0';
    return RC_OK;
}

enum rc dataset_split(struct dataset *d, const json_t *split, const struct dataset *exclude,
                      struct err *err) {
    enum take take = TAKE_ALL;
    size_t k = 0;
    enum rc rc = RC_OK;
    if (split && !json_is_null(split) && (rc = read_split(split, &take, &k, err)) != RC_OK) {
        return err_prefix(err, "split");
    }
    if (exclude && exclude->is_text != d->is_text) {
        return err_set(err, RC_INPUT,
                       "a text and a dataset of arrays cannot be told apart by their examples");
    }
    d->order = calloc(d->n_all, sizeof(*d->order));
    if (!d->order) {
        return err_memory(err);
    }
    if (take == TAKE_ALL && !exclude) {
        for (size_t i = 0; i < d->n_all; i++) {
            d->order[d->count++] = i;
        }
    } else {
        rc = split_by_name(d, take, k, exclude, err);
    }
    return rc == RC_OK && d->is_text ? cut_text(d, err) : rc;
}

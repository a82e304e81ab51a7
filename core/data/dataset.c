/* Opening, closing and plain access; reading, splitting and binding have files of their own. */
#include "core/data/dataset.h"

#include <assert.h>
#include <stdlib.h>

#include "core/base/json.h"
#include "core/data/dataset_internal.h"

static const uint64_t DEFAULT_MAX_BYTES = (uint64_t)4 << 30;

static enum rc read_descriptor(struct dataset *d, const json_t *descriptor, uint64_t max_bytes,
                               struct err *err) {
    static const char *const keys[] = {"id",     "name",       "format", "files", "input",
                                       "labels", "preprocess", "split",  NULL};
    enum rc rc = json_only_keys(descriptor, keys, err);
    if (rc == RC_OK) {
        rc = preprocess_read(d, json_object_get(descriptor, "preprocess"), err);
    }
    return rc == RC_OK ? dataset_read_files(d, descriptor, max_bytes, err) : err_prefix(err, "dataset");
}

/* The files of a descriptor, without its split. */
static enum rc open_whole(const json_t *descriptor, uint64_t max_bytes, struct dataset **ret,
                          struct err *err) {
    struct dataset *d = calloc(1, sizeof(*d));
    if (!d) {
        return err_memory(err);
    }
    enum rc rc = read_descriptor(d, descriptor, max_bytes, err);
    if (rc == RC_OK) {
        *ret = d;
    } else {
        dataset_free(d);
    }
    return rc;
}

enum rc dataset_open(const json_t *descriptor, uint64_t max_bytes, struct dataset **ret, struct err *err) {
    struct dataset *d = NULL, *exclude = NULL;
    uint64_t max = max_bytes ? max_bytes : DEFAULT_MAX_BYTES;
    enum rc rc = open_whole(descriptor, max, &d, err);
    if (rc != RC_OK) {
        return rc;
    }
    const json_t *split = json_object_get(descriptor, "split");
    const json_t *other = json_object_get(split, "exclude");
    if (other && !json_is_null(other) && open_whole(other, max, &exclude, err) != RC_OK) {
        rc = err_prefix(err, "the dataset to exclude");
    }
    if (rc == RC_OK) {
        rc = dataset_split(d, split, exclude, err);
    }
    dataset_free(exclude);
    if (rc == RC_OK) {
        *ret = d;
    } else {
        dataset_free(d);
    }
    return rc;
}

void dataset_free(struct dataset *d) {
    if (!d) {
        return;
    }
    for (size_t i = 0; i < d->n_arrays; i++) {
        free(d->arrays[i].name);
        free(d->arrays[i].data);
    }
    for (size_t i = 0; i < d->n_preprocess; i++) {
        preprocess_release(&d->preprocess[i]);
    }
    dataset_release_bindings(d);
    free(d->arrays);
    free(d->preprocess);
    free(d->label_values);
    free(d->target_values);
    free(d->order);
    free(d->text);
    free(d->block_starts);
    free(d->split_text);
    free(d);
}

size_t dataset_count(const struct dataset *d) {
    return d->count;
}

size_t dataset_count_all(const struct dataset *d) {
    return d->n_all;
}

size_t dataset_overlap_dropped(const struct dataset *d) {
    return d->dropped;
}

size_t dataset_array_count(const struct dataset *d) {
    return d->n_arrays;
}

const struct tensor_spec *dataset_array(const struct dataset *d, size_t index) {
    assert(index < d->n_arrays);
    return &d->arrays[index].spec;
}

enum dataset_labels dataset_labels(const struct dataset *d) {
    return d->labels;
}

size_t dataset_label_width(const struct dataset *d) {
    return d->label_width;
}

const int64_t *dataset_label(const struct dataset *d, size_t example) {
    assert(d->label_values && example < d->count);
    return d->label_values + d->order[example] * d->label_width;
}

const float *dataset_target(const struct dataset *d, size_t example) {
    assert(d->target_values && example < d->count);
    return d->target_values + d->order[example] * d->label_width;
}

const char *dataset_text(const struct dataset *d, size_t *size) {
    *size = d->split_text_bytes;
    return d->split_text;
}

/* The files of a descriptor: npz, IDX pair or text, read into memory. */
#include <stdlib.h>
#include <string.h>

#include "core/base/file.h"
#include "core/base/json.h"
#include "core/base/nearest.h"
#include "core/data/dataset_internal.h"
#include "core/formats/format_detect.h"
#include "core/formats/idx.h"
#include "core/formats/npz.h"

enum { BLOCK_BYTES = 4096, MAX_UTF8_TAIL = 3 };

/* The local path of the file with that role; *ret stays NULL where there is none and it is not required. */
static enum rc find_file(const json_t *descriptor, const char *role, bool required, const char **ret,
                         struct err *err) {
    json_t *files, *file;
    size_t i;
    enum rc rc = json_get_array(descriptor, "files", &files, err);
    json_array_foreach(files, i, file) {
        const char *has = "";
        if (rc == RC_OK) {
            rc = json_get_string(file, "role", &has, err);
        }
        if (rc == RC_OK && strcmp(has, role) == 0) {
            if (*ret) {
                return err_set(err, RC_INPUT, "two files have the role \"%s\"", role);
            }
            rc = json_get_string(file, "local", ret, err);
        }
    }
    if (rc == RC_OK && required && !*ret) {
        return err_set(err, RC_INPUT, "no file has the role \"%s\"", role);
    }
    return rc;
}

/* RC_INPUT for roles that the format does not have. */
static enum rc check_roles(const json_t *descriptor, const char *const *roles, const char *format,
                           struct err *err) {
    json_t *files, *file;
    size_t i;
    enum rc rc = json_get_array(descriptor, "files", &files, err);
    if (rc != RC_OK) {
        return rc;
    }
    json_array_foreach(files, i, file) {
        const char *role;
        rc = json_get_string(file, "role", &role, err);
        if (rc != RC_OK) {
            return rc;
        }
        size_t k = 0;
        while (roles[k] && strcmp(roles[k], role) != 0) {
            k++;
        }
        if (!roles[k]) {
            return err_set(err, RC_INPUT,
                           "a dataset of format %s has no file of role \"%.32s\" (it has: %s%s%s)", format,
                           role, roles[0], roles[1] ? ", " : "", roles[1] ? roles[1] : "");
        }
    }
    return RC_OK;
}

static void describe(struct data_array *a, enum dtype dtype, size_t rank, const int64_t *dims, size_t bytes) {
    a->spec = (struct tensor_spec){.name = a->name, .dtype = dtype, .rank = rank};
    memcpy(a->spec.dims, dims, rank * sizeof(*dims));
    a->example_bytes = dims[0] > 0 ? bytes / (size_t)dims[0] : 0;
}

static int compare_arrays(const void *x, const void *y) {
    return strcmp(((const struct data_array *)x)->name, ((const struct data_array *)y)->name);
}

static enum rc read_array(struct dataset *d, struct npz *z, const struct npz_array *a, struct err *err) {
    const struct npy_header *h = &a->header;
    if (h->rank == 0) {
        return err_set(err, RC_INPUT,
                       "array \"%.64s\" is a single number: arrays begin with the axis of examples", a->name);
    }
    struct data_array *to = &d->arrays[d->n_arrays];
    to->name = strdup(a->name);
    if (!to->name) {
        return err_memory(err);
    }
    d->n_arrays++;
    describe(to, h->dtype, h->rank, h->dims, h->data_bytes);
    return npz_read(z, a, &to->data, err);
}

static enum rc check_counts(struct dataset *d, struct err *err) {
    const struct data_array *first = &d->arrays[0];
    for (size_t i = 0; i < d->n_arrays; i++) {
        const struct data_array *a = &d->arrays[i];
        if (a->spec.dims[0] != first->spec.dims[0]) {
            return err_set(err, RC_INPUT, "array \"%.64s\" has %lld examples, but array \"%.64s\" has %lld",
                           first->name, (long long)first->spec.dims[0], a->name, (long long)a->spec.dims[0]);
        }
    }
    d->n_all = (size_t)first->spec.dims[0];
    return RC_OK;
}

/* Counts come from files: without this an array of no bytes could claim any number of examples. */
static enum rc check_empty(const struct dataset *d, struct err *err) {
    for (size_t i = 0; i < d->n_arrays; i++) {
        if (d->arrays[i].example_bytes == 0) {
            char shape[SHAPE_TEXT_SIZE];
            dtype_shape_text(d->arrays[i].spec.dims, d->arrays[i].spec.rank, shape);
            return err_set(err, RC_INPUT, "array \"%.64s\" is empty: its shape is %s", d->arrays[i].name,
                           shape);
        }
    }
    return RC_OK;
}

/* Takes the labels out of the arrays. `name` NULL: "labels" if there is one. */
static enum rc split_labels(struct dataset *d, const char *name, struct err *err) {
    const char *names[257] = {0}; /* npz_limits: at most 256 arrays */
    for (size_t i = 0; i < d->n_arrays; i++) {
        struct data_array *a = &d->arrays[i];
        names[i] = a->name;
        if (strcmp(a->name, name ? name : "labels") != 0) {
            continue;
        }
        if (d->n_arrays == 1) {
            return err_set(err, RC_INPUT, "there is no array but the labels \"%.64s\"", a->name);
        }
        enum rc rc = dataset_take_labels(d, a, err);
        free(a->name);
        free(a->data);
        d->n_arrays--;
        memmove(a, a + 1, (d->n_arrays - i) * sizeof(*a));
        return rc;
    }
    if (!name) {
        return RC_OK;
    }
    const char *near = nearest_name(name, names);
    return err_set(err, RC_INPUT, "there is no array \"%.64s\" for the labels%s%.64s%s", name,
                   near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
}

static enum rc read_arrays(struct dataset *d, struct npz *z, const char *labels, struct err *err) {
    d->arrays = calloc(npz_count(z), sizeof(*d->arrays));
    enum rc rc = d->arrays ? RC_OK : err_memory(err);
    for (size_t i = 0; i < npz_count(z) && rc == RC_OK; i++) {
        rc = read_array(d, z, npz_at(z, i), err);
    }
    if (rc == RC_OK) {
        qsort(d->arrays, d->n_arrays, sizeof(*d->arrays), compare_arrays);
        rc = check_counts(d, err);
    }
    if (rc == RC_OK) {
        rc = check_empty(d, err);
    }
    for (size_t i = 0; i < d->n_arrays && rc == RC_OK; i++) {
        rc = dataset_check_finite(&d->arrays[i], d->n_all, err);
    }
    return rc == RC_OK ? split_labels(d, labels, err) : rc;
}

static enum rc read_npz(struct dataset *d, const json_t *descriptor, uint64_t max_bytes, struct err *err) {
    static const char *const roles[] = {"arrays", NULL};
    const struct npz_limits limits = {.max_bytes = max_bytes};
    const char *path = NULL, *labels = NULL;
    struct npz *z = NULL;
    enum rc rc = check_roles(descriptor, roles, "npz", err);
    if (rc == RC_OK) {
        rc = find_file(descriptor, "arrays", true, &path, err);
    }
    if (rc == RC_OK) {
        rc = json_opt_string(descriptor, "labels", &labels, err);
    }
    if (rc == RC_OK) {
        rc = npz_open(path, &limits, &z, err);
    }
    if (rc == RC_OK) {
        rc = read_arrays(d, z, labels, err);
    }
    npz_close(z);
    return rc;
}

/* Takes the images as the only array, and the labels if there are any. */
static enum rc take_idx(struct dataset *d, const char *input, struct idx *images, struct idx *labels,
                        struct err *err) {
    d->n_all = (size_t)images->dims[0];
    d->unnamed_array = !input;
    d->arrays = calloc(1, sizeof(*d->arrays));
    if (!d->arrays || !(d->arrays[0].name = strdup(input ? input : "images"))) {
        return err_memory(err);
    }
    d->n_arrays = 1;
    describe(&d->arrays[0], images->dtype, images->rank, images->dims, images->bytes);
    d->arrays[0].data = images->data;
    images->data = NULL;
    enum rc rc = check_empty(d, err);
    if (rc == RC_OK) {
        rc = dataset_check_finite(&d->arrays[0], d->n_all, err);
    }
    if (rc == RC_OK && labels) {
        char name[] = "labels";
        struct data_array a = {.name = name, .data = labels->data};
        describe(&a, labels->dtype, labels->rank, labels->dims, labels->bytes);
        rc = dataset_take_labels(d, &a, err);
    }
    return rc;
}

static enum rc read_idx(struct dataset *d, const json_t *descriptor, uint64_t max_bytes, struct err *err) {
    static const char *const roles[] = {"images", "labels", NULL};
    const char *image_path = NULL, *label_path = NULL, *input = NULL;
    struct idx images = {0}, labels = {0};
    enum rc rc = check_roles(descriptor, roles, "idx", err);
    if (rc == RC_OK) {
        rc = find_file(descriptor, "images", true, &image_path, err);
    }
    if (rc == RC_OK) {
        rc = find_file(descriptor, "labels", false, &label_path, err);
    }
    if (rc == RC_OK) {
        rc = json_opt_string(descriptor, "input", &input, err);
    }
    if (rc == RC_OK && idx_read(image_path, max_bytes, &images, err) != RC_OK) {
        rc = err_prefix(err, "images");
    }
    if (rc == RC_OK && label_path && idx_read(label_path, max_bytes, &labels, err) != RC_OK) {
        rc = err_prefix(err, "labels");
    }
    if (rc == RC_OK) {
        rc = idx_check_pair(&images, label_path ? &labels : NULL, err);
    }
    if (rc == RC_OK) {
        rc = take_idx(d, input, &images, label_path ? &labels : NULL, err);
    }
    idx_release(&images);
    idx_release(&labels);
    return rc;
}

/* A block begins at a multiple of 4,096 bytes, or at the start of the UTF-8 character that lies across it. */
static size_t block_start(const char *text, size_t size, size_t at) {
    if (at >= size) {
        return size;
    }
    for (size_t back = 0; back <= MAX_UTF8_TAIL && back <= at; back++) {
        if (((unsigned char)text[at - back] & 0xc0u) != 0x80u) {
            return at - back;
        }
    }
    return at;
}

static enum rc cut_blocks(struct dataset *d, struct err *err) {
    d->n_all = (d->text_bytes + BLOCK_BYTES - 1) / BLOCK_BYTES;
    d->block_starts = calloc(d->n_all + 1, sizeof(*d->block_starts));
    if (!d->block_starts) {
        return err_memory(err);
    }
    for (size_t i = 0; i <= d->n_all; i++) {
        d->block_starts[i] = block_start(d->text, d->text_bytes, i * BLOCK_BYTES);
    }
    return RC_OK;
}

static enum rc read_text(struct dataset *d, const json_t *descriptor, uint64_t max_bytes, struct err *err) {
    static const char *const roles[] = {"text", NULL};
    const char *path = NULL;
    enum rc rc = check_roles(descriptor, roles, "text", err);
    if (rc == RC_OK) {
        rc = find_file(descriptor, "text", true, &path, err);
    }
    if (rc == RC_OK) {
        rc = file_read(path, max_bytes, &d->text, &d->text_bytes, err);
    }
    if (rc != RC_OK) {
        return rc;
    }
    d->is_text = true;
    if (d->text_bytes == 0) {
        return err_set(err, RC_INPUT, "the text is empty");
    }
    if (memchr(d->text, '\0', d->text_bytes)) {
        const char *guess = format_guess(d->text, d->text_bytes);
        return err_set(err, RC_INPUT, "this is %s, not a text: it holds zero bytes",
                       guess ? guess : "something else");
    }
    return cut_blocks(d, err);
}

enum rc dataset_read_files(struct dataset *d, const json_t *descriptor, uint64_t max_bytes, struct err *err) {
    const char *format;
    enum rc rc = json_get_string(descriptor, "format", &format, err);
    if (rc != RC_OK) {
        return rc;
    }
    if (strcmp(format, "npz") == 0) {
        return read_npz(d, descriptor, max_bytes, err);
    }
    if (strcmp(format, "idx") == 0) {
        return read_idx(d, descriptor, max_bytes, err);
    }
    if (strcmp(format, "text") == 0) {
        return read_text(d, descriptor, max_bytes, err);
    }
    return err_set(err, RC_INPUT, "unknown format \"%.32s\": it must be npz, idx or text", format);
}

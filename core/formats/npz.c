/* npz over libzip. Sizes in the zip's directory are claims: they are compared with what deflate can reach at
 * all (1032 to 1), with the limits, with the header of the array, and at last with the bytes that come out.
 */
#include "core/formats/npz.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zip.h>

#include "core/base/checked.h"
#include "core/base/container.h"
#include "core/base/file.h"
#include "core/formats/format_detect.h"

enum {
    DEFAULT_MAX_ARRAYS = 256,
    MAX_NAME = 128,
    DEFLATE_MAX_RATIO = 1032,
    SMALL_BYTES = 4096, /* no ratio is computed below this */
};
static const uint64_t DEFAULT_MAX_BYTES = (uint64_t)8 << 30;

struct entry {
    struct npz_array array; /* first: npz_read gets its address */
    zip_uint64_t index;
};

struct npz {
    zip_t *zip;
    struct entry *entries;
    size_t count;
};

static enum rc zip_failed(const char *name, const char *text, struct err *err) {
    return err_set(err, RC_INPUT, "array \"%.64s\" cannot be unpacked: %s; the file is damaged", name, text);
}

static bool has_control_bytes(const char *name) {
    for (; *name; name++) {
        if ((unsigned char)*name < 0x20 || *name == 0x7f) {
            return true;
        }
    }
    return false;
}

/* Checks the directory's claims and takes the name. */
static enum rc check_stat(const zip_stat_t *st, char **name, struct err *err) {
    const zip_uint64_t want = ZIP_STAT_NAME | ZIP_STAT_SIZE | ZIP_STAT_COMP_SIZE | ZIP_STAT_COMP_METHOD;
    if ((st->valid & want) != want || has_control_bytes(st->name)) {
        return err_set(err, RC_INPUT, "the zip directory is damaged");
    }
    size_t length = strlen(st->name);
    if (length <= 4 || strcmp(st->name + length - 4, ".npy") != 0 || length > MAX_NAME) {
        return err_set(err, RC_INPUT,
                       "entry \"%.64s\" is not a NumPy array: an .npz holds NAME.npy files only, "
                       "as numpy.savez writes them",
                       st->name);
    }
    if ((st->valid & ZIP_STAT_ENCRYPTION_METHOD) && st->encryption_method != ZIP_EM_NONE) {
        return err_set(err, RC_UNSUPPORTED, "entry \"%.64s\" is encrypted", st->name);
    }
    if (st->comp_method != ZIP_CM_STORE && st->comp_method != ZIP_CM_DEFLATE) {
        return err_set(err, RC_UNSUPPORTED,
                       "entry \"%.64s\" is compressed by method %u: only stored and deflated "
                       "entries are read",
                       st->name, st->comp_method);
    }
    uint64_t most = st->comp_method == ZIP_CM_STORE ? st->comp_size : UINT64_MAX;
    if (st->comp_method == ZIP_CM_DEFLATE && st->comp_size < UINT64_MAX / DEFLATE_MAX_RATIO) {
        most = st->comp_size * DEFLATE_MAX_RATIO + SMALL_BYTES;
    }
    if (st->size > most) {
        return err_set(err, RC_INPUT,
                       "entry \"%.64s\" claims %llu bytes out of %llu packed ones, which is impossible: "
                       "the file is damaged",
                       st->name, (unsigned long long)st->size, (unsigned long long)st->comp_size);
    }
    *name = strndup(st->name, length - 4);
    return *name ? RC_OK : err_memory(err);
}

/* Reads up to `size` bytes; *got is less only at the end of the entry. */
static bool read_bytes(zip_file_t *f, char *data, size_t size, size_t *got) {
    *got = 0;
    while (*got < size) {
        zip_int64_t n = zip_fread(f, data + *got, size - *got);
        if (n <= 0) {
            return n == 0;
        }
        *got += (size_t)n;
    }
    return true;
}

static enum rc read_header_of(zip_file_t *f, const char *name, struct npy_header *ret, struct err *err) {
    size_t got = 0, more = 0, size = 0;
    char *data = malloc(NPY_MAX_HEADER);
    if (!data) {
        return err_memory(err);
    }
    enum rc rc = read_bytes(f, data, 12, &got) ? RC_OK : zip_failed(name, zip_file_strerror(f), err);
    if (rc == RC_OK) {
        rc = npy_header_size(data, got, &size, err);
    }
    if (rc == RC_OK && size > got) {
        rc = read_bytes(f, data + got, size - got, &more) ? RC_OK
                                                          : zip_failed(name, zip_file_strerror(f), err);
    }
    if (rc == RC_OK) {
        rc = npy_parse(data, got + more, ret, err);
    }
    free(data);
    return rc == RC_OK ? RC_OK : err_prefix(err, "array \"%.64s\"", name);
}

static enum rc read_header(struct npz *z, struct entry *e, uint64_t unpacked, struct err *err) {
    struct npy_header *h = &e->array.header;
    zip_file_t *f = zip_fopen_index(z->zip, e->index, 0);
    if (!f) {
        return zip_failed(e->array.name, zip_strerror(z->zip), err);
    }
    enum rc rc = read_header_of(f, e->array.name, h, err);
    zip_fclose(f);
    if (rc == RC_OK && (uint64_t)h->header_bytes + h->data_bytes != unpacked) {
        char shape[SHAPE_TEXT_SIZE];
        dtype_shape_text(h->dims, h->rank, shape);
        return err_set(err, RC_INPUT, "array \"%.64s\": %s %s takes %zu bytes, but %llu are there",
                       e->array.name, dtype_name(h->dtype), shape, h->data_bytes,
                       (unsigned long long)(unpacked < h->header_bytes ? 0 : unpacked - h->header_bytes));
    }
    return rc;
}

static enum rc add_entry(struct npz *z, zip_uint64_t index, uint64_t max_bytes, uint64_t *total,
                         struct err *err) {
    zip_stat_t st;
    char *name = NULL;
    if (zip_stat_index(z->zip, index, 0, &st) != 0) {
        return err_set(err, RC_INPUT, "the zip directory is damaged: %s", zip_strerror(z->zip));
    }
    enum rc rc = check_stat(&st, &name, err);
    if (rc != RC_OK || !name) {
        return rc;
    }
    if (npz_find(z, name)) {
        rc = err_set(err, RC_INPUT, "array \"%.64s\" is there twice", name);
        free(name);
        return rc;
    }
    struct entry *e = &z->entries[z->count++];
    *e = (struct entry){.array = {.name = name}, .index = index};
    if (checked_add(*total, st.size, total) || *total > max_bytes) {
        return err_set(err, RC_TOO_LARGE, "the arrays unpack to more than the limit of %llu bytes",
                       (unsigned long long)max_bytes);
    }
    return read_header(z, e, st.size, err);
}

static enum rc read_directory(struct npz *z, const struct npz_limits *limits, struct err *err) {
    size_t max_arrays = limits && limits->max_arrays ? limits->max_arrays : DEFAULT_MAX_ARRAYS;
    uint64_t max_bytes = limits && limits->max_bytes ? limits->max_bytes : DEFAULT_MAX_BYTES, total = 0;
    zip_int64_t n = zip_get_num_entries(z->zip, 0);
    if (n <= 0) {
        return err_set(err, RC_INPUT, "the .npz holds no arrays");
    }
    if ((uint64_t)n > max_arrays) {
        return err_set(err, RC_TOO_LARGE, "the .npz holds %lld arrays; the limit is %zu", (long long)n,
                       max_arrays);
    }
    z->entries = calloc((size_t)n, sizeof(*z->entries));
    if (!z->entries) {
        return err_memory(err);
    }
    enum rc rc = RC_OK;
    for (zip_uint64_t i = 0; i < (zip_uint64_t)n && rc == RC_OK; i++) {
        rc = add_entry(z, i, max_bytes, &total, err);
    }
    return rc;
}

static enum rc not_a_zip(const void *head, size_t size, const zip_error_t *e, struct err *err) {
    const char *guess = format_guess(head, size);
    if (size == 0) {
        return err_set(err, RC_INPUT, "the file is empty: it must be an .npz written by numpy.savez");
    }
    if (size >= 4 && memcmp(head, "PK\3\4", 4) == 0) {
        return err_set(err, RC_INPUT,
                       "the .npz is truncated or damaged: its zip directory cannot be read (%s)",
                       zip_error_strerror((zip_error_t *)e));
    }
    return err_set(err, RC_INPUT, "this is %s, not an .npz: write the arrays with numpy.savez",
                   guess ? guess : "something else");
}

/* Takes over `source`. */
static enum rc open_source(zip_source_t *source, const void *head, size_t head_size,
                           const struct npz_limits *limits, struct npz **ret, struct err *err) {
    zip_error_t e;
    zip_error_init(&e);
    struct npz *z = calloc(1, sizeof(*z));
    enum rc rc = z ? RC_OK : err_memory(err);
    if (rc == RC_OK) {
        z->zip = zip_open_from_source(source, ZIP_RDONLY, &e);
        rc = z->zip ? read_directory(z, limits, err) : not_a_zip(head, head_size, &e, err);
    }
    if (!z || !z->zip) {
        zip_source_free(source);
    }
    zip_error_fini(&e);
    if (rc == RC_OK) {
        *ret = z;
    } else {
        npz_close(z);
    }
    return rc;
}

static enum rc source_failed(const char *path, zip_error_t *e, struct err *err) {
    enum rc rc = err_set(err, RC_IO, "%s: %s", path, zip_error_strerror(e));
    zip_error_fini(e);
    return rc;
}

enum rc npz_open(const char *path, const struct npz_limits *limits, struct npz **ret, struct err *err) {
    char head[64];
    FILE *f = fopen(path, "rb");
    if (!f) {
        return file_error(path, err);
    }
    size_t n = fread(head, 1, sizeof(head), f);
    fclose(f);
    zip_error_t e;
    zip_error_init(&e);
    zip_source_t *source = zip_source_file_create(path, 0, -1, &e);
    return source ? open_source(source, head, n, limits, ret, err) : source_failed(path, &e, err);
}

enum rc npz_open_memory(const void *data, size_t size, const struct npz_limits *limits, struct npz **ret,
                        struct err *err) {
    zip_error_t e;
    zip_error_init(&e);
    zip_source_t *source = zip_source_buffer_create(data, size, 0, &e);
    return source ? open_source(source, data, size, limits, ret, err) : source_failed("memory", &e, err);
}

void npz_close(struct npz *z) {
    if (!z) {
        return;
    }
    for (size_t i = 0; i < z->count; i++) {
        free((char *)z->entries[i].array.name);
    }
    free(z->entries);
    if (z->zip) {
        zip_discard(z->zip);
    }
    free(z);
}

size_t npz_count(const struct npz *z) {
    return z->count;
}

const struct npz_array *npz_at(const struct npz *z, size_t index) {
    return &z->entries[index].array;
}

const struct npz_array *npz_find(const struct npz *z, const char *name) {
    for (size_t i = 0; i < z->count; i++) {
        if (strcmp(z->entries[i].array.name, name) == 0) {
            return &z->entries[i].array;
        }
    }
    return NULL;
}

/* Skips the header, fills `data`, and reads on to the end, where libzip compares the CRC. */
static bool read_data(zip_file_t *f, const struct npy_header *h, char *data) {
    char rest[NPY_MAX_HEADER];
    size_t got, end;
    return read_bytes(f, rest, h->header_bytes, &got) && got == h->header_bytes &&
           read_bytes(f, data, h->data_bytes, &got) && got == h->data_bytes && read_bytes(f, rest, 1, &end) &&
           end == 0;
}

enum rc npz_read(struct npz *z, const struct npz_array *array, void **data, struct err *err) {
    const struct entry *e = CONTAINER_OF(array, struct entry, array);
    const struct npy_header *h = &array->header;
    char *bytes = malloc(h->data_bytes ? h->data_bytes : 1);
    if (!bytes) {
        return err_memory(err);
    }
    zip_file_t *f = zip_fopen_index(z->zip, e->index, 0);
    enum rc rc = RC_OK;
    if (!f) {
        rc = zip_failed(array->name, zip_strerror(z->zip), err);
    } else if (!read_data(f, h, bytes)) {
        zip_error_t *why = zip_file_get_error(f);
        rc = zip_failed(array->name, zip_error_code_zip(why) ? zip_error_strerror(why) : "it ends too early",
                        err);
    }
    if (f) {
        zip_fclose(f);
    }
    if (rc == RC_OK) {
        *data = bytes;
    } else {
        free(bytes);
    }
    return rc;
}

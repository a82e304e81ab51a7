/* IDX (LeCun, Cortes, Burges: the MNIST database): two zero bytes, type, rank, then the dimensions and the
 * elements, all big endian. Gzip is recognised by its magic bytes. */
#include "core/formats/idx.h"

#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "core/base/checked.h"
#include "core/formats/format_detect.h"
#include "core/formats/mapped_file.h"

static const uint64_t DEFAULT_MAX_BYTES = (uint64_t)8 << 30;

/* The unpacked bytes, one after another. */
struct source {
    const uint8_t *data;
    size_t left;
    bool packed, ended, damaged;
    z_stream z;
};

static enum rc source_open(struct source *s, const void *data, size_t size, struct err *err) {
    *s = (struct source){.data = data, .left = size};
    s->packed = size >= 2 && s->data[0] == 0x1f && s->data[1] == 0x8b;
    if (s->packed && inflateInit2(&s->z, 15 + 16) != Z_OK) {
        return err_memory(err);
    }
    return RC_OK;
}

static void source_close(struct source *s) {
    if (s->packed) {
        inflateEnd(&s->z);
    }
}

/* One step of at most UINT_MAX bytes, zlib's limit; returns the bytes written to out. */
static size_t inflate_some(struct source *s, uint8_t *out, size_t size) {
    uInt in = s->left > UINT_MAX ? UINT_MAX : (uInt)s->left, room = size > UINT_MAX ? UINT_MAX : (uInt)size;
    s->z.next_in = (Bytef *)s->data;
    s->z.avail_in = in;
    s->z.next_out = out;
    s->z.avail_out = room;
    int code = inflate(&s->z, Z_NO_FLUSH);
    s->data += in - s->z.avail_in;
    s->left -= in - s->z.avail_in;
    s->ended = code == Z_STREAM_END;
    s->damaged = code != Z_OK && code != Z_STREAM_END && code != Z_BUF_ERROR;
    return room - s->z.avail_out;
}

/* Fills out; returns fewer bytes only where the data end or are damaged. */
static size_t source_read(struct source *s, void *out, size_t size) {
    size_t got = 0;
    if (!s->packed) {
        got = size < s->left ? size : s->left;
        memcpy(out, s->data, got);
        s->data += got;
        s->left -= got;
        return got;
    }
    while (got < size && !s->ended && !s->damaged) {
        size_t n = inflate_some(s, (uint8_t *)out + got, size - got);
        if (n == 0 && s->left == 0) {
            break;
        }
        got += n;
    }
    return got;
}

/* True when nothing follows; for gzip this also makes zlib compare the checksum. */
static bool source_at_end(struct source *s) {
    uint8_t extra;
    return source_read(s, &extra, 1) == 0 && s->left == 0 && !s->damaged && (!s->packed || s->ended);
}

static enum dtype type_of(uint8_t code) {
    switch (code) {
    case 0x08:
        return DTYPE_UINT8;
    case 0x09:
        return DTYPE_INT8;
    case 0x0b:
        return DTYPE_INT16;
    case 0x0c:
        return DTYPE_INT32;
    case 0x0d:
        return DTYPE_FLOAT32;
    case 0x0e:
        return DTYPE_FLOAT64;
    default:
        return DTYPE_OTHER;
    }
}

static enum rc truncated(const struct source *s, struct err *err) {
    return err_set(err, RC_INPUT, s->damaged ? "the gzip data are damaged" : "the IDX file is truncated");
}

static enum rc read_header(struct source *s, struct idx *x, struct err *err) {
    uint8_t head[4], dims[4 * IDX_MAX_RANK] = {0};
    const uint8_t *start = s->data;
    size_t start_size = s->left;
    if (start_size == 0) {
        return err_set(err, RC_INPUT, "the file is empty: it must be IDX, plain or gzip");
    }
    if (source_read(s, head, 4) != 4) {
        return truncated(s, err);
    }
    x->dtype = type_of(head[2]);
    x->rank = head[3];
    if (head[0] != 0 || head[1] != 0 || x->dtype == DTYPE_OTHER || x->rank == 0) {
        const char *guess = format_guess(s->packed ? head : start, s->packed ? sizeof(head) : start_size);
        return err_set(err, RC_INPUT, "this is %s, not an IDX file", guess ? guess : "something else");
    }
    if (x->rank > IDX_MAX_RANK) {
        return err_set(err, RC_INPUT, "the IDX file has %zu axes; images have 3 or 4, labels 1", x->rank);
    }
    if (source_read(s, dims, 4 * x->rank) != 4 * x->rank) {
        return truncated(s, err);
    }
    for (size_t i = 0; i < x->rank; i++) {
        const uint8_t *d = dims + 4 * i;
        x->dims[i] = (int64_t)d[0] << 24 | (int64_t)d[1] << 16 | (int64_t)d[2] << 8 | (int64_t)d[3];
    }
    return RC_OK;
}

/* Big endian to this machine's (little endian) order, in place. */
static void swap_elements(void *data, size_t bytes, size_t element) {
    uint8_t *p = data;
    for (size_t at = 0; element > 1 && at + element <= bytes; at += element) {
        for (size_t i = 0; i < element / 2; i++) {
            uint8_t b = p[at + i];
            p[at + i] = p[at + element - 1 - i];
            p[at + element - 1 - i] = b;
        }
    }
}

static enum rc read_elements(struct source *s, uint64_t max_bytes, struct idx *x, struct err *err) {
    char shape[SHAPE_TEXT_SIZE];
    size_t elements;
    dtype_shape_text(x->dims, x->rank, shape);
    if (checked_product(x->dims, x->rank, &elements) ||
        checked_mul(elements, dtype_bytes(x->dtype), &x->bytes) || x->bytes > max_bytes) {
        return err_set(err, RC_TOO_LARGE, "the IDX file declares %s %s: more than the limit of %llu bytes",
                       dtype_name(x->dtype), shape, (unsigned long long)max_bytes);
    }
    if (!s->packed && x->bytes > s->left) {
        return err_set(err, RC_INPUT,
                       "the IDX file is truncated: it declares %s %s, %zu bytes, but holds %zu",
                       dtype_name(x->dtype), shape, x->bytes, s->left);
    }
    x->data = malloc(x->bytes ? x->bytes : 1);
    if (!x->data) {
        return err_memory(err);
    }
    size_t got = source_read(s, x->data, x->bytes);
    if (got != x->bytes) {
        return s->damaged ? truncated(s, err)
                          : err_set(err, RC_INPUT,
                                    "the IDX file is truncated: it declares %s %s, %zu bytes, but holds %zu",
                                    dtype_name(x->dtype), shape, x->bytes, got);
    }
    if (!source_at_end(s)) {
        return s->damaged || (s->packed && !s->ended && s->left == 0)
                   ? err_set(err, RC_INPUT, "the gzip data are damaged or truncated")
                   : err_set(err, RC_INPUT, "bytes follow the %zu that the IDX file declares by %s", x->bytes,
                             shape);
    }
    swap_elements(x->data, x->bytes, dtype_bytes(x->dtype));
    return RC_OK;
}

enum rc idx_read_memory(const void *data, size_t size, uint64_t max_bytes, struct idx *ret, struct err *err) {
    struct source s;
    struct idx x = {0};
    enum rc rc = source_open(&s, data, size, err);
    if (rc != RC_OK) {
        return rc;
    }
    rc = read_header(&s, &x, err);
    if (rc == RC_OK) {
        rc = read_elements(&s, max_bytes ? max_bytes : DEFAULT_MAX_BYTES, &x, err);
    }
    source_close(&s);
    if (rc == RC_OK) {
        *ret = x;
    } else {
        idx_release(&x);
    }
    return rc;
}

enum rc idx_read(const char *path, uint64_t max_bytes, struct idx *ret, struct err *err) {
    struct mapped_file m;
    enum rc rc = mapped_file_open(path, &m, err);
    if (rc == RC_OK) {
        rc = idx_read_memory(m.data, m.size, max_bytes, ret, err);
        mapped_file_close(&m);
    }
    return rc;
}

void idx_release(struct idx *x) {
    free(x->data);
    *x = (struct idx){0};
}

enum rc idx_check_pair(const struct idx *images, const struct idx *labels, struct err *err) {
    if (images->rank < 3) {
        return err_set(err, RC_INPUT,
                       "images: the IDX file has %zu %s; images have 3 axes (N, height, width) or 4%s",
                       images->rank, images->rank == 1 ? "axis" : "axes",
                       images->rank == 1 ? ". Were images and labels swapped?" : "");
    }
    if (!labels) {
        return RC_OK;
    }
    if (labels->rank != 1 || dtype_is_float(labels->dtype)) {
        return err_set(err, RC_INPUT,
                       "labels: the IDX file must have 1 axis of integers; this one has %zu of %s",
                       labels->rank, dtype_name(labels->dtype));
    }
    if (labels->dims[0] != images->dims[0]) {
        return err_set(err, RC_INPUT, "there are %lld images but %lld labels", (long long)images->dims[0],
                       (long long)labels->dims[0]);
    }
    return RC_OK;
}

/* The header is a Python dictionary literal (numpy/lib/format.py):
 *   magic "\x93NUMPY", version (2 bytes), header length (u16 in 1.0, u32 in 2.0 and 3.0), then
 *   {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }   padded with spaces, ended by a newline.
 * Keys may come in any order, each exactly once. */
#include "core/formats/npy.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "core/base/checked.h"
#include "core/formats/format_detect.h"

struct scanner {
    const char *p, *end;
};

static enum rc broken(const char *what, struct err *err) {
    return err_set(err, RC_INPUT, "the .npy header is broken: %s", what);
}

enum rc npy_header_size(const void *data, size_t size, size_t *ret, struct err *err) {
    const unsigned char *p = data;
    if (size < 6 || memcmp(p, "\x93NUMPY", 6) != 0) {
        const char *guess = format_guess(data, size);
        return err_set(err, RC_INPUT, "this is not an .npy array%s%s", guess ? " but " : "",
                       guess ? guess : "");
    }
    if (size < 12) {
        return err_set(err, RC_INPUT, "the .npy array is truncated: it ends inside its header");
    }
    if (p[6] < 1 || p[6] > 3) {
        return err_set(err, RC_UNSUPPORTED, ".npy format version %u is not known (1 to 3 are)", p[6]);
    }
    size_t length = p[6] == 1 ? (size_t)p[8] | (size_t)p[9] << 8
                              : (size_t)p[8] | (size_t)p[9] << 8 | (size_t)p[10] << 16 | (size_t)p[11] << 24;
    *ret = length + (p[6] == 1 ? 10 : 12);
    if (*ret > NPY_MAX_HEADER) {
        return err_set(err, RC_TOO_LARGE, "the .npy header claims %zu bytes; the limit is %d", *ret,
                       NPY_MAX_HEADER);
    }
    return RC_OK;
}

static void skip_space(struct scanner *s) {
    while (s->p < s->end && (*s->p == ' ' || *s->p == '\n' || *s->p == '\t')) {
        s->p++;
    }
}

static bool take(struct scanner *s, const char *word) {
    skip_space(s);
    size_t n = strlen(word);
    if ((size_t)(s->end - s->p) < n || memcmp(s->p, word, n) != 0) {
        return false;
    }
    s->p += n;
    return true;
}

/* A quoted string without escapes. */
static bool take_string(struct scanner *s, const char **text, size_t *size) {
    skip_space(s);
    if (s->p == s->end || (*s->p != '\'' && *s->p != '"')) {
        return false;
    }
    char quote = *s->p++;
    const char *close = memchr(s->p, quote, (size_t)(s->end - s->p));
    if (!close || memchr(s->p, '\\', (size_t)(close - s->p))) {
        return false;
    }
    *text = s->p;
    *size = (size_t)(close - s->p);
    s->p = close + 1;
    return true;
}

static bool take_integer(struct scanner *s, int64_t *ret) {
    skip_space(s);
    const char *start = s->p;
    int64_t value = 0;
    for (; s->p < s->end && *s->p >= '0' && *s->p <= '9'; s->p++) {
        if (__builtin_mul_overflow(value, 10, &value) || __builtin_add_overflow(value, *s->p - '0', &value)) {
            return false;
        }
    }
    if (s->p == start) {
        return false;
    }
    if (s->p < s->end && *s->p == 'L') { /* written by Python 2 */
        s->p++;
    }
    *ret = value;
    return true;
}

static enum rc parse_descr(struct scanner *s, struct npy_header *h, struct err *err) {
    const char *descr;
    size_t size;
    if (take(s, "[")) {
        return err_set(err, RC_UNSUPPORTED,
                       "the array has named fields (a structured type): save each as an array of its own");
    }
    if (!take_string(s, &descr, &size) || size < 2) {
        return broken("no valid 'descr'", err);
    }
    h->dtype = dtype_from_numpy(descr + 1, size - 1);
    if (h->dtype == DTYPE_OTHER || !strchr("<>|=", descr[0])) {
        return err_set(
            err, RC_UNSUPPORTED,
            "the array has NumPy's type '%.*s', which is not supported: convert it with astype to bool, "
            "an integer or a float of at most 64 bits",
            (int)(size > 32 ? 32 : size), descr);
    }
    if (descr[0] == '>' && dtype_bytes(h->dtype) > 1) {
        return err_set(err, RC_UNSUPPORTED, "the array is big endian: save it with astype('<%.*s')",
                       (int)(size - 1), descr + 1);
    }
    return RC_OK;
}

static enum rc parse_order(struct scanner *s, bool *fortran, struct err *err) {
    *fortran = take(s, "True");
    return *fortran || take(s, "False") ? RC_OK : broken("no valid 'fortran_order'", err);
}

static enum rc parse_shape(struct scanner *s, struct npy_header *h, struct err *err) {
    if (!take(s, "(")) {
        return broken("no valid 'shape'", err);
    }
    while (!take(s, ")")) {
        if (h->rank == TENSOR_MAX_RANK) {
            return err_set(err, RC_UNSUPPORTED, "the array has more than %d axes", TENSOR_MAX_RANK);
        }
        if (!take_integer(s, &h->dims[h->rank])) {
            return broken("no valid 'shape'", err);
        }
        h->rank++;
        if (!take(s, ",")) {
            if (!take(s, ")")) {
                return broken("no valid 'shape'", err);
            }
            break;
        }
    }
    return RC_OK;
}

/* The entries of the dictionary; *fortran is told apart because it matters only for more than one axis. */
static enum rc parse_entries(struct scanner *s, struct npy_header *h, bool *fortran, struct err *err) {
    enum { DESCR = 1, ORDER = 2, SHAPE = 4 };
    unsigned seen = 0;
    if (!take(s, "{")) {
        return broken("it is not a dictionary", err);
    }
    while (!take(s, "}")) {
        const char *key;
        size_t size;
        if (!take_string(s, &key, &size) || !take(s, ":")) {
            return broken("it is not a dictionary", err);
        }
        unsigned which = size == 5 && memcmp(key, "descr", 5) == 0             ? DESCR
                         : size == 13 && memcmp(key, "fortran_order", 13) == 0 ? ORDER
                         : size == 5 && memcmp(key, "shape", 5) == 0           ? SHAPE
                                                                               : 0;
        if (which == 0 || seen & which) {
            return broken("an unknown key, or one twice", err);
        }
        seen |= which;
        enum rc rc = which == DESCR   ? parse_descr(s, h, err)
                     : which == ORDER ? parse_order(s, fortran, err)
                                      : parse_shape(s, h, err);
        if (rc != RC_OK) {
            return rc;
        }
        if (!take(s, ",")) {
            if (!take(s, "}")) {
                return broken("it is not a dictionary", err);
            }
            break;
        }
    }
    skip_space(s);
    if (seen != (DESCR | ORDER | SHAPE) || s->p != s->end) {
        return broken(s->p != s->end ? "something follows the dictionary" : "a key is missing", err);
    }
    return RC_OK;
}

enum rc npy_parse(const void *data, size_t size, struct npy_header *ret, struct err *err) {
    struct npy_header h = {0};
    bool fortran = false;
    enum rc rc = npy_header_size(data, size, &h.header_bytes, err);
    if (rc != RC_OK) {
        return rc;
    }
    if (h.header_bytes > size) {
        return err_set(err, RC_INPUT, "the .npy array is truncated: it ends inside its header");
    }
    const char *text = data;
    struct scanner s = {text + (text[6] == 1 ? 10 : 12), text + h.header_bytes};
    rc = parse_entries(&s, &h, &fortran, err);
    if (rc != RC_OK) {
        return rc;
    }
    if (fortran && h.rank > 1) {
        return err_set(err, RC_UNSUPPORTED,
                       "the array lies in Fortran order: save it with numpy.ascontiguousarray");
    }
    size_t elements;
    if (checked_product(h.dims, h.rank, &elements) ||
        checked_mul(elements, dtype_bytes(h.dtype), &h.data_bytes) || h.data_bytes > SIZE_MAX / 4) {
        return err_set(err, RC_TOO_LARGE, "the shape of the array is larger than any file");
    }
    *ret = h;
    return RC_OK;
}

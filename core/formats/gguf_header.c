/* GGUF (ggml/docs/gguf.md): magic, version, counts; key-value pairs; tensor infos; padding to the alignment;
 * data. All numbers little endian. Tensors must lie one after another, padded to the alignment, as ggml
 * itself demands: so none can overlap. */
#include "core/formats/gguf_header.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/arena.h"
#include "core/base/checked.h"
#include "core/formats/format_detect.h"
#include "core/formats/gguf_type.h"
#include "core/formats/mapped_file.h"

enum {
    MAX_COUNT = 1 << 20,
    MAX_KEY = 65535,
    MAX_TENSOR_NAME = 63,  /* GGML_MAX_NAME with its NUL */
    MIN_KEY_BYTES = 13,    /* length, type, one byte of value */
    MIN_TENSOR_BYTES = 24, /* name length, rank, type, offset */
    MAX_ALIGNMENT = 1 << 20,
};
static const size_t MAX_ARENA_BYTES = (size_t)1 << 30;

enum value_type {
    V_U8,
    V_I8,
    V_U16,
    V_I16,
    V_U32,
    V_I32,
    V_F32,
    V_BOOL,
    V_STRING,
    V_ARRAY,
    V_U64,
    V_I64,
    V_F64,
    V_COUNT
};
static const uint8_t value_bytes[V_COUNT] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};

struct pair {
    const char *key;
    uint32_t type;
    uint64_t bits;    /* scalars, zero-extended; arrays: the number of elements */
    const char *text; /* strings */
};

struct gguf_header {
    struct arena *arena;
    uint32_t version;
    uint64_t file_bytes, parameters, data_offset, alignment;
    size_t n_pairs, n_tensors;
    struct pair *pairs;
    struct gguf_tensor *tensors;
};

struct cursor {
    const uint8_t *p;
    size_t left;
    bool short_of; /* the data ended */
};

static const uint8_t *take(struct cursor *c, size_t n) {
    if (c->short_of || n > c->left) {
        c->short_of = true;
        return NULL;
    }
    const uint8_t *p = c->p;
    c->p += n;
    c->left -= n;
    return p;
}

/* A little-endian number of n <= 8 bytes; 0 where the data ended. */
static uint64_t take_uint(struct cursor *c, size_t n) {
    const uint8_t *p = take(c, n);
    uint64_t value = 0;
    for (size_t i = 0; p && i < n; i++) {
        value |= (uint64_t)p[i] << (8 * i);
    }
    return value;
}

static enum rc truncated(const char *where, struct err *err) {
    return err_set(err, RC_INPUT, "the GGUF file is truncated or broken: it ends inside %s", where);
}

/* A string of at most `max` bytes, copied. NUL bytes inside would hide what follows. */
static enum rc take_text(struct gguf_header *h, struct cursor *c, size_t max, const char *where,
                         const char **ret, struct err *err) {
    uint64_t length = take_uint(c, 8);
    if (c->short_of || length > c->left) {
        return truncated(where, err);
    }
    if (length > max) {
        return err_set(err, RC_INPUT, "the GGUF file is broken: a name of %llu bytes in %s",
                       (unsigned long long)length, where);
    }
    const char *text = (const char *)take(c, (size_t)length);
    if (memchr(text, '\0', (size_t)length)) {
        return err_set(err, RC_INPUT, "the GGUF file is broken: a text with a zero byte in %s", where);
    }
    *ret = arena_strndup(h->arena, text, (size_t)length);
    return *ret ? RC_OK : err_memory(err);
}

static enum rc skip_array(struct cursor *c, struct pair *p, struct err *err) {
    uint32_t type = (uint32_t)take_uint(c, 4);
    p->bits = take_uint(c, 8);
    if (c->short_of) {
        return truncated("the metadata", err);
    }
    if (type >= V_COUNT || type == V_ARRAY) {
        return err_set(err, RC_INPUT, "the GGUF file is broken: key \"%.64s\" is an array of type %u", p->key,
                       type);
    }
    if (type != V_STRING) {
        size_t bytes;
        return checked_mul(p->bits, value_bytes[type], &bytes) || !take(c, bytes)
                   ? truncated("the metadata", err)
                   : RC_OK;
    }
    if (p->bits > c->left / 8) {
        return truncated("the metadata", err);
    }
    for (uint64_t i = 0; i < p->bits; i++) {
        if (!take(c, take_uint(c, 8))) {
            return truncated("the metadata", err);
        }
    }
    return RC_OK;
}

static enum rc read_pair(struct gguf_header *h, struct cursor *c, struct pair *p, struct err *err) {
    enum rc rc = take_text(h, c, MAX_KEY, "the metadata", &p->key, err);
    if (rc != RC_OK) {
        return rc;
    }
    p->type = (uint32_t)take_uint(c, 4);
    if (p->type >= V_COUNT) {
        return err_set(err, RC_INPUT, "the GGUF file is broken: key \"%.64s\" has unknown type %u", p->key,
                       p->type);
    }
    if (p->type == V_STRING) {
        return take_text(h, c, SIZE_MAX, "the metadata", &p->text, err);
    }
    if (p->type == V_ARRAY) {
        return skip_array(c, p, err);
    }
    p->bits = take_uint(c, value_bytes[p->type]);
    return c->short_of ? truncated("the metadata", err) : RC_OK;
}

static int compare_names(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* RC_INPUT when a name is there twice. names is sorted. */
static enum rc check_unique(const char **names, size_t n, const char *what, struct err *err) {
    qsort(names, n, sizeof(*names), compare_names);
    for (size_t i = 1; i < n; i++) {
        if (strcmp(names[i - 1], names[i]) == 0) {
            return err_set(err, RC_INPUT, "the GGUF file is broken: %s \"%.64s\" is there twice", what,
                           names[i]);
        }
    }
    return RC_OK;
}

static enum rc read_pairs(struct gguf_header *h, struct cursor *c, struct err *err) {
    h->pairs = arena_calloc(h->arena, h->n_pairs, sizeof(*h->pairs));
    const char **names = malloc((h->n_pairs + 1) * sizeof(*names));
    enum rc rc = h->pairs && names ? RC_OK : err_memory(err);
    for (size_t i = 0; i < h->n_pairs && rc == RC_OK; i++) {
        rc = read_pair(h, c, &h->pairs[i], err);
        names[i] = h->pairs[i].key;
    }
    if (rc == RC_OK) {
        rc = check_unique(names, h->n_pairs, "key", err);
    }
    free(names);
    return rc;
}

static enum rc measure_tensor(struct gguf_tensor *t, struct err *err) {
    const struct gguf_type *type = gguf_type_find(t->type);
    if (!type) {
        return err_set(err, RC_UNSUPPORTED, "tensor \"%s\" has type %u, which is not known here", t->name,
                       t->type);
    }
    t->type_name = type->name;
    t->elements = 1;
    for (size_t i = 0; i < t->rank; i++) {
        if (__builtin_mul_overflow(t->elements, t->dims[i], &t->elements)) {
            t->elements = UINT64_MAX;
            break;
        }
    }
    if (t->elements > INT64_MAX ||
        __builtin_mul_overflow(t->elements / type->block_elements, (uint64_t)type->block_bytes, &t->bytes)) {
        return err_set(err, RC_INPUT, "the GGUF file is broken: the shape of tensor \"%s\" is absurd",
                       t->name);
    }
    if (t->dims[0] % type->block_elements != 0) {
        return err_set(
            err, RC_INPUT,
            "the GGUF file is broken: rows of tensor \"%s\" have %llu elements, not a multiple of %u",
            t->name, (unsigned long long)t->dims[0], type->block_elements);
    }
    return RC_OK;
}

static enum rc read_tensor(struct gguf_header *h, struct cursor *c, struct gguf_tensor *t, struct err *err) {
    enum rc rc = take_text(h, c, MAX_TENSOR_NAME, "the list of tensors", &t->name, err);
    if (rc != RC_OK) {
        return rc;
    }
    t->rank = (size_t)take_uint(c, 4);
    if (!c->short_of && t->rank > GGUF_MAX_DIMS) {
        return err_set(err, RC_INPUT, "the GGUF file is broken: tensor \"%s\" has %zu axes", t->name,
                       t->rank);
    }
    for (size_t i = 0; i < GGUF_MAX_DIMS; i++) {
        t->dims[i] = i < t->rank ? take_uint(c, 8) : 1;
    }
    t->type = (uint32_t)take_uint(c, 4);
    t->offset = take_uint(c, 8);
    return c->short_of ? truncated("the list of tensors", err) : measure_tensor(t, err);
}

static enum rc read_tensors(struct gguf_header *h, struct cursor *c, struct err *err) {
    h->tensors = arena_calloc(h->arena, h->n_tensors, sizeof(*h->tensors));
    const char **names = malloc((h->n_tensors + 1) * sizeof(*names));
    enum rc rc = h->tensors && names ? RC_OK : err_memory(err);
    for (size_t i = 0; i < h->n_tensors && rc == RC_OK; i++) {
        rc = read_tensor(h, c, &h->tensors[i], err);
        names[i] = h->tensors[i].name;
        if (__builtin_add_overflow(h->parameters, h->tensors[i].elements, &h->parameters)) {
            h->parameters = UINT64_MAX;
        }
    }
    if (rc == RC_OK) {
        rc = check_unique(names, h->n_tensors, "tensor", err);
    }
    free(names);
    return rc;
}

static enum rc read_alignment(struct gguf_header *h, struct err *err) {
    h->alignment = 32;
    (void)gguf_header_uint(h, "general.alignment", &h->alignment); /* absent: the format's default stands */
    if (h->alignment == 0 || h->alignment > MAX_ALIGNMENT || (h->alignment & (h->alignment - 1)) != 0) {
        return err_set(err, RC_INPUT, "the GGUF file is broken: general.alignment is %llu",
                       (unsigned long long)h->alignment);
    }
    return RC_OK;
}

/* Adds and rounds up to the alignment; true on overflow. */
static bool add_padded(uint64_t a, uint64_t b, uint64_t alignment, uint64_t *ret) {
    uint64_t sum;
    if (__builtin_add_overflow(a, b, &sum) || __builtin_add_overflow(sum, alignment - 1, &sum)) {
        return true;
    }
    *ret = sum - sum % alignment;
    return false;
}

/* Turns offsets within the data into offsets within the file, and checks each against the file. */
static enum rc place_tensors(struct gguf_header *h, size_t header_bytes, struct err *err) {
    uint64_t expected = 0, end;
    if (add_padded(header_bytes, 0, h->alignment, &h->data_offset)) {
        return truncated("the header", err);
    }
    for (size_t i = 0; i < h->n_tensors; i++) {
        struct gguf_tensor *t = &h->tensors[i];
        if (t->offset != expected) {
            return err_set(err, RC_INPUT,
                           "the GGUF file is broken: tensor \"%s\" lies at %llu, expected at %llu", t->name,
                           (unsigned long long)t->offset, (unsigned long long)expected);
        }
        if (__builtin_add_overflow(t->offset, h->data_offset, &t->offset) ||
            __builtin_add_overflow(t->offset, t->bytes, &end) ||
            add_padded(expected, t->bytes, h->alignment, &expected)) {
            return err_set(err, RC_INPUT, "the GGUF file is broken: tensor \"%s\" lies beyond any file",
                           t->name);
        }
        if (end > h->file_bytes) {
            return err_set(err, RC_INPUT,
                           "the GGUF file is truncated: tensor \"%s\" ends at byte %llu, the file has %llu; "
                           "fetch it again",
                           t->name, (unsigned long long)end, (unsigned long long)h->file_bytes);
        }
    }
    return RC_OK;
}

static enum rc read_counts(struct gguf_header *h, struct cursor *c, struct err *err) {
    h->version = (uint32_t)take_uint(c, 4);
    if (!c->short_of && h->version != 2 && h->version != 3) {
        bool swapped = h->version != 0 && (h->version & 0xffffu) == 0;
        return err_set(err, RC_UNSUPPORTED,
                       swapped ? "this GGUF file is big endian: convert it to little endian"
                               : "GGUF version %u is not supported (2 and 3 are): convert it again",
                       h->version);
    }
    uint64_t tensors = take_uint(c, 8), pairs = take_uint(c, 8);
    if (c->short_of) {
        return truncated("its first 24 bytes", err);
    }
    if (tensors > MAX_COUNT || pairs > MAX_COUNT) {
        return err_set(err, RC_TOO_LARGE,
                       "the GGUF file claims %llu tensors and %llu keys; the limit is %d each",
                       (unsigned long long)tensors, (unsigned long long)pairs, MAX_COUNT);
    }
    if (pairs > c->left / MIN_KEY_BYTES || tensors > c->left / MIN_TENSOR_BYTES) {
        return truncated("the header", err);
    }
    h->n_tensors = (size_t)tensors;
    h->n_pairs = (size_t)pairs;
    return RC_OK;
}

static enum rc parse(struct gguf_header *h, const void *data, size_t size, struct err *err) {
    struct cursor c = {data, size, false};
    if (size < 4 || memcmp(data, "GGUF", 4) != 0) {
        const char *guess = format_guess(data, size);
        return err_set(err, RC_INPUT, "this is %s, not a GGUF model", guess ? guess : "something else");
    }
    take(&c, 4);
    enum rc rc = read_counts(h, &c, err);
    if (rc == RC_OK) {
        rc = read_pairs(h, &c, err);
    }
    if (rc == RC_OK) {
        rc = read_tensors(h, &c, err);
    }
    if (rc == RC_OK) {
        rc = read_alignment(h, err);
    }
    return rc == RC_OK ? place_tensors(h, size - c.left, err) : rc;
}

enum rc gguf_header_parse(const void *data, size_t size, uint64_t file_bytes, struct gguf_header **ret,
                          struct err *err) {
    struct gguf_header *h = calloc(1, sizeof(*h));
    if (!h || !(h->arena = arena_new(MAX_ARENA_BYTES))) {
        free(h);
        return err_memory(err);
    }
    h->file_bytes = file_bytes;
    enum rc rc = parse(h, data, size, err);
    if (rc == RC_OK) {
        *ret = h;
    } else {
        gguf_header_free(h);
    }
    return rc;
}

enum rc gguf_header_read(const char *path, struct gguf_header **ret, struct err *err) {
    struct mapped_file m;
    enum rc rc = mapped_file_open(path, &m, err);
    if (rc == RC_OK) {
        rc = gguf_header_parse(m.data, m.size, m.size, ret, err);
        mapped_file_close(&m);
    }
    return rc;
}

void gguf_header_free(struct gguf_header *h) {
    if (h) {
        arena_free(h->arena);
        free(h);
    }
}

uint32_t gguf_header_version(const struct gguf_header *h) {
    return h->version;
}

uint64_t gguf_header_file_bytes(const struct gguf_header *h) {
    return h->file_bytes;
}

uint64_t gguf_header_parameters(const struct gguf_header *h) {
    return h->parameters;
}

size_t gguf_header_tensor_count(const struct gguf_header *h) {
    return h->n_tensors;
}

const struct gguf_tensor *gguf_header_tensor(const struct gguf_header *h, size_t index) {
    return &h->tensors[index];
}

static const struct pair *find_pair(const struct gguf_header *h, const char *key) {
    for (size_t i = 0; i < h->n_pairs; i++) {
        if (strcmp(h->pairs[i].key, key) == 0) {
            return &h->pairs[i];
        }
    }
    return NULL;
}

const char *gguf_header_string(const struct gguf_header *h, const char *key) {
    const struct pair *p = find_pair(h, key);
    return p && p->type == V_STRING ? p->text : NULL;
}

/* The value of a signed integer pair, sign-extended from its width. */
static int64_t signed_value(const struct pair *p) {
    unsigned shift = 64 - 8u * value_bytes[p->type];
    return (int64_t)(p->bits << shift) >> shift;
}

static bool is_signed(const struct pair *p) {
    return p->type == V_I8 || p->type == V_I16 || p->type == V_I32 || p->type == V_I64;
}

static bool is_unsigned(const struct pair *p) {
    return p->type == V_U8 || p->type == V_U16 || p->type == V_U32 || p->type == V_U64;
}

bool gguf_header_uint(const struct gguf_header *h, const char *key, uint64_t *ret) {
    const struct pair *p = find_pair(h, key);
    if (!p || !(is_unsigned(p) || (is_signed(p) && signed_value(p) >= 0))) {
        return false;
    }
    *ret = p->bits;
    return true;
}

bool gguf_header_number(const struct gguf_header *h, const char *key, double *ret) {
    const struct pair *p = find_pair(h, key);
    float f;
    if (!p) {
        return false;
    }
    if (p->type == V_F32) {
        uint32_t bits = (uint32_t)p->bits;
        memcpy(&f, &bits, sizeof(f));
        *ret = (double)f;
    } else if (p->type == V_F64) {
        memcpy(ret, &p->bits, sizeof(*ret));
    } else if (is_signed(p)) {
        *ret = (double)signed_value(p);
    } else if (is_unsigned(p)) {
        *ret = (double)p->bits;
    } else {
        return false;
    }
    return true;
}

bool gguf_header_array_count(const struct gguf_header *h, const char *key, uint64_t *ret) {
    const struct pair *p = find_pair(h, key);
    if (!p || p->type != V_ARRAY) {
        return false;
    }
    *ret = p->bits;
    return true;
}

#include "core/base/buf.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/checked.h"

void buf_init(struct buf *b, size_t max) {
    *b = (struct buf){.max = max};
}

void buf_free(struct buf *b) {
    free(b->data);
    buf_init(b, b->max);
}

void buf_clear(struct buf *b) {
    b->size = 0;
    if (b->data) {
        b->data[0] = '\0';
    }
}

enum rc buf_reserve(struct buf *b, size_t size, struct err *err) {
    size_t need;
    if (checked_add(b->size, size, &need) || need > b->max) {
        return err_set(err, RC_TOO_LARGE, "more than the limit of %zu bytes", b->max);
    }
    if (b->data && need < b->capacity) {
        return RC_OK;
    }
    size_t capacity = b->capacity ? b->capacity : 64;
    while (capacity <= need) {
        capacity += capacity / 2 + 1;
    }
    char *data = realloc(b->data, capacity);
    if (!data) {
        return err_memory(err);
    }
    b->data = data;
    b->capacity = capacity;
    b->data[b->size] = '\0';
    return RC_OK;
}

enum rc buf_add(struct buf *b, const void *data, size_t size, struct err *err) {
    enum rc rc = buf_reserve(b, size, err);
    if (rc != RC_OK) {
        return rc;
    }
    if (size) {
        memcpy(b->data + b->size, data, size);
    }
    b->size += size;
    b->data[b->size] = '\0';
    return RC_OK;
}

enum rc buf_add_text(struct buf *b, const char *text, struct err *err) {
    return buf_add(b, text, strlen(text), err);
}

enum rc buf_printf(struct buf *b, struct err *err, const char *format, ...) {
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    enum rc rc =
        n < 0 ? err_set(err, RC_INTERNAL, "a text could not be formatted") : buf_reserve(b, (size_t)n, err);
    if (rc == RC_OK) {
        vsnprintf(b->data + b->size, (size_t)n + 1, format, again);
        b->size += (size_t)n;
    }
    va_end(again);
    return rc;
}

void buf_consume(struct buf *b, size_t n) {
    assert(n <= b->size);
    if (n == 0) {
        return;
    }
    memmove(b->data, b->data + n, b->size - n);
    b->size -= n;
    b->data[b->size] = '\0';
}

char *buf_steal(struct buf *b) {
    char *data = b->data ? b->data : calloc(1, 1);
    buf_init(b, b->max);
    return data;
}

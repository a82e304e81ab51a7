#include "core/base/arena.h"

#include <stdalign.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/checked.h"

enum { BLOCK_BYTES = 16 * 1024 };

struct block {
    struct block *next;
    size_t used, size;
    alignas(max_align_t) char data[];
};

struct arena {
    struct block *blocks;
    size_t used, max;
};

struct arena *arena_new(size_t max_bytes) {
    struct arena *a = calloc(1, sizeof(*a));
    if (a) {
        a->max = max_bytes;
    }
    return a;
}

void arena_free(struct arena *a) {
    if (!a) {
        return;
    }
    while (a->blocks) {
        struct block *next = a->blocks->next;
        free(a->blocks);
        a->blocks = next;
    }
    free(a);
}

void *arena_alloc(struct arena *a, size_t size) {
    size_t rounded, total;
    if (checked_add(size ? size : 1, alignof(max_align_t) - 1, &rounded)) {
        return NULL;
    }
    rounded -= rounded % alignof(max_align_t);
    if (checked_add(a->used, rounded, &total) || total > a->max) {
        return NULL;
    }
    struct block *b = a->blocks;
    if (!b || b->size - b->used < rounded) {
        size_t bytes = rounded > BLOCK_BYTES ? rounded : BLOCK_BYTES;
        b = calloc(1, sizeof(*b) + bytes);
        if (!b) {
            return NULL;
        }
        b->size = bytes;
        b->next = a->blocks;
        a->blocks = b;
    }
    void *p = b->data + b->used;
    b->used += rounded;
    a->used = total;
    return p;
}

void *arena_calloc(struct arena *a, size_t count, size_t size) {
    size_t bytes;
    return checked_mul(count, size, &bytes) ? NULL : arena_alloc(a, bytes);
}

char *arena_strndup(struct arena *a, const char *text, size_t size) {
    char *copy = size == SIZE_MAX ? NULL : arena_alloc(a, size + 1);
    if (copy) {
        memcpy(copy, text, size);
    }
    return copy;
}

char *arena_strdup(struct arena *a, const char *text) {
    return arena_strndup(a, text, strlen(text));
}

char *arena_printf(struct arena *a, const char *format, ...) {
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    char *text = n < 0 ? NULL : arena_alloc(a, (size_t)n + 1);
    if (text) {
        vsnprintf(text, (size_t)n + 1, format, again);
    }
    va_end(again);
    return text;
}

#include "core/recipes/record.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_ENTRIES = 200 * 1000, TEXT_SIZE = 1024 };

void record_init(struct record *r) {
    memset(r, 0, sizeof(*r));
}

static void list_release(struct record_list *list) {
    for (size_t i = 0; i < list->count; i++) {
        free(list->entries[i].tensor);
        free(list->entries[i].text);
    }
    free(list->entries);
    memset(list, 0, sizeof(*list));
}

void record_release(struct record *r) {
    list_release(&r->changed);
    list_release(&r->left_alone);
    list_release(&r->notes);
    list_release(&r->slow);
    r->storage_only = false;
}

static enum rc list_grow(struct record_list *list, struct err *err) {
    if (list->count < list->capacity) {
        return RC_OK;
    }
    if (list->count >= MAX_ENTRIES) {
        return err_set(err, RC_TOO_LARGE, "more than %d tensors to report on", MAX_ENTRIES);
    }
    size_t capacity = list->capacity ? list->capacity * 2 : 16;
    struct record_entry *entries = realloc(list->entries, capacity * sizeof(*entries));
    if (!entries) {
        return err_memory(err);
    }
    list->entries = entries;
    list->capacity = capacity;
    return RC_OK;
}

static enum rc list_add_text(struct record_list *list, const char *tensor, const char *text,
                             struct err *err) {
    enum rc rc = list_grow(list, err);
    if (rc != RC_OK) {
        return rc;
    }
    struct record_entry entry = {tensor ? strdup(tensor) : NULL, strdup(text)};
    if ((tensor && !entry.tensor) || !entry.text) {
        free(entry.tensor);
        free(entry.text);
        return err_memory(err);
    }
    list->entries[list->count++] = entry;
    return RC_OK;
}

static PRINTF_LIKE(3, 0) enum rc list_add(struct record_list *list, const char *tensor, const char *format,
                                          va_list args, struct err *err) {
    char text[TEXT_SIZE];
    (void)vsnprintf(text, sizeof(text), format, args);
    return list_add_text(list, tensor, text, err);
}

enum rc record_changed(struct record *r, struct err *err, const char *tensor, const char *format, ...) {
    va_list args;
    va_start(args, format);
    enum rc rc = list_add(&r->changed, tensor, format, args, err);
    va_end(args);
    return rc;
}

enum rc record_left_alone(struct record *r, struct err *err, const char *tensor, const char *format, ...) {
    va_list args;
    va_start(args, format);
    enum rc rc = list_add(&r->left_alone, tensor, format, args, err);
    va_end(args);
    return rc;
}

/* Adds the text of `format` unless the list has it. */
static enum rc add_once(struct record_list *list, struct err *err, const char *text) {
    for (size_t i = 0; i < list->count; i++) {
        if (strcmp(list->entries[i].text, text) == 0) {
            return RC_OK;
        }
    }
    return list_add_text(list, NULL, text, err);
}

enum rc record_note(struct record *r, struct err *err, const char *format, ...) {
    char text[TEXT_SIZE];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    return add_once(&r->notes, err, text);
}

enum rc record_slow(struct record *r, struct err *err, const char *format, ...) {
    char text[TEXT_SIZE];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    enum rc rc = add_once(&r->notes, err, text);
    return rc == RC_OK ? add_once(&r->slow, err, text) : rc;
}

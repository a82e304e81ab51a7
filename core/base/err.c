#include "core/base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#undef err_set /* what the analyzer is told of them in err.h */
#undef err_prefix
#undef err_memory

/* Bytes of the UTF-8 character at `s` (Unicode 15, table 3-7), 0 where there is none. */
static size_t utf8_size(const unsigned char *s) {
    unsigned char low = 0x80, high = 0xbf;
    if (s[0] < 0x80) {
        return 1;
    }
    size_t size = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;
    low = s[0] == 0xe0 ? 0xa0 : s[0] == 0xf0 ? 0x90 : low;   /* else longer than needed */
    high = s[0] == 0xed ? 0x9f : s[0] == 0xf4 ? 0x8f : high; /* else a surrogate, or beyond Unicode */
    bool fine = s[0] >= 0xc2 && s[0] <= 0xf4 && s[1] >= low && s[1] <= high;
    for (size_t i = 2; fine && i < size; i++) {
        fine = s[i] >= 0x80 && s[i] <= 0xbf;
    }
    return fine ? size : 0;
}

/* A text may quote what a client sent, and "%.100s" may cut it within a character; JSON takes UTF-8 only. */
static void keep_utf8(char *text) {
    unsigned char *s = (unsigned char *)text;
    while (*s) {
        size_t size = utf8_size(s);
        *s = size > 0 ? *s : '?';
        s += size > 0 ? size : 1;
    }
}

enum rc err_set(struct err *err, enum rc rc, const char *format, ...) {
    if (err) {
        va_list args;
        va_start(args, format);
        err->rc = rc;
        vsnprintf(err->text, sizeof(err->text), format, args);
        va_end(args);
        keep_utf8(err->text);
    }
    return rc;
}

enum rc err_prefix(struct err *err, const char *format, ...) {
    if (!err) {
        return RC_INTERNAL;
    }
    char old[sizeof(err->text)];
    memcpy(old, err->text, sizeof(old));
    va_list args;
    va_start(args, format);
    int n = vsnprintf(err->text, sizeof(err->text), format, args);
    va_end(args);
    if (n >= 0 && (size_t)n < sizeof(err->text)) {
        snprintf(err->text + n, sizeof(err->text) - (size_t)n, ": %s", old);
    }
    keep_utf8(err->text);
    return err->rc;
}

enum rc err_memory(struct err *err) {
    return err_set(err, RC_MEMORY, "out of memory");
}

static const struct {
    int status;
    const char *name, *text;
} table[] = {
#define X(code, status, name, text) [code] = {status, name, text},
    RC_TABLE(X)
#undef X
};

int rc_http_status(enum rc rc) {
    return table[rc].status;
}

const char *rc_name(enum rc rc) {
    return table[rc].name;
}

const char *rc_text(enum rc rc) {
    return table[rc].text;
}

enum rc rc_from_name(const char *name) {
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        if (strcmp(table[i].name, name) == 0) {
            return (enum rc)i;
        }
    }
    return RC_INTERNAL;
}

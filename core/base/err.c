#include "core/base/err.h"

#include <stdio.h>
#include <string.h>

enum rc err_set(struct err *err, enum rc rc, const char *format, ...) {
    if (err) {
        va_list args;
        va_start(args, format);
        err->rc = rc;
        vsnprintf(err->text, sizeof(err->text), format, args);
        va_end(args);
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

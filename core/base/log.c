#include "core/base/log.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/base/clock.h"

static enum log_level threshold = LOG_INFO;

void log_set_level(enum log_level level) {
    threshold = level;
}

bool log_is_written(enum log_level level) {
    return level >= threshold;
}

void log_event(enum log_level level, const char *event, const char *format, ...) {
    static const char *const names[] = {"debug", "info", "warn", "error"};
    if (level < threshold) {
        return;
    }
    char line[2048], ts[CLOCK_ISO_SIZE];
    clock_iso(clock_wall_ms(), ts);
    int n = snprintf(line, sizeof(line) - 1, "ts=%s level=%s event=%s ", ts, names[level], event);
    va_list args;
    va_start(args, format);
    int m = vsnprintf(line + n, sizeof(line) - 1 - (size_t)n, format, args);
    va_end(args);
    size_t size = (size_t)n + (m > 0 ? (size_t)m : 0);
    if (size > sizeof(line) - 2) {
        size = sizeof(line) - 2;
    }
    line[size++] = '\n';
    ssize_t written = write(STDERR_FILENO, line, size);
    (void)written; /* nowhere left to report it */
}

const char *log_quote(const char *text, char *out, unsigned out_size) {
    unsigned n = 0;
    out[n++] = '"';
    for (const char *p = text; *p && n + 4 < out_size; p++) {
        unsigned char c = (unsigned char)*p;
        if (c == '"' || c == '\\') {
            out[n++] = '\\';
        }
        out[n++] = c < 32 ? ' ' : (char)c;
    }
    out[n++] = '"';
    out[n] = '\0';
    return out;
}

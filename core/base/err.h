/* err.h -- result codes and the error text that travels with them.
 * Reporting an error never allocates: the caller owns a fixed-size struct err. */
#pragma once

#include <stdarg.h>

#define MUST_USE               __attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))

/* X(code, HTTP status, name in JSON, short text). The only list of result codes. */
#define RC_TABLE(X)                                                                                          \
    X(RC_OK, 200, "ok", "fine")                                                                              \
    X(RC_INPUT, 400, "input", "the input is not valid")                                                      \
    X(RC_USAGE, 400, "usage", "the request is not understood")                                               \
    X(RC_UNAUTHORIZED, 401, "unauthorized", "a valid token is needed")                                       \
    X(RC_FORBIDDEN, 403, "forbidden", "the token does not allow this")                                       \
    X(RC_NOT_FOUND, 404, "not_found", "there is no such thing")                                              \
    X(RC_CONFLICT, 409, "conflict", "this contradicts what is stored")                                       \
    X(RC_TOO_LARGE, 413, "too_large", "larger than the limit")                                               \
    X(RC_UNSUPPORTED, 422, "unsupported", "this is valid, but not supported")                                \
    X(RC_SAMPLE, 422, "sample", "the sample does not support this figure")                                   \
    X(RC_BUSY, 503, "busy", "too much is waiting; try again later")                                          \
    X(RC_TIMEOUT, 504, "timeout", "it took too long")                                                        \
    X(RC_CANCELLED, 409, "cancelled", "it was cancelled")                                                    \
    X(RC_UNSTABLE, 500, "unstable", "the machine was not steady enough to measure")                          \
    X(RC_MEMORY, 500, "memory", "out of memory")                                                             \
    X(RC_IO, 500, "io", "a file or the network failed")                                                      \
    X(RC_CRASHED, 500, "crashed", "the worker crashed")                                                      \
    X(RC_INTERNAL, 500, "internal", "an error in Pare itself")

enum rc {
#define X(code, status, name, text) code,
    RC_TABLE(X)
#undef X
};

struct err {
    enum rc rc;
    char text[512]; /* one sentence: what is wrong and what to do; never empty on failure; UTF-8 */
};

/* Fills *err (NULL is fine) and returns rc, so that `return err_set(...)` reads well. Long texts are
 * cut, and what is not UTF-8 in them becomes '?'. */
enum rc err_set(struct err *err, enum rc rc, const char *format, ...) PRINTF_LIKE(3, 4);

/* Puts "prefix: " before the text that is there, keeping the code. */
enum rc err_prefix(struct err *err, const char *format, ...) PRINTF_LIKE(2, 3);

/* RC_MEMORY with a text. */
enum rc err_memory(struct err *err);

int rc_http_status(enum rc rc);
const char *rc_name(enum rc rc); /* "not_found" */
const char *rc_text(enum rc rc);
/* The code of that name, RC_INTERNAL for an unknown one. */
enum rc rc_from_name(const char *name);

/* The static analyzer does not look into other files: this tells it that whoever reports an error does not
 * return RC_OK. */
#ifdef __clang_analyzer__
void err_described(const char *format, ...);
static inline enum rc err_analyzed(const struct err *err, enum rc code) {
    (void)err;
    return code == RC_OK ? RC_INTERNAL : code;
}
#define err_set(err, code, ...) (err_described(__VA_ARGS__), err_analyzed(err, code))
#define err_prefix(err, ...)    (err_described(__VA_ARGS__), err_analyzed(err, RC_INTERNAL))
#define err_memory(err)         err_analyzed(err, RC_MEMORY)
#endif

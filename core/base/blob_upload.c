#include "core/base/blob_upload.h"

#include <stdbool.h>
#include <stdio.h>
#include <time.h>

#include "core/base/file.h"

enum { TRIES = 6, FIRST_PAUSE_MS = 500, ASK_MS = 120 * 1000, PATH_SIZE = 96 };

/* What of it is there: *offset of `bytes`; bytes when it is whole. */
static enum rc ask_offset(struct http_client *c, const char *path, uint64_t bytes, uint64_t *offset,
                          struct err *err) {
    struct http_answer answer;
    http_answer_init(&answer);
    enum rc rc = http_client_send(c, "HEAD", path, NULL, NULL, 0, ASK_MS, &answer, err);
    if (rc == RC_OK) {
        *offset = answer.status == 200 ? bytes : answer.upload_offset < bytes ? answer.upload_offset : 0;
    }
    http_answer_free(&answer);
    return rc;
}

/* *reached: the service answered. */
static enum rc send_rest(struct http_client *c, const char *sha256, const char *file,
                         void (*on_progress)(void *user, uint64_t sent, uint64_t total), void *user,
                         bool *reached, struct err *err) {
    char path[PATH_SIZE];
    uint64_t bytes = 0, offset = 0;
    snprintf(path, sizeof(path), "/v1/blobs/%s", sha256);
    enum rc rc = file_size(file, &bytes, err);
    if (rc == RC_OK) {
        rc = ask_offset(c, path, bytes, &offset, err);
    }
    if (rc != RC_OK) {
        return rc;
    }
    *reached = true;
    if (offset == bytes && bytes > 0) {
        return RC_OK;
    }
    rc = http_client_upload(c, path, file, offset, on_progress, user, err);
    return rc == RC_CONFLICT ? (err->rc = RC_BUSY) : rc; /* somebody else sends it: later it may be there */
}

enum rc blob_upload_once(struct http_client *c, const char *sha256, const char *file,
                         void (*on_progress)(void *user, uint64_t sent, uint64_t total), void *user,
                         struct err *err) {
    bool reached = false;
    return send_rest(c, sha256, file, on_progress, user, &reached, err);
}

static bool worth_repeating(enum rc rc) {
    return rc == RC_IO || rc == RC_TIMEOUT || rc == RC_BUSY;
}

enum rc blob_upload(struct http_client *c, const char *sha256, const char *file,
                    void (*on_progress)(void *user, uint64_t sent, uint64_t total), void *user,
                    struct err *err) {
    long pause_ms = FIRST_PAUSE_MS;
    bool reached = false;
    enum rc rc = send_rest(c, sha256, file, on_progress, user, &reached, err);
    for (int i = 1; reached && worth_repeating(rc) && i < TRIES; i++, pause_ms *= 2) {
        const struct timespec pause = {.tv_sec = pause_ms / 1000, .tv_nsec = pause_ms % 1000 * 1000000};
        nanosleep(&pause, NULL);
        rc = send_rest(c, sha256, file, on_progress, user, &reached, err);
    }
    return rc;
}

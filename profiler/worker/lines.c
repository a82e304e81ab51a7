/* lines.c -- see lines.h. */
#include "profiler/worker/lines.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/clock.h"

static const uint64_t PROGRESS_NS = 100000000;

enum rc lines_open(struct lines *l, struct err *err) {
    *l = (struct lines){.fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3)};
    if (l->fd < 0 || dup2(STDERR_FILENO, STDOUT_FILENO) < 0) {
        return err_set(err, RC_IO, "standard output cannot be kept aside: %s", strerror(errno));
    }
    pthread_mutex_init(&l->lock, NULL);
    return RC_OK;
}

void lines_close(struct lines *l) {
    if (l->fd >= 0) {
        close(l->fd);
        l->fd = -1;
        pthread_mutex_destroy(&l->lock);
    }
}

static enum rc write_all(int fd, const char *data, size_t size, struct err *err) {
    while (size > 0) {
        ssize_t n = write(fd, data, size);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return err_set(err, RC_IO, "standard output: %s", strerror(errno));
        }
        data += n;
        size -= (size_t)n;
    }
    return RC_OK;
}

/* Writes `line` (a reference that is given away) and a newline in one piece. */
static enum rc write_line(struct lines *l, json_t *line, struct err *err) {
    char *text = line ? json_dumps(line, JSON_COMPACT | JSON_REAL_PRECISION(12)) : NULL;
    json_decref(line);
    if (!text) {
        return err_memory(err);
    }
    size_t size = strlen(text);
    text[size] = '\n'; /* in place of the NUL: the newline is part of the same write */
    pthread_mutex_lock(&l->lock);
    enum rc rc = write_all(l->fd, text, size + 1, err);
    pthread_mutex_unlock(&l->lock);
    free(text);
    return rc;
}

void lines_progress(void *user, double fraction, const char *text) {
    struct lines *l = user;
    uint64_t now = clock_mono_ns();
    pthread_mutex_lock(&l->lock);
    bool due = fraction >= 1 || l->last_progress_ns == 0 || now - l->last_progress_ns >= PROGRESS_NS;
    if (due) {
        l->last_progress_ns = now;
    }
    pthread_mutex_unlock(&l->lock);
    if (!due) {
        return;
    }
    double bounded = fraction > 0 ? (fraction < 1 ? fraction : 1) : 0;
    struct err ignored;
    /* A reader that is gone shows again, as an error, with the result. */
    (void)!write_line(
        l, json_pack("{s:s, s:f, s:s}", "type", "progress", "fraction", bounded, "text", text ? text : ""),
        &ignored);
}

enum rc lines_result(struct lines *l, json_t *result, json_t *files, struct err *err) {
    json_t *line = files ? json_pack("{s:s, s:O, s:O}", "type", "result", "result", result, "files", files)
                         : json_pack("{s:s, s:O, s:[]}", "type", "result", "result", result, "files");
    return write_line(l, line, err);
}

/* The text of an error may quote bytes of a hostile file that are not UTF-8. */
static void keep_ascii(char *text) {
    for (; *text; text++) {
        if ((unsigned char)*text >= 0x80 || (unsigned char)*text < 0x20) {
            *text = '?';
        }
    }
}

void lines_error(struct lines *l, const struct err *reason) {
    char text[sizeof(reason->text)];
    memcpy(text, reason->text, sizeof(text));
    json_t *probe = json_string(text);
    if (!probe) {
        keep_ascii(text);
    }
    json_decref(probe);
    struct err ignored;
    (void)!write_line(
        l,
        json_pack("{s:s, s:{s:s, s:s}}", "type", "error", "error", "code", rc_name(reason->rc), "text", text),
        &ignored);
}

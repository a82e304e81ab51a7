/* worker_lines.c -- see worker_lines.h. */
#include "profiler/agent/worker_lines.h"

#include <stdio.h>
#include <string.h>

#include "core/base/json.h"

void worker_lines_init(struct worker_lines *l) {
    *l = (struct worker_lines){0};
    buf_init(&l->line, WORKER_LINES_LINE_BYTES);
}

void worker_lines_release(struct worker_lines *l) {
    buf_free(&l->line);
    json_decref(l->result);
    json_decref(l->files);
    *l = (struct worker_lines){0};
}

static enum rc take_progress(struct worker_lines *l, const json_t *line, struct err *err) {
    double fraction = 0;
    const char *text = "";
    char cut[WORKER_LINES_TEXT];
    enum rc rc = json_get_number(line, "fraction", &fraction, err);
    if (rc != RC_OK || (rc = json_opt_string(line, "text", &text, err)) != RC_OK) {
        return rc;
    }
    snprintf(cut, sizeof(cut), "%s", text);
    if (l->on_progress) {
        l->on_progress(l->user, fraction >= 0 && fraction <= 1 ? fraction : 0, cut);
    }
    return RC_OK;
}

static enum rc take_result(struct worker_lines *l, const json_t *line, struct err *err) {
    json_t *result = NULL;
    json_t *files = NULL;
    enum rc rc = json_get_object(line, "result", &result, err);
    if (rc != RC_OK || (rc = json_get_array(line, "files", &files, err)) != RC_OK) {
        return rc;
    }
    l->result = json_incref(result);
    l->files = json_incref(files);
    l->answered = true;
    return RC_OK;
}

static enum rc take_error(struct worker_lines *l, const json_t *line, struct err *err) {
    json_t *error = NULL;
    const char *code = NULL;
    const char *text = NULL;
    enum rc rc = json_get_object(line, "error", &error, err);
    if (rc != RC_OK || (rc = json_get_string(error, "code", &code, err)) != RC_OK ||
        (rc = json_get_string(error, "text", &text, err)) != RC_OK) {
        return rc;
    }
    enum rc reason = rc_from_name(code);
    bool not_its_own = reason == RC_OK || reason == RC_CANCELLED || reason == RC_BUSY; /* would be repeated */
    err_set(&l->reason, not_its_own ? RC_INTERNAL : reason, "%s", text);
    l->answered = true;
    return RC_OK;
}

static enum rc take_line(struct worker_lines *l, const char *text, size_t size, struct err *err) {
    json_t *line = NULL;
    const char *type = NULL;
    enum rc rc = json_parse(text, size, &line, err);
    if (rc == RC_OK) {
        rc = json_get_string(line, "type", &type, err);
    }
    if (rc == RC_OK && l->answered) {
        rc = err_set(err, RC_INTERNAL, "a line after the answer");
    } else if (rc == RC_OK && strcmp(type, "progress") == 0) {
        rc = take_progress(l, line, err);
    } else if (rc == RC_OK && strcmp(type, "result") == 0) {
        rc = take_result(l, line, err);
    } else if (rc == RC_OK && strcmp(type, "error") == 0) {
        rc = take_error(l, line, err);
    } else if (rc == RC_OK) {
        rc = err_set(err, RC_INTERNAL, "a line of type \"%.40s\"", type);
    }
    json_decref(line);
    if (rc != RC_OK) { /* whatever is wrong with it, it is not the user's input */
        err->rc = RC_INTERNAL;
        return err_prefix(err, "the worker's output");
    }
    return RC_OK;
}

enum rc worker_lines_add(struct worker_lines *l, const char *data, size_t size, struct err *err) {
    l->total += size;
    if (l->total > WORKER_LINES_TOTAL_BYTES) {
        return err_set(err, RC_TOO_LARGE, "the worker wrote more than %d MiB",
                       WORKER_LINES_TOTAL_BYTES >> 20);
    }
    while (size > 0) {
        const char *newline = memchr(data, '\n', size);
        size_t part = newline ? (size_t)(newline - data) : size;
        enum rc rc = buf_add(&l->line, data, part, err);
        if (rc == RC_OK && newline) {
            rc = take_line(l, l->line.data ? l->line.data : "", l->line.size, err);
            buf_clear(&l->line);
            part++;
        }
        if (rc != RC_OK) {
            return rc;
        }
        data += part;
        size -= part;
    }
    return RC_OK;
}

/* roofline.c -- see roofline.h. The file holds {"key": {...}, "roofline": {...}}. */
#include "profiler/agent/roofline.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/file.h"
#include "core/base/json.h"
#include "core/base/log.h"
#include "profiler/agent/machine_type.h"
#include "profiler/agent/worker_process.h"

enum { FILE_BYTES_MAX = 64 * 1024, PATH_SIZE = 4200, CALIBRATE_MS = 60000 };

/* What the figures depend on. */
static enum rc key_of(const json_t *fingerprint, json_t **ret, struct err *err) {
    struct machine_type type;
    const json_t *runtimes = json_object_get(fingerprint, "runtimes");
    enum rc rc = machine_type_of(fingerprint, &type, err);
    if (rc != RC_OK) {
        return rc;
    }
    *ret = json_pack("{s:s, s:s, s:s}", "machine_type", type.id, "runtime",
                     json_shown_text(runtimes, "onnxruntime"), "pare", PARE_VERSION);
    return *ret ? RC_OK : err_memory(err);
}

/* NULL when there is none of that key. */
static json_t *kept(const char *path, const json_t *key) {
    struct err err;
    char *text = NULL;
    size_t size = 0;
    json_t *file = NULL, *roofline = NULL;
    if (file_read(path, FILE_BYTES_MAX, &text, &size, &err) == RC_OK &&
        json_parse(text, size, &file, &err) == RC_OK && json_equal(json_object_get(file, "key"), key)) {
        roofline = json_object_get(file, "roofline");
    }
    roofline = json_is_object(roofline) ? json_incref(roofline) : NULL;
    json_decref(file);
    free(text);
    return roofline;
}

static void keep(const char *path, const json_t *key, const json_t *roofline) {
    struct err err = {0};
    json_t *file = json_pack("{s:O, s:O}", "key", key, "roofline", roofline);
    char *text = file ? json_text(file) : NULL;
    if (!text || file_write(path, text, strlen(text), 0600, &err) != RC_OK) {
        char quoted[256];
        log_event(LOG_WARN, "roofline_not_kept", " text=%s", log_quote(err.text, quoted, sizeof(quoted)));
    }
    free(text);
    json_decref(file);
}

static enum rc measure(const struct roofline_opts *opts, json_t **ret, struct err *err) {
    const char *const args[] = {"--calibrate", NULL};
    struct worker_process_outcome outcome;
    const struct worker_process_opts process = {
        .program = opts->worker, .args = args, .folder = opts->jobs_folder, .timeout_ms = CALIBRATE_MS};
    enum rc rc = worker_process_run(&process, &outcome, err);
    if (rc == RC_OK) {
        *ret = json_incref(outcome.result);
    } else {
        err_prefix(err, "pare-worker --calibrate");
    }
    worker_process_outcome_release(&outcome);
    return rc;
}

enum rc roofline_get(const struct roofline_opts *opts, const json_t *fingerprint, json_t **ret,
                     struct err *err) {
    char path[PATH_SIZE];
    json_t *key = NULL, *roofline = NULL;
    if (snprintf(path, sizeof(path), "%s/roofline.json", opts->folder) >= (int)sizeof(path)) {
        return err_set(err, RC_INPUT, "the path of the cache folder is too long");
    }
    enum rc rc = key_of(fingerprint, &key, err);
    if (rc == RC_OK && !(roofline = kept(path, key))) {
        rc = measure(opts, &roofline, err);
        if (rc == RC_OK) {
            keep(path, key, roofline);
        }
    }
    json_decref(key);
    if (rc == RC_OK) {
        *ret = roofline;
    }
    return rc;
}

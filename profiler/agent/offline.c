/* offline.c -- see offline.h. */
#include "profiler/agent/offline.h"

#include <limits.h>
#include <sodium.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/file.h"
#include "core/base/json.h"
#include "core/base/sha256.h"
#include "core/formats/results_file.h"
#include "profiler/agent/count_passes.h"
#include "profiler/agent/fingerprint.h"
#include "profiler/agent/roofline.h"
#include "profiler/agent/worker_process.h"

enum { BUNDLE_BYTES_MAX = 64 << 20, MAX_DEPTH = 16, PROBE_MS = 300 * 1000, PATH_SIZE = PATH_MAX };
static const double MEMORY_SHARE = 0.75; /* of this machine, for one worker */

struct offline {
    const struct offline_opts *opts;
    char folder[PATH_SIZE], work[PATH_SIZE], worker[PATH_SIZE], results[PATH_SIZE];
    json_t *bundle, *fingerprint, *said; /* owned; said: the "jobs" of the results */
    char **paths;                        /* owned: files of the results, in order */
    size_t path_count;
    uint8_t secret_key[RESULTS_FILE_SECRET_KEY];
};

/* ---- the bundle ---- */

static enum rc join(char ret[PATH_SIZE], const char *folder, const char *name, struct err *err) {
    return snprintf(ret, PATH_SIZE, "%s/%s", folder, name) < PATH_SIZE
               ? RC_OK
               : err_set(err, RC_INPUT, "the path is too long: %.100s...", folder);
}

static enum rc read_key(struct offline *o, struct err *err) {
    const char *hex = NULL;
    size_t size = 0;
    enum rc rc = json_get_string(o->bundle, "secret_key", &hex, err);
    if (rc != RC_OK) {
        return rc;
    }
    if (sodium_hex2bin(o->secret_key, sizeof(o->secret_key), hex, strlen(hex), NULL, &size, NULL) != 0 ||
        size != sizeof(o->secret_key)) {
        return err_set(err, RC_INPUT, "field \"secret_key\": not %zu bytes in hexadecimal",
                       sizeof(o->secret_key));
    }
    return RC_OK;
}

static enum rc read_bundle(struct offline *o, struct err *err) {
    char path[PATH_SIZE];
    char *text = NULL;
    size_t size = 0;
    int64_t format = 0;
    enum rc rc = join(path, o->folder, "bundle.json", err);
    if (rc != RC_OK || (rc = file_read(path, BUNDLE_BYTES_MAX, &text, &size, err)) != RC_OK) {
        return rc;
    }
    rc = json_parse(text, size, &o->bundle, err);
    free(text);
    if (rc != RC_OK || (rc = json_get_int(o->bundle, "format", 1, 1, &format, err)) != RC_OK ||
        (rc = read_key(o, err)) != RC_OK) {
        return err_prefix(err, "%s", path);
    }
    return RC_OK;
}

static enum rc open_folders(struct offline *o, struct err *err) {
    if (!realpath(o->opts->folder, o->folder)) {
        return file_error(o->opts->folder, err);
    }
    enum rc rc = join(o->work, o->folder, "work", err);
    if (rc != RC_OK || (rc = join(o->worker, o->folder, "bin/pare-worker", err)) != RC_OK ||
        (rc = join(o->results, o->folder, "results.pare", err)) != RC_OK ||
        (rc = file_remove_tree(o->work, err)) != RC_OK || (rc = file_make_folder(o->work, err)) != RC_OK) {
        return rc;
    }
    if (o->opts->results) {
        snprintf(o->results, sizeof(o->results), "%s", o->opts->results);
    }
    return read_bundle(o, err);
}

/* Every object with "sha256" and "path" gets "local": a file of the bundle, checked against its hash. */
static enum rc locate_files(const struct offline *o, json_t *value, unsigned depth, struct err *err) {
    const char *sha256 = json_string_value(json_object_get(value, "sha256"));
    const char *key;
    json_t *child;
    size_t i;
    enum rc rc = depth > MAX_DEPTH
                     ? err_set(err, RC_INPUT, "a job is nested deeper than %d levels", MAX_DEPTH)
                     : RC_OK;
    if (rc == RC_OK && sha256 && json_is_string(json_object_get(value, "path"))) {
        char path[PATH_SIZE];
        char hex[SHA256_HEX_SIZE];
        size_t bytes = 0;
        if (!sha256_is_hex(sha256)) {
            return err_set(err, RC_INPUT, "a job names a file by something that is no hash");
        }
        snprintf(path, sizeof(path), "%.*s/blobs/%s", (int)(PATH_SIZE - 80), o->folder, sha256);
        if ((rc = sha256_of_file(path, hex, &bytes, err)) != RC_OK) {
            return rc;
        }
        if (strcmp(hex, sha256) != 0) {
            return err_set(err, RC_INPUT, "%s is not what the bundle packed: unpack the bundle again", path);
        }
        rc = json_object_set_new(value, "local", json_string(path)) == 0 ? RC_OK : err_memory(err);
    }
    json_object_foreach(value, key, child) {
        rc = rc == RC_OK ? locate_files(o, child, depth + 1, err) : rc;
    }
    json_array_foreach(value, i, child) {
        rc = rc == RC_OK ? locate_files(o, child, depth + 1, err) : rc;
    }
    return rc;
}

/* ---- this machine ---- */

static enum rc describe_machine(struct offline *o, struct err *err) {
    const char *const args[] = {"--probe", NULL};
    struct worker_process_outcome outcome;
    const struct worker_process_opts opts = {
        .program = o->worker, .args = args, .folder = o->work, .timeout_ms = PROBE_MS};
    enum rc rc = worker_process_run(&opts, &outcome, err);
    if (rc == RC_OK) {
        rc = fingerprint_take(outcome.result, &o->fingerprint, err);
    } else {
        err_prefix(err, "pare-worker --probe");
    }
    worker_process_outcome_release(&outcome);
    return rc;
}

static enum rc add_roofline(struct offline *o, struct err *err) {
    json_t *roofline = NULL;
    const struct roofline_opts opts = {.worker = o->worker, .folder = o->folder, .jobs_folder = o->work};
    struct err why;
    if (json_is_false(json_object_get(o->bundle, "roofline")) ||
        roofline_get(&opts, o->fingerprint, &roofline, &why) != RC_OK) {
        roofline = json_null();
    }
    return json_object_set_new(o->fingerprint, "roofline", roofline) == 0 ? RC_OK : err_memory(err);
}

static int64_t cores_of(const struct offline *o) {
    int64_t cores = json_integer_value(json_object_get(json_object_get(o->fingerprint, "cpu"), "cores"));
    int64_t most = json_integer_value(json_object_get(o->bundle, "threads"));
    cores = cores > 0 ? cores : 1;
    return most > 0 && most < cores ? most : cores;
}

/* ---- one job ---- */

/* The settings that the job's layout means on this machine; NULL for one that is the same as another here. */
static json_t *runtime_of(const struct offline *o, const json_t *job) {
    const char *layout = json_shown_text(job, "layout");
    int64_t cores = cores_of(o);
    int64_t batch = json_integer_value(json_object_get(job, "batch"));
    bool each = strcmp(layout, "each") == 0;
    if (each && cores == 1) {
        return NULL;
    }
    return json_pack("{s:I, s:I, s:I}", "instances", (json_int_t)(each ? cores : 1), "threads",
                     (json_int_t)(each ? 1 : cores), "batch", (json_int_t)(batch > 0 ? batch : 1));
}

static enum rc prepare_spec(const struct offline *o, json_t *spec, json_t *runtime, struct err *err) {
    json_t *limits = json_object_get(spec, "limits");
    double memory = json_number_value(json_object_get(o->fingerprint, "memory_bytes")) * MEMORY_SHARE;
    if (json_object_set(spec, "runtime", runtime) != 0 || !json_is_object(limits) ||
        json_object_set_new(limits, "memory_bytes", json_integer((json_int_t)memory)) != 0) {
        return err_set(err, RC_INPUT, "a job has no limits");
    }
    return locate_files(o, spec, 0, err);
}

static enum rc run_worker(const struct offline *o, const char *folder, const json_t *spec,
                          struct worker_process_outcome *outcome, struct err *err) {
    char sandbox[32];
    const char *const args[] = {sandbox, NULL};
    int64_t cpu_s = json_integer_value(json_object_get(json_object_get(spec, "limits"), "cpu_s"));
    char *input = json_dumps(spec, JSON_COMPACT);
    if (!input) {
        return err_memory(err);
    }
    snprintf(sandbox, sizeof(sandbox), "--sandbox=%s", o->opts->sandbox ? o->opts->sandbox : "allow");
    const struct worker_process_opts opts = {.program = o->worker,
                                             .args = args,
                                             .folder = folder,
                                             .input = input,
                                             .timeout_ms = cpu_s > 0 ? (uint64_t)cpu_s * 2000 : 0};
    enum rc rc = worker_process_run(&opts, outcome, err);
    free(input);
    return rc == RC_OK ? count_passes_run(&opts, spec, outcome->result, err) : rc;
}

/* Completes the entry of a file that the worker wrote, and keeps its path. */
static enum rc take_file(struct offline *o, const char *folder, json_t *entry, struct err *err) {
    const char *name = json_shown_text(entry, "path");
    char path[PATH_SIZE];
    char sha256[SHA256_HEX_SIZE];
    size_t bytes = 0;
    struct stat st;
    if (name[0] == '\0' || name[0] == '.' || strchr(name, '/')) {
        return err_set(err, RC_INTERNAL, "the worker named a file \"%.80s\"", name);
    }
    enum rc rc = join(path, folder, name, err);
    if (rc == RC_OK && (lstat(path, &st) != 0 || !S_ISREG(st.st_mode))) {
        rc = err_set(err, RC_INTERNAL, "the worker named %.80s, which is not a file that it wrote", name);
    }
    if (rc != RC_OK || (rc = sha256_of_file(path, sha256, &bytes, err)) != RC_OK) {
        return rc;
    }
    char **paths = realloc(o->paths, (o->path_count + 1) * sizeof(*paths));
    o->paths = paths ? paths : o->paths;
    char *kept = strdup(path);
    if (!paths || !kept || json_object_set_new(entry, "sha256", json_string(sha256)) != 0 ||
        json_object_set_new(entry, "bytes", json_integer((json_int_t)bytes)) != 0) {
        free(kept);
        return err_memory(err);
    }
    o->paths[o->path_count++] = kept;
    return RC_OK;
}

static enum rc take_files(struct offline *o, const char *folder, json_t *files, struct err *err) {
    size_t first = o->path_count;
    enum rc rc = json_array_size(files) <= RESULTS_FILE_MAX_FILES
                     ? RC_OK
                     : err_set(err, RC_INTERNAL, "the worker named %zu files", json_array_size(files));
    for (size_t i = 0; rc == RC_OK && i < json_array_size(files); i++) {
        rc = take_file(o, folder, json_array_get(files, i), err);
    }
    while (rc != RC_OK && o->path_count > first) { /* the job fails: none of its files is delivered */
        free(o->paths[--o->path_count]);
    }
    return rc;
}

/* What the results say about a job. */
static enum rc say(struct offline *o, const json_t *job, json_t *runtime,
                   const struct worker_process_outcome *outcome, const struct err *failure, struct err *err) {
    json_t *entry = json_pack("{s:O, s:O, s:O}", "id", json_object_get(job, "id"), "token",
                              json_object_get(job, "token"), "runtime", runtime);
    json_t *part = failure->rc == RC_OK
                       ? json_pack("{s:O, s:O}", "result", outcome->result, "files", outcome->files)
                       : json_pack("{s:{s:s, s:s}, s:s}", "error", "code", rc_name(failure->rc), "text",
                                   failure->text, "log", outcome->log);
    enum rc rc =
        entry && part && json_object_update(entry, part) == 0 && json_array_append(o->said, entry) == 0
            ? RC_OK
            : err_memory(err);
    json_decref(part);
    json_decref(entry);
    return rc;
}

static enum rc run_job(struct offline *o, const json_t *job, size_t index, struct err *err) {
    char folder[PATH_SIZE], name[32];
    struct worker_process_outcome outcome = {0};
    struct err failure = {0};
    json_t *runtime = runtime_of(o, job);
    if (!runtime) {
        return RC_OK;
    }
    json_t *spec = json_deep_copy(json_object_get(job, "spec"));
    snprintf(name, sizeof(name), "job-%zu", index);
    enum rc rc = spec ? join(folder, o->work, name, err) : err_memory(err);
    if (rc == RC_OK && (rc = file_make_folder(folder, err)) == RC_OK &&
        (rc = prepare_spec(o, spec, runtime, err)) == RC_OK) {
        rc = run_worker(o, folder, spec, &outcome, &failure);
        rc = rc == RC_OK ? take_files(o, folder, outcome.files, &failure) : rc;
        failure.rc = rc;
        printf("%s: %s\n", json_shown_text(job, "label"), rc == RC_OK ? "measured" : failure.text);
        fflush(stdout);
        rc = say(o, job, runtime, &outcome, &failure, err);
    }
    worker_process_outcome_release(&outcome);
    json_decref(spec);
    json_decref(runtime);
    return rc;
}

/* ---- the whole ---- */

static enum rc run_jobs(struct offline *o, struct err *err) {
    json_t *jobs = NULL;
    enum rc rc = json_get_array(o->bundle, "jobs", &jobs, err);
    for (size_t i = 0; rc == RC_OK && i < json_array_size(jobs); i++) {
        rc = run_job(o, json_array_get(jobs, i), i, err);
    }
    return rc;
}

static enum rc write_results(const struct offline *o, struct err *err) {
    char host[128] = "unnamed";
    if (o->opts->name) {
        snprintf(host, sizeof(host), "%s", o->opts->name);
    } else if (gethostname(host, sizeof(host) - 1) != 0 || host[0] == '\0') {
        snprintf(host, sizeof(host), "unnamed");
    }
    json_t *head = json_pack("{s:i, s:O, s:{s:s, s:O}, s:O}", "format", 1, "bundle",
                             json_object_get(o->bundle, "bundle"), "target", "name", host, "fingerprint",
                             o->fingerprint, "jobs", o->said);
    enum rc rc = head ? results_file_write(o->results, head, (const char *const *)o->paths, o->path_count,
                                           o->secret_key, err)
                      : err_memory(err);
    json_decref(head);
    if (rc == RC_OK) {
        printf("results: %s; take them back with: pare import %s\n", o->results, file_base_name(o->results));
    }
    return rc;
}

enum rc offline_run(const struct offline_opts *opts, struct err *err) {
    struct offline *o = calloc(1, sizeof(*o));
    if (!o) {
        return err_memory(err);
    }
    o->opts = opts;
    o->said = json_array();
    enum rc rc = o->said ? open_folders(o, err) : err_memory(err);
    if (rc == RC_OK && (rc = describe_machine(o, err)) == RC_OK && (rc = add_roofline(o, err)) == RC_OK &&
        (rc = run_jobs(o, err)) == RC_OK) {
        rc = write_results(o, err);
    }
    if (rc == RC_OK) {
        struct err ignored;
        (void)!file_remove_tree(o->work, &ignored);
    }
    for (size_t i = 0; i < o->path_count; i++) {
        free(o->paths[i]);
    }
    free(o->paths);
    json_decref(o->bundle);
    json_decref(o->fingerprint);
    json_decref(o->said);
    sodium_memzero(o->secret_key, sizeof(o->secret_key));
    free(o);
    return rc;
}

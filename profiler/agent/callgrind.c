/* callgrind.c -- see callgrind.h. */
#include "profiler/agent/callgrind.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/file.h"

enum { FILE_BYTES_MAX = 256 << 20, DEFAULT_RUNS = 1, PATH_SIZE = PATH_MAX };
static const char OUT[] = "callgrind.out";

static bool is_installed(void) {
    char paths[PATH_SIZE], path[PATH_SIZE];
    char *next = NULL;
    snprintf(paths, sizeof(paths), "%s", getenv("PATH") ? getenv("PATH") : "/usr/bin");
    for (char *folder = strtok_r(paths, ":", &next); folder; folder = strtok_r(NULL, ":", &next)) {
        if (snprintf(path, sizeof(path), "%s/valgrind", folder) < PATH_SIZE && access(path, X_OK) == 0) {
            return true;
        }
    }
    return false;
}

bool callgrind_total(const char *text, double *ret) {
    static const char *const keys[] = {"\ntotals: ", "\nsummary: "};
    for (size_t i = 0; i < 2; i++) {
        const char *at = strstr(text, keys[i]);
        char *end = NULL;
        double value = at ? strtod(at + strlen(keys[i]), &end) : 0;
        if (at && end != at + strlen(keys[i]) && value > 0) {
            *ret = value;
            return true;
        }
    }
    return false;
}

/* The same configuration with one instance of one thread: what other threads do would not be collected. */
static char *make_input(const json_t *spec) {
    json_t *job = json_deep_copy(spec);
    json_t *runtime = json_object_get(job, "runtime");
    char *text = NULL;
    if (json_is_object(runtime) && json_object_set_new(runtime, "instances", json_integer(1)) == 0 &&
        json_object_set_new(runtime, "threads", json_integer(1)) == 0 &&
        json_object_set_new(job, "count",
                            json_pack("{s:s, s:i}", "by", "callgrind", "runs", (int)DEFAULT_RUNS)) == 0) {
        text = json_dumps(job, JSON_COMPACT);
    }
    json_decref(job);
    return text;
}

static enum rc read_total(const char *folder, double *ret, struct err *err) {
    char path[PATH_SIZE];
    char *text = NULL;
    size_t size = 0;
    snprintf(path, sizeof(path), "%.*s/%s", (int)(PATH_SIZE - 32), folder, OUT);
    enum rc rc = file_read(path, FILE_BYTES_MAX, &text, &size, err);
    if (rc == RC_OK && !callgrind_total(text, ret)) {
        rc = err_set(err, RC_INTERNAL, "callgrind collected nothing");
    }
    free(text);
    unlink(path);
    return rc;
}

enum rc callgrind_count(const struct worker_process_opts *opts, const json_t *spec, double *ret,
                        struct err *err) {
    /* pare-worker starts itself again to have one thread, which valgrind cannot follow: it is told that it
     * has. */
    char out[64];
    const char *const args[] = {"PARE_WORKER_RESTARTED=1",
                                "OPENBLAS_NUM_THREADS=1",
                                "valgrind",
                                "--tool=callgrind",
                                "--toggle-collect=counting_marked",
                                out,
                                opts->program,
                                opts->args ? opts->args[0] : NULL,
                                NULL};
    struct worker_process_opts run = *opts;
    struct worker_process_outcome outcome = {0};
    double total = 0;
    if (json_integer_value(json_object_get(json_object_get(spec, "runtime"), "batch")) > 1) {
        return err_set(err, RC_UNSUPPORTED,
                       "callgrind counts batches of one example: larger ones would take an hour");
    }
    if (!is_installed()) {
        return err_set(err, RC_NOT_FOUND, "valgrind is not installed on this machine");
    }
    char *input = make_input(spec);
    if (!input) {
        return err_memory(err);
    }
    snprintf(out, sizeof(out), "--callgrind-out-file=%s", OUT);
    run.program = "/usr/bin/env";
    run.args = args;
    run.input = input;
    enum rc rc = worker_process_run(&run, &outcome, err);
    if (rc == RC_OK && (rc = read_total(opts->folder, &total, err)) == RC_OK) {
        double inferences =
            json_number_value(json_object_get(json_object_get(outcome.result, "counters"), "inferences"));
        *ret = total / (inferences >= 1 ? inferences : 1);
        rc = inferences >= 1 ? RC_OK : err_set(err, RC_INTERNAL, "the worker did not say how often it ran");
    }
    worker_process_outcome_release(&outcome);
    free(input);
    return rc;
}

/* main.c -- pare-worker: reads one job on standard input, confines itself, runs it in its working directory,
 * and says how it went on standard output (docs/protocol.md). It is the only process that opens a model.
 *
 * Order (DESIGN section 2): the job is parsed, because it names the files that may be read; counters and
 * /proc/self/clear_refs are opened, which is not possible later; then the sandbox; only then anything from
 * outside is opened. */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/buf.h"
#include "core/base/loaded.h"
#include "profiler/worker/calibrate.h"
#include "profiler/worker/counters.h"
#include "profiler/worker/counting.h"
#include "profiler/worker/memory.h"
#include "profiler/worker/probe.h"
#include "profiler/worker/sandbox.h"
#include "profiler/worker/self_test.h"
#include "profiler/worker/single_thread.h"
#include "profiler/worker/worker_job.h"
#include "runtimes/llama_lm.h"

enum { JOB_MAX_BYTES = 8 << 20 };

enum mode { MODE_JOB, MODE_PROBE, MODE_CALIBRATE, MODE_SELF_TEST };

struct arguments {
    enum mode mode;
    bool require;
};

static const char USAGE[] =
    "usage: pare-worker [--sandbox=allow|require] < job.json     run one job in the working directory\n"
    "       pare-worker --probe                                  tell what this machine grants, as JSON\n"
    "       pare-worker --calibrate                              measure how fast this machine can be, as "
    "JSON\n"
    "       pare-worker --self-test-sandbox                      try to break out, and tell what was "
    "blocked\n"
    "       pare-worker --version | --libraries\n"
    "Example: pare-worker --probe\n";

/* Returns -1 to go on, or the exit code. */
static int read_arguments(int argc, char **argv, struct arguments *ret) {
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--probe") == 0) {
            ret->mode = MODE_PROBE;
        } else if (strcmp(argv[i], "--calibrate") == 0) {
            ret->mode = MODE_CALIBRATE;
        } else if (strcmp(argv[i], "--self-test-sandbox") == 0) {
            ret->mode = MODE_SELF_TEST;
        } else if (strcmp(argv[i], "--sandbox=require") == 0) {
            ret->require = true;
        } else if (strcmp(argv[i], "--sandbox=allow") == 0) {
            ret->require = false;
        } else if (strcmp(argv[i], "--version") == 0) {
            printf("pare-worker %s\n", PARE_VERSION);
            return 0;
        } else if (strcmp(argv[i], "--libraries") == 0) {
            loaded_print();
            return 0;
        } else if (strcmp(argv[i], "--help") == 0) {
            fputs(USAGE, stdout);
            return 0;
        } else {
            fprintf(stderr, "pare-worker: unknown option %s\n%s", argv[i], USAGE);
            return 2;
        }
    }
    return -1;
}

static enum rc read_input(struct buf *b, struct err *err) {
    for (;;) {
        enum rc rc = buf_reserve(b, 65536, err);
        if (rc != RC_OK) {
            return err_prefix(err, "the job on standard input");
        }
        ssize_t n = read(STDIN_FILENO, b->data + b->size, 65536);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return err_set(err, RC_IO, "standard input: %s", strerror(errno));
        }
        if (n == 0) {
            return RC_OK;
        }
        b->size += (size_t)n;
    }
}

static enum rc read_job(struct job_spec *ret, struct err *err) {
    struct buf text;
    buf_init(&text, JOB_MAX_BYTES);
    enum rc rc = read_input(&text, err);
    if (rc == RC_OK) {
        rc = job_spec_read(text.data ? text.data : "", text.size, ret, err);
    }
    buf_free(&text);
    return rc;
}

static enum rc dispatch(struct worker_job *job, struct err *err) {
    switch (job->spec->kind) {
    case JOB_INSPECT:
        return inspect_run(job, err);
    case JOB_COMPRESS:
        return compress_run(job, err);
    case JOB_EVALUATE:
        return evaluate_run(job, err);
    case JOB_PROFILE:
        return profile_run(job, err);
    case JOB_COMPARE:
        return replicate_run(job, err);
    }
    return err_set(err, RC_INTERNAL, "unknown kind of job");
}

/* The backends of libllama are loaded before the sandbox: their choice looks at files beside the library. */
static enum rc open_libraries(const struct job_spec *spec, struct err *err) {
    return spec->model.family == FAMILY_GGUF && llama_lm_available() ? llama_lm_open_libraries(err) : RC_OK;
}

static enum rc run_confined(struct worker_job *job, bool require, struct err *err) {
    struct sandbox_report report;
    const struct job_spec *spec = job->spec;
    char *folder = getcwd(NULL, 0);
    if (!folder) {
        return err_set(err, RC_IO, "the working directory: %s", strerror(errno));
    }
    const struct sandbox_opts opts = {.inputs = spec->inputs,
                                      .input_count = spec->input_count,
                                      .folder = folder,
                                      .limits = spec->limits,
                                      .require = require};
    enum rc rc = open_libraries(spec, err);
    if (rc == RC_OK) {
        rc = sandbox_enter(&opts, &report, err);
    }
    free(folder);
    if (rc != RC_OK || (rc = dispatch(job, err)) != RC_OK ||
        (rc = worker_job_set(job, "sandbox", sandbox_report_json(&report), err)) != RC_OK) {
        return rc;
    }
    return lines_result(job->lines, job->result, job->files, err);
}

static int run_job(struct lines *lines, bool require) {
    struct err err = {0};
    struct job_spec spec = {0};
    enum rc rc = read_job(&spec, &err);
    if (rc == RC_OK) {
        bool profiling = spec.kind == JOB_PROFILE;
        struct worker_job job = {.spec = &spec,
                                 .lines = lines,
                                 .counters = profiling ? counters_open() : NULL,
                                 .clear_refs_fd = profiling ? memory_open_reset() : -1,
                                 .result = json_object(),
                                 .files = json_array()};
        rc = job.result && job.files ? RC_OK : err_memory(&err);
        if (rc == RC_OK && profiling && counting_wanted(spec.root)) {
            rc = counting_prepare(&job, &err);
        }
        if (rc == RC_OK) {
            rc = run_confined(&job, require, &err);
        }
        json_decref(job.result);
        json_decref(job.files);
        counters_close(job.counters);
        if (job.clear_refs_fd >= 0) {
            close(job.clear_refs_fd);
        }
        job_spec_release(&spec);
    }
    if (rc != RC_OK) {
        lines_error(lines, &err);
    }
    return rc == RC_OK ? 0 : 1;
}

/* The sandbox of a job without files. */
static enum rc enter_empty(bool require, struct sandbox_report *report, struct err *err) {
    const struct sandbox_opts opts = {
        .limits = {.memory_bytes = (uint64_t)1 << 30, .cpu_s = 60, .file_bytes = 1 << 20},
        .require = require};
    return sandbox_enter(&opts, report, err);
}

static int run_probe(struct lines *lines, bool require) {
    struct sandbox_report report;
    struct err err = {0};
    struct counters *counters = counters_open();
    json_t *probe = NULL;
    enum rc rc = enter_empty(require, &report, &err);
    if (rc == RC_OK) {
        probe = probe_json(&report, counters);
        rc = probe ? lines_result(lines, probe, NULL, &err) : err_memory(&err);
    }
    json_decref(probe);
    counters_close(counters);
    if (rc != RC_OK) {
        lines_error(lines, &err);
    }
    return rc == RC_OK ? 0 : 1;
}

static int run_calibration(struct lines *lines, bool require) {
    struct sandbox_report report;
    struct err err = {0};
    json_t *roofline = NULL;
    enum rc rc = enter_empty(require, &report, &err);
    if (rc == RC_OK) {
        rc = calibrate_run(&roofline, &err);
    }
    if (rc == RC_OK) {
        rc = lines_result(lines, roofline, NULL, &err);
    }
    json_decref(roofline);
    if (rc != RC_OK) {
        lines_error(lines, &err);
    }
    return rc == RC_OK ? 0 : 1;
}

static int run_self_test(struct lines *lines, bool require) {
    struct sandbox_report report;
    struct err err = {0};
    if (enter_empty(require, &report, &err) != RC_OK) {
        lines_error(lines, &err);
        return 1;
    }
    return self_test_run(lines) ? 0 : 1;
}

int main(int argc, char **argv) {
    struct arguments arguments = {0};
    struct lines lines;
    struct err err;
    single_thread_ensure(argv);
    int code = read_arguments(argc, argv, &arguments);
    if (code >= 0) {
        return code;
    }
    if (lines_open(&lines, &err) != RC_OK) {
        fprintf(stderr, "pare-worker: %s\n", err.text);
        return 4;
    }
    switch (arguments.mode) {
    case MODE_JOB:
        code = run_job(&lines, arguments.require);
        break;
    case MODE_PROBE:
        code = run_probe(&lines, arguments.require);
        break;
    case MODE_CALIBRATE:
        code = run_calibration(&lines, arguments.require);
        break;
    case MODE_SELF_TEST:
        code = run_self_test(&lines, arguments.require);
        break;
    }
    lines_close(&lines);
    return code;
}

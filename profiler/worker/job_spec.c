/* job_spec.c -- see job_spec.h. */
#include "profiler/worker/job_spec.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/container.h"
#include "core/base/file.h"
#include "core/base/json.h"

enum { MAX_FILES = 2048, MAX_DEPTH = 16 };

/* What a job may use when it does not say. */
static const struct resource_limits DEFAULT_LIMITS = {
    .memory_bytes = (uint64_t)8 << 30, .cpu_s = 6 * UINT64_C(3600), .file_bytes = (uint64_t)64 << 30};

static enum rc read_kind(const json_t *root, enum job_kind *ret, struct err *err) {
    static const char *const names[] = {[JOB_INSPECT] = "inspect",
                                        [JOB_COMPRESS] = "compress",
                                        [JOB_EVALUATE] = "evaluate",
                                        [JOB_PROFILE] = "profile",
                                        [JOB_COMPARE] = "compare"};
    const char *kind = NULL;
    enum rc rc = json_get_string(root, "kind", &kind, err);
    if (rc != RC_OK) {
        return rc;
    }
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        if (strcmp(kind, names[i]) == 0) {
            *ret = (enum job_kind)i;
            return RC_OK;
        }
    }
    return err_set(err, RC_INPUT,
                   "field \"kind\": \"%.40s\" is none of inspect, compress, evaluate, profile, compare",
                   kind);
}

static enum rc read_file(const json_t *object, struct job_file *ret, uint64_t *bytes, struct err *err) {
    enum rc rc = json_get_string(object, "path", &ret->path, err);
    if (rc != RC_OK || (rc = json_get_string(object, "local", &ret->local, err)) != RC_OK) {
        return rc;
    }
    if (ret->local[0] != '/') {
        return err_set(err, RC_INPUT, "field \"local\": \"%.200s\" is not an absolute path", ret->local);
    }
    return file_size(ret->local, bytes, err);
}

static enum rc read_model(const json_t *object, struct job_model *ret, struct err *err) {
    const char *family = NULL;
    json_t *files = NULL;
    enum rc rc = json_get_string(object, "family", &family, err);
    if (rc != RC_OK || (rc = model_family_parse(family, &ret->family, err)) != RC_OK ||
        (rc = json_get_string(object, "main", &ret->main_path, err)) != RC_OK ||
        (rc = json_get_array(object, "files", &files, err)) != RC_OK) {
        return rc;
    }
    size_t count = json_array_size(files);
    if (count == 0 || count > MAX_FILES) {
        return err_set(err, RC_INPUT, "field \"files\": a model has 1 to %d files, not %zu", MAX_FILES,
                       count);
    }
    ret->files = calloc(count, sizeof(ret->files[0]));
    if (!ret->files) {
        return err_memory(err);
    }
    for (size_t i = 0; i < count; i++) {
        uint64_t bytes = 0;
        rc = read_file(json_array_get(files, i), &ret->files[i], &bytes, err);
        if (rc != RC_OK) {
            return rc;
        }
        ret->file_count++;
        ret->bytes += bytes;
        if (strcmp(ret->files[i].path, ret->main_path) == 0) {
            ret->main_local = ret->files[i].local;
        }
    }
    if (!ret->main_local) {
        return err_set(err, RC_INPUT, "field \"main\": \"%.200s\" is not among the model's files",
                       ret->main_path);
    }
    return RC_OK;
}

/* Collects every "local" in the job. */
static enum rc collect_inputs(struct job_spec *spec, const json_t *value, unsigned depth, struct err *err) {
    if (depth > MAX_DEPTH) {
        return err_set(err, RC_INPUT, "the job is nested deeper than %d levels", MAX_DEPTH);
    }
    const char *local = json_string_value(json_object_get(value, "local"));
    if (local) {
        if (spec->input_count == MAX_FILES) {
            return err_set(err, RC_TOO_LARGE, "the job has more than %d files", MAX_FILES);
        }
        spec->inputs[spec->input_count++] = local;
    }
    enum rc rc = RC_OK;
    const char *key;
    json_t *child;
    json_object_foreach((json_t *)(uintptr_t)value, key, child) {
        if (rc == RC_OK && (json_is_object(child) || json_is_array(child))) {
            rc = collect_inputs(spec, child, depth + 1, err);
        }
    }
    size_t i;
    json_array_foreach(value, i, child) {
        if (rc == RC_OK && (json_is_object(child) || json_is_array(child))) {
            rc = collect_inputs(spec, child, depth + 1, err);
        }
    }
    return rc;
}

/* An object that may be absent or null. */
static enum rc read_object(const json_t *root, const char *key, const json_t **ret, struct err *err) {
    const json_t *value = json_object_get(root, key);
    if (!value || json_is_null(value)) {
        return RC_OK;
    }
    if (!json_is_object(value)) {
        return err_set(err, RC_INPUT, "field \"%s\": not an object", key);
    }
    *ret = value;
    return RC_OK;
}

static enum rc read_all(struct job_spec *spec, struct err *err) {
    json_t *model = NULL;
    const json_t *limits = NULL;
    const json_t *reference = NULL;
    enum rc rc = read_kind(spec->root, &spec->kind, err);
    if (rc != RC_OK || (rc = json_get_object(spec->root, "model", &model, err)) != RC_OK) {
        return rc;
    }
    if ((rc = read_model(model, &spec->model, err)) != RC_OK) {
        return err_prefix(err, "model");
    }
    if ((rc = read_object(spec->root, "dataset", &spec->dataset, err)) != RC_OK ||
        (rc = read_object(spec->root, "calibration", &spec->calibration, err)) != RC_OK ||
        (rc = read_object(spec->root, "limits", &limits, err)) != RC_OK ||
        (rc = read_object(spec->root, "reference", &reference, err)) != RC_OK) {
        return rc;
    }
    if (reference) {
        spec->has_reference = true;
        if ((rc = read_model(reference, &spec->reference, err)) != RC_OK) {
            return err_prefix(err, "reference");
        }
    }
    if (limits && (rc = resource_limits_read(limits, &spec->limits, err)) != RC_OK) {
        return err_prefix(err, "limits");
    }
    return collect_inputs(spec, spec->root, 0, err);
}

enum rc job_spec_read(const char *text, size_t size, struct job_spec *ret, struct err *err) {
    struct job_spec spec = {.limits = DEFAULT_LIMITS};
    enum rc rc = json_parse(text, size, &spec.root, err);
    if (rc != RC_OK) {
        return err_prefix(err, "the job on standard input");
    }
    spec.inputs = calloc(MAX_FILES, sizeof(spec.inputs[0]));
    rc = spec.inputs ? read_all(&spec, err) : err_memory(err);
    if (rc != RC_OK) {
        job_spec_release(&spec);
        return err_prefix(err, "the job");
    }
    *ret = spec;
    return RC_OK;
}

void job_spec_release(struct job_spec *spec) {
    free(spec->model.files);
    free(spec->reference.files);
    free(spec->inputs);
    json_decref(spec->root);
    *spec = (struct job_spec){0};
}

uint32_t job_spec_threads(const struct job_spec *spec) {
    if (spec->limits.threads > 0) {
        return spec->limits.threads;
    }
    cpu_set_t set;
    int cores = sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 1;
    return cores > 0 ? (uint32_t)cores : 1;
}

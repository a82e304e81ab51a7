/* onnxruntime.c -- the environment and the sessions. Runs are in onnxruntime_run.c.
 *
 * External data that the caller lists is mapped and handed to the runtime under the name the model uses, so
 * that a model can lie anywhere (blobs by content) and can reach nothing but its own files. */
#include "runtimes/onnxruntime.h"

#include <fcntl.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/checked.h"
#include "core/base/file.h"
#include "runtimes/onnxruntime_parts.h"

enum { EXTERNAL_MAX = 4096, NAME_MAX_BYTES = 4096, VALUES_MAX = 65536 };

/* A folder that cannot exist: external data of a model from memory is looked for there unless a folder was
 * given. */
static const char no_folder[] = "/dev/null/external-data-not-listed";

/* --- statuses --- */

static enum rc code_of(OrtErrorCode code, const char *text) {
    if (strstr(text, "bad_alloc") || strstr(text, "Failed to allocate memory")) {
        return RC_MEMORY;
    }
    switch (code) {
    case ORT_NO_SUCHFILE:
        return RC_IO;
    case ORT_NOT_IMPLEMENTED:
        return RC_UNSUPPORTED;
    case ORT_ENGINE_ERROR:
        return RC_INTERNAL;
    default:
        break;
    }
    bool unknown_op =
        strstr(text, "is not a registered function/op") || strstr(text, "Could not find an implementation");
    bool new_opset = strstr(text, "is under development") || strstr(text, "Unsupported model IR version");
    return unknown_op || new_opset ? RC_UNSUPPORTED : RC_INPUT;
}

/* One line: the runtime's texts hold newlines and runs of blanks. */
static void squeeze(char *text) {
    char *out = text;
    for (const char *in = text; *in; in++) {
        bool blank = (unsigned char)*in <= ' ';
        if (!blank) {
            *out++ = *in;
        } else if (out > text && out[-1] != ' ') {
            *out++ = ' ';
        }
    }
    *out = '\0';
}

enum rc onnxruntime_status(const OrtApi *api, OrtStatus *status, struct err *err) {
    if (!status) {
        return RC_OK;
    }
    const char *text = api->GetErrorMessage(status);
    enum rc rc = code_of(api->GetErrorCode(status), text);
    err_set(err, rc, "ONNX Runtime: %s", *text ? text : "failed without a reason");
    if (err) {
        squeeze(err->text);
    }
    api->ReleaseStatus(status);
    return rc;
}

/* --- environment --- */

static enum rc create_env(struct onnxruntime *r, uint32_t shared_threads, struct err *err) {
    const OrtApi *api = r->api;
    if (shared_threads == 0) {
        return onnxruntime_status(api, api->CreateEnv(ORT_LOGGING_LEVEL_ERROR, "pare", &r->env), err);
    }
    OrtThreadingOptions *options = NULL;
    enum rc rc = onnxruntime_status(api, api->CreateThreadingOptions(&options), err);
    if (rc) {
        return rc;
    }
    rc = onnxruntime_status(api, api->SetGlobalIntraOpNumThreads(options, (int)shared_threads), err);
    if (!rc) {
        rc = onnxruntime_status(api, api->SetGlobalInterOpNumThreads(options, 1), err);
    }
    if (!rc) {
        rc = onnxruntime_status(api, api->SetGlobalSpinControl(options, 0), err);
    }
    if (!rc) {
        OrtStatus *status =
            api->CreateEnvWithGlobalThreadPools(ORT_LOGGING_LEVEL_ERROR, "pare", options, &r->env);
        rc = onnxruntime_status(api, status, err);
    }
    api->ReleaseThreadingOptions(options);
    r->shared_pool = true;
    return rc;
}

enum rc onnxruntime_new(const struct onnxruntime_opts *opts, struct onnxruntime **ret, struct err *err) {
    uint32_t shared_threads = opts ? opts->shared_threads : 0;
    if (shared_threads > 1024) {
        return err_set(err, RC_USAGE, "a thread pool of %u threads: at most 1024", shared_threads);
    }
    /* The uploader looks at this variable when the library starts it; the call below stops what would still
     * be sent. */
    setenv("ORT_DISABLE_TELEMETRY", "1", 1);
    const OrtApi *api = OrtGetApiBase()->GetApi(ORT_API_VERSION);
    if (!api) {
        return err_set(err, RC_UNSUPPORTED,
                       "ONNX Runtime %s is older than the headers Pare was built with (API %d)",
                       OrtGetApiBase()->GetVersionString(), ORT_API_VERSION);
    }
    struct onnxruntime *r = calloc(1, sizeof(*r));
    if (!r) {
        return err_memory(err);
    }
    r->api = api;
    enum rc rc = create_env(r, shared_threads, err);
    if (!rc) {
        rc = onnxruntime_status(api, api->DisableTelemetryEvents(r->env), err);
    }
    if (!rc) {
        rc = onnxruntime_status(
            api, api->CreateCpuMemoryInfo(OrtDeviceAllocator, OrtMemTypeDefault, &r->memory), err);
    }
    if (!rc) {
        rc = onnxruntime_status(api, api->GetAllocatorWithDefaultOptions(&r->allocator), err);
    }
    if (rc) {
        onnxruntime_free(r);
        return rc;
    }
    *ret = r;
    return RC_OK;
}

void onnxruntime_free(struct onnxruntime *r) {
    if (!r) {
        return;
    }
    if (r->memory) {
        r->api->ReleaseMemoryInfo(r->memory);
    }
    if (r->env) {
        r->api->ReleaseEnv(r->env);
    }
    free(r);
}

const char *onnxruntime_version(void) {
    static _Thread_local char text[64];
    snprintf(text, sizeof(text), "onnxruntime %s", OrtGetApiBase()->GetVersionString());
    return text;
}

/* --- external data --- */

struct mapped_files {
    const char **names;
    char **data;
    size_t *sizes;
    size_t count;
};

static enum rc map_file(const char *path, char **data, size_t *size, struct err *err) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return file_error(path, err);
    }
    struct stat st;
    enum rc rc = RC_OK;
    if (fstat(fd, &st) != 0) {
        rc = file_error(path, err);
    } else if (!S_ISREG(st.st_mode) || st.st_size <= 0) {
        rc = err_set(err, RC_INPUT, "%s: external data must be a file that is not empty", path);
    } else {
        void *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (p == MAP_FAILED) {
            rc = file_error(path, err);
        } else {
            *data = p;
            *size = (size_t)st.st_size;
        }
    }
    close(fd);
    return rc;
}

static void mapped_files_release(struct mapped_files *m) {
    for (size_t i = 0; i < m->count; i++) {
        munmap(m->data[i], m->sizes[i]);
    }
    free(m->names);
    free(m->data);
    free(m->sizes);
}

static enum rc mapped_files_add(struct mapped_files *m, const OrtApi *api, OrtSessionOptions *options,
                                const struct onnxruntime_session_opts *opts, struct err *err) {
    size_t n = opts->external_count;
    if (n == 0) {
        return RC_OK;
    }
    if (n > EXTERNAL_MAX) {
        return err_set(err, RC_TOO_LARGE, "the model has %zu files of external data: at most %d", n,
                       EXTERNAL_MAX);
    }
    m->names = calloc(n, sizeof(*m->names));
    m->data = calloc(n, sizeof(*m->data));
    m->sizes = calloc(n, sizeof(*m->sizes));
    if (!m->names || !m->data || !m->sizes) {
        return err_memory(err);
    }
    for (size_t i = 0; i < n; i++) {
        m->names[i] = opts->external[i].location;
        enum rc rc = map_file(opts->external[i].local, &m->data[i], &m->sizes[i], err);
        if (rc) {
            return rc;
        }
        m->count++;
    }
    OrtStatus *status =
        api->AddExternalInitializersFromFilesInMemory(options, m->names, m->data, m->sizes, n);
    return onnxruntime_status(api, status, err);
}

/* --- session options --- */

static int usable_cores(void) {
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof(set), &set) != 0) {
        return 1;
    }
    int n = CPU_COUNT(&set);
    return n > 0 ? n : 1;
}

static GraphOptimizationLevel level_of(enum onnxruntime_optimize optimize) {
    switch (optimize) {
    case ONNXRUNTIME_OPTIMIZE_NONE:
        return ORT_DISABLE_ALL;
    case ONNXRUNTIME_OPTIMIZE_BASIC:
        return ORT_ENABLE_BASIC;
    case ONNXRUNTIME_OPTIMIZE_EXTENDED:
        return ORT_ENABLE_EXTENDED;
    case ONNXRUNTIME_OPTIMIZE_ALL:
        break;
    }
    return ORT_ENABLE_ALL;
}

/* The thread count is always given: left to itself the runtime pins its threads, over the pinning of the
 * worker. */
static enum rc set_threads(struct onnxruntime *r, OrtSessionOptions *options,
                           const struct onnxruntime_session_opts *opts, struct err *err) {
    const OrtApi *api = r->api;
    if (opts->pool == ONNXRUNTIME_SHARED_POOL) {
        if (!r->shared_pool) {
            return err_set(err, RC_USAGE, "the runtime was started without a shared thread pool");
        }
        return onnxruntime_status(api, api->DisablePerSessionThreads(options), err);
    }
    int threads = opts->threads > 0 ? (int)opts->threads : usable_cores();
    enum rc rc = onnxruntime_status(api, api->SetIntraOpNumThreads(options, threads), err);
    if (!rc) {
        rc = onnxruntime_status(api, api->SetInterOpNumThreads(options, 1), err);
    }
    if (!rc && opts->spin == ONNXRUNTIME_NO_SPIN) {
        rc = onnxruntime_status(
            api, api->AddSessionConfigEntry(options, "session.intra_op.allow_spinning", "0"), err);
    }
    return rc;
}

static enum rc set_options(struct onnxruntime *r, OrtSessionOptions *options,
                           const struct onnxruntime_session_opts *opts, struct err *err) {
    const OrtApi *api = r->api;
    enum rc rc = set_threads(r, options, opts, err);
    if (!rc) {
        rc = onnxruntime_status(api, api->SetSessionGraphOptimizationLevel(options, level_of(opts->optimize)),
                                err);
    }
    if (!rc && opts->arena == ONNXRUNTIME_NO_ARENA) {
        rc = onnxruntime_status(api, api->DisableCpuMemArena(options), err);
    }
    if (!rc && opts->profile_prefix) {
        rc = onnxruntime_status(api, api->EnableProfiling(options, opts->profile_prefix), err);
    }
    if (!rc && opts->save_optimized) {
        rc = onnxruntime_status(api, api->SetOptimizedModelFilePath(options, opts->save_optimized), err);
    }
    return rc;
}

/* --- declared inputs and outputs --- */

static enum rc read_shape(const OrtApi *api, const OrtTensorTypeAndShapeInfo *info, struct tensor_spec *v,
                          struct err *err) {
    ONNXTensorElementDataType type;
    enum rc rc = onnxruntime_status(api, api->GetTensorElementType(info, &type), err);
    if (rc) {
        return rc;
    }
    v->dtype = dtype_from_onnx(type);
    rc = onnxruntime_status(api, api->GetDimensionsCount(info, &v->rank), err);
    if (rc) {
        return rc;
    }
    if (v->rank > TENSOR_MAX_RANK) {
        return err_set(err, RC_UNSUPPORTED, "\"%s\" has %zu dimensions: at most %d are supported", v->name,
                       v->rank, TENSOR_MAX_RANK);
    }
    return onnxruntime_status(api, api->GetDimensions(info, v->dims, v->rank), err);
}

static enum rc read_type(const OrtApi *api, const OrtTypeInfo *type, struct tensor_spec *v, struct err *err) {
    const OrtTensorTypeAndShapeInfo *info = NULL;
    enum rc rc = onnxruntime_status(api, api->CastTypeInfoToTensorInfo(type, &info), err);
    if (rc || !info) { /* a sequence, map or optional stays DTYPE_OTHER */
        return rc;
    }
    return read_shape(api, info, v, err);
}

static enum rc read_value(struct onnxruntime_session *s, bool input, size_t i, struct tensor_spec *v,
                          struct err *err) {
    const OrtApi *api = s->runtime->api;
    char *name = NULL;
    OrtStatus *status = input ? api->SessionGetInputName(s->session, i, s->runtime->allocator, &name)
                              : api->SessionGetOutputName(s->session, i, s->runtime->allocator, &name);
    enum rc rc = onnxruntime_status(api, status, err);
    if (rc) {
        return rc;
    }
    v->dtype = DTYPE_OTHER;
    v->name = strndup(name, NAME_MAX_BYTES);
    api->ReleaseStatus(api->AllocatorFree(s->runtime->allocator, name));
    if (!v->name) {
        return err_memory(err);
    }
    OrtTypeInfo *type = NULL;
    status = input ? api->SessionGetInputTypeInfo(s->session, i, &type)
                   : api->SessionGetOutputTypeInfo(s->session, i, &type);
    rc = onnxruntime_status(api, status, err);
    if (!rc) {
        rc = read_type(api, type, v, err);
        api->ReleaseTypeInfo(type);
    }
    return rc;
}

/* `*count` grows as values are read, so that a failure releases what is there. */
static enum rc read_values(struct onnxruntime_session *s, bool input, struct tensor_spec **values,
                           const char ***names, size_t *count, struct err *err) {
    const OrtApi *api = s->runtime->api;
    size_t n = 0;
    OrtStatus *status =
        input ? api->SessionGetInputCount(s->session, &n) : api->SessionGetOutputCount(s->session, &n);
    enum rc rc = onnxruntime_status(api, status, err);
    if (rc) {
        return rc;
    }
    if (n > VALUES_MAX) {
        return err_set(err, RC_TOO_LARGE, "the model has %zu inputs or outputs: at most %d", n, VALUES_MAX);
    }
    *values = calloc(n + 1, sizeof(**values));
    *names = calloc(n + 1, sizeof(**names));
    if (!*values || !*names) {
        return err_memory(err);
    }
    for (size_t i = 0; i < n; i++) {
        *count = i + 1;
        rc = read_value(s, input, i, &(*values)[i], err);
        if (rc) {
            return rc;
        }
        (*names)[i] = (*values)[i].name;
    }
    return RC_OK;
}

/* --- sessions --- */

struct model_source {
    const char *path; /* or */
    const void *data;
    size_t size;
};

static enum rc set_external(struct onnxruntime *r, const struct model_source *source,
                            OrtSessionOptions *options, const struct onnxruntime_session_opts *opts,
                            struct mapped_files *mapped, struct err *err) {
    const char *folder = opts->external_folder ? opts->external_folder : source->path ? NULL : no_folder;
    if (folder) {
        OrtStatus *status = r->api->AddSessionConfigEntry(
            options, "session.model_external_initializers_file_folder_path", folder);
        enum rc rc = onnxruntime_status(r->api, status, err);
        if (rc) {
            return rc;
        }
    }
    return mapped_files_add(mapped, r->api, options, opts, err);
}

static enum rc create_session(struct onnxruntime_session *s, const struct model_source *source,
                              const struct onnxruntime_session_opts *opts, struct err *err) {
    const OrtApi *api = s->runtime->api;
    OrtSessionOptions *options = NULL;
    struct mapped_files mapped = {0};
    enum rc rc = onnxruntime_status(api, api->CreateSessionOptions(&options), err);
    if (!rc) {
        rc = set_options(s->runtime, options, opts, err);
    }
    if (!rc) {
        rc = set_external(s->runtime, source, options, opts, &mapped, err);
    }
    if (!rc) {
        OrtStatus *status = source->path
                                ? api->CreateSession(s->runtime->env, source->path, options, &s->session)
                                : api->CreateSessionFromArray(s->runtime->env, source->data, source->size,
                                                              options, &s->session);
        rc = onnxruntime_status(api, status, err);
    }
    if (options) {
        api->ReleaseSessionOptions(options);
    }
    mapped_files_release(&mapped);
    return rc;
}

static enum rc open_source(struct onnxruntime *r, const struct model_source *source,
                           const struct onnxruntime_session_opts *opts, struct onnxruntime_session **ret,
                           struct err *err) {
    static const struct onnxruntime_session_opts defaults;
    opts = opts ? opts : &defaults;
    struct onnxruntime_session *s = calloc(1, sizeof(*s));
    if (!s) {
        return err_memory(err);
    }
    s->runtime = r;
    s->profiling = opts->profile_prefix != NULL;
    enum rc rc = create_session(s, source, opts, err);
    if (!rc) {
        rc = read_values(s, true, &s->inputs, &s->input_names, &s->input_count, err);
    }
    if (!rc) {
        rc = read_values(s, false, &s->outputs, &s->output_names, &s->output_count, err);
    }
    if (rc) {
        onnxruntime_close(s);
        return rc;
    }
    *ret = s;
    return RC_OK;
}

enum rc onnxruntime_open(struct onnxruntime *r, const char *path, const struct onnxruntime_session_opts *opts,
                         struct onnxruntime_session **ret, struct err *err) {
    if (access(path, R_OK) != 0) {
        return file_error(path, err);
    }
    struct model_source source = {.path = path};
    return open_source(r, &source, opts, ret, err);
}

enum rc onnxruntime_open_bytes(struct onnxruntime *r, const void *data, size_t size,
                               const struct onnxruntime_session_opts *opts, struct onnxruntime_session **ret,
                               struct err *err) {
    struct model_source source = {.data = data, .size = size};
    if (size == 0) {
        return err_set(err, RC_INPUT, "the model is empty");
    }
    return open_source(r, &source, opts, ret, err);
}

static void values_free(struct tensor_spec *values, size_t count) {
    for (size_t i = 0; values && i < count; i++) {
        free((void *)(uintptr_t)values[i].name);
    }
    free(values);
}

void onnxruntime_close(struct onnxruntime_session *s) {
    if (!s) {
        return;
    }
    if (s->session) {
        s->runtime->api->ReleaseSession(s->session);
    }
    values_free(s->inputs, s->input_count);
    values_free(s->outputs, s->output_count);
    free(s->input_names);
    free(s->output_names);
    free(s);
}

size_t onnxruntime_inputs(const struct onnxruntime_session *s, const struct tensor_spec **ret) {
    *ret = s->inputs;
    return s->input_count;
}

size_t onnxruntime_outputs(const struct onnxruntime_session *s, const struct tensor_spec **ret) {
    *ret = s->outputs;
    return s->output_count;
}

enum rc onnxruntime_end_profile(struct onnxruntime_session *s, char **path, struct err *err) {
    const OrtApi *api = s->runtime->api;
    if (!s->profiling) {
        return err_set(err, RC_USAGE, "the session was not opened for profiling");
    }
    char *name = NULL;
    enum rc rc =
        onnxruntime_status(api, api->SessionEndProfiling(s->session, s->runtime->allocator, &name), err);
    if (rc) {
        return rc;
    }
    s->profiling = false;
    *path = strdup(name);
    api->ReleaseStatus(api->AllocatorFree(s->runtime->allocator, name));
    return *path ? RC_OK : err_memory(err);
}

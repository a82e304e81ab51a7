/* opened_model.c -- see opened_model.h. */
#include "profiler/worker/opened_model.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/file.h"

/* External data is named relative to the folder of the main file. */
static const char *location_in(const struct job_model *model, const char *path) {
    const char *slash = strrchr(model->main_path, '/');
    size_t prefix = slash ? (size_t)(slash - model->main_path) + 1 : 0;
    return strncmp(path, model->main_path, prefix) == 0 ? path + prefix : path;
}

static enum rc open_session(struct onnxruntime *runtime, const struct job_model *model,
                            const struct onnxruntime_session_opts *opts, struct onnxruntime_session **ret,
                            struct err *err) {
    struct onnxruntime_file *external = calloc(model->file_count, sizeof(external[0]));
    if (!external) {
        return err_memory(err);
    }
    struct onnxruntime_session_opts with = *opts;
    for (size_t i = 0; i < model->file_count; i++) {
        if (model->files[i].local != model->main_local) {
            external[with.external_count++] =
                (struct onnxruntime_file){location_in(model, model->files[i].path), model->files[i].local};
        }
    }
    with.external = external;
    enum rc rc = onnxruntime_open(runtime, model->main_local, &with, ret, err);
    free(external);
    return rc;
}

enum rc opened_model_open(struct onnxruntime *runtime, const struct job_model *model,
                          const struct onnxruntime_session_opts *opts, struct opened_model *ret,
                          struct err *err) {
    struct opened_model m = {0};
    enum rc rc = open_session(runtime, model, opts, &m.session, err);
    if (rc != RC_OK) {
        return rc;
    }
    m.n_inputs = onnxruntime_inputs(m.session, &m.inputs);
    m.n_outputs = onnxruntime_outputs(m.session, &m.outputs);
    *ret = m;
    return RC_OK;
}

void opened_model_close(struct opened_model *m) {
    onnxruntime_close(m->session);
    *m = (struct opened_model){0};
}

enum rc opened_model_fixed_batch(const struct opened_model *m, size_t *ret, struct err *err) {
    int64_t batch = -1;
    for (size_t i = 0; i < m->n_inputs; i++) {
        int64_t first = m->inputs[i].rank > 0 ? m->inputs[i].dims[0] : -1;
        if (first > 0 && batch > 0 && first != batch) {
            return err_set(err, RC_UNSUPPORTED,
                           "the inputs %s and %s have different fixed batch sizes (%lld and %lld)",
                           m->inputs[0].name, m->inputs[i].name, (long long)batch, (long long)first);
        }
        if (first > 0) {
            batch = first;
        }
    }
    *ret = batch > 0 ? (size_t)batch : 0;
    return RC_OK;
}

/* The name of an operator stands uncompressed in the file. It might stand there for another reason, which
 * costs time only. */
enum rc opened_model_mixes_batch(const struct job_model *model, bool *ret, struct err *err) {
    static const char name[] = "DynamicQuantizeLinear";
    int fd = open(model->main_local, O_RDONLY | O_CLOEXEC);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) != 0 || st.st_size <= 0) {
        if (fd >= 0) {
            close(fd);
        }
        return file_error(model->main_local, err);
    }
    void *data = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    close(fd);
    if (data == MAP_FAILED) {
        return file_error(model->main_local, err);
    }
    *ret = memmem(data, (size_t)st.st_size, name, sizeof(name) - 1) != NULL;
    munmap(data, (size_t)st.st_size);
    return RC_OK;
}

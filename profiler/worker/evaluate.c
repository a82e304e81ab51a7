/* evaluate.c -- see evaluate.h. */
#include "profiler/worker/evaluate.h"

#include "core/base/clock.h"

enum rc evaluate_run(struct worker_job *job, struct err *err) {
    const struct job_spec *spec = job->spec;
    if (!spec->dataset) {
        return err_set(err, RC_INPUT, "field \"dataset\": missing; accuracy is measured on a dataset");
    }
    if (spec->has_reference && spec->reference.family != spec->model.family) {
        return err_set(err, RC_INPUT, "the reference is a model of another family");
    }
    uint64_t start = clock_mono_ns();
    struct dataset *d = NULL;
    enum rc rc = dataset_open(spec->dataset, spec->limits.memory_bytes / 2, &d, err);
    if (rc != RC_OK) {
        return rc;
    }
    rc = spec->model.family == FAMILY_GGUF ? evaluate_text(job, d, err) : evaluate_onnx(job, d, err);
    dataset_free(d);
    if (rc != RC_OK) {
        return rc;
    }
    return worker_job_set(job, "seconds", json_real((double)(clock_mono_ns() - start) / 1e9), err);
}

/* evaluate.h -- accuracy of a model on a dataset, a score for every example; ONNX models here, texts in
 * evaluate_text.c. */
#pragma once

#include "core/base/err.h"
#include "core/data/dataset.h"
#include "profiler/worker/worker_job.h"

/* Fill job->result and job->files. `d` is open, not bound. */
MUST_USE enum rc evaluate_onnx(struct worker_job *job, struct dataset *d, struct err *err);
MUST_USE enum rc evaluate_text(struct worker_job *job, struct dataset *d, struct err *err);

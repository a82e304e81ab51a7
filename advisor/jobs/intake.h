/* intake.h -- what users submit: validated, identified by content, stored. Shapes: advisor/http/openapi.json.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "core/base/err.h"

struct jobs;

/* {"name", "files": [{"path", "sha256"}], "main"?} -> the model's view. Files must have been uploaded
 * (RC_INPUT names the missing one). The family is found from the main file's content. *created is false when
 * the same content was there. */
MUST_USE enum rc intake_model(struct jobs *j, const json_t *body, json_t **ret, bool *created,
                              struct err *err);

/* {"name", "format", "files": [{"path", "role", "sha256"}], "input"?, "labels"?, "preprocess"?} -> the
 * dataset's view. */
MUST_USE enum rc intake_dataset(struct jobs *j, const json_t *body, json_t **ret, bool *created,
                                struct err *err);

/* Body and view of the API. RC_NOT_FOUND for unknown model, dataset, target. Always a new study. */
MUST_USE enum rc intake_study(struct jobs *j, const json_t *body, json_t **ret, struct err *err);

/* Cancels: queued work nobody else needs is dropped, running work is told. A finished study stays as it is.
 * -> view. */
MUST_USE enum rc intake_study_cancel(struct jobs *j, const char *id, json_t **ret, struct err *err);

/* Deletes what no study uses; RC_CONFLICT otherwise. */
MUST_USE enum rc intake_model_delete(struct jobs *j, const char *id, struct err *err);
MUST_USE enum rc intake_dataset_delete(struct jobs *j, const char *id, struct err *err);

/* views.h -- what is stored, as the JSON that the API shows. Lists: {"items": [...], "next": cursor | null}.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/base/err.h"

struct jobs;

struct view_page {
    const char *cursor; /* NULL = from the start; otherwise "next" of the page before */
    uint32_t limit;     /* 0 = 50, at most 200 */
};

MUST_USE enum rc view_model(struct jobs *j, const char *id, json_t **ret, struct err *err);
MUST_USE enum rc view_models(struct jobs *j, const struct view_page *page, json_t **ret, struct err *err);
MUST_USE enum rc view_dataset(struct jobs *j, const char *id, json_t **ret, struct err *err);
MUST_USE enum rc view_datasets(struct jobs *j, const struct view_page *page, json_t **ret, struct err *err);
MUST_USE enum rc view_study(struct jobs *j, const char *id, json_t **ret, struct err *err);
MUST_USE enum rc view_studies(struct jobs *j, const struct view_page *page, json_t **ret,
                              struct err *err); /* newest first */
MUST_USE enum rc view_variant(struct jobs *j, const char *id, json_t **ret, struct err *err);
MUST_USE enum rc view_evaluation(struct jobs *j, const char *id, json_t **ret, struct err *err);
MUST_USE enum rc view_profile(struct jobs *j, const char *id, json_t **ret, struct err *err);

/* Every recipe of a family (NULL = all) with its options, and the presets. With a family, or with a model,
 * whose family it then is, also the levels of the presets, each with what the instruction sets of the
 * registered targets allow; those that cannot be faster on any of them come last. RC_INPUT for an unknown
 * family, RC_NOT_FOUND for an unknown model. */
MUST_USE enum rc view_recipes(struct jobs *j, const char *family, const char *model, json_t **ret,
                              struct err *err);

/* The main file of a variant: for GET /v1/variants/{id}/artifact. `name` is a file name for people
 * ("model.onnx"). */
struct view_artifact {
    char sha256[65];
    char name[128];
};
MUST_USE enum rc view_variant_artifact(struct jobs *j, const char *id, struct view_artifact *ret,
                                       struct err *err);

/* Events of a study after `after` (0 = all), at most 500: an array of {"seq", "event", "data"}; empty when
 * there are none yet. *final: the last event of a finished study has been given, the stream ends.
 * RC_NOT_FOUND. */
MUST_USE enum rc view_events(struct jobs *j, const char *study, int64_t after, json_t **ret, bool *final,
                             struct err *err);

/* Figures for /metrics: {"studies": {"running": n, ...}, "jobs": {"queued": n, ...}, "targets": {"online":
 * n}, "models": n, "datasets": n, "variants": n, "evaluations": n, "profiles": n, "blobs": n, "blob_bytes":
 * n}. */
MUST_USE enum rc view_metrics(struct jobs *j, json_t **ret, struct err *err);

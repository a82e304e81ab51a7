/* answer_build.h -- an outcome of advisor/decide as the JSON of DESIGN section 8, and storing it. */
#pragma once

#include <jansson.h>

#include "advisor/jobs/question.h"
#include "core/base/err.h"
#include "core/base/ident.h"
#include "db/store.h"
#include "db/store_answers.h"

/* The object of one candidate: the shape of "choice", with "reason" in plain words. */
MUST_USE enum rc answer_candidate(const struct question *q, const struct recommend_outcome *o,
                                  uint32_t candidate, json_t **ret, struct err *err);

/* Decides and builds the whole answer under a new id. *more_rejected lists the rejected that its first page
 * leaves out (name and reason), NULL when there are none. */
MUST_USE enum rc answer_build(const struct question *q, json_t **ret, json_t **more_rejected,
                              struct err *err);

/* Fills what is stored of an answer (id and texts, in the transaction's memory). `more_rejected` may be NULL.
 */
MUST_USE enum rc answer_texts(struct store_tx *tx, const json_t *answer, const json_t *more_rejected,
                              struct store_recommendation *r, struct err *err);

/* Builds the question's answer of a study and stores it with the end of the study (state done), in one
 * transaction. RC_CONFLICT: the study has ended meanwhile. */
MUST_USE enum rc answer_finish_study(struct store *s, const struct question *q, const char *study,
                                     struct err *err);

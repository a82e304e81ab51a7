/* comparisons.h -- comparison runs: two models measured in turns by fresh workers, replicate by replicate,
 * until it is decided whether one is slower than the other by more than a margin, or time is up.
 *
 *   start -> job "compare:ID:0" -> its replicate stored -> decided? -- no --> job "compare:ID:1" -> ...
 *                                                            +-- yes, or out of time --> done
 *
 * Nothing is kept in memory: what comes next follows from the replicates that are stored, so that a
 * comparison goes on after any kill. */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "core/base/err.h"
#include "core/base/ident.h"
#include "db/store.h"

struct jobs;

static const double COMPARISON_MARGIN = 0.02;
static const double COMPARISON_TIME_LIMIT_S = 120;

/* Each side is the id of a configuration, or of a model that is measured as it is with the settings of the
 * other. */
struct comparison_wish {
    const char *reference, *model;
    const char *dataset;       /* whose examples are run; NULL: of the newest study of one of the models */
    double margin, confidence; /* confidence is rounded up as sequential.h says */
    double time_limit_s;       /* of measuring */
    bool reuse; /* a gate's: where "is it slower?" is being answered, or was, it is not asked again */
};

/* Reads "margin", "time_limit_s" (where absent the values above) of an object; NULL has none. */
MUST_USE enum rc comparison_wish_read(const json_t *object, struct comparison_wish *ret, struct err *err);

/* Begins it (or joins one) and gives its id. RC_NOT_FOUND, RC_INPUT: the two cannot be compared, with the
 * reason. */
MUST_USE enum rc comparisons_begin(struct jobs *j, const struct comparison_wish *wish, char id[IDENT_SIZE],
                                   struct err *err);

/* {"configurations": [reference, model], "measure": {"margin"?, "time_limit_s"?}, "dataset"?, "confidence"?}
 * -> the comparison, as it stands. */
MUST_USE enum rc comparisons_start(struct jobs *j, const json_t *body, json_t **ret, struct err *err);
MUST_USE enum rc comparisons_get(struct jobs *j, const char *id, json_t **ret, struct err *err);
/* RC_CONFLICT when it has ended. Gives the comparison. */
MUST_USE enum rc comparisons_cancel(struct jobs *j, const char *id, json_t **ret, struct err *err);

/* Planner: takes every running comparison as far as it goes without waiting. */
MUST_USE enum rc comparisons_advance_all(struct store *s, struct err *err);

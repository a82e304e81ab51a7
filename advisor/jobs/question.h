/* question.h -- from what is stored to the plain structs that advisor/decide answers. */
#pragma once

#include <jansson.h>
#include <stdint.h>

#include "advisor/decide/recommend.h"
#include "advisor/jobs/figures.h"
#include "advisor/jobs/limits.h"
#include "advisor/jobs/study_scenarios.h"
#include "core/base/arena.h"
#include "core/base/err.h"
#include "db/store.h"

struct question_scope {
    const char *study;           /* its variants, dataset and machine types; NULL = everything of `model` */
    const char *model;           /* without a study */
    const char *dataset;         /* without a study; NULL = the one the baseline was evaluated on last */
    const json_t *limits;        /* object with "floors" and "budgets" */
    const json_t *machine_types; /* array of ids; NULL or empty = all */
    const json_t *targets;       /* array of ids whose machine types are meant; NULL or empty = all */
    double confidence;
    double price_per_hour; /* NAN = each machine's own */
    int64_t threads;       /* configurations that use at most so many; 0 = any */
    const char *scenario;  /* in which budgets and cost are judged; NULL = server where the study asks for it
                              and  a budget allows it, else offline */
};

/* What belongs to a variant or candidate of the question beside what decides. */
struct question_variant {
    const char *evaluation; /* NULL: not evaluated */
    struct figures_accuracies accuracies;
};

struct question_candidate {
    const char *profile;
};

struct question {
    struct store *store; /* borrowed */
    struct recommend_question q;
    struct question_variant *variants;     /* [q.variant_count] */
    struct question_candidate *candidates; /* [q.candidate_count] */
    const char *model_id, *model_name;
    enum scenario_kind scenario; /* in which budgets and cost are judged */
    const char *note;            /* why not in the one that was asked for; NULL */
    /* owned */
    struct explanations
        *explanations; /* advisor/jobs/explanation.h; what answers have read of the profiles */
    json_t *skipped;   /* what a study did not measure (advisor/jobs/contenders.h); NULL: nothing */
    struct limits limits;
    struct arena *arena;
    struct recommend_machine *machines_list;
    struct recommend_variant *variants_list;
    struct recommend_candidate *candidates_list;
    char scenario_stored[STUDY_SCENARIO_SIZE]; /* its name in the store */
};

/* In `server` only the figures found under exactly the question's latency budgets can be judged: where there
 * are none, it is judged in `offline`, and `note` says so. Blocking; may summarise scores that nobody asked
 * for before. Must not be called inside a transaction. RC_NOT_FOUND: the study or model is not there, or
 * nothing of it was measured. Release with question_free.
 */
MUST_USE enum rc question_build(struct store *s, const struct question_scope *scope, struct question **ret,
                                struct err *err);
void question_free(struct question *q); /* NULL is fine */

/* Reads "confidence" and "price_per_hour" of a request into the scope (0.95 and NAN where absent). */
MUST_USE enum rc question_read_numbers(const json_t *body, struct question_scope *scope, struct err *err);

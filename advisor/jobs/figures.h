/* figures.h -- what decisions are made from: summaries of scores and samples, computed once when results
 * arrive and kept; computed from the stored files where a question asks for something that was not foreseen.
 */
#pragma once

#include <jansson.h>
#include <stddef.h>

#include "advisor/decide/accuracy.h"
#include "advisor/decide/latency.h"
#include "advisor/decide/throughput.h"
#include "core/base/err.h"
#include "core/base/scenario_name.h"
#include "db/store.h"
#include "db/store_work.h"

struct figures_accuracies {
    struct accuracy *items; /* the primary metric first */
    size_t n;
};

/* Of every metric of `evaluation` beside the evaluation `baseline` ("" = alone), and kept. Blocking: up to
 * seconds the first time. Must not be called inside a transaction. Release with figures_accuracies_release.
 */
MUST_USE enum rc figures_accuracies(struct store *s, const char *evaluation, const char *baseline,
                                    struct figures_accuracies *ret, struct err *err);
void figures_accuracies_release(struct figures_accuracies *a);

/* Scores in the order in which summaries are kept and shown. */
void figures_primary_first(struct store_scores *scores, size_t n, const char *primary);

/* The same from scores that are not stored yet, and not kept. RC_NOT_FOUND: there is no evaluation `baseline`
 * yet. */
MUST_USE enum rc figures_summarise(struct store *s, const struct store_scores *scores, size_t n,
                                   const char *baseline, struct figures_accuracies *ret, struct err *err);

/* Checks the score file of a result ([rows, columns, 2] float32, finite, giving a finite figure). */
MUST_USE enum rc figures_check_scores(struct store *s, const struct store_scores *scores, struct err *err);

struct figures_scenario {
    struct latency latency;
    struct throughput throughput;
};

/* From a row of the store. RC_INPUT: it is not one. */
MUST_USE enum rc figures_unpack(const struct store_figures *row, struct figures_scenario *ret,
                                struct err *err);

/* Of `scenario` (as it is stored: study_scenarios.h) of a profile at `confidence`. RC_NOT_FOUND: not
 * measured. */
MUST_USE enum rc figures_scenario(struct store *s, const char *profile, const char *scenario,
                                  double confidence, struct figures_scenario *ret, struct err *err);

/* Examples (tokens) a second that a worker states for a scenario. */
struct figures_rate {
    double per_s;
    double unmet_per_s; /* of a server: the lowest higher rate that was not shown; NAN in closed loops */
};

/* From a scenario of a worker's result. RC_INPUT: not stated, or no sensible bracket. */
MUST_USE enum rc figures_rate_read(const json_t *scenario, enum scenario_kind kind, struct figures_rate *ret,
                                   struct err *err);

/* From `n` samples in a file of the store, at `confidence`. RC_INPUT: the file has another size, or bad
 * values. */
MUST_USE enum rc figures_from_samples(struct store *s, const char *sha256, size_t n,
                                      const struct figures_rate *rate, double confidence,
                                      struct figures_scenario *ret, struct err *err);

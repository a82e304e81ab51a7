/* explain.h -- an outcome in plain English. */
#pragma once

#include "advisor/decide/recommend.h"
#include "core/base/buf.h"
#include "core/base/err.h"

/* The summary: one sentence or two, also for the statuses undecided and none. */
MUST_USE enum rc explain_summary(const struct recommend_question *q, const struct recommend_outcome *o,
                                 struct buf *out, struct err *err);

/* Why a candidate stands where it stands: "p99 11.9 ms breaks the budget of 5 ms", "costs more; accuracy not
 * measured", "p99 not supported at n=200: needs about 273 more". */
MUST_USE enum rc explain_candidate(const struct recommend_question *q, const struct recommend_outcome *o,
                                   uint32_t candidate, struct buf *out, struct err *err);
/* The same for an entry of `rejected`, which may be a variant that failed. */
MUST_USE enum rc explain_rejected(const struct recommend_question *q, const struct recommend_outcome *o,
                                  const struct recommend_rejected *r, struct buf *out, struct err *err);

/* One check of one limit: "top1 0.9476 (at least 0.9441) meets top1>=0.94: exact binomial bound, n=10000". */
MUST_USE enum rc explain_floor(const struct floor *f, const struct check *c, struct buf *out,
                               struct err *err);
MUST_USE enum rc explain_budget(const struct budget *b, const struct check *c, struct buf *out,
                                struct err *err);

/* "raising p99<=5ms to 5.8 ms would admit int8:static at 0.31 USD per million". */
MUST_USE enum rc explain_relaxation(const struct recommend_question *q, const struct recommend_outcome *o,
                                    const struct recommend_relaxation *r, struct buf *out, struct err *err);

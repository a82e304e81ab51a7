/* gate.h -- the verdict of a CI gate from its checks. */
#pragma once

#include <stddef.h>

#include "advisor/decide/check.h"
#include "advisor/decide/recommend.h"
#include "core/base/buf.h"
#include "core/base/err.h"

enum gate_verdict { GATE_PASS, GATE_FAIL, GATE_INCONCLUSIVE };

struct gate_check {
    char limit[64]; /* canonical text of the floor or budget */
    char text[192]; /* plain words */
    double bound;   /* of the limit */
    struct check check;
};

const char *gate_verdict_name(enum gate_verdict v); /* "pass" "fail" "inconclusive" */
int gate_exit_code(enum gate_verdict v);            /* 0 1 3 */

/* Every limit of the question for one candidate; RECOMMEND_MAX_LIMITS entries fit always. *count = floors +
 * budgets. */
MUST_USE enum rc gate_checks(const struct recommend_question *q, const struct recommend_outcome *o,
                             uint32_t candidate, struct gate_check checks[RECOMMEND_MAX_LIMITS],
                             size_t *count, struct err *err);

/* Fail when any is broken, else inconclusive when any is undecided (or there is none at all), else pass. */
enum gate_verdict gate_judge(const struct gate_check *checks, size_t count);

/* A Markdown summary: headline with gate name, model, configuration, a table of the checks. Text from users
 * is escaped. */
MUST_USE enum rc gate_markdown(const char *gate, const char *model, const char *configuration,
                               const struct gate_check *checks, size_t count, struct buf *out,
                               struct err *err);

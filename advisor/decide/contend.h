/* contend.h -- which levels of a study are worth measuring further, once each was measured with its first
 * setting: the others cannot be the choice any more. Pure. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "advisor/decide/recommend.h"
#include "core/base/buf.h"
#include "core/base/err.h"

/* What was measured of a variant so far. */
struct contend_level {
    bool started; /* at least its first setting */
    bool wide;    /* all its settings */
};

enum contend_what {
    CONTEND_NOTHING,
    CONTEND_START, /* measure its first setting */
    CONTEND_WIDEN, /* measure its other settings */
};

/* what[variant_count]: what to measure next; asked when order_next has nothing to evaluate. A variant is
 * widened when the cost that other settings could bring it to is not above that of the cheapest that
 * qualifies: its cost so far, times what other settings bring the baseline on that machine, times
 * CONTEND_GENEROUS. One that was not started (as it cannot be faster on these machines) is started only when
 * nothing qualifies. Errors as recommend_decide. */
#define CONTEND_GENEROUS 0.75
MUST_USE enum rc contend_next(const struct recommend_question *q, const struct contend_level *levels,
                              enum contend_what *what, struct err *err);

/* The first budget on size that a file of so many bytes breaks, or NULL: measuring its speed changes nothing.
 */
const struct budget *contend_too_large(const struct budget *budgets, size_t n, uint64_t size_bytes);

/* Why a variant was not measured (further): "0.31 USD per million at best, by its first setting; int8:static
 * costs 0.12". Only for variants for which contend_next says CONTEND_NOTHING and which are not wide. */
MUST_USE enum rc contend_reason(const struct recommend_question *q, const struct contend_level *levels,
                                uint32_t variant, struct buf *out, struct err *err);

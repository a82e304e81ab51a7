/* order.h -- the order of work: profile everything, then measure accuracy from the cheapest up. */
#pragma once

#include "advisor/decide/recommend.h"
#include "core/base/err.h"

enum order_rule {
    ORDER_NEEDED, /* stop once nothing that is not measured could be the choice any more */
    ORDER_ALL     /* every variant that has a candidate */
};

/* The variant to evaluate next, or RECOMMEND_NONE. Asked with what is known so far: candidates profiled,
 * accuracies for the variants already evaluated. With floors the baseline comes first (others are compared
 * with it), then the variant of the cheapest candidate that breaks no budget, as long as it is cheaper than
 * the cheapest that qualifies, or in a tie with it. Variants with a failure are never returned. Without
 * floors nothing is needed. Errors as recommend_decide. */
MUST_USE enum rc order_next(const struct recommend_question *q, enum order_rule rule, uint32_t *ret,
                            struct err *err);

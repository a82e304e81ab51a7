/* recommend_parts.h -- between recommend.c and its parts; nobody else includes this. */
#pragma once

#include "advisor/decide/recommend.h"

/* recommend_floors.c: floor_checks of all variants, with Holm's correction; sets o->floor_checks and
 * o->tested. */
MUST_USE enum rc recommend_judge_floors(const struct recommend_question *q, struct recommend_outcome *o,
                                        struct err *err);

/* recommend_miss.c: nearest_miss, binding and relaxations of an outcome without a choice. */
void recommend_find_miss(const struct recommend_question *q, const uint32_t *order,
                         struct recommend_outcome *o);

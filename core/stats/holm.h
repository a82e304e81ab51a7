/* holm.h -- Holm's step-down correction (1979): the chance of any false rejection among m tests stays below
 * alpha. */
#pragma once

#include <stddef.h>

#include "core/base/err.h"

/* adjusted[i] = the least alpha at which Holm rejects hypothesis i. p[m] in [0, 1]; the arrays may be the
 * same. multiplier (may be NULL): by how much p[i] was multiplied before the running maximum. RC_MEMORY. */
MUST_USE enum rc holm_adjust(const double *p, size_t m, double *adjusted, double *multiplier,
                             struct err *err);

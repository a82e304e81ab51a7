/* explanation_scheme.h -- what a recipe does to numbers, as far as causes of speed depend on it. */
#pragma once

#include "core/base/model_family.h"

/* Bits of enum cause_scheme (advisor/decide/cause.h). 0 for a recipe that cannot be read. */
unsigned explanation_scheme(const char *recipe, enum model_family family);

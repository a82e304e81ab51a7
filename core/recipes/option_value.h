/* option_value.h -- option values from and to text. Internal to core/recipes. */
#pragma once

#include "core/recipes/recipe.h"

/* Parses `text` as a value of a non-flag option. RC_INPUT says what is valid. */
MUST_USE enum rc option_value_parse(const struct option_desc *o, const char *text, union option_value *ret,
                                    struct err *err);

enum { OPTION_VALUE_SIZE = 32 };
/* The shortest text that parses to the same value; the longest choice fits. */
void option_value_text(const struct option_desc *o, const union option_value *value,
                       char text[OPTION_VALUE_SIZE]);

/* True when two values of this option are the same. */
bool option_value_equal(const struct option_desc *o, const union option_value *a,
                        const union option_value *b);

/* The default of an option. */
union option_value option_value_default(const struct option_desc *o);

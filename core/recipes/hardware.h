/* hardware.h -- what each instruction set and runtime really makes faster, as data with its sources:
 * technique by runtime by instruction set. It says what can help; whether it does is measured. */
#pragma once

#include <stddef.h>

#include "core/recipes/recipe.h"

/* In this order a larger one is better. */
enum hardware_gain {
    HARDWARE_NONE,  /* cannot be faster: smaller at most */
    HARDWARE_SOME,  /* in favourable cases */
    HARDWARE_SPEED, /* made for it */
};
const char *hardware_gain_name(enum hardware_gain gain); /* "none", "some", "speed" */

enum { HARDWARE_SETS_MAX = 4 };

struct hardware_rule {
    const char *technique; /* "int8": a kind of step */
    const char *runtime;   /* "onnxruntime", "llama" */
    const char
        *sets[HARDWARE_SETS_MAX]; /* any of these, by the names of /proc/cpuinfo; none: every machine */
    enum hardware_gain gain;
    const char *why;    /* a clause: "VNNI multiplies bytes and adds in one instruction" */
    const char *source; /* where that is known from */
};

/* All rules. Of the rules of a technique, the first whose instruction set the machine has is the one that
 * holds; the last of each has no set. */
const struct hardware_rule *hardware_rules(size_t *count);

/* The rule that holds for a recipe on a machine with these instruction sets: that of the step which gains
 * most. NULL for the baseline and for steps that only prepare others. The strings are static. */
const struct hardware_rule *hardware_judge(const struct recipe *r, const char *const *sets, size_t n_sets);

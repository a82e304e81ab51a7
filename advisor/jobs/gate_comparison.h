/* gate_comparison.h -- the check of a gate that needs a comparison run: the configuration it judges must not
 * be slower than a model by more than a margin. The same files on the same machine type are compared once: a
 * gate that is run again finds the verdict and does not flap. */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "advisor/decide/gate.h"
#include "advisor/jobs/comparisons.h"

struct gate_comparison {
    bool wanted;
    struct comparison_wish wish; /* but for the model: that is the configuration judged */
    char reference[IDENT_SIZE], id[IDENT_SIZE];
    const char
        *named;    /* the comparison run whose verdict is taken, whatever it is; NULL: the newest decided */
    json_t *found; /* owned: the comparison as it stands */
};

/* Reads "no_slower_than" and "comparison" of a gate's question. RC_INPUT. */
MUST_USE enum rc gate_comparison_read(const json_t *body, struct gate_comparison *ret, struct err *err);

/* Finds the comparison of `configuration`, or begins it. RC_INPUT: the named one is of something else. */
MUST_USE enum rc gate_comparison_look(struct jobs *j, struct gate_comparison *g, const char *configuration,
                                      struct err *err);

/* It is wanted and runs still. */
bool gate_comparison_waits(const struct gate_comparison *g);

/* The check, of a comparison that has ended. Its own error where it failed or was cancelled. */
MUST_USE enum rc gate_comparison_check(const struct gate_comparison *g, struct gate_check *ret,
                                       struct err *err);

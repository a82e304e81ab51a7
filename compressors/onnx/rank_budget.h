/* rank_budget.h -- how many directions each layer keeps, so that together they fit a budget. Pure. */
#pragma once

#include <stddef.h>

#include "core/base/err.h"

/* How the matrix [rows, columns] of a rank is kept: as two, [rows, rank] and [rank, columns], or as `rank` of
 * its rows and what the others are of those (pivot_rows.h), [rows - rank, rank]. */
enum rank_form { RANK_PAIR, RANK_PIVOT };

struct rank_layer {
    size_t rows, columns;   /* of its matrix */
    size_t copies;          /* matrices of this kind that share one rank: groups of a convolution; mostly 1 */
    const double *energies; /* [min(rows, columns)]: falling, not negative; what is lost without each */
    double weight;          /* what a unit of lost energy costs here, against other layers */
    enum rank_form form;
};

enum { RANK_FULL = -1 }; /* the layer stays one matrix: nothing is lost */

/* Largest rank with fewer operations than the whole matrix, 0: none. RANK_PAIR: rows columns > r (rows +
 * columns); RANK_PIVOT: rows columns > r (rows + columns - r), which is any below both. */
size_t rank_budget_most(size_t rows, size_t columns, enum rank_form form);

/* Least rank whose directions hold `part` (0..1) of the energy, or RANK_FULL where that saves nothing. */
long rank_budget_by_energy(const struct rank_layer *l, double part);
/* Largest rank that keeps at most `ratio` of the parameters, at least 1, or RANK_FULL where that saves
 * nothing. */
long rank_budget_by_ratio(const struct rank_layer *l, double ratio);

/* Chooses ranks[i] (RANK_FULL or 1 ..) so that all layers together keep at most `ratio` of their parameters,
 * with little weighted loss. A layer's choices, the whole matrix among them, are points (parameters, loss):
 * for a price of a parameter each layer takes its cheapest point, and the price is raised until all fit
 * (Everett 1963, generalised Lagrange multipliers: what it finds is the best for its own number of
 * parameters); what is left over goes to the layers that gain most from it. RC_INPUT when even rank 1
 * everywhere is too much; RC_MEMORY. */
MUST_USE enum rc rank_budget_choose(const struct rank_layer *layers, size_t count, double ratio, long *ranks,
                                    struct err *err);

/* Parameters at `rank`, and the weighted loss. */
double rank_budget_parameters(const struct rank_layer *l, long rank);
double rank_budget_loss(const struct rank_layer *l, long rank);

#include "compressors/onnx/rank_budget.h"

#include <assert.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

enum { PRICE_STEPS = 200 };

static size_t lesser(size_t a, size_t b) {
    return a < b ? a : b;
}

size_t rank_budget_most(size_t rows, size_t columns, enum rank_form form) {
    if (form == RANK_PIVOT) {
        size_t least = lesser(rows, columns);
        return least > 0 ? least - 1 : 0;
    }
    double whole = (double)rows * (double)columns, each = (double)rows + (double)columns;
    double most = each > 0 ? ceil(whole / each) - 1 : 0;
    return most > 0 ? (size_t)most : 0;
}

static size_t most_of(const struct rank_layer *l) {
    return lesser(rank_budget_most(l->rows, l->columns, l->form), lesser(l->rows, l->columns));
}

double rank_budget_parameters(const struct rank_layer *l, long rank) {
    assert(l != NULL);
    double rows = (double)l->rows, columns = (double)l->columns, copies = (double)l->copies, r = (double)rank;
    double saved = l->form == RANK_PIVOT ? r * r : 0;
    return copies * (rank == RANK_FULL ? rows * columns : r * (rows + columns) - saved);
}

double rank_budget_loss(const struct rank_layer *l, long rank) {
    size_t directions = lesser(l->rows, l->columns);
    double sum = 0;
    for (size_t i = directions; rank != RANK_FULL && i > (size_t)rank; i--) {
        sum += l->energies[i - 1];
    }
    return sum * l->weight;
}

long rank_budget_by_energy(const struct rank_layer *l, double part) {
    size_t directions = lesser(l->rows, l->columns), rank = 0;
    double total = 0, held = 0;
    for (size_t i = directions; i > 0; i--) {
        total += l->energies[i - 1];
    }
    while (rank < directions && (rank == 0 || held < part * total)) {
        held += l->energies[rank++];
    }
    return rank <= most_of(l) ? (long)rank : RANK_FULL;
}

long rank_budget_by_ratio(const struct rank_layer *l, double ratio) {
    double sides = (double)l->rows + (double)l->columns, kept = ratio * (double)l->rows * (double)l->columns;
    /* r sides = kept, or the lesser root of r (sides - r) = kept */
    double rank =
        l->form == RANK_PIVOT ? (sides - sqrt(fmax(sides * sides - 4 * kept, 0))) / 2 : kept / sides;
    rank = fmax(floor(rank), 1);
    return rank <= (double)most_of(l) ? (long)rank : RANK_FULL;
}

/* --- the budget --- */

struct choice {
    const struct rank_layer *layer;
    double *losses; /* [most + 1]: weighted loss at rank 0 .. most */
    size_t most;
};

/* The rank with the least loss + price * parameters. Of equal ones the smallest model. */
static long cheapest(const struct choice *c, double price) {
    long best = RANK_FULL;
    double least = price * rank_budget_parameters(c->layer, RANK_FULL);
    for (size_t r = c->most; r >= 1; r--) {
        double cost = c->losses[r] + price * rank_budget_parameters(c->layer, (long)r);
        if (cost <= least) {
            least = cost;
            best = (long)r;
        }
    }
    return best;
}

static double take(const struct choice *all, size_t count, double price, long *ranks) {
    double sum = 0;
    for (size_t i = 0; i < count; i++) {
        ranks[i] = cheapest(&all[i], price);
        sum += rank_budget_parameters(all[i].layer, ranks[i]);
    }
    return sum;
}

/* The lowest price at which all fit, by bisection of its logarithm; false when no price is high enough. */
static bool find_price(const struct choice *all, size_t count, double budget, long *ranks) {
    double low = -700, high = 700; /* natural logarithms: every double that can matter */
    if (take(all, count, exp(high), ranks) > budget) {
        return false;
    }
    for (int i = 0; i < PRICE_STEPS; i++) {
        double middle = (low + high) / 2;
        *(take(all, count, exp(middle), ranks) > budget ? &low : &high) = middle;
    }
    take(all, count, exp(high), ranks);
    return true;
}

static double loss_at(const struct choice *c, long rank) {
    return rank == RANK_FULL ? 0 : c->losses[rank];
}

/* The best step up of one layer within `room` parameters: most loss saved for each parameter. */
static double best_step(const struct choice *c, long from, double room, long *to) {
    double best = 0, have = rank_budget_parameters(c->layer, from);
    if (from == RANK_FULL) {
        return 0;
    }
    for (long r = from + 1; r <= (long)c->most + 1; r++) {
        long rank = r > (long)c->most ? RANK_FULL : r;
        double more = rank_budget_parameters(c->layer, rank) - have;
        double gain = (loss_at(c, from) - loss_at(c, rank)) / more;
        if (more <= room && gain > best) {
            best = gain;
            *to = rank;
        }
    }
    return best;
}

static void spend_rest(const struct choice *all, size_t count, double room, long *ranks) {
    for (;;) {
        double best = 0;
        size_t which = 0;
        long to = 0, step = 0;
        for (size_t i = 0; i < count; i++) {
            double gain = best_step(&all[i], ranks[i], room, &step);
            if (gain > best) {
                best = gain;
                which = i;
                to = step;
            }
        }
        if (!(best > 0)) {
            return;
        }
        room -= rank_budget_parameters(all[which].layer, to) -
                rank_budget_parameters(all[which].layer, ranks[which]);
        ranks[which] = to;
    }
}

static enum rc choice_init(struct choice *c, const struct rank_layer *l, struct err *err) {
    size_t directions = lesser(l->rows, l->columns);
    double sum = 0;
    c->layer = l;
    c->most = most_of(l);
    c->losses = malloc((c->most + 1) * sizeof(*c->losses));
    if (!c->losses) {
        return err_memory(err);
    }
    for (size_t i = directions + 1; i-- > 0;) {
        sum += i < directions ? l->energies[i] * l->weight : 0;
        if (i <= c->most) {
            c->losses[i] = sum;
        }
    }
    return RC_OK;
}

enum rc rank_budget_choose(const struct rank_layer *layers, size_t count, double ratio, long *ranks,
                           struct err *err) {
    struct choice *all = calloc(count + 1, sizeof(*all));
    double whole = 0;
    enum rc rc = all ? RC_OK : err_memory(err);
    for (size_t i = 0; i < count && rc == RC_OK; i++) {
        whole += rank_budget_parameters(&layers[i], RANK_FULL);
        rc = choice_init(&all[i], &layers[i], err);
    }
    if (rc == RC_OK && !find_price(all, count, ratio * whole, ranks)) {
        rc = err_set(err, RC_INPUT, "even one direction a layer keeps more than %.3g of the parameters",
                     ratio);
    }
    if (rc == RC_OK) {
        double used = 0;
        for (size_t i = 0; i < count; i++) {
            used += rank_budget_parameters(&layers[i], ranks[i]);
        }
        spend_rest(all, count, ratio * whole - used, ranks);
    }
    for (size_t i = 0; all && i < count; i++) {
        free(all[i].losses);
    }
    free(all);
    return rc;
}

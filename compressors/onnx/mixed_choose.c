/* Multiple-choice knapsack by dynamic programming (Kellerer, Pferschy, Pisinger 2004, chapter 11). */
#include "compressors/onnx/mixed_choose.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/checked.h"

enum { STEPS = 4096, CELLS = STEPS + 1 };

static double cheapest(const struct mixed_prices *p) {
    double least = INFINITY;
    for (int w = 0; w < MIXED_WIDTHS; w++) {
        least = p->offered[w] && p->cost[w] < least ? p->cost[w] : least;
    }
    return least;
}

void mixed_cost_limits(const struct mixed_prices *layers, size_t count, double *least, double *most) {
    *least = *most = 0;
    for (size_t i = 0; i < count; i++) {
        double dearest = 0;
        for (int w = 0; w < MIXED_WIDTHS; w++) {
            dearest = layers[i].offered[w] && layers[i].cost[w] > dearest ? layers[i].cost[w] : dearest;
        }
        *least += cheapest(&layers[i]);
        *most += dearest;
    }
}

/* Steps above the layer's cheapest width; SIZE_MAX when it is over the budget. */
static size_t steps_of(const struct mixed_prices *p, int w, double step) {
    double above = p->cost[w] - cheapest(p);
    if (above <= 0) {
        return 0;
    }
    double steps = step > 0 ? ceil(above / step * (1 - 1e-12)) : INFINITY;
    return steps <= STEPS ? (size_t)steps : SIZE_MAX;
}

/* A loss that is infinite makes a sum that cannot be compared any more. */
static double finite_loss(double loss) {
    return loss < 1e12 ? loss : 1e12;
}

/* best[c]: least loss of the layers so far within c steps; from[c] the width of the last of them. */
static void add_layer(const struct mixed_prices *p, double step, const double *best, double *next,
                      uint8_t *from) {
    for (size_t c = 0; c < CELLS; c++) {
        next[c] = INFINITY;
        from[c] = MIXED_FP32;
    }
    for (int w = 0; w < MIXED_WIDTHS; w++) {
        size_t steps = p->offered[w] ? steps_of(p, w, step) : SIZE_MAX;
        for (size_t c = steps; steps != SIZE_MAX && c < CELLS; c++) {
            double loss = best[c - steps] + finite_loss(p->loss[w]);
            if (loss < next[c]) {
                next[c] = loss;
                from[c] = (uint8_t)w;
            }
        }
    }
}

static void trace_back(const struct mixed_prices *layers, size_t count, double step, const uint8_t *from,
                       enum mixed_width *widths) {
    size_t c = STEPS;
    for (size_t i = count; i-- > 0;) {
        widths[i] = (enum mixed_width)from[i * CELLS + c];
        c -= steps_of(&layers[i], (int)widths[i], step);
    }
}

enum rc mixed_choose(const struct mixed_prices *layers, size_t count, double budget, enum mixed_width *widths,
                     struct err *err) {
    double least, most;
    size_t cells = 0;
    mixed_cost_limits(layers, count, &least, &most);
    if (budget < least) {
        return err_set(err, RC_UNSUPPORTED, "the budget is below what the narrowest widths cost");
    }
    if (count > STEPS / 2 || checked_mul(count + 1, (size_t)CELLS, &cells)) {
        return err_set(err, RC_TOO_LARGE, "mixed precision over %zu layers is too much: %d at most", count,
                       STEPS / 2);
    }
    /* Where everything fits, the rounding of every layer must fit too. */
    double step = budget < most ? (budget - least) / STEPS : (most - least) / (double)(STEPS - count);
    double *best = calloc(CELLS, sizeof(*best)), *next = calloc(CELLS, sizeof(*next));
    uint8_t *from = malloc(cells);
    enum rc rc = best && next && from ? RC_OK : err_memory(err);
    for (size_t i = 0; i < count && !rc; i++) {
        add_layer(&layers[i], step, best, next, from + i * CELLS);
        double *swap = best;
        best = next;
        next = swap;
    }
    if (!rc) {
        trace_back(layers, count, step, from, widths);
    }
    free(best);
    free(next);
    free(from);
    return rc;
}

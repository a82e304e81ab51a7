#include "compressors/onnx/prune_budget.h"

#include <math.h>

enum { LEAST_PERCENT = 5, MOST_PERCENT = 95, PRICE_STEPS = 200 };

const double prune_budget_ratios[PRUNE_BUDGET_POINTS] = {0.25, 0.5, 0.75};

double prune_budget_loss(const struct prune_curve *c, double ratio) {
    const double *at = prune_budget_ratios;
    double tiny = 1e-300, first = ratio / at[0];
    if (ratio <= at[0]) {
        return c->weight * c->losses[0] * first * first;
    }
    size_t i = 0;
    while (i + 2 < PRUNE_BUDGET_POINTS && ratio > at[i + 1]) {
        i++;
    }
    double a = log(fmax(c->losses[i], tiny)), b = log(fmax(c->losses[i + 1], tiny));
    return c->weight * exp(a + (b - a) * (ratio - at[i]) / (at[i + 1] - at[i]));
}

static double cheapest(const struct prune_curve *c, double price) {
    double best = 0, least = INFINITY;
    for (int percent = LEAST_PERCENT; percent <= MOST_PERCENT; percent++) {
        double ratio = percent / 100.0;
        double cost = prune_budget_loss(c, ratio) - price * ratio * (double)c->weights;
        if (cost <= least) {
            least = cost;
            best = ratio;
        }
    }
    return best;
}

static double take(const struct prune_curve *curves, size_t count, double price, double *ratios) {
    double gone = 0;
    for (size_t i = 0; i < count; i++) {
        ratios[i] = cheapest(&curves[i], price);
        gone += ratios[i] * (double)curves[i].weights;
    }
    return gone;
}

/* From the choice at the lower price to that at the higher one, layer by layer, until just enough go. */
static void close_gap(const struct prune_curve *curves, size_t count, double missing, double high,
                      double *ratios) {
    for (size_t i = 0; i < count && missing > 0; i++) {
        double n = (double)curves[i].weights, more = (cheapest(&curves[i], high) - ratios[i]) * n;
        more = more < missing ? more : missing;
        ratios[i] += n > 0 ? more / n : 0;
        missing -= more;
    }
}

void prune_budget_choose(const struct prune_curve *curves, size_t count, double ratio, double *ratios) {
    double low = -700, high = 700, all = 0; /* natural logarithms of the price */
    for (size_t i = 0; i < count; i++) {
        all += (double)curves[i].weights;
    }
    for (int i = 0; i < PRICE_STEPS; i++) {
        double middle = (low + high) / 2;
        *(take(curves, count, exp(middle), ratios) < ratio * all ? &low : &high) = middle;
    }
    double gone = take(curves, count, exp(low), ratios);
    close_gap(curves, count, ratio * all - gone, exp(high), ratios);
}

#include "advisor/decide/cost.h"

static struct ratio_figure figure_of(const struct throughput *t) {
    return (struct ratio_figure){.value = t->per_s, .log_error = t->log_error, .freedom = t->freedom};
}

/* Costs are inverse to throughputs: cost a / cost b = (price a / price b) * (throughput b / throughput a). */
void cost_ratio(const struct throughput *a, double price_a, const struct throughput *b, double price_b,
                double margin, double confidence, struct ratio_bounds *ret) {
    double prices = price_a / price_b;
    if (a->rounds && b->rounds && a->round_group && a->round_group == b->round_group &&
        a->round_count == b->round_count && a->round_count >= 2) {
        ratio_paired(b->rounds, a->rounds, a->round_count, margin / prices, confidence, ret);
    } else {
        struct ratio_figure fa = figure_of(a), fb = figure_of(b);
        ratio_welch(&fb, &fa, margin / prices, confidence, ret);
    }
    ret->ratio *= prices;
    ret->low *= prices;
    ret->high *= prices;
}

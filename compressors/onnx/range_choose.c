/* range_choose.c -- from statistics to a range, and from a range to scale and zero point.
 *
 * The histogram is read through running sums (count, sum, sum of squares up to each bin), so that the error
 * of one candidate range costs a constant number of steps and both ends can be searched. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "compressors/onnx/range.h"

enum { LEVELS = 256, GRID = 64, SIDE = RANGE_HALF };

static const char *const method_names[] = {"minmax", "percentile", "entropy", "mse"};

bool range_method_parse(const char *name, enum range_method *ret) {
    for (size_t i = 0; i < sizeof(method_names) / sizeof(method_names[0]); i++) {
        if (strcmp(name, method_names[i]) == 0) {
            *ret = (enum range_method)i;
            return true;
        }
    }
    return false;
}

/* Counts by absolute value: bin i of the result holds [i, i + 1) * 2^exponent on both sides. */
static void fold_sides(const struct range_stats *s, double side[SIDE]) {
    for (int i = 0; i < SIDE; i++) {
        side[i] = (double)s->bins[RANGE_HALF + i] + (double)s->bins[RANGE_HALF - 1 - i];
    }
}

static void clip_to(const struct range_stats *s, double threshold, float *low, float *high) {
    *low = fmaxf(fminf(s->min, 0), (float)-threshold);
    *high = fminf(fmaxf(s->max, 0), (float)threshold);
}

/* --- percentile --- */

static double percentile_threshold(const struct range_stats *s, double percent) {
    double side[SIDE];
    fold_sides(s, side);
    double wanted = percent / 100 * (double)s->count;
    double sum = (double)s->zeros;
    for (int i = 0; i < SIDE; i++) {
        if (sum + side[i] >= wanted) {
            double part = side[i] > 0 ? (wanted - sum) / side[i] : 0;
            return ldexp(i + fmax(part, 0), s->exponent);
        }
        sum += side[i];
    }
    return ldexp(SIDE, s->exponent);
}

double range_reach(const struct range_stats *s, double percent) {
    if (s->min > s->max) {
        return 0;
    }
    return s->bins ? percentile_threshold(s, percent) : fmax(fabs((double)s->min), fabs((double)s->max));
}

/* --- entropy --- */

enum { ENTROPY_LEVELS = 128, ENTROPY_STRIDE = 8 };

/* No threshold may clip more than this part of the values. The divergence compares distributions and does not
 * see how far a clipped value moves: a peak (the background of an image) at the threshold would hide any
 * number of them. */
static const double entropy_clip_max = 0.005;

/* The divergence of the first `n` bins from what is left of them after ENTROPY_LEVELS levels; the bins above
 * are counted into the last one on the side of the reference only, which is what makes clipping cost
 * something (Migacz 2017, slide "Pseudocode"). */
static double entropy_divergence(const double side[SIDE], int n, double above) {
    double total_p = above;
    double total_q = 0;
    for (int i = 0; i < n; i++) {
        total_p += side[i];
        total_q += side[i];
    }
    if (total_q <= 0) {
        return INFINITY;
    }
    double divergence = 0;
    for (int level = 0; level < ENTROPY_LEVELS; level++) {
        int first = level * n / ENTROPY_LEVELS;
        int last = (level + 1) * n / ENTROPY_LEVELS;
        double sum = 0;
        int filled = 0;
        for (int i = first; i < last; i++) {
            sum += side[i];
            filled += side[i] > 0;
        }
        double q = filled > 0 ? sum / filled / total_q : 0;
        for (int i = first; i < last; i++) {
            double p = (side[i] + (i == n - 1 ? above : 0)) / total_p;
            if (p > 0) {
                /* A reference bin that only clipping filled has no quantized mass: smoothed, as it must not
                 * be free. */
                divergence += p * log(p / (side[i] > 0 ? q : 1e-4 / total_q));
            }
        }
    }
    return divergence;
}

static double entropy_threshold(const struct range_stats *s) {
    double side[SIDE];
    fold_sides(s, side);
    int used = SIDE;
    while (used > ENTROPY_LEVELS && side[used - 1] <= 0) {
        used--;
    }
    double above = 0;
    double best = INFINITY;
    int best_n = used;
    for (int n = used; n >= ENTROPY_LEVELS && above <= entropy_clip_max * (double)s->count;
         n -= ENTROPY_STRIDE) {
        double divergence = entropy_divergence(side, n, above);
        if (divergence < best) {
            best = divergence;
            best_n = n;
        }
        for (int i = n - ENTROPY_STRIDE; i < n; i++) {
            above += side[i];
        }
    }
    return ldexp(best_n, s->exponent);
}

/* --- mean squared error --- */

/* Sums over the bins below an edge: edge e lies at (e - RANGE_HALF) * width. A bin's values stand at its
 * middle. */
struct running_sums {
    double width;
    double n[RANGE_BINS + 1], x[RANGE_BINS + 1], xx[RANGE_BINS + 1];
};

static void running_sums_fill(struct running_sums *r, const struct range_stats *s) {
    r->width = ldexp(1, s->exponent);
    r->n[0] = r->x[0] = r->xx[0] = 0;
    for (int i = 0; i < RANGE_BINS; i++) {
        double count = (double)s->bins[i];
        double middle = (i - RANGE_HALF + 0.5) * r->width;
        r->n[i + 1] = r->n[i] + count;
        r->x[i + 1] = r->x[i] + count * middle;
        r->xx[i + 1] = r->xx[i] + count * middle * middle;
    }
}

/* The edge nearest to a value. */
static int edge_of(const struct running_sums *r, double value) {
    double edge = nearbyint(value / r->width) + RANGE_HALF;
    return edge < 0 ? 0 : edge > RANGE_BINS ? RANGE_BINS : (int)edge;
}

/* Sum of squared errors of the range [low, high] in `LEVELS` levels: step^2 / 12 for every value inside
 * (exact zeros have none), the distance to the end for every value outside. */
static double squared_error(const struct running_sums *r, double low, double high) {
    int a = edge_of(r, low);
    int b = edge_of(r, high);
    double step = (high - low) / (LEVELS - 1);
    double inside = r->n[b] - r->n[a];
    double below = r->xx[a] - 2 * low * r->x[a] + low * low * r->n[a];
    double n = r->n[RANGE_BINS] - r->n[b];
    double x = r->x[RANGE_BINS] - r->x[b];
    double xx = r->xx[RANGE_BINS] - r->xx[b];
    double above = xx - 2 * high * x + high * high * n;
    return inside * step * step / 12 + below + above;
}

/* Every pair of ends on a grid, then a finer grid around the best pair. */
static void mse_range(const struct running_sums *r, double min, double max, float *low, float *high) {
    double best = INFINITY;
    double best_low = min;
    double best_high = max;
    double low_span = min;
    double high_span = max;
    double low_base = 0;
    double high_base = 0;
    for (int pass = 0; pass < 2; pass++) {
        int last = low_span < 0 ? GRID : 0;
        for (int i = 0; i <= last; i++) {
            double candidate_low = low_base + low_span * i / GRID;
            for (int j = 0; j <= GRID; j++) {
                double candidate_high = high_base + high_span * j / GRID;
                double error = squared_error(r, candidate_low, candidate_high);
                if (error < best) {
                    best = error;
                    best_low = candidate_low;
                    best_high = candidate_high;
                }
            }
        }
        low_base = fmin(best_low - min / GRID, 0);
        low_span = fmax(best_low + min / GRID, min) - low_base;
        high_base = fmax(best_high - max / GRID, 0);
        high_span = fmin(best_high + max / GRID, max) - high_base;
    }
    *low = (float)best_low;
    *high = (float)best_high;
}

/* --- the choice --- */

void range_choose(const struct range_stats *s, enum range_method method, double percent, float *low,
                  float *high) {
    *low = fminf(s->min, 0);
    *high = fmaxf(s->max, 0);
    if (!s->bins || s->count == s->zeros) {
        return;
    }
    switch (method) {
    case RANGE_MINMAX:
        break;
    case RANGE_PERCENTILE:
        clip_to(s, percentile_threshold(s, percent), low, high);
        break;
    case RANGE_ENTROPY:
        clip_to(s, entropy_threshold(s), low, high);
        break;
    case RANGE_MSE: {
        struct running_sums sums;
        running_sums_fill(&sums, s);
        mse_range(&sums, (double)*low, (double)*high, low, high);
        break;
    }
    }
}

/* "So far from": over 1,000, and no value lies between a quarter and a 64th of the largest, though there are
 * smaller ones. Those would share fewer than four of the 255 steps, however many values the mask has covered.
 */
bool range_is_wrecked(const struct range_stats *s) {
    enum { GAP_END = 4, GAP_BEGIN = 64, LARGE = 1000 };
    if (s->nonfinite > 0) {
        return true;
    }
    if (!s->bins || s->count == s->zeros) {
        return false;
    }
    double largest = fmax(fabs((double)s->min), fabs((double)s->max));
    double bins = ldexp(largest, -s->exponent);
    double side[SIDE];
    double below = 0;
    double between = 0;
    fold_sides(s, side);
    for (int i = 0; i < SIDE; i++) {
        below += i < bins / GAP_BEGIN ? side[i] : 0;
        between += i > bins / GAP_BEGIN && i < bins / GAP_END ? side[i] : 0;
    }
    return largest > LARGE && below > 0 && between <= 0;
}

struct range_params range_params_of(float low, float high, enum range_type type) {
    int32_t qmin = type == RANGE_UINT8 ? 0 : -128;
    double scale = ((double)high - (double)low) / (LEVELS - 1);
    /* A range of nothing, or so small that 1 / scale overflows: any scale represents it. */
    if (!(scale > 1e-30)) {
        scale = high > low ? 1e-30 : 1;
    }
    float rounded = (float)scale;
    double zero = qmin - nearbyint((double)low / (double)rounded);
    zero = fmin(fmax(zero, qmin), qmin + LEVELS - 1);
    return (struct range_params){.scale = rounded, .zero_point = (int32_t)zero};
}

/* H. Badri and A. Shaji, "Half-Quadratic Quantization of Large Machine Learning Models", 2023. The sum of
 * |w - s (q - z)|^p is split by a second set of errors e,
 *
 *   min over z and e of  sum |e|^p + beta/2 (w - s (q - z) - e)^2,
 *
 * and solved by turns: e by the generalised soft threshold of the residuals, then z in closed form, the mean
 * of q - (w - e) / s over the group; beta grows by kappa. There the scale is fixed and z a fraction.
 *
 * The runtime's zero points are whole numbers, and rounding z takes back all that was gained (docs-lm, 3 and
 * 4 bits: as accurate as round to nearest, to the last digit). So here the scale has turns too: for the first
 * zero and the whole numbers beside the fractional one, in closed form sum (w - e)(q - z) / sum (q - z)^2. A
 * turn stays only where the sum fell. To search further for a least sum is worse: the least one cuts off too
 * much (docs-lm, 4 bits, best of 8 first scales: below round to nearest).
 *
 * p is 0.75, not the authors' 0.7: its powers are square roots, which every machine rounds alike, and the
 * accuracy is the same. Residuals are measured in the first scale, so that a group and its multiple are
 * rounded alike. */
#include "compressors/onnx/hqq.h"

#include <math.h>

#include "compressors/onnx/round_loops.h"

enum { TURNS = 20 };

static const float beta_first = 10, kappa = 1.01F; /* the authors' */

struct group {
    const float *w;
    size_t n;
    float top, unit; /* largest code; what residuals are measured in */
};

/* What a pass over the group finds at (scale, zero). */
struct pass {
    double error;             /* sum of |residual|^p */
    float next_scale, offset; /* the scale and the change of zero that the half-quadratic steps give */
};

/* |e|^0.75, and in *shrunk the generalised soft threshold |e| - |e|^(p - 1) / beta. */
static float power(float e, float beta, float *shrunk) {
    float root = sqrtf(e), rest = e - 1 / (sqrtf(root) * beta);
    *shrunk = rest > 0 ? rest : 0; /* e = 0: minus infinity */
    return root * sqrtf(root);
}

static struct pass look(const struct group *g, float scale, float zero, float beta) {
    float inverse = scale != 0 ? 1 / scale : 0;
    double error = 0, product = 0, square = 0, offset = 0;
    for (size_t i = 0; i < g->n; i++) {
        float c = round_code(g->w[i], inverse, zero, g->top) - zero, r = g->w[i] - scale * c, shrunk;
        error += (double)power(fabsf(r) / g->unit, beta, &shrunk);
        float fit = g->w[i] - copysignf(shrunk * g->unit, r);
        product += (double)(fit * c);
        square += (double)(c * c);
        offset += (double)(c - fit * inverse);
    }
    return (struct pass){error, square > 0 ? (float)(product / square) : scale,
                         (float)(offset / (double)g->n)};
}

double hqq_error(const float *w, size_t n, const struct group_format *f, float scale, uint8_t zero,
                 float unit) {
    const struct group g = {w, n, (float)((1U << f->bits) - 1), unit};
    return look(&g, scale, zero, beta_first).error;
}

/* The fractional zero, as the paper has it. */
static float turns_of_zero(const struct group *g, float scale, float zero) {
    float beta = beta_first;
    struct pass at = look(g, scale, zero, beta);
    for (int turn = 0; turn < TURNS; turn++) {
        float next = zero + at.offset;
        struct pass there = look(g, scale, next, beta *= kappa);
        if (!(there.error < at.error)) {
            break;
        }
        zero = next;
        at = there;
    }
    return zero;
}

struct choice {
    double error;
    float scale, zero;
};

static void turns_of_scale(const struct group *g, float scale, float zero, struct choice *best) {
    float beta = beta_first;
    struct pass at = look(g, scale, zero, beta);
    for (int turn = 0; turn < TURNS && at.next_scale != 0; turn++) {
        float next = at.next_scale;
        struct pass there = look(g, next, zero, beta *= kappa);
        if (!(there.error < at.error)) {
            break;
        }
        scale = next;
        at = there;
    }
    if (at.error < best->error) {
        *best = (struct choice){at.error, scale, zero};
    }
}

void hqq_choose(const float *w, size_t n, const struct group_format *f, float *scale, uint8_t *zero) {
    group_choose_range(w, n, f, scale, zero);
    float first = *zero, unit = fabsf(*scale);
    if (!(unit >= 1e-30F)) { /* all zeros, or too small to square */
        return;
    }
    const struct group g = {w, n, (float)((1U << f->bits) - 1), unit};
    struct choice best = {INFINITY, *scale, first};
    turns_of_scale(&g, *scale, first, &best);
    if (f->zero == GROUP_ASYMMETRIC) {
        float z = turns_of_zero(&g, *scale, first);
        float below = fminf(fmaxf(floorf(z), 0), g.top), above = fminf(fmaxf(ceilf(z), 0), g.top);
        if (below != first) {
            turns_of_scale(&g, *scale, below, &best);
        }
        if (above != first && above != below) {
            turns_of_scale(&g, *scale, above, &best);
        }
    }
    *scale = best.scale;
    *zero = (uint8_t)best.zero;
}

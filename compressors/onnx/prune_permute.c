#include "compressors/onnx/prune_permute.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "compressors/onnx/prune_pattern.h"
#include "compressors/onnx/vector.h"

enum { BLOCK = 64 };
static const double LEAST_GAIN = 1e-6; /* of what two groups lose: below it is rounding */

struct permuting {
    const float *loss;
    size_t rows, n, m, groups;
    uint32_t *order;
    double *lost; /* [groups] */
    uint64_t work_left;
};

/* Adds to sums[VECTOR_LANES] the m - n least of each of BLOCK rows; v [m, BLOCK] is left half sorted. */
VECTOR_LOOPS static void add_least(float (*v)[BLOCK], size_t n, size_t m, float *sums) {
    for (size_t least = 0; least < m - n; least++) {
        for (size_t j = m - 1; j > least; j--) {
            float *a = v[j - 1], *b = v[j];
            for (size_t i = 0; i < BLOCK; i++) {
                float low = a[i] < b[i] ? a[i] : b[i], high = a[i] < b[i] ? b[i] : a[i];
                a[i] = low;
                b[i] = high;
            }
        }
        for (size_t i = 0; i < BLOCK; i += VECTOR_LANES) {
            for (size_t lane = 0; lane < VECTOR_LANES; lane++) {
                sums[lane] += v[least][i + lane];
            }
        }
    }
}

/* Sum of the m - n least of every row. members[m]: columns. */
static double lost_of(const struct permuting *p, const uint32_t *members) {
    float v[PRUNE_M_MAX][BLOCK];
    double sum = 0;
    for (size_t first = 0; first < p->rows; first += BLOCK) {
        size_t count = p->rows - first < BLOCK ? p->rows - first : BLOCK;
        float sums[VECTOR_LANES] = {0};
        for (size_t j = 0; j < p->m; j++) {
            memcpy(v[j], p->loss + members[j] * p->rows + first, count * sizeof(float));
            memset(v[j] + count, 0, (BLOCK - count) * sizeof(float));
        }
        add_least(v, p->n, p->m, sums);
        for (size_t lane = 0; lane < VECTOR_LANES; lane++) {
            sum += (double)sums[lane];
        }
    }
    return sum;
}

static bool swap_best(struct permuting *p, size_t a, size_t b) {
    uint32_t *x = p->order + a * p->m, *y = p->order + b * p->m;
    double now = p->lost[a] + p->lost[b], best = now - LEAST_GAIN * now, best_a = 0, best_b = 0;
    size_t best_i = p->m, best_j = 0;
    for (size_t i = 0; i < p->m; i++) {
        for (size_t j = 0; j < p->m; j++) {
            uint32_t was_x = x[i], was_y = y[j];
            x[i] = was_y;
            y[j] = was_x;
            double of_a = lost_of(p, x), of_b = lost_of(p, y);
            x[i] = was_x;
            y[j] = was_y;
            if (of_a + of_b < best) {
                best = of_a + of_b;
                best_a = of_a;
                best_b = of_b;
                best_i = i;
                best_j = j;
            }
        }
    }
    if (best_i == p->m) {
        return false;
    }
    uint32_t was = x[best_i];
    x[best_i] = y[best_j];
    y[best_j] = was;
    p->lost[a] = best_a;
    p->lost[b] = best_b;
    return true;
}

static double total(const struct permuting *p) {
    double sum = 0;
    for (size_t g = 0; g < p->groups; g++) {
        sum += p->lost[g];
    }
    return sum;
}

/* Pairs of groups at every distance, near ones first. */
static void search(struct permuting *p) {
    uint64_t blocks = (p->rows + BLOCK - 1) / BLOCK, each = 2 * (uint64_t)p->m * p->m * p->m * blocks * BLOCK;
    bool changed = true;
    while (changed) {
        changed = false;
        for (size_t apart = 1; apart < p->groups; apart++) {
            for (size_t a = 0; a + apart < p->groups; a++) {
                if (p->work_left < each) {
                    return;
                }
                p->work_left -= each;
                changed = swap_best(p, a, a + apart) || changed;
            }
        }
    }
}

enum rc prune_permute(const float *loss, size_t rows, size_t columns, size_t n, size_t m, uint64_t max_work,
                      uint32_t *order, double *before, double *after, struct err *err) {
    struct permuting p = {.loss = loss,
                          .rows = rows,
                          .n = n,
                          .m = m,
                          .groups = columns / m,
                          .order = order,
                          .work_left = max_work};
    p.lost = malloc((p.groups + 1) * sizeof(*p.lost));
    if (!p.lost) {
        return err_memory(err);
    }
    for (size_t i = 0; i < columns; i++) {
        order[i] = (uint32_t)i;
    }
    for (size_t g = 0; g < p.groups; g++) {
        p.lost[g] = lost_of(&p, order + g * m);
    }
    *before = total(&p);
    search(&p);
    *after = total(&p);
    free(p.lost);
    return RC_OK;
}

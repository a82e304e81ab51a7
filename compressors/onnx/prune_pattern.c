#include "compressors/onnx/prune_pattern.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "compressors/onnx/prune_loops.h"
#include "compressors/onnx/prune_select.h"

/* --- the least of all --- */

enum rc prune_pattern_least_of(const struct prune_span *spans, size_t span_count, double ratio,
                               struct err *err) {
    struct prune_cut cut;
    size_t total = 0;
    for (size_t s = 0; s < span_count; s++) {
        total += spans[s].count;
    }
    enum rc rc = prune_select(spans, span_count, (size_t)((double)total * ratio), &cut, err);
    for (size_t s = 0; s < span_count && rc == RC_OK; s++) {
        prune_cut_mark(&cut, spans[s].scores, spans[s].count, spans[s].keep);
    }
    return rc;
}

enum rc prune_pattern_least(const float *scores, size_t count, double ratio, uint8_t *keep, struct err *err) {
    const struct prune_span span = {scores, count, keep};
    return prune_pattern_least_of(&span, 1, ratio, err);
}

/* --- N of M --- */

static void keep_largest(const float *scores, size_t n, size_t m, uint8_t *keep) {
    memset(keep, 0, m);
    for (size_t k = 0; k < n; k++) {
        size_t best = m;
        for (size_t i = 0; i < m; i++) {
            float a = isnan(scores[i]) ? -1 : fabsf(scores[i]);
            if (!keep[i] && (best == m || a >= fabsf(scores[best]) || isnan(scores[best]))) {
                best = i;
            }
        }
        keep[best] = 1;
    }
}

VECTOR_LOOPS static void keep_of_fours(const float *scores, size_t fours, int32_t n, uint8_t *keep) {
    prune_fours(scores, fours, n, keep);
}

void prune_pattern_n_of_m(const float *scores, size_t rows, size_t columns, size_t n, size_t m,
                          uint8_t *keep) {
    assert(n <= m && m > 0 && columns % m == 0);
    if (m == 4) {
        keep_of_fours(scores, rows * columns / 4, (int32_t)n, keep);
        return;
    }
    for (size_t i = 0; i < rows * columns; i += m) {
        keep_largest(scores + i, n, m, keep + i);
    }
}

/* --- tiles --- */

static float tile_score(const float *scores, size_t columns, size_t block) {
    double sum = 0;
    for (size_t r = 0; r < block; r++) {
        for (size_t c = 0; c < block; c++) {
            double x = scores[r * columns + c];
            sum += x * x;
        }
    }
    return (float)sqrt(sum);
}

enum rc prune_pattern_tiles(const float *scores, size_t rows, size_t columns, size_t block, double ratio,
                            uint8_t *keep, struct err *err) {
    assert(rows % block == 0 && columns % block == 0);
    size_t across = columns / block, tiles = rows / block * across;
    float *tile_scores = malloc((tiles + 1) * sizeof(*tile_scores));
    uint8_t *tile_keep = calloc(tiles + 1, 1);
    enum rc rc = tile_scores && tile_keep ? RC_OK : err_memory(err);
    for (size_t t = 0; t < tiles && rc == RC_OK; t++) {
        tile_scores[t] =
            tile_score(scores + t / across * block * columns + t % across * block, columns, block);
    }
    rc = rc != RC_OK ? rc : prune_pattern_least(tile_scores, tiles, ratio, tile_keep, err);
    for (size_t i = 0; i < rows * columns && rc == RC_OK; i++) {
        keep[i] = tile_keep[i / columns / block * across + i % columns / block];
    }
    free(tile_scores);
    free(tile_keep);
    return rc;
}

/* --- by the shape --- */

bool prune_pattern_fits(const struct prune_pattern *p, size_t rows, size_t columns) {
    return p->shape == PRUNE_N_OF_M   ? columns % p->m == 0
           : p->shape == PRUNE_BLOCKS ? rows % p->block == 0 && columns % p->block == 0
                                      : true;
}

enum rc prune_pattern_mask(const struct prune_pattern *p, const float *scores, size_t rows, size_t columns,
                           uint8_t *keep, struct err *err) {
    if (p->shape == PRUNE_ANYWHERE) {
        return prune_pattern_least(scores, rows * columns, p->ratio, keep, err);
    }
    enum rc rc = prune_check_finite(scores, rows * columns, err);
    if (rc == RC_OK && p->shape == PRUNE_N_OF_M) {
        prune_pattern_n_of_m(scores, rows, columns, p->n, p->m, keep);
    } else if (rc == RC_OK) {
        rc = prune_pattern_tiles(scores, rows, columns, p->block, p->ratio, keep, err);
    }
    return rc;
}

/* prune_loops.h -- the loops that choose which weights become zero, each over plain arrays, to be wrapped as
 * those of round_loops.h. Magnitudes are compared as bits. */
#pragma once

#include "compressors/onnx/vector.h"

enum {
    PRUNE_KEYS = 2 * VECTOR_LANES, /* in short_lanes */
    PRUNE_PAIR = 2 * PRUNE_KEYS,
    PRUNE_TURNS = INT16_MAX, /* that a counter of 16 bits can count */
    PRUNE_GATHER = 4096,     /* scores at most for prune_gather */
    PRUNE_PART = 128,        /* scores that are made between two requests for memory */
    PRUNE_AHEAD = 8192,      /* weights that are fetched while others are scored */
    PRUNE_FOURS = 32         /* groups of four that are chosen at once */
};

/* The upper half of each magnitude. */
VECTOR_BODY void prune_keys(const float *restrict x, size_t n, int16_t *restrict keys) {
    for (size_t i = 0; i < n; i++) {
        keys[i] = (int16_t)(vector_magnitude(x[i]) >> 16);
    }
}

/* The largest of n keys, which are not negative. */
VECTOR_BODY int16_t prune_top(const int16_t *keys, size_t n) {
    int16_t top = 0;
    for (size_t i = 0; i < n; i++) {
        top = keys[i] > top ? keys[i] : top;
    }
    return top;
}

VECTOR_BODY size_t prune_sum(const short_lanes *counts) {
    int16_t each[PRUNE_KEYS];
    size_t sum = 0;
    memcpy(each, counts, sizeof(each));
    for (size_t k = 0; k < PRUNE_KEYS; k++) {
        sum += (uint16_t)each[k];
    }
    return sum;
}

/* How many keys are below the bound. */
VECTOR_BODY size_t prune_count(const int16_t *keys, size_t n, int16_t bound) {
    const short_lanes limit = (short_lanes){0} + bound;
    size_t count = 0, i = 0;
    while (i + PRUNE_PAIR <= n) {
        short_lanes a = {0}, b = {0};
        for (size_t turn = 0; turn < PRUNE_TURNS && i + PRUNE_PAIR <= n; turn++, i += PRUNE_PAIR) {
            short_lanes x, y;
            memcpy(&x, keys + i, sizeof(x));
            memcpy(&y, keys + i + PRUNE_KEYS, sizeof(y));
            a -= x < limit; /* a comparison that holds is -1 */
            b -= y < limit;
        }
        count += prune_sum(&a) + prune_sum(&b);
    }
    for (; i < n; i++) {
        count += keys[i] < bound;
    }
    return count;
}

VECTOR_BODY bool prune_any(const void *lanes) {
    uint64_t parts[sizeof(int_lanes) / sizeof(uint64_t)], all = 0;
    memcpy(parts, lanes, sizeof(parts));
    for (size_t k = 0; k < sizeof(parts) / sizeof(parts[0]); k++) {
        all |= parts[k];
    }
    return all != 0;
}

/* The lower halves of the magnitudes whose upper half is `key`, less 2^15 so that they order as signed
 * numbers, to lows + found, where there is room for n, at most PRUNE_GATHER: first the places where there are
 * some, so that no jump depends on what is in x. Returns found with them. */
VECTOR_BODY size_t prune_lows(const float *x, const int16_t *keys, size_t n, int16_t key, int16_t *lows,
                              size_t found) {
    const short_lanes wanted = (short_lanes){0} + key;
    size_t places[PRUNE_GATHER / PRUNE_KEYS + 1], hits = 0, i = 0;
    for (; i + PRUNE_KEYS <= n; i += PRUNE_KEYS) {
        short_lanes k;
        memcpy(&k, keys + i, sizeof(k));
        k = k == wanted;
        places[hits] = i;
        hits += prune_any(&k);
    }
    for (size_t h = 0; h < hits; h++) {
        for (size_t k = places[h]; k < places[h] + PRUNE_KEYS; k++) {
            lows[found] = (int16_t)((vector_magnitude(x[k]) & 0xffff) + INT16_MIN);
            found += vector_magnitude(x[k]) >> 16 == key;
        }
    }
    for (; i < n; i++) {
        lows[found] = (int16_t)((vector_magnitude(x[i]) & 0xffff) + INT16_MIN);
        found += vector_magnitude(x[i]) >> 16 == key;
    }
    return found;
}

/* What a pass over magnitudes finds. */
struct prune_between {
    size_t below, found; /* magnitudes below `low`; from there to below `high` */
    int32_t most;        /* the largest of all */
};

/* Adds what is in x, at most PRUNE_GATHER scores. Writes magnitudes in low .. high - 1 to out + found, where
 * there is room for n. First the places where there are some: no jump depends on what is in x. */
VECTOR_BODY void prune_gather(const float *x, size_t n, int32_t low, int32_t high, struct prune_between *b,
                              float *out) {
    int_lanes below = {0}, most = {0};
    size_t places[PRUNE_GATHER / PRUNE_KEYS + 1], hits = 0, i = 0, found = b->found;
    for (; i + PRUNE_KEYS <= n; i += PRUNE_KEYS) {
        int_lanes hit = {0};
        for (size_t k = 0; k < PRUNE_KEYS; k += VECTOR_LANES) {
            int_lanes m;
            memcpy(&m, x + i + k, sizeof(m));
            m &= INT32_MAX;
            int_lanes under = m<low, more = m> most;
            below -= under;
            hit |= (m < high) & ~under;
            most = (m & more) | (most & ~more);
        }
        places[hits] = i;
        hits += prune_any(&hit);
    }
    for (; i < n; i++) {
        int32_t m = vector_magnitude(x[i]);
        b->below += m < low;
        b->most = vector_larger(b->most, m);
        out[found] = vector_float(m);
        found += m >= low && m < high;
    }
    for (size_t h = 0; h < hits; h++) {
        for (size_t k = 0; k < PRUNE_KEYS; k++) {
            int32_t m = vector_magnitude(x[places[h] + k]);
            out[found] = vector_float(m);
            found += (m >= low) & (m < high);
        }
    }
    for (size_t k = 0; k < VECTOR_LANES; k++) {
        b->below += (size_t)below[k];
        b->most = vector_larger(b->most, most[k]);
    }
    b->found = found;
}

VECTOR_BODY void prune_mark(const float *restrict scores, size_t n, int32_t threshold,
                            uint8_t *restrict keep) {
    for (size_t i = 0; i < n; i++) {
        keep[i] = vector_magnitude(scores[i]) >= threshold;
    }
}

/* w becomes zero where the score's magnitude is below the threshold; w may be the scores. Returns how many
 * are zero then. */
VECTOR_BODY size_t prune_clear(const float *scores, size_t n, int32_t threshold, float *w) {
    int_lanes zeros = {0};
    size_t count = 0, i = 0;
    for (; i + VECTOR_LANES <= n; i += VECTOR_LANES) {
        int_lanes m, x;
        memcpy(&m, scores + i, sizeof(m));
        memcpy(&x, w + i, sizeof(x));
        x &= ~((m & INT32_MAX) < threshold);
        zeros -= (x & INT32_MAX) == 0;
        memcpy(w + i, &x, sizeof(x));
    }
    for (; i < n; i++) {
        w[i] = vector_magnitude(scores[i]) < threshold ? 0 : w[i];
        count += w[i] == 0;
    }
    for (size_t k = 0; k < VECTOR_LANES; k++) {
        count += (size_t)zeros[k];
    }
    return count;
}

/* As clear, by marks. */
VECTOR_BODY void prune_apply(float *restrict w, const uint8_t *restrict keep, size_t n) {
    for (size_t i = 0; i < n; i++) {
        w[i] = keep[i] ? w[i] : 0.0f;
    }
}

/* Scores of a row: magnitudes times the size of their inputs. Weights further on are fetched meanwhile: other
 * work follows, during which a memory that is not asked would rest. */
VECTOR_BODY void prune_score(const float *restrict w, const double *restrict sizes, size_t n,
                             float *restrict scores) {
    for (size_t first = 0; first < n; first += PRUNE_PART) {
        size_t end = n - first < PRUNE_PART ? n : first + PRUNE_PART;
        for (size_t i = first; i < end; i += PRUNE_KEYS) {
            VECTOR_PREFETCH(w + i, PRUNE_AHEAD);
        }
        for (size_t i = first; i < end; i++) {
            scores[i] = (float)((double)vector_float(vector_magnitude(w[i])) * sizes[i]);
        }
    }
}

/* Of every four scores the `kept` of largest magnitude stay: 1, else 0. Of equal ones the last; NaN is least.
 * Each is compared with the three others: it stays when it wins at least 4 - kept times. */
VECTOR_BODY void prune_stays(const float *restrict scores, size_t fours, int32_t kept,
                             int32_t *restrict stays) {
    for (size_t g = 0; g < fours; g++) {
        int32_t m[4];
        for (size_t k = 0; k < 4; k++) {
            int32_t bits = vector_magnitude(scores[4 * g + k]);
            m[k] = bits > FLOAT_INFINITY ? -1 : bits;
        }
        int32_t ab = m[0] > m[1], ac = m[0] > m[2], ad = m[0] > m[3];
        int32_t bc = m[1] > m[2], bd = m[1] > m[3], cd = m[2] > m[3];
        stays[4 * g] = ab + ac + ad >= 4 - kept;
        stays[4 * g + 1] = 1 - ab + bc + bd >= 4 - kept;
        stays[4 * g + 2] = 2 - ac - bc + cd >= 4 - kept;
        stays[4 * g + 3] = 3 - ad - bd - cd >= 4 - kept;
    }
}

VECTOR_BODY void prune_fours(const float *restrict scores, size_t fours, int32_t kept,
                             uint8_t *restrict keep) {
    int32_t stays[4 * PRUNE_FOURS];
    for (size_t first = 0; first < fours; first += PRUNE_FOURS) {
        size_t n = fours - first < PRUNE_FOURS ? fours - first : PRUNE_FOURS;
        prune_stays(scores + 4 * first, n, kept, stays);
        for (size_t i = 0; i < 4 * n; i++) {
            keep[4 * first + i] = (uint8_t)stays[i];
        }
    }
}

/* What does not stay becomes zero. */
VECTOR_BODY void prune_clear_fours(const float *restrict scores, size_t fours, int32_t kept,
                                   float *restrict w) {
    int32_t stays[4 * PRUNE_FOURS];
    for (size_t first = 0; first < fours; first += PRUNE_FOURS) {
        size_t n = fours - first < PRUNE_FOURS ? fours - first : PRUNE_FOURS;
        prune_stays(scores + 4 * first, n, kept, stays);
        for (size_t i = 0; i < 4 * n; i++) {
            w[4 * first + i] = vector_float(vector_bits(w[4 * first + i]) & -stays[i]);
        }
    }
}

/* Sorting: least significant digit radix sort on the bits of the costs as floats, which order like the
 * numbers when these are not negative, then insertion among the few that differ by less than a float shows.
 * Frontier: a sweep by cost; a point survives when no cheaper one is at least as accurate and as fast, asked
 * of a Fenwick tree (Fenwick 1994) of least latencies over the ranks of accuracy. O(n log n) in all. */
#include "advisor/decide/frontier.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "core/stats/quantile.h"

enum { DIGIT_BITS = 11, DIGITS = 1 << DIGIT_BITS, PASSES = 3 };

struct keyed {
    uint32_t key, index;
};

static uint32_t key_of(double cost) {
    float rounded = cost > 0 ? (float)cost : 0; /* NAN becomes 0 here */
    uint32_t bits;
    memcpy(&bits, &rounded, sizeof bits);
    return isnan(cost) ? UINT32_MAX : bits;
}

/* One stable pass by the digit at `shift`; false when all share that digit, so that nothing moved. */
static bool radix_pass(const struct keyed *from, struct keyed *to, size_t n, unsigned shift) {
    uint32_t starts[DIGITS] = {0};
    for (size_t i = 0; i < n; i++) {
        starts[(from[i].key >> shift) & (DIGITS - 1)]++;
    }
    if (starts[(from[0].key >> shift) & (DIGITS - 1)] == n) {
        return false;
    }
    uint32_t sum = 0;
    for (size_t d = 0; d < DIGITS; d++) {
        uint32_t here = starts[d];
        starts[d] = sum;
        sum += here;
    }
    for (size_t i = 0; i < n; i++) {
        to[starts[(from[i].key >> shift) & (DIGITS - 1)]++] = from[i];
    }
    return true;
}

enum rc frontier_sort(const struct frontier_point *points, size_t n, uint32_t *order, struct err *err) {
    if (n == 0) {
        return RC_OK;
    }
    struct keyed *a = calloc(n, 2 * sizeof *a);
    if (!a) {
        return err_memory(err);
    }
    struct keyed *from = a, *to = a + n;
    for (size_t i = 0; i < n; i++) {
        from[i] = (struct keyed){key_of(points[i].cost), (uint32_t)i};
    }
    for (unsigned pass = 0; pass < PASSES; pass++) {
        if (radix_pass(from, to, n, pass * DIGIT_BITS)) {
            struct keyed *t = from;
            from = to;
            to = t;
        }
    }
    for (size_t i = 0; i < n; i++) {
        uint32_t index = from[i].index;
        size_t to_here = i;
        for (; to_here > 0 && points[index].cost < points[order[to_here - 1]].cost; to_here--) {
            order[to_here] = order[to_here - 1];
        }
        order[to_here] = index;
    }
    free(a);
    return RC_OK;
}

struct ranks {
    uint32_t *of_group; /* rank of a group's accuracy: 1 is the best; 0: not measured */
    float *least;       /* [count + 1] Fenwick tree of least latencies over ranks 1 .. r */
    size_t count;
};

static void ranks_free(struct ranks *r) {
    free(r->of_group);
    free(r->least);
}

static size_t distinct(double *values, size_t n) {
    size_t kept = 0;
    quantile_sort_double(values, n);
    for (size_t i = 0; i < n; i++) {
        if (kept == 0 || values[i] != values[kept - 1]) {
            values[kept++] = values[i];
        }
    }
    return kept;
}

/* How many of the ascending values are at least `accuracy`. */
static uint32_t rank_of(const double *values, size_t n, double accuracy) {
    size_t low = 0, high = n;
    while (high - low > 1) {
        size_t mid = low + (high - low) / 2;
        if (values[mid] <= accuracy) {
            low = mid;
        } else {
            high = mid;
        }
    }
    return (uint32_t)(n - low);
}

static enum rc ranks_make(const double *accuracy, size_t groups, struct ranks *r, struct err *err) {
    double *values = calloc(groups + 1, sizeof *values);
    *r = (struct ranks){calloc(groups + 1, sizeof *r->of_group), calloc(groups + 1, sizeof *r->least), 0};
    if (!values || !r->of_group || !r->least) {
        free(values);
        ranks_free(r);
        return err_memory(err);
    }
    size_t n = 0;
    for (size_t g = 0; g < groups; g++) {
        if (!isnan(accuracy[g])) {
            values[n++] = accuracy[g];
        }
    }
    r->count = distinct(values, n);
    for (size_t g = 0; g < groups; g++) {
        r->of_group[g] = isnan(accuracy[g]) ? 0 : rank_of(values, r->count, accuracy[g]);
        r->least[g] = INFINITY;
    }
    r->least[groups] = INFINITY;
    free(values);
    return RC_OK;
}

static float least_up_to(const struct ranks *r, size_t rank) {
    float least = INFINITY;
    for (; rank > 0; rank -= rank & (~rank + 1)) {
        least = r->least[rank] < least ? r->least[rank] : least;
    }
    return least;
}

static void record(struct ranks *r, size_t rank, float latency) {
    for (; rank <= r->count; rank += rank & (~rank + 1)) {
        r->least[rank] = latency < r->least[rank] ? latency : r->least[rank];
    }
}

/* Points of equal cost come in any order: the new one may beat some that were kept just before. */
static size_t drop_beaten(const struct frontier_point *points, const struct ranks *r, uint32_t *kept,
                          size_t count, const struct frontier_point *p) {
    size_t begin = count;
    while (begin > 0 && points[kept[begin - 1]].cost == p->cost) {
        begin--;
    }
    size_t left = begin;
    for (size_t i = begin; i < count; i++) {
        const struct frontier_point *k = &points[kept[i]];
        if (r->of_group[p->group] > r->of_group[k->group] || p->latency_us > k->latency_us) {
            kept[left++] = kept[i];
        }
    }
    return left;
}

enum rc frontier_find(const struct frontier_point *points, const uint32_t *order, size_t n,
                      const double *accuracy, size_t group_count, uint32_t *ret, size_t *count,
                      struct err *err) {
    struct ranks r;
    enum rc rc = ranks_make(accuracy, group_count, &r, err);
    if (rc != RC_OK) {
        return rc;
    }
    size_t kept = 0;
    size_t best_seen =
        r.count + 1; /* best rank so far: an unknown latency (INFINITY) is beaten by any as accurate */
    for (size_t i = 0; i < n; i++) {
        const struct frontier_point *p = &points[order[i]];
        size_t rank = r.of_group[p->group];
        if (rank == 0 || isnan(p->cost)) {
            continue;
        }
        bool beaten = isinf(p->latency_us) ? best_seen <= rank : least_up_to(&r, rank) <= p->latency_us;
        if (!beaten) {
            kept = drop_beaten(points, &r, ret, kept, p);
            ret[kept++] = order[i];
            record(&r, rank, p->latency_us);
            best_seen = rank < best_seen ? rank : best_seen;
        }
    }
    *count = kept;
    ranks_free(&r);
    return RC_OK;
}

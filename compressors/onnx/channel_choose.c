/* Which units go: those of least score, family by family or all families together. */
#include <stdlib.h>
#include <string.h>

#include "compressors/onnx/prune_channels.h"

struct ranked {
    double score;
    uint32_t unit;
};

static int by_score(const void *a, const void *b) {
    const struct ranked *x = a;
    const struct ranked *y = b;
    if (x->score != y->score) {
        return x->score < y->score ? -1 : 1;
    }
    return x->unit < y->unit ? -1 : x->unit > y->unit;
}

/* Units that a family of `count` keeps: as near to `wanted` as a multiple allows; all of them where none
 * does.
 */
static uint32_t kept_units(const struct channel_family *f, double wanted, int64_t multiple) {
    uint32_t best = f->count;
    double nearest = (double)f->count - wanted;
    for (uint32_t k = 1; k < f->count; k++) {
        double distance = wanted > k ? wanted - k : k - wanted;
        if ((int64_t)k * f->stride % multiple == 0 && distance <= nearest) {
            nearest = distance;
            best = k;
        }
    }
    return best;
}

static size_t remove_least(const struct channel_family *f, const double *scores, uint32_t keep,
                           struct ranked *list, bool *remove) {
    for (uint32_t i = 0; i < f->count; i++) {
        list[i] = (struct ranked){scores[f->first + i], f->first + i};
    }
    qsort(list, f->count, sizeof(*list), by_score);
    for (uint32_t i = 0; i + keep < f->count; i++) {
        remove[list[i].unit] = true;
    }
    return f->count - keep;
}

/* How many units of each family are among the least of all: counts[family]. A unit's score is taken by
 * channel, so that a head of 64 does not stay for its size alone. */
static void count_least(const struct channel_groups *c, const double *scores, double ratio,
                        struct ranked *list, uint32_t *counts) {
    double channels = 0, gone = 0;
    for (size_t i = 0; i < c->family_count; i++) {
        const struct channel_family *f = &c->families[i];
        for (uint32_t u = f->first; u < f->first + f->count; u++) {
            list[u] = (struct ranked){scores[u] / f->stride, u};
        }
        channels += (double)f->count * f->stride;
    }
    qsort(list, c->unit_count, sizeof(*list), by_score);
    for (size_t i = 0; i < c->unit_count && gone < ratio * channels; i++) {
        uint32_t family = c->units[list[i].unit].family;
        const struct channel_family *f = &c->families[family];
        if (counts[family] + 1 <= CHANNEL_MOST * f->count) {
            counts[family]++;
            gone += f->stride;
        }
    }
}

size_t channel_choose(const struct channel_groups *c, const double *scores, const struct channel_choice *how,
                      bool *remove) {
    struct ranked *list = malloc((c->unit_count + 1) * sizeof(*list));
    uint32_t *counts = calloc(c->family_count + 1, sizeof(*counts));
    size_t removed = 0;
    memset(remove, 0, c->unit_count * sizeof(*remove));
    if (list && counts && how->global) {
        count_least(c, scores, how->ratio, list, counts);
    }
    for (size_t i = 0; list && counts && i < c->family_count; i++) {
        const struct channel_family *f = &c->families[i];
        double wanted = how->global ? f->count - counts[i] : f->count * (1 - how->ratio);
        removed += remove_least(f, scores, kept_units(f, wanted, how->multiple), list, remove);
    }
    free(list);
    free(counts);
    return removed;
}

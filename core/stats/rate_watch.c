#include "core/stats/rate_watch.h"

#include <assert.h>

enum { FIRST_LOOK = 16, FULL_TIMES = 4, SHORT_PART = 3 };

void rate_watch_init(struct rate_watch *w, enum rate_watch_kind kind, const struct rate_limit *limits,
                     size_t count, double confidence, uint64_t most) {
    assert(count >= 1 && count <= RATE_WATCH_LIMITS_MAX && most >= 1);
    unsigned looks = 1;
    for (uint64_t look = FIRST_LOOK; kind == RATE_WATCH_SHORT && look < most; look *= 2) {
        looks++;
    }
    *w = (struct rate_watch){.kind = kind,
                             .limits = limits,
                             .count = count,
                             .confidence = 1 - (1 - confidence) / looks,
                             .most = most,
                             .next_look = kind == RATE_WATCH_SHORT && FIRST_LOOK < most ? FIRST_LOOK : most,
                             .verdict = BINOMIAL_UNDECIDED};
    for (size_t i = 0; i < count; i++) {
        w->may_be_over[i] = binomial_max_over(most, limits[i].quantile, confidence);
    }
}

static enum binomial_verdict look(const struct rate_watch *w) {
    enum binomial_verdict all = BINOMIAL_MET;
    for (size_t i = 0; i < w->count; i++) {
        enum binomial_verdict one = binomial_judge(w->over[i], w->n, w->limits[i].quantile, w->confidence);
        if (one == BINOMIAL_BROKEN) {
            return BINOMIAL_BROKEN;
        }
        all = one == BINOMIAL_UNDECIDED ? BINOMIAL_UNDECIDED : all;
    }
    return all;
}

void rate_watch_end(struct rate_watch *w) {
    if (!w->done) {
        w->verdict = look(w);
        w->done = true;
    }
}

bool rate_watch_add(struct rate_watch *w, double latency_us) {
    bool lost = false;
    if (w->done) {
        return true;
    }
    w->n++;
    for (size_t i = 0; i < w->count; i++) {
        w->over[i] += !(latency_us <= w->limits[i].limit_us);
        lost = lost || (int64_t)w->over[i] > w->may_be_over[i];
    }
    if (w->n == w->next_look || (lost && w->kind == RATE_WATCH_FULL)) {
        w->verdict = look(w);
        w->next_look = w->n * 2 < w->most ? w->n * 2 : w->most;
        bool decided = w->verdict != BINOMIAL_UNDECIDED && w->kind == RATE_WATCH_SHORT;
        w->done = decided || w->n == w->most || (lost && w->kind == RATE_WATCH_FULL);
    }
    return w->done;
}

uint64_t rate_watch_samples(const struct rate_limit *limits, size_t count, double confidence,
                            uint64_t least) {
    uint64_t most = least;
    for (size_t i = 0; i < count; i++) {
        uint64_t n = FULL_TIMES * binomial_min_n(1, limits[i].quantile, confidence);
        most = n > most ? n : most;
    }
    return most;
}

uint64_t rate_watch_most(enum rate_watch_kind kind, uint64_t full) {
    return kind == RATE_WATCH_SHORT && full >= SHORT_PART ? full / SHORT_PART : full;
}

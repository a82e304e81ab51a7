#include "core/stats/rate_search.h"

#include <assert.h>

enum { MAX_PROBES = 64 };
static const double FIRST_GUESS = 0.7;

struct search {
    const struct rate_search_opts *opts;
    rate_probe_function *probe;
    void *user;
    struct rate_search_result r;
    double low, high; /* the bracket of short probes: met and not met; 0: nothing was met */
    double step;      /* of the walk towards the other end of the bracket, in resolutions */
    bool walked_up, walked_down;
    bool out_of_time;
};

static enum rc ask(struct search *s, double rate_per_s, enum rate_watch_kind kind, enum binomial_verdict *ret,
                   struct err *err) {
    struct rate_probe p = {.verdict = BINOMIAL_UNDECIDED};
    enum rc rc = s->probe(s->user, rate_per_s, kind, &p, err);
    if (rc != RC_OK) {
        return rc;
    }
    s->r.probes++;
    s->r.queries += p.n;
    s->out_of_time = s->out_of_time || p.out_of_time || s->r.probes >= MAX_PROBES;
    if (s->r.lowest_per_s == 0 || rate_per_s < s->r.lowest_per_s) {
        s->r.lowest_per_s = rate_per_s;
    }
    *ret = p.verdict;
    return RC_OK;
}

static bool close_enough(const struct search *s, double low, double high) {
    static const double rounding = 1e-9;
    return low > 0 && high <= low * (1 + s->opts->resolution) * (1 + rounding);
}

static double least_rate(const struct search *s) {
    return s->opts->least_ratio * s->opts->most_per_s;
}

/* The next rate for a short probe, inside the bracket; the walk's steps grow: 1, 2, 4 ... resolutions. */
static double next_rate(struct search *s) {
    double middle = (s->low + s->high) / 2, next = middle;
    if (s->r.probes == 0) {
        double guess = s->opts->guess_per_s > 0 ? s->opts->guess_per_s : FIRST_GUESS * s->high;
        return guess < s->high ? guess : middle;
    }
    if (s->low > 0 && !s->walked_down) {
        next = s->low * (1 + s->step * s->opts->resolution);
        next = next < middle ? next : middle;
        s->walked_up = true;
        s->step *= 2;
    } else if (s->low == 0 && !s->walked_up) {
        next = s->high / (1 + s->step * s->opts->resolution);
        next = next > middle ? next : middle;
        s->walked_down = true;
        s->step *= 2;
    }
    return next;
}

/* Narrows the bracket by short probes. Stops when it is closed, when nothing is met above the least rate, or
 * out of time. */
static enum rc narrow(struct search *s, struct err *err) {
    while (!close_enough(s, s->low, s->high) && !s->out_of_time) {
        double rate = next_rate(s);
        enum binomial_verdict verdict;
        if (s->low == 0 && rate < least_rate(s)) {
            break;
        }
        enum rc rc = ask(s, rate, RATE_WATCH_SHORT, &verdict, err);
        if (rc != RC_OK) {
            return rc;
        }
        if (verdict == BINOMIAL_MET) {
            s->low = rate;
        } else {
            s->high = rate;
        }
    }
    return RC_OK;
}

/* The next rate for a full probe: between the ends where both are known, otherwise beyond the one that is, in
 * growing steps. */
static double next_full(struct search *s, bool unmet) {
    double step = 1 + s->step * s->opts->resolution;
    double met_per_s = s->r.met_per_s, unmet_per_s = s->r.unmet_per_s;
    s->step *= 2;
    if (met_per_s > 0 && unmet) {
        return (met_per_s + unmet_per_s) / 2;
    }
    if (met_per_s > 0) {
        double up = met_per_s * step;
        return up < unmet_per_s ? up : (met_per_s + unmet_per_s) / 2;
    }
    return unmet_per_s / step;
}

/* The answer by full probes, from the bracket's lower end. */
static enum rc confirm(struct search *s, struct err *err) {
    double rate = s->low;
    bool unmet = false; /* by a full probe */
    s->step = 1;
    s->r.unmet_per_s = s->opts->most_per_s;
    while (rate >= least_rate(s) && !close_enough(s, s->r.met_per_s, s->r.unmet_per_s) && !s->out_of_time) {
        enum binomial_verdict verdict;
        enum rc rc = ask(s, rate, RATE_WATCH_FULL, &verdict, err);
        if (rc != RC_OK) {
            return rc;
        }
        bool no_time = s->out_of_time && verdict == BINOMIAL_UNDECIDED;
        if (verdict == BINOMIAL_MET || (no_time && rate == s->low)) { /* else the short probe's word stands */
            s->r.met_per_s = rate;
        } else {
            s->r.unmet_per_s = rate;
            unmet = true;
        }
        rate = next_full(s, unmet);
    }
    s->r.complete = !s->out_of_time;
    if (s->out_of_time && s->r.met_per_s < s->high && s->high < s->r.unmet_per_s) {
        s->r.unmet_per_s = s->high; /* by a short probe; no full one came so far */
    }
    return RC_OK;
}

enum rc rate_search(const struct rate_search_opts *opts, rate_probe_function *probe, void *user,
                    struct rate_search_result *ret, struct err *err) {
    assert(opts->most_per_s > 0 && opts->resolution > 0);
    struct search s = {.opts = opts, .probe = probe, .user = user, .step = 1, .high = opts->most_per_s};
    enum rc rc = narrow(&s, err);
    if (rc == RC_OK && s.low > 0 && !s.out_of_time) {
        rc = confirm(&s, err);
    } else if (rc == RC_OK) { /* nothing was met, or there is no time to confirm it */
        s.r.met_per_s = s.low;
        s.r.unmet_per_s = s.high;
        s.r.complete = !s.out_of_time;
    }
    if (rc == RC_OK) {
        *ret = s.r;
    }
    return rc;
}

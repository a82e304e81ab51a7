#include "advisor/decide/accuracy.h"

#include <math.h>
#include <stdlib.h>

#include "advisor/decide/summary_bytes.h"
#include "core/base/checked.h"
#include "core/stats/binomial.h"

enum { MAGIC = 0x31434341 /* "ACC1" */, MAX_REPLICATES = 100000 };
static const uint64_t SEED = 1998;

static bool is_right_or_wrong(const float *scores, size_t rows) {
    for (size_t i = 0; i < rows; i++) {
        if (scores[2 * i + 1] != 1.0f || (scores[2 * i] != 0.0f && scores[2 * i] != 1.0f)) {
            return false;
        }
    }
    return true;
}

static bool can_count(enum metric metric, const float *variant, const float *baseline, size_t rows,
                      size_t columns) {
    return (metric == METRIC_TOP1 || metric == METRIC_AGREEMENT) && columns == 1 &&
           is_right_or_wrong(variant, rows) && (!baseline || is_right_or_wrong(baseline, rows));
}

static void count_pairs(const float *variant, const float *baseline, size_t rows, struct accuracy *a) {
    for (size_t i = 0; i < rows; i++) {
        bool right = variant[2 * i] > 0, base_right = baseline && baseline[2 * i] > 0;
        a->counts.both += right && base_right;
        a->counts.only_variant += right && !base_right;
        a->counts.only_baseline += !right && base_right;
        a->counts.neither += !right && !base_right;
    }
    double n = (double)rows;
    a->value = (double)(a->counts.both + a->counts.only_variant) / n;
    a->baseline = baseline ? (double)(a->counts.both + a->counts.only_baseline) / n : NAN;
}

enum rc accuracy_summarise(enum metric metric, const float *variant, const float *baseline, size_t rows,
                           size_t columns, struct accuracy *ret, struct err *err) {
    struct accuracy a = {.metric = metric, .paired = baseline != NULL, .n = rows};
    if (rows == 0 || columns == 0 || metric >= METRIC_COUNT) {
        return err_set(err, RC_INPUT, "there are no scores of a known metric");
    }
    if (can_count(metric, variant, baseline, rows, columns)) {
        a.kind = ACCURACY_COUNTS;
        count_pairs(variant, baseline, rows, &a);
        *ret = a;
        return RC_OK;
    }
    struct bootstrap_data data = {.variant = variant,
                                  .baseline = baseline,
                                  .rows = rows,
                                  .columns = columns,
                                  .exponential = metric_is_exponential(metric)};
    a.kind = ACCURACY_BOOTSTRAP;
    enum rc rc = bootstrap_run(&data, BOOTSTRAP_REPLICATES, SEED, &a.bootstrap, err);
    if (rc != RC_OK) {
        return err_prefix(err, "%s", metric_name(metric));
    }
    a.value = a.bootstrap.variant_value;
    a.baseline = baseline ? a.bootstrap.baseline_value : NAN;
    *ret = a;
    return RC_OK;
}

void accuracy_free(struct accuracy *a) {
    bootstrap_free(&a->bootstrap);
}

static enum rc pack_counts(const struct paired_counts *c, struct buf *out, struct err *err) {
    const uint64_t values[] = {c->both, c->only_variant, c->only_baseline, c->neither};
    enum rc rc = RC_OK;
    for (size_t i = 0; i < 4 && rc == RC_OK; i++) {
        rc = summary_bytes_add_u64(out, values[i], err);
    }
    return rc;
}

static enum rc pack_bootstrap(const struct accuracy *a, struct buf *out, struct err *err) {
    const struct bootstrap *b = &a->bootstrap;
    enum rc rc = summary_bytes_add_u32(out, b->replicates, err);
    for (size_t i = 0; i < 7 && rc == RC_OK; i++) {
        rc = summary_bytes_add_f64(out, b->moments[i], err);
    }
    if (rc == RC_OK) {
        rc = summary_bytes_add_floats(out, b->variant, b->replicates, err);
    }
    if (rc == RC_OK && a->paired) {
        rc = summary_bytes_add_floats(out, b->baseline, b->replicates, err);
    }
    return rc;
}

enum rc accuracy_pack(const struct accuracy *a, struct buf *out, struct err *err) {
    const uint32_t head[] = {MAGIC, (uint32_t)a->metric, (uint32_t)a->kind, a->paired};
    enum rc rc = RC_OK;
    for (size_t i = 0; i < 4 && rc == RC_OK; i++) {
        rc = summary_bytes_add_u32(out, head[i], err);
    }
    if (rc == RC_OK) {
        rc = summary_bytes_add_u64(out, a->n, err);
    }
    if (rc == RC_OK) {
        rc = summary_bytes_add_f64(out, a->value, err);
    }
    if (rc == RC_OK) {
        rc = summary_bytes_add_f64(out, a->baseline, err);
    }
    if (rc == RC_OK) {
        rc = a->kind == ACCURACY_COUNTS ? pack_counts(&a->counts, out, err) : pack_bootstrap(a, out, err);
    }
    return rc;
}

static bool counts_agree(const struct accuracy *a) {
    const struct paired_counts *c = &a->counts;
    size_t sum = 0;
    return !checked_add((size_t)c->both, (size_t)c->only_variant, &sum) &&
           !checked_add(sum, (size_t)c->only_baseline, &sum) && !checked_add(sum, (size_t)c->neither, &sum) &&
           sum == a->n;
}

static void unpack_counts(struct summary_bytes *b, struct accuracy *a) {
    a->counts.both = summary_bytes_u64(b);
    a->counts.only_variant = summary_bytes_u64(b);
    a->counts.only_baseline = summary_bytes_u64(b);
    a->counts.neither = summary_bytes_u64(b);
    b->failed |= !counts_agree(a);
}

static bool all_finite(const float *values, size_t n) {
    for (size_t i = 0; i < n; i++) {
        if (!isfinite(values[i])) {
            return false;
        }
    }
    return true;
}

static enum rc unpack_bootstrap(struct summary_bytes *b, struct accuracy *a, struct err *err) {
    struct bootstrap *x = &a->bootstrap;
    x->replicates = summary_bytes_u32(b);
    for (size_t i = 0; i < 7; i++) {
        x->moments[i] = summary_bytes_f64(b);
    }
    if (b->failed || x->replicates == 0 || x->replicates > MAX_REPLICATES) {
        b->failed = true;
        return RC_OK;
    }
    x->variant = calloc(x->replicates, sizeof *x->variant);
    x->baseline = calloc(x->replicates, sizeof *x->baseline);
    if (!x->variant || !x->baseline) {
        return err_memory(err);
    }
    summary_bytes_floats(b, x->variant, x->replicates);
    if (a->paired) {
        summary_bytes_floats(b, x->baseline, x->replicates);
    }
    b->failed |= !all_finite(x->variant, x->replicates) || !all_finite(x->baseline, x->replicates);
    x->variant_value = a->value;
    x->baseline_value = a->paired ? a->baseline : 0;
    return RC_OK;
}

enum rc accuracy_unpack(const void *data, size_t size, struct accuracy *ret, struct err *err) {
    struct summary_bytes b = {.data = data, .size = size};
    uint32_t magic = summary_bytes_u32(&b), metric = summary_bytes_u32(&b), kind = summary_bytes_u32(&b);
    struct accuracy a = {.paired = summary_bytes_u32(&b) == 1};
    a.n = summary_bytes_u64(&b);
    a.value = summary_bytes_f64(&b);
    a.baseline = summary_bytes_f64(&b);
    enum rc rc = RC_OK;
    if (b.failed || magic != MAGIC || metric >= METRIC_COUNT || kind > ACCURACY_BOOTSTRAP ||
        !isfinite(a.value) || (a.paired && !isfinite(a.baseline))) {
        return err_set(err, RC_INPUT, "these %zu bytes are not a packed accuracy summary", size);
    }
    a.metric = (enum metric)metric;
    a.kind = (enum accuracy_kind)kind;
    if (a.kind == ACCURACY_COUNTS) {
        unpack_counts(&b, &a);
    } else {
        rc = unpack_bootstrap(&b, &a, err);
    }
    if (rc == RC_OK && (b.failed || b.next != size)) {
        rc = err_set(err, RC_INPUT, "this packed accuracy summary is damaged");
    }
    if (rc != RC_OK) {
        accuracy_free(&a);
        return rc;
    }
    *ret = a;
    return RC_OK;
}

static void bound_counts(const struct accuracy *a, double confidence, struct accuracy_bounds *ret) {
    uint64_t right = a->counts.both + a->counts.only_variant;
    ret->lower = binomial_lower(right, a->n, confidence);
    ret->upper = binomial_upper(right, a->n, confidence);
    if (a->paired) {
        ret->drop_lower = -paired_upper(&a->counts, 1, confidence);
        ret->drop_upper = -paired_lower(&a->counts, 1, confidence);
        ret->test = "Tango score test";
    }
}

static enum rc bound_bootstrap(const struct accuracy *a, double confidence, struct accuracy_bounds *ret,
                               struct err *err) {
    double lower = NAN, upper = NAN;
    enum rc rc = bootstrap_lower(&a->bootstrap, 0, confidence, &ret->lower, err);
    if (rc == RC_OK) {
        rc = bootstrap_upper(&a->bootstrap, 0, confidence, &ret->upper, err);
    }
    if (rc != RC_OK || !a->paired) {
        return rc;
    }
    rc = bootstrap_lower(&a->bootstrap, 1, confidence, &lower, err);
    if (rc == RC_OK) {
        rc = bootstrap_upper(&a->bootstrap, 1, confidence, &upper, err);
    }
    bool smaller = metric_smaller_is_better(a->metric);
    ret->drop_lower = smaller ? lower : -upper;
    ret->drop_upper = smaller ? upper : -lower;
    ret->test = "paired bootstrap (BCa)";
    return rc;
}

enum rc accuracy_bound(const struct accuracy *a, double confidence, struct accuracy_bounds *ret,
                       struct err *err) {
    struct accuracy_bounds b = {
        .lower = NAN, .upper = NAN, .drop = NAN, .drop_lower = NAN, .drop_upper = NAN, .test = ""};
    enum rc rc = RC_OK;
    if (a->paired) {
        b.drop = metric_smaller_is_better(a->metric) ? a->value - a->baseline : a->baseline - a->value;
    }
    if (a->kind == ACCURACY_COUNTS) {
        bound_counts(a, confidence, &b);
    } else {
        rc = bound_bootstrap(a, confidence, &b, err);
    }
    if (rc == RC_OK) {
        *ret = b;
    }
    return rc;
}

/* The scores are kept sparse while resampling: f1 has a column a class, nearly all of them zero. */
#include "core/stats/bootstrap.h"

#include <assert.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/checked.h"
#include "core/stats/quantile.h"
#include "core/stats/rng.h"
#include "core/stats/special.h"

struct entry {
    uint32_t column;
    float numerator, denominator;
};

struct sparse {
    size_t rows, columns;
    size_t *begin; /* [rows + 1] into entries */
    struct entry *entries;
    double *sums; /* [columns, 2], scratch */
    bool exponential;
};

static void sparse_free(struct sparse *s) {
    free(s->begin);
    free(s->entries);
    free(s->sums);
}

static enum rc check_scores(const float *scores, size_t count, size_t *used, struct err *err) {
    size_t n = 0;
    assert(scores || count == 0);
    for (size_t i = 0; i < count; i++) {
        float numerator = scores[2 * i], denominator = scores[2 * i + 1];
        if (!isfinite(numerator) || !isfinite(denominator) || denominator < 0) {
            return err_set(err, RC_INPUT,
                           "score %zu is %g / %g; scores must be finite, denominators not negative", i,
                           (double)numerator, (double)denominator);
        }
        n += numerator != 0 || denominator != 0;
    }
    *used = n;
    return RC_OK;
}

static void sparse_fill(struct sparse *s, const float *scores) {
    size_t next = 0;
    assert(scores);
    for (size_t row = 0; row < s->rows; row++) {
        s->begin[row] = next;
        for (size_t column = 0; column < s->columns; column++) {
            const float *pair = scores + 2 * (row * s->columns + column);
            if (pair[0] != 0 || pair[1] != 0) {
                s->entries[next++] = (struct entry){(uint32_t)column, pair[0], pair[1]};
            }
        }
    }
    s->begin[s->rows] = next;
}

static enum rc sparse_make(const float *scores, size_t rows, size_t columns, bool exponential,
                           struct sparse *ret, struct err *err) {
    size_t count, bytes, used = 0;
    if (rows == 0 || columns == 0) {
        return err_set(err, RC_INPUT, "there are no scores");
    }
    if (rows > UINT32_MAX || columns > UINT32_MAX || checked_mul(rows, columns, &count) ||
        checked_mul(count, 2 * sizeof(float), &bytes)) {
        return err_set(err, RC_TOO_LARGE, "too many scores: %zu rows of %zu columns", rows, columns);
    }
    enum rc rc = check_scores(scores, count, &used, err);
    if (rc != RC_OK) {
        return rc;
    }
    struct sparse s = {.rows = rows, .columns = columns, .exponential = exponential};
    s.begin = calloc(rows + 1, sizeof *s.begin);
    s.entries = calloc(used + 1, sizeof *s.entries);
    s.sums = calloc(columns, 2 * sizeof *s.sums);
    if (!s.begin || !s.entries || !s.sums) {
        sparse_free(&s);
        return err_memory(err);
    }
    sparse_fill(&s, scores);
    *ret = s;
    return RC_OK;
}

static void sums_add(struct sparse *s, size_t row) {
    for (size_t i = s->begin[row]; i < s->begin[row + 1]; i++) {
        const struct entry *e = &s->entries[i];
        s->sums[2 * (size_t)e->column] += (double)e->numerator;
        s->sums[2 * (size_t)e->column + 1] += (double)e->denominator;
    }
}

static void sums_clear(struct sparse *s) {
    memset(s->sums, 0, s->columns * 2 * sizeof *s->sums);
}

/* The metric of the rows added since sums_clear; NAN when no column has a denominator. */
static double sums_metric(const struct sparse *s) {
    double sum = 0;
    size_t used = 0;
    for (size_t c = 0; c < s->columns; c++) {
        if (s->sums[2 * c + 1] > 0) {
            sum += s->sums[2 * c] / s->sums[2 * c + 1];
            used++;
        }
    }
    double mean = used ? sum / (double)used : NAN;
    return s->exponential ? exp(mean) : mean;
}

/* The metric on all rows and, in influence[rows] (may be NULL), the effect of each row on it (infinitesimal
 * jackknife). */
static double full_metric(struct sparse *s, double *influence) {
    sums_clear(s);
    for (size_t row = 0; row < s->rows; row++) {
        sums_add(s, row);
    }
    double metric = sums_metric(s);
    size_t used = 0;
    for (size_t c = 0; c < s->columns; c++) {
        used += s->sums[2 * c + 1] > 0;
    }
    double scale = (s->exponential ? metric : 1) / (used ? (double)used : 1);
    for (size_t row = 0; influence && row < s->rows; row++) {
        influence[row] = 0;
        for (size_t i = s->begin[row]; i < s->begin[row + 1]; i++) {
            const struct entry *e = &s->entries[i];
            double numerators = s->sums[2 * (size_t)e->column],
                   denominators = s->sums[2 * (size_t)e->column + 1];
            if (denominators > 0) {
                double off = (double)e->numerator - numerators / denominators * (double)e->denominator;
                influence[row] += scale * off / denominators;
            }
        }
    }
    return metric;
}

/* Replicates are kept as floats: what none can hold would become an infinity, and differences of these NAN.
 */
static enum rc check_metric(double metric, struct err *err) {
    return fabs(metric) <= (double)FLT_MAX
               ? RC_OK
               : err_set(err, RC_INPUT,
                         "the scores give no finite figure: every denominator is 0, or they are too large");
}

enum rc bootstrap_metric(const float *scores, size_t rows, size_t columns, bool exponential, double *ret,
                         struct err *err) {
    struct sparse s;
    enum rc rc = sparse_make(scores, rows, columns, exponential, &s, err);
    if (rc != RC_OK) {
        return rc;
    }
    double metric = full_metric(&s, NULL);
    sparse_free(&s);
    rc = check_metric(metric, err);
    if (rc == RC_OK) {
        *ret = metric;
    }
    return rc;
}

static void add_moments(double moments[7], const double *u, const double *v, size_t rows) {
    for (size_t i = 0; i < rows; i++) {
        double x = u[i], y = v ? v[i] : 0;
        moments[0] += x * x;
        moments[1] += x * y;
        moments[2] += y * y;
        moments[3] += x * x * x;
        moments[4] += x * x * y;
        moments[5] += x * y * y;
        moments[6] += y * y * y;
    }
}

static float replicate(struct sparse *s, const uint32_t *rows, double otherwise) {
    sums_clear(s);
    for (size_t i = 0; i < s->rows; i++) {
        sums_add(s, rows[i]);
    }
    double metric = sums_metric(s);
    metric = isnan(metric) ? otherwise : metric;
    return (float)fmin(fmax(metric, -(double)FLT_MAX), (double)FLT_MAX);
}

struct samples {
    struct sparse variant, baseline;
    bool paired;
    double *u, *v;  /* [rows] */
    uint32_t *rows; /* [rows] */
};

static void samples_free(struct samples *s) {
    sparse_free(&s->variant);
    sparse_free(&s->baseline);
    free(s->u);
    free(s->v);
    free(s->rows);
}

static enum rc samples_make(const struct bootstrap_data *d, struct samples *s, struct err *err) {
    *s = (struct samples){.paired = d->baseline != NULL};
    enum rc rc = sparse_make(d->variant, d->rows, d->columns, d->exponential, &s->variant, err);
    if (rc == RC_OK && s->paired) {
        rc = sparse_make(d->baseline, d->rows, d->columns, d->exponential, &s->baseline, err);
    }
    if (rc != RC_OK) {
        return rc;
    }
    s->u = calloc(d->rows, sizeof *s->u);
    s->v = calloc(d->rows, sizeof *s->v);
    s->rows = calloc(d->rows, sizeof *s->rows);
    return s->u && s->v && s->rows ? RC_OK : err_memory(err);
}

static void resample(struct samples *s, uint64_t seed, struct bootstrap *b) {
    struct rng rng;
    rng_seed(&rng, seed);
    size_t rows = s->variant.rows;
    for (uint32_t r = 0; r < b->replicates; r++) {
        for (size_t i = 0; i < rows; i++) {
            s->rows[i] = rng_below(&rng, (uint32_t)rows);
        }
        /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): the analyzer forgets s->rows at this write */
        b->variant[r] = replicate(&s->variant, s->rows, b->variant_value);
        b->baseline[r] = s->paired ? replicate(&s->baseline, s->rows, b->baseline_value) : 0;
    }
}

enum rc bootstrap_run(const struct bootstrap_data *data, uint32_t replicates, uint64_t seed,
                      struct bootstrap *ret, struct err *err) {
    struct samples s;
    struct bootstrap b = {.replicates = replicates};
    enum rc rc = samples_make(data, &s, err);
    if (rc != RC_OK) {
        goto out;
    }
    b.variant_value = full_metric(&s.variant, s.u);
    b.baseline_value = s.paired ? full_metric(&s.baseline, s.v) : 0;
    rc = check_metric(b.variant_value, err);
    if (rc == RC_OK) {
        rc = check_metric(b.baseline_value, err);
    }
    if (rc != RC_OK) {
        goto out;
    }
    b.variant = calloc((size_t)replicates + 1, sizeof *b.variant);
    b.baseline = calloc((size_t)replicates + 1, sizeof *b.baseline);
    if (!b.variant || !b.baseline) {
        rc = err_memory(err);
        goto out;
    }
    add_moments(b.moments, s.u, s.paired ? s.v : NULL, data->rows);
    resample(&s, seed, &b);
    *ret = b;
    b = (struct bootstrap){0};
out:
    bootstrap_free(&b);
    samples_free(&s);
    return rc;
}

void bootstrap_free(struct bootstrap *b) {
    free(b->variant);
    free(b->baseline);
    *b = (struct bootstrap){0};
}

static double difference(const struct bootstrap *b, uint32_t r, double f) {
    return (double)b->variant[r] - f * (double)b->baseline[r];
}

/* Bias correction z0 and acceleration a of sign * (variant - f * baseline) (Efron 1987, sections 2 and 3). */
struct bca {
    double bias, acceleration;
};

static struct bca bca_of(const struct bootstrap *b, double f) {
    double estimate = b->variant_value - f * b->baseline_value, below = 0;
    double slack = 1e-6 * (fabs(b->variant_value) + fabs(f * b->baseline_value)); /* replicates are floats */
    for (uint32_t r = 0; r < b->replicates; r++) {
        double off = difference(b, r, f) - estimate;
        below += off < -slack ? 1 : (off <= slack ? 0.5 : 0);
    }
    double least = 1 / ((double)b->replicates + 1);
    double share = fmin(fmax(below / b->replicates, least), 1 - least);
    const double *m = b->moments;
    double squares = m[0] - 2 * f * m[1] + f * f * m[2];
    double cubes = m[3] - 3 * f * m[4] + 3 * f * f * m[5] - f * f * f * m[6];
    return (struct bca){.bias = special_normal_quantile(share),
                        .acceleration = squares > 0 ? cubes / (6 * squares * sqrt(squares)) : 0};
}

static enum rc bound(const struct bootstrap *b, double f, double level, double *ret, struct err *err) {
    double *values = calloc((size_t)b->replicates + 1, sizeof *values);
    if (!values) {
        return err_memory(err);
    }
    for (uint32_t r = 0; r < b->replicates; r++) {
        values[r] = difference(b, r, f);
    }
    struct bca c = bca_of(b, f);
    double z = c.bias + special_normal_quantile(level), spread = 1 - c.acceleration * z;
    double corrected = spread > 0 ? special_normal_cdf(c.bias + z / spread) : (z > 0 ? 1 : 0);
    double rank = floor(corrected * ((double)b->replicates + 1) + (level > 0.5 ? 1 : 0));
    rank = fmin(fmax(rank, 1), b->replicates);
    *ret = quantile_select(values, b->replicates, (size_t)rank);
    free(values);
    return RC_OK;
}

enum rc bootstrap_lower(const struct bootstrap *b, double f, double confidence, double *ret,
                        struct err *err) {
    return bound(b, f, 1 - confidence, ret, err);
}

enum rc bootstrap_upper(const struct bootstrap *b, double f, double confidence, double *ret,
                        struct err *err) {
    return bound(b, f, confidence, ret, err);
}

/* The level at which the BCa bound equals delta, when `share` of the replicates lie on the far side of delta.
 */
static double level_at(double share, double bias, double acceleration, double least) {
    double y = special_normal_quantile(fmin(fmax(share, least), 1 - least)) - bias;
    double spread = 1 + acceleration * y;
    double p = spread > 0 ? special_normal_cdf(y / spread - bias) : (y > 0 ? 1 : 0);
    return fmax(p, least);
}

double bootstrap_p_above(const struct bootstrap *b, double f, double delta) {
    double at_most = 0, least = 1 / ((double)b->replicates + 1);
    for (uint32_t r = 0; r < b->replicates; r++) {
        at_most += difference(b, r, f) <= delta;
    }
    struct bca c = bca_of(b, f);
    return level_at(at_most / b->replicates, c.bias, c.acceleration, least);
}

double bootstrap_p_below(const struct bootstrap *b, double f, double delta) {
    double at_least = 0, least = 1 / ((double)b->replicates + 1);
    for (uint32_t r = 0; r < b->replicates; r++) {
        at_least += difference(b, r, f) >= delta;
    }
    struct bca c = bca_of(b, f);
    return level_at(at_least / b->replicates, -c.bias, -c.acceleration, least);
}

double bootstrap_error(const struct bootstrap *b, double f) {
    double mean = 0, squares = 0;
    for (uint32_t r = 0; r < b->replicates; r++) {
        mean += difference(b, r, f) / b->replicates;
    }
    for (uint32_t r = 0; r < b->replicates; r++) {
        double off = difference(b, r, f) - mean;
        squares += off * off;
    }
    return b->replicates > 1 ? sqrt(squares / (b->replicates - 1)) : 0;
}

#include "advisor/decide/latency.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "advisor/decide/summary_bytes.h"
#include "core/base/checked.h"
#include "core/stats/binomial.h"
#include "core/stats/mean_interval.h"
#include "core/stats/quantile.h"

enum { MAGIC = 0x3154414c /* "LAT1" */ };

const double LATENCY_CONFIDENCES[LATENCY_CONFIDENCE_COUNT] = {0.90, 0.95, 0.99};

static const struct {
    const char *name;
    double quantile;
} FIGURES[LATENCY_COUNT] = {
#define X(code, name, quantile) {name, quantile},
    LATENCY_TABLE(X)
#undef X
};

const char *latency_name(enum latency_figure f) {
    return FIGURES[f].name;
}

double latency_quantile(enum latency_figure f) {
    return FIGURES[f].quantile;
}

enum latency_figure latency_from_name(const char *name) {
    for (int f = 0; f < LATENCY_COUNT; f++) {
        if (strcmp(FIGURES[f].name, name) == 0) {
            return (enum latency_figure)f;
        }
    }
    return LATENCY_COUNT;
}

uint64_t latency_min_n(enum latency_figure f, double confidence) {
    return f == LATENCY_MEAN ? 0 : binomial_min_n(1, FIGURES[f].quantile, confidence);
}

static struct latency_point percentile(const float *sorted, size_t n, enum latency_figure f,
                                       double confidence) {
    double q = FIGURES[f].quantile;
    struct latency_point p = {.value_us = NAN, .low_us = 0, .high_us = INFINITY};
    if (n >= latency_min_n(f, confidence)) {
        p.value_us = quantile_of(sorted, n, q);
    }
    int64_t over = binomial_max_over(n, q, confidence);
    if (over != BINOMIAL_NONE) {
        p.high_us = sorted[n - (size_t)over - 1];
    }
    uint64_t broken = binomial_min_broken(n, q, confidence);
    if (broken <= n) {
        p.low_us = sorted[n - broken];
    }
    return p;
}

static struct latency_point mean_point(const float *samples, size_t n, double confidence) {
    struct mean_interval m;
    mean_interval_of(samples, n, confidence, &m);
    struct latency_point p = {.value_us = (float)m.mean, .low_us = 0, .high_us = INFINITY};
    if (m.freedom) {
        p.low_us = m.low > 0 ? (float)m.low : 0;
        p.high_us = (float)m.high;
    }
    return p;
}

enum rc latency_summarise(const float *samples_us, size_t n, double confidence, struct latency *ret,
                          struct err *err) {
    size_t bytes;
    if (n == 0 || n > UINT32_MAX || checked_mul(n, sizeof(float), &bytes)) {
        return err_set(err, RC_INPUT, "%zu latency samples cannot be summarised", n);
    }
    for (size_t i = 0; i < n; i++) {
        if (!isfinite(samples_us[i]) || samples_us[i] < 0) {
            return err_set(err, RC_INPUT,
                           "latency sample %zu is %g us; samples must be finite and not negative", i,
                           (double)samples_us[i]);
        }
    }
    float *sorted = malloc(bytes);
    if (!sorted) {
        return err_memory(err);
    }
    memcpy(sorted, samples_us, bytes);
    quantile_sort(sorted, n);
    struct latency l = {.n = (uint32_t)n, .confidence = fminf((float)confidence, nextafterf(1, 0))};
    for (int f = 0; f < LATENCY_MEAN; f++) {
        l.points[f] = percentile(sorted, n, (enum latency_figure)f, confidence);
    }
    l.points[LATENCY_MEAN] = mean_point(samples_us, n, confidence);
    free(sorted);
    *ret = l;
    return RC_OK;
}

enum rc latency_pack(const struct latency *l, struct buf *out, struct err *err) {
    enum rc rc = summary_bytes_add_u32(out, MAGIC, err);
    if (rc == RC_OK) {
        rc = summary_bytes_add_u32(out, l->n, err);
    }
    if (rc == RC_OK) {
        rc = summary_bytes_add_floats(out, &l->confidence, 1, err);
    }
    for (int f = 0; f < LATENCY_COUNT && rc == RC_OK; f++) {
        const struct latency_point *p = &l->points[f];
        const float values[] = {p->value_us, p->low_us, p->high_us};
        rc = summary_bytes_add_floats(out, values, 3, err);
    }
    return rc;
}

enum rc latency_unpack(const void *data, size_t size, struct latency *ret, struct err *err) {
    struct summary_bytes b = {.data = data, .size = size};
    uint32_t magic = summary_bytes_u32(&b);
    struct latency l = {.n = summary_bytes_u32(&b)};
    summary_bytes_floats(&b, &l.confidence, 1);
    for (int f = 0; f < LATENCY_COUNT; f++) {
        float values[3];
        summary_bytes_floats(&b, values, 3);
        l.points[f] = (struct latency_point){values[0], values[1], values[2]};
        b.failed |= isnan(values[1]) || isnan(values[2]);
    }
    if (b.failed || b.next != size || magic != MAGIC || l.n == 0 || !(l.confidence > 0 && l.confidence < 1)) {
        return err_set(err, RC_INPUT, "these %zu bytes are not a packed latency summary", size);
    }
    *ret = l;
    return RC_OK;
}

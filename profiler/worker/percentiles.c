/* latency.c -- see latency.h. */
#include "profiler/worker/percentiles.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/container.h"
#include "core/stats/binomial.h"
#include "core/stats/quantile.h"

static const double CONFIDENCE = 0.95;

static const struct {
    const char *name;
    double q;
} PERCENTILES[] = {{"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}, {"p99.9", 0.999}};

static void add_percentiles(const float *sorted, size_t n, json_t *values, json_t *unsupported) {
    for (size_t i = 0; i < ARRAY_SIZE(PERCENTILES); i++) {
        unsigned long long needed = binomial_min_n(1, PERCENTILES[i].q, CONFIDENCE);
        if (n >= needed) {
            json_object_set_new(values, PERCENTILES[i].name,
                                json_real((double)quantile_of(sorted, n, PERCENTILES[i].q)));
        } else {
            json_array_append_new(unsupported,
                                  json_sprintf("%s needs n >= %llu", PERCENTILES[i].name, needed));
        }
    }
}

enum rc percentiles_summary(const float *us, size_t n, json_t *object, struct err *err) {
    float *sorted = malloc(n * sizeof(float));
    json_t *values = json_object();
    json_t *unsupported = json_array();
    enum rc rc = RC_OK;
    if (!sorted || !values || !unsupported) {
        rc = err_memory(err);
        goto out;
    }
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        sum += (double)us[i];
    }
    memcpy(sorted, us, n * sizeof(float));
    quantile_sort(sorted, n);
    json_object_set_new(values, "mean", json_real(sum / (double)n));
    add_percentiles(sorted, n, values, unsupported);
    if (json_object_set(object, "latency_us", values) != 0 ||
        json_object_set(object, "unsupported", unsupported) != 0) {
        rc = err_memory(err);
    }

out:
    json_decref(values);
    json_decref(unsupported);
    free(sorted);
    return rc;
}

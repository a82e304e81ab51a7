#include "advisor/decide/metric.h"

#include <string.h>

static const struct {
    const char *name;
    bool smaller, share, exponential;
} METRICS[METRIC_COUNT] = {
#define X(code, name, smaller, share, exponential) {name, smaller, share, exponential},
    METRIC_TABLE(X)
#undef X
};

const char *metric_name(enum metric m) {
    return m < METRIC_COUNT ? METRICS[m].name : "accuracy";
}

enum metric metric_from_name(const char *name) {
    for (int m = 0; m < METRIC_COUNT; m++) {
        if (strcmp(METRICS[m].name, name) == 0) {
            return (enum metric)m;
        }
    }
    return METRIC_COUNT;
}

bool metric_smaller_is_better(enum metric m) {
    return m < METRIC_COUNT && METRICS[m].smaller;
}

bool metric_is_share(enum metric m) {
    return m < METRIC_COUNT && METRICS[m].share;
}

bool metric_is_exponential(enum metric m) {
    return m < METRIC_COUNT && METRICS[m].exponential;
}

#include "core/stats/holm.h"

#include <stdlib.h>

struct entry {
    double p;
    size_t index;
};

static int compare(const void *a, const void *b) {
    const struct entry *x = a, *y = b;
    if (x->p != y->p) {
        return x->p < y->p ? -1 : 1;
    }
    return x->index < y->index ? -1 : 1;
}

enum rc holm_adjust(const double *p, size_t m, double *adjusted, double *multiplier, struct err *err) {
    if (m == 0) {
        return RC_OK;
    }
    struct entry *order = calloc(m, sizeof *order);
    if (!order) {
        return err_memory(err);
    }
    for (size_t i = 0; i < m; i++) {
        order[i] = (struct entry){.p = p[i], .index = i};
    }
    qsort(order, m, sizeof *order, compare);
    double running = 0;
    for (size_t i = 0; i < m; i++) {
        double factor = (double)(m - i);
        double value = order[i].p * factor;
        running = value > running ? value : running;
        adjusted[order[i].index] = running < 1 ? running : 1;
        if (multiplier) {
            multiplier[order[i].index] = factor;
        }
    }
    free(order);
    return RC_OK;
}

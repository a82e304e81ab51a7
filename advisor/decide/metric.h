/* metric.h -- the accuracy metrics and which way each is better. */
#pragma once

#include <stdbool.h>

/* X(code, name, smaller is better, is a share in 0..1, exp of the mean) */
#define METRIC_TABLE(X)                                                                                      \
    X(METRIC_TOP1, "top1", false, true, false)                                                               \
    X(METRIC_F1, "f1", false, true, false)                                                                   \
    X(METRIC_AGREEMENT, "agreement", false, true, false)                                                     \
    X(METRIC_MSE, "mse", true, false, false)                                                                 \
    X(METRIC_MAE, "mae", true, false, false)                                                                 \
    X(METRIC_PPL, "ppl", true, false, true)                                                                  \
    X(METRIC_KLD, "kld", true, false, false)

enum metric {
#define X(code, name, smaller, share, exponential) code,
    METRIC_TABLE(X)
#undef X
        METRIC_COUNT,
    METRIC_PRIMARY = METRIC_COUNT /* in a floor: the evaluation's own primary metric */
};

const char *metric_name(enum metric m); /* "top1"; METRIC_PRIMARY gives "accuracy" */
/* METRIC_COUNT for an unknown name. */
enum metric metric_from_name(const char *name);
bool metric_smaller_is_better(enum metric m);
bool metric_is_share(enum metric m);
bool metric_is_exponential(enum metric m);

/* cause_internal.h -- between cause.c, which chooses, and cause_checks.c, which has one check a cause. */
#pragma once

#include "advisor/decide/cause.h"

/* Fills weight and text where the figures show the cause; false, and nothing filled, where they do not. */
typedef bool cause_check(const struct cause_question *q, struct cause *ret);

/* "0.16x", "1.1x", "12x" */
void cause_times(double ratio, char *text, size_t size);

/* Every check with the code it stands for; the order decides among equal weights. */
enum cause_kind_of { CAUSE_MAIN, CAUSE_OF_SETTINGS, CAUSE_IF_NO_OTHER };
struct cause_row {
    enum cause_code code;
    cause_check *check;
    enum cause_kind_of
        about; /* what is only about settings leaves open why the variant itself is as fast as it is */
};
extern const struct cause_row cause_rows[];
extern const size_t cause_row_count;

/* Times the baseline's rate with the same settings; NAN where not known. */
double cause_speedup(const struct cause_question *q);

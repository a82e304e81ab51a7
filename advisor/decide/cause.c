/* cause.c -- see cause.h. Every check of cause_checks.c is asked; those that hold are kept, the strongest
 * first. */
#include "advisor/decide/cause.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "advisor/decide/cause_internal.h"

/* Below this part of what the machine's int8 products promise, the sentence says so. */
static const double PROMISE_KEPT = 0.8;

const char *cause_name(enum cause_code code) {
    static const char *const names[] = {
#define X(id, name) [id] = name,
        CAUSE_TABLE(X)
#undef X
    };
    return names[code];
}

double cause_speedup(const struct cause_question *q) {
    return q->baseline && q->baseline->per_s > 0 && q->setting.per_s > 0
               ? q->setting.per_s / q->baseline->per_s
               : NAN;
}

void cause_times(double ratio, char *text, size_t size) {
    snprintf(text, size, ratio < 0.95 ? "%.2fx" : ratio < 9.95 ? "%.1fx" : "%.0fx", ratio);
}

static void insert(struct cause_list *list, const struct cause *c) {
    size_t at = list->n;
    while (at > 0 && list->items[at - 1].weight < c->weight) {
        at--;
    }
    if (at == CAUSE_MAX) {
        return;
    }
    size_t last = list->n < CAUSE_MAX ? list->n : CAUSE_MAX - 1;
    memmove(&list->items[at + 1], &list->items[at], (last - at) * sizeof(*c));
    list->items[at] = *c;
    list->n = last + 1;
}

void cause_find(const struct cause_question *q, struct cause_list *ret) {
    *ret = (struct cause_list){.speedup = cause_speedup(q)};
    bool explained = false;
    for (size_t i = 0; i < cause_row_count; i++) {
        struct cause c = {.code = cause_rows[i].code};
        bool left_out = explained && cause_rows[i].about == CAUSE_IF_NO_OTHER;
        if (!left_out && cause_rows[i].check(q, &c)) {
            insert(ret, &c);
            explained = explained || cause_rows[i].about == CAUSE_MAIN;
        }
    }
}

static enum rc add_head(const struct cause_question *q, const struct cause_list *list, struct buf *out,
                        struct err *err) {
    if (!q->baseline_recipe || isnan(list->speedup)) {
        return RC_OK;
    }
    double promised = q->machine.int8_gops / q->machine.fp32_gops;
    char times[24];
    cause_times(list->speedup, times, sizeof(times));
    enum rc rc = buf_printf(out, err, "%s is %s as fast as %s", q->recipe, times, q->baseline_recipe);
    bool short_of = (q->scheme & CAUSE_INT8) && list->speedup < PROMISE_KEPT * promised;
    if (rc == RC_OK && short_of) {
        cause_times(promised, times, sizeof(times));
        rc = buf_printf(out, err, ", not the %s of int8 products here", times);
    }
    return rc == RC_OK && list->n > 0 ? buf_add_text(out, ": ", err) : rc;
}

enum rc cause_sentence(const struct cause_question *q, const struct cause_list *list, struct buf *out,
                       struct err *err) {
    enum rc rc = list->n > 0 ? add_head(q, list, out, err) : RC_OK;
    for (size_t i = 0; rc == RC_OK && i < list->n && i < CAUSE_SHOWN; i++) {
        rc = buf_printf(out, err, "%s%s", i > 0 ? "; " : "", list->items[i].text);
    }
    return rc;
}

#include "advisor/decide/budget.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "advisor/decide/limit_text.h"
#include "core/base/container.h"
#include "core/base/nearest.h"
#include "core/stats/binomial.h"

#define EXAMPLE "p99<=5ms"

struct unit {
    const char *name;
    double factor; /* to the unit of budget.bound */
};

/* Largest first, so that printing takes the first that fits. */
static const struct unit TIME[] = {{"s", 1e6}, {"ms", 1e3}, {"us", 1}, {NULL, 0}};
static const struct unit BYTES[] = {{"GiB", 1024.0 * 1024 * 1024},
                                    {"GB", 1e9},
                                    {"MiB", 1024.0 * 1024},
                                    {"MB", 1e6},
                                    {"KiB", 1024},
                                    {"KB", 1e3},
                                    {"B", 1},
                                    {NULL, 0}};
static const struct unit RATE[] = {{"/s", 1}, {NULL, 0}};
static const struct unit COUNT[] = {{"G", 1e9}, {"M", 1e6}, {"k", 1e3}, {"", 1}, {NULL, 0}};
static const struct unit MONEY[] = {{"usd", 1}, {NULL, 0}};

static const struct word {
    const char *name;
    enum budget_kind kind;
    const struct unit *units;
    const char *example;
} WORDS[] = {
    {"throughput", BUDGET_THROUGHPUT, RATE, "throughput>=200/s"},
    {"memory", BUDGET_MEMORY, BYTES, "memory<=512MiB"},
    {"size", BUDGET_SIZE, BYTES, "size<=20MiB"},
    {"cost", BUDGET_COST, MONEY, "cost<=0.5usd"},
    {"instructions", BUDGET_INSTRUCTIONS, COUNT, "instructions<=36M"},
};

static const struct word LATENCY = {"latency", BUDGET_LATENCY, TIME, EXAMPLE};

static const struct word *word_of(enum budget_kind kind) {
    for (size_t i = 0; i < ARRAY_SIZE(WORDS); i++) {
        if (WORDS[i].kind == kind) {
            return &WORDS[i];
        }
    }
    return &LATENCY;
}

static enum rc find_word(const char *name, const struct word **ret, enum latency_figure *figure,
                         struct err *err) {
    const char *names[ARRAY_SIZE(WORDS) + LATENCY_COUNT + 1] = {0};
    size_t n = 0;
    for (size_t i = 0; i < ARRAY_SIZE(WORDS); i++) {
        names[n++] = WORDS[i].name;
        if (strcmp(WORDS[i].name, name) == 0) {
            *ret = &WORDS[i];
            return RC_OK;
        }
    }
    for (int f = 0; f < LATENCY_COUNT; f++) {
        names[n++] = latency_name((enum latency_figure)f);
    }
    *figure = latency_from_name(name);
    if (*figure != LATENCY_COUNT) {
        *ret = &LATENCY;
        return RC_OK;
    }
    static const char *const floors[] = {"top1", "f1",  "agreement", "mse",  "mae",
                                         "ppl",  "kld", "relative",  "drop", "ppl_ratio"};
    for (size_t i = 0; i < ARRAY_SIZE(floors); i++) {
        if (strcmp(floors[i], name) == 0) {
            return err_set(err, RC_INPUT, "\"%s\" is a floor, not a budget; give it as a floor", name);
        }
    }
    const char *nearest = nearest_name(name, names);
    if (nearest) {
        return err_set(err, RC_INPUT, "there is no budget \"%s\"; did you mean \"%s\"?", name, nearest);
    }
    return err_set(
        err, RC_INPUT,
        "there is no budget \"%s\"; there are p50 p90 p95 p99 p99.9 mean throughput memory size cost "
        "instructions",
        name);
}

static enum rc find_unit(const struct word *w, const char *text, double *factor, struct err *err) {
    const char *names[ARRAY_SIZE(BYTES)] = {0};
    for (size_t i = 0; w->units[i].name; i++) {
        names[i] = w->units[i].name;
        if (strcasecmp(w->units[i].name, text) == 0) {
            *factor = w->units[i].factor;
            return RC_OK;
        }
    }
    if (!text[0]) {
        return err_set(err, RC_INPUT, "this needs a unit, such as %s", w->example);
    }
    const char *nearest = nearest_name(text, names);
    return err_set(err, RC_INPUT, "there is no unit \"%s\" here; did you mean \"%s\", as in %s?", text,
                   nearest ? nearest : names[0], w->example);
}

enum rc budget_parse(const char *text, struct budget *ret, struct err *err) {
    struct limit_text t;
    const struct word *w = NULL;
    enum latency_figure figure = LATENCY_COUNT;
    double factor = 1;
    enum rc rc = limit_text_split(text, EXAMPLE, &t, err);
    if (rc == RC_OK) {
        rc = find_word(t.word, &w, &figure, err);
    }
    if (rc != RC_OK) {
        return rc;
    }
    bool at_least = w->kind == BUDGET_THROUGHPUT;
    if (t.at_least != at_least) {
        return err_set(err, RC_INPUT, "\"%s\" is limited from %s: write %s%s..., such as %s", t.word,
                       at_least ? "below" : "above", t.word, at_least ? ">=" : "<=", w->example);
    }
    rc = find_unit(w, t.unit, &factor, err);
    if (rc != RC_OK) {
        return err_prefix(err, "%s", t.word);
    }
    double bound = t.number * factor;
    if (!(bound > 0) || !isfinite(bound)) {
        return err_set(err, RC_INPUT, "%s: the budget must be above 0, such as %s", t.word, w->example);
    }
    *ret = (struct budget){.kind = w->kind, .figure = figure, .bound = bound};
    return RC_OK;
}

static void bytes_text(double bytes, char *text, size_t size) {
    const struct unit *u = BYTES;
    while (u[1].name && (bytes < u->factor || fmod(bytes, u->factor) != 0)) {
        u++;
    }
    char number[32];
    limit_text_number(bytes / u->factor, number, sizeof number);
    snprintf(text, size, "%s%s", number, u->name);
}

static void count_text(double count, char *text, size_t size) {
    const struct unit *u = COUNT;
    while (u[1].name && count < u->factor) {
        u++;
    }
    char number[32];
    limit_text_number(count / u->factor, number, sizeof number);
    snprintf(text, size, "%s%s", number, u->name);
}

static void time_text(double us, char *text, size_t size) {
    const struct unit *u = TIME;
    while (u[1].name && us < u->factor) {
        u++;
    }
    char number[32];
    limit_text_number(us / u->factor, number, sizeof number);
    snprintf(text, size, "%s%s", number, u->name);
}

void budget_text(const struct budget *b, char text[BUDGET_TEXT_SIZE]) {
    char bound[40], number[32];
    limit_text_number(b->bound, number, sizeof number);
    switch (b->kind) {
    case BUDGET_LATENCY:
        time_text(b->bound, bound, sizeof bound);
        snprintf(text, BUDGET_TEXT_SIZE, "%s<=%s", latency_name(b->figure), bound);
        break;
    case BUDGET_THROUGHPUT:
        snprintf(text, BUDGET_TEXT_SIZE, "throughput>=%s/s", number);
        break;
    case BUDGET_MEMORY:
    case BUDGET_SIZE:
        bytes_text(b->bound, bound, sizeof bound);
        snprintf(text, BUDGET_TEXT_SIZE, "%s<=%s", word_of(b->kind)->name, bound);
        break;
    case BUDGET_COST:
        snprintf(text, BUDGET_TEXT_SIZE, "cost<=%susd", number);
        break;
    case BUDGET_INSTRUCTIONS:
        count_text(b->bound, bound, sizeof bound);
        snprintf(text, BUDGET_TEXT_SIZE, "instructions<=%s", bound);
        break;
    }
}

/* About how many more samples: a bound's distance from the value shrinks with the root of n. */
static uint64_t more_samples(const struct budget *b, const struct budget_subject *s,
                             const struct budget_range *r) {
    double n = s->latency->n, confidence = (double)s->latency->confidence;
    double needed = 0;
    if (b->figure != LATENCY_MEAN && isinf(r->high)) {
        needed = (double)binomial_min_n(isnan(r->value) || r->value <= b->bound ? 0 : 1,
                                        latency_quantile(b->figure), confidence);
    } else if (isfinite(r->value) && r->value != b->bound) {
        double reach = r->value < b->bound ? r->high - r->value : r->value - r->low;
        double room = fabs(b->bound - r->value);
        needed = ceil(n * (reach / room) * (reach / room));
    }
    return needed > n && needed < 1e12 ? (uint64_t)(needed - n) : 0;
}

static const char *test_of(const struct budget *b, const struct budget_subject *s) {
    switch (b->kind) {
    case BUDGET_LATENCY:
        return b->figure == LATENCY_MEAN ? "batch means" : "binomial bound";
    case BUDGET_THROUGHPUT:
    case BUDGET_COST:
        return s->throughput && s->throughput->freedom ? "Student's t" : "single figure";
    case BUDGET_MEMORY:
    case BUDGET_SIZE:
        return "exact";
    case BUDGET_INSTRUCTIONS:
        return s->instructions_by ? s->instructions_by : "PAPI";
    }
    return "exact";
}

void budget_judge(const struct budget *b, const struct budget_subject *s, struct check *ret) {
    struct budget_range r = budget_range_of(b, s);
    bool finite_high = !isinf(r.high);
    *ret = (struct check){.verdict = budget_verdict(b, s),
                          .measured = !isnan(r.low),
                          .test = isnan(r.low) ? "" : test_of(b, s),
                          .value = r.value,
                          .low = b->kind == BUDGET_LATENCY && r.low <= 0 ? NAN : r.low,
                          .high = finite_high ? r.high : NAN,
                          .p_value = NAN};
    if (b->kind == BUDGET_LATENCY && ret->measured) {
        ret->n = s->latency->n;
        ret->more = ret->verdict == VERDICT_UNDECIDED ? more_samples(b, s, &r) : 0;
    }
}

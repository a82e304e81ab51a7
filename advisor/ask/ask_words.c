#include "advisor/ask/ask_words.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/container.h"

enum { WORDS_MAX = 256, WORD_SIZE = 32, NEAR = 6 };

struct words {
    char word[WORDS_MAX][WORD_SIZE]; /* lower case */
    double number[WORDS_MAX];        /* of a word that is one */
    bool is_number[WORDS_MAX], ends_clause[WORDS_MAX];
    size_t n;
};

/* ---- splitting ---- */

static bool part_of_word(char c) {
    return isalnum((unsigned char)c) || c == '.' || c == '_' || c == '-' || c == ':';
}

static bool add_word(struct words *w, const char *from, size_t size) {
    while (size > 0 && (from[size - 1] == '.' || from[size - 1] == ':')) {
        size--; /* the end of a sentence */
    }
    if (size == 0 || w->n == WORDS_MAX || size >= WORD_SIZE) {
        return size == 0 || size >= WORD_SIZE; /* what is longer says nothing about a limit */
    }
    char *word = w->word[w->n];
    for (size_t i = 0; i < size; i++) {
        word[i] = (char)tolower((unsigned char)from[i]);
    }
    word[size] = '\0';
    w->n++;
    return true;
}

/* "5ms" is a number and its unit; so is "$0.5" and "99%". */
static bool add_run(struct words *w, const char *from, size_t size) {
    char *end;
    char copy[WORD_SIZE];
    if (!isdigit((unsigned char)from[0]) || size >= sizeof(copy)) {
        return add_word(w, from, size);
    }
    memcpy(copy, from, size);
    copy[size] = '\0';
    double value = strtod(copy, &end);
    size_t digits = (size_t)(end - copy);
    if (strspn(copy, "0123456789.") < digits) { /* "0x1" and "1e9" are words */
        return add_word(w, from, size);
    }
    size_t at = w->n;
    if (!add_word(w, from, digits)) {
        return false;
    }
    w->is_number[at] = true;
    w->number[at] = value;
    return add_word(w, from + digits, size - digits);
}

static enum rc split(const char *text, struct words *w, struct err *err) {
    for (const char *p = text; *p;) {
        size_t size = 0;
        while (part_of_word(p[size])) {
            size++;
        }
        bool sign = *p == '%' || *p == '$' || *p == '/';
        if (size == 0 && !sign) {
            bool stops = *p == ',' || *p == ';' || *p == '?';
            if (stops && w->n > 0) {
                w->ends_clause[w->n - 1] = true;
            }
            p++;
            continue;
        }
        if (!(sign ? add_word(w, p, 1) : add_run(w, p, size))) {
            return err_set(err, RC_INPUT, "the question has more than %d words; ask for less at once",
                           (int)WORDS_MAX);
        }
        p += sign ? 1 : size;
    }
    return RC_OK;
}

/* ---- what stands around a number ---- */

static bool is_one_of(const char *word, const char *const *list) {
    for (; *list; list++) {
        if (strcmp(word, *list) == 0) {
            return true;
        }
    }
    return false;
}

/* The distance of the nearest of these words in the clause of number i, NEAR + 1 where there is none. */
static size_t distance(const struct words *w, size_t i, const char *const *list) {
    for (size_t d = 1; d <= NEAR; d++) {
        bool before = i >= d, after = i + d < w->n;
        for (size_t k = 1; k <= d; k++) {
            before = before && !w->ends_clause[i - k];
            after = after && !w->ends_clause[i + k - 1];
        }
        if ((before && is_one_of(w->word[i - d], list)) || (after && is_one_of(w->word[i + d], list))) {
            return d;
        }
    }
    return NEAR + 1;
}

static bool near(const struct words *w, size_t i, const char *const *list) {
    return distance(w, i, list) <= NEAR;
}

static const char *after(const struct words *w, size_t i, size_t steps) {
    return i + steps < w->n ? w->word[i + steps] : "";
}

static const char *const milliseconds[] = {"ms", "millisecond", "milliseconds", "msec", NULL};
static const char *const microseconds[] = {"us", "microsecond", "microseconds", NULL};
static const char *const seconds[] = {"s", "sec", "second", "seconds", NULL};
static const char *const mebibytes[] = {"mb", "mib", "megabyte", "megabytes", NULL};
static const char *const gibibytes[] = {"gb", "gib", "gigabyte", "gigabytes", NULL};
static const char *const dollars[] = {"usd", "dollar", "dollars", "$", NULL};
static const char *const percents[] = {"%", "percent", NULL};
static const char *const points[] = {"point", "points", NULL};
static const char *const rates[] = {"qps", "rps", NULL};
static const char *const loss_words[] = {"lose", "loses", "losing", "loss", "lost",
                                         "drop", "drops", "worse",  NULL};
static const char *const keep_words[] = {"keep",     "keeps",    "keeping",  "retain", "retains",
                                         "original", "baseline", "relative", NULL};
static const char *const accuracy_words[] = {"accuracy", "accurate", "top1", "top-1",
                                             "right",    "correct",  NULL};
static const char *const perplexity_words[] = {"perplexity", "ppl", NULL};
static const char *const size_words[] = {"file",    "size", "disk",  "artifact", "download",
                                         "smaller", "big",  "large", NULL};
static const char *const memory_words[] = {"memory", "ram", "rss", NULL};
static const char *const percentiles[] = {"p50", "p90", "p95", "p99", "p99.9", "median", NULL};

/* ---- one number ---- */

static enum rc add_limit(char list[ASK_LIMITS_MAX][ASK_LIMIT_SIZE], size_t *count, struct err *err,
                         const char *name, double value, const char *unit) {
    if (*count == ASK_LIMITS_MAX) {
        return err_set(err, RC_INPUT, "the question sets more than %d limits; leave some out",
                       (int)ASK_LIMITS_MAX);
    }
    snprintf(list[(*count)++], ASK_LIMIT_SIZE, "%s%.6g%s", name, value, unit);
    return RC_OK;
}

static enum rc add_latency(const struct words *w, size_t i, const char *unit, struct ask_limits *ret,
                           struct err *err) {
    const char *figure = "p99";
    size_t best = NEAR + 1;
    for (size_t k = 0; percentiles[k]; k++) {
        const char *const one[] = {percentiles[k], NULL};
        size_t d = distance(w, i, one);
        if (d < best) {
            best = d;
            figure = strcmp(percentiles[k], "median") == 0 ? "p50" : percentiles[k];
        }
    }
    char name[16];
    snprintf(name, sizeof(name), "%s<=", figure);
    return add_limit(ret->budgets, &ret->budget_count, err, name, w->number[i], unit);
}

static enum rc unclear(const struct words *w, size_t i, const char *how, struct err *err) {
    return err_set(err, RC_INPUT, "it is not clear what \"%s %s\" is a limit of; %s", w->word[i],
                   after(w, i, 1), how);
}

static enum rc add_bytes(const struct words *w, size_t i, const char *unit, struct ask_limits *ret,
                         struct err *err) {
    size_t size = distance(w, i, size_words), memory = distance(w, i, memory_words);
    if (size > NEAR && memory > NEAR) {
        return unclear(w, i, "say \"of memory\" or \"file size\"", err);
    }
    return add_limit(ret->budgets, &ret->budget_count, err,
                     size < memory ? "size<=" : "memory<=", w->number[i], unit);
}

/* A percentage, or a plain number beside a word for accuracy. */
static enum rc add_accuracy(const struct words *w, size_t i, double share, struct ask_limits *ret,
                            struct err *err) {
    size_t loss = distance(w, i, loss_words), keep = distance(w, i, keep_words);
    if (loss <= NEAR && loss <= keep) {
        return add_limit(ret->floors, &ret->floor_count, err, "drop<=", 100 * share, "");
    }
    bool of_it = strcmp(after(w, i, is_one_of(after(w, i, 1), percents) ? 2 : 1), "of") == 0;
    if (keep <= NEAR || of_it) {
        return add_limit(ret->floors, &ret->floor_count, err, "relative>=", share, "");
    }
    if (near(w, i, accuracy_words)) {
        return add_limit(ret->floors, &ret->floor_count, err, "top1>=", share, "");
    }
    return unclear(w, i, "say \"accuracy\", \"of the accuracy\" or \"lose at most\"", err);
}

static bool is_rate(const struct words *w, size_t i) {
    const char *first = after(w, i, 1), *second = after(w, i, 2), *third = after(w, i, 3);
    bool per = strcmp(first, "per") == 0 || strcmp(first, "/") == 0 || strcmp(first, "a") == 0;
    bool each = strcmp(second, "per") == 0 || strcmp(second, "/") == 0 || strcmp(second, "a") == 0;
    return is_one_of(first, rates) || (per && is_one_of(second, seconds)) ||
           (each && is_one_of(third, seconds));
}

static enum rc add_number(const struct words *w, size_t i, struct ask_limits *ret, struct err *err) {
    const char *unit = after(w, i, 1);
    double value = w->number[i];
    bool money = is_one_of(unit, dollars) || (i > 0 && strcmp(w->word[i - 1], "$") == 0);
    if (is_rate(w, i)) {
        return add_limit(ret->budgets, &ret->budget_count, err, "throughput>=", value, "/s");
    }
    if (is_one_of(unit, milliseconds) || is_one_of(unit, microseconds) || is_one_of(unit, seconds)) {
        const char *time = is_one_of(unit, seconds) ? "s" : is_one_of(unit, microseconds) ? "us" : "ms";
        return add_latency(w, i, time, ret, err);
    }
    if (is_one_of(unit, mebibytes) || is_one_of(unit, gibibytes)) {
        return add_bytes(w, i, is_one_of(unit, gibibytes) ? "GiB" : "MiB", ret, err);
    }
    if (money) {
        return add_limit(ret->budgets, &ret->budget_count, err, "cost<=", value, "usd");
    }
    if (is_one_of(unit, points)) {
        return add_limit(ret->floors, &ret->floor_count, err, "drop<=", value, "");
    }
    if (is_one_of(unit, percents)) {
        return add_accuracy(w, i, value / 100, ret, err);
    }
    if (near(w, i, perplexity_words)) {
        return add_limit(ret->floors, &ret->floor_count, err, "ppl<=", value, "");
    }
    if (value <= 1 && near(w, i, accuracy_words)) {
        return add_accuracy(w, i, value, ret, err);
    }
    return unclear(w, i, "give it a unit, for example 5 ms, 200 per second, 99 %, 512 MB", err);
}

/* Numbers that are no limits: "1 million predictions" says what a cost is counted in. */
static bool only_counts(const struct words *w, size_t i) {
    static const char *const scales[] = {"million", "m",    "core", "cores", "thread",
                                         "threads", "-bit", "bit",  "bits",  NULL};
    return is_one_of(after(w, i, 1), scales);
}

enum rc ask_words_read(const char *text, struct ask_limits *ret, struct err *err) {
    struct words *w = calloc(1, sizeof(*w));
    struct ask_limits limits = {.floor_count = 0};
    if (!w) {
        return err_memory(err);
    }
    enum rc rc = strlen(text) <= ASK_TEXT_MAX
                     ? split(text, w, err)
                     : err_set(err, RC_INPUT, "the question is longer than %d bytes", (int)ASK_TEXT_MAX);
    if (rc == RC_OK && w->n == 0) {
        rc = err_set(err, RC_INPUT,
                     "ask something, for example: what is the cheapest way to serve it with p99 under 5 ms?");
    }
    for (size_t i = 0; rc == RC_OK && i < w->n; i++) {
        if (w->is_number[i] && !only_counts(w, i)) {
            rc = add_number(w, i, &limits, err);
        }
    }
    if (rc == RC_OK) {
        *ret = limits;
    }
    free(w);
    return rc;
}

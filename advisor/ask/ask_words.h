/* ask_words.h -- the limits in a question in plain English, as floors and budgets. Pure: no model is looked
 * up, nothing is guessed that the words do not say.
 *
 * Every number is taken with its unit and the words around it: "p99 under 5 ms" is p99<=5ms, "keep 99 % of
 * the accuracy" relative>=0.99, "lose at most half a point" drop<=0.5, "at least 94 % accuracy" top1>=0.94,
 * "200 per second" throughput>=200/s, "512 MB of memory" memory<=512MiB, "a file below 20 MB" size<=20MiB,
 * "0.5 USD per million" cost<=0.5usd, "perplexity up to 16" ppl<=16. A latency without a percentile is one of
 * p99. */
#pragma once

#include <stddef.h>

#include "core/base/err.h"

enum { ASK_LIMITS_MAX = 8, ASK_LIMIT_SIZE = 48, ASK_TEXT_MAX = 1000 };

struct ask_limits {
    char floors[ASK_LIMITS_MAX][ASK_LIMIT_SIZE];
    size_t floor_count;
    char budgets[ASK_LIMITS_MAX][ASK_LIMIT_SIZE];
    size_t budget_count;
};

/* RC_INPUT: the text is empty, longer than ASK_TEXT_MAX, has more limits than fit, or a number whose meaning
 * the words do not tell (the error quotes it and says how to put it). */
MUST_USE enum rc ask_words_read(const char *text, struct ask_limits *ret, struct err *err);

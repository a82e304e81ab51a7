/* limit_text.h -- the parts that floor and budget texts have in common: `word >= number unit`. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "core/base/err.h"

enum { LIMIT_WORD_SIZE = 24 };

struct limit_text {
    char word[LIMIT_WORD_SIZE]; /* lower case */
    bool at_least;              /* >=; else <= */
    double number;
    char unit[LIMIT_WORD_SIZE]; /* as written; may be empty */
};

/* Splits a text. RC_INPUT when it does not have that form; `example` is shown in the text of the error.
 * Blanks are skipped. */
MUST_USE enum rc limit_text_split(const char *text, const char *example, struct limit_text *ret,
                                  struct err *err);

/* The shortest decimal text that reads back as the same number. */
void limit_text_number(double value, char *text, size_t size);

#include "advisor/decide/limit_text.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_TEXT = 64 };

static bool is_blank(char c) {
    return c == ' ' || c == '\t';
}

/* The text without blanks; false when it is too long or holds control bytes. */
static bool squeeze(const char *text, char out[MAX_TEXT]) {
    size_t n = 0;
    for (; *text; text++) {
        if (is_blank(*text)) {
            continue;
        }
        if (n == MAX_TEXT - 1 || !isprint((unsigned char)*text)) {
            return false;
        }
        out[n++] = *text;
    }
    out[n] = '\0';
    return true;
}

static bool take_word(const char **at, char word[LIMIT_WORD_SIZE]) {
    size_t n = strspn(*at, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-");
    if (n == 0 || n >= LIMIT_WORD_SIZE) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        word[i] = (char)tolower((unsigned char)(*at)[i]);
    }
    word[n] = '\0';
    *at += n;
    return true;
}

/* Plain decimal numbers only: strtod alone would take hexadecimal, inf and nan. */
static bool take_number(const char **at, double *ret) {
    size_t n = strspn(*at, "+-");
    if (n > 1) {
        return false;
    }
    size_t digits = strspn(*at + n, "0123456789.");
    if (strcspn(*at + n, "0123456789") >= digits) {
        return false;
    }
    n += digits;
    if ((*at)[n] == 'e' || (*at)[n] == 'E') {
        size_t sign = (*at)[n + 1] == '-' || (*at)[n + 1] == '+',
               exponent = strspn(*at + n + 1 + sign, "0123456789");
        n += exponent ? 1 + sign + exponent : 0;
    }
    char copy[MAX_TEXT], *end = NULL;
    memcpy(copy, *at, n);
    copy[n] = '\0';
    *ret = strtod(copy, &end);
    *at += n;
    return *end == '\0' && isfinite(*ret);
}

enum rc limit_text_split(const char *text, const char *example, struct limit_text *ret, struct err *err) {
    char squeezed[MAX_TEXT] = "";
    struct limit_text t = {0};
    if (!squeeze(text, squeezed)) {
        return err_set(err, RC_INPUT, "this is too long or holds control characters; write it like %s",
                       example);
    }
    const char *at = squeezed;
    if (!take_word(&at, t.word)) {
        return err_set(err, RC_INPUT, "\"%s\" does not begin with a name; write it like %s", squeezed,
                       example);
    }
    if (strncmp(at, ">=", 2) != 0 && strncmp(at, "<=", 2) != 0) {
        return err_set(err, RC_INPUT, "\"%s\" needs >= or <= after \"%s\"; write it like %s", squeezed,
                       t.word, example);
    }
    t.at_least = at[0] == '>';
    at += 2;
    if (!take_number(&at, &t.number)) {
        return err_set(err, RC_INPUT, "\"%s\" needs a plain number after %s; write it like %s", squeezed,
                       t.at_least ? ">=" : "<=", example);
    }
    if (strlen(at) >= LIMIT_WORD_SIZE) {
        return err_set(err, RC_INPUT, "\"%s\" has more after the number than a unit; write it like %s",
                       squeezed, example);
    }
    memcpy(t.unit, at, strlen(at) + 1);
    *ret = t;
    return RC_OK;
}

void limit_text_number(double value, char *text, size_t size) {
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(text, size, "%.*g", digits, value);
        if (strtod(text, NULL) == value) { /* exact on purpose */
            break;
        }
    }
    if (strchr(text, 'e') && fabs(value) >= 1 && fabs(value) < 1e15) {
        snprintf(text, size, "%.0f", value);
    }
}

#include "core/recipes/option_value.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "core/base/nearest.h"

enum { MAX_DIGITS = 15 }; /* every decimal of up to 15 digits survives the way to double and back */

static enum rc not_a_choice(const struct option_desc *o, const char *text, struct err *err) {
    char list[256] = "";
    size_t used = 0;
    for (size_t i = 0; o->choices[i]; i++) {
        int n = snprintf(list + used, sizeof(list) - used, "%s%s", i ? ", " : "", o->choices[i]);
        used += (size_t)n;
        assert(used < sizeof(list));
    }
    const char *near = nearest_name(text, o->choices);
    bool offer = near && o->type == OPTION_CHOICE;
    return err_set(err, RC_INPUT, "%s=%.64s is not valid%s%s%s; valid values: %s", o->name, text,
                   offer ? "; did you mean \"" : "", offer ? near : "", offer ? "\"?" : "", list);
}

static bool find_choice(const char *const *choices, const char *text, size_t *ret) {
    for (size_t i = 0; choices[i]; i++) {
        if (strcmp(choices[i], text) == 0) {
            *ret = i;
            return true;
        }
    }
    return false;
}

/* Digits, at most one '.', at most MAX_DIGITS digits; sets *is_whole. No sign, no exponent: '+' separates
 * steps. */
static bool parse_decimal(const char *text, double *ret, bool *is_whole) {
    double mantissa = 0, divisor = 1;
    int digits = 0;
    bool fraction = false;
    for (const char *p = text; *p; p++) {
        if (*p == '.' && !fraction && digits > 0 && p[1]) {
            fraction = true;
        } else if (*p >= '0' && *p <= '9' && ++digits <= MAX_DIGITS) {
            mantissa = mantissa * 10 + (*p - '0');
            divisor = fraction ? divisor * 10 : divisor;
        } else {
            return false;
        }
    }
    *is_whole = !fraction;
    *ret = mantissa / divisor; /* both exact, so the quotient is the correctly rounded value */
    return digits > 0;
}

static enum rc parse_number(const struct option_desc *o, const char *text, union option_value *ret,
                            struct err *err) {
    double value;
    bool whole, integer = o->type == OPTION_INT;
    if (!parse_decimal(text, &value, &whole) || (integer && !whole) || value < o->min || value > o->max) {
        return err_set(err, RC_INPUT, "%s=%.64s is not valid: it must be a %s from %.15g to %.15g", o->name,
                       text, integer ? "whole number" : "number", o->min, o->max);
    }
    if (integer) {
        ret->integer = (int64_t)value;
    } else {
        ret->number = value;
    }
    return RC_OK;
}

enum rc option_value_parse(const struct option_desc *o, const char *text, union option_value *ret,
                           struct err *err) {
    assert(o->type != OPTION_FLAG);
    size_t choice = 0;
    if (o->choices && !find_choice(o->choices, text, &choice)) {
        return not_a_choice(o, text, err);
    }
    if (o->type == OPTION_CHOICE) {
        ret->choice = choice;
        return RC_OK;
    }
    return parse_number(o, text, ret, err);
}

void option_value_text(const struct option_desc *o, const union option_value *value,
                       char text[OPTION_VALUE_SIZE]) {
    switch (o->type) {
    case OPTION_FLAG:
        snprintf(text, OPTION_VALUE_SIZE, "%s", value->flag ? "true" : "false");
        break;
    case OPTION_INT:
        snprintf(text, OPTION_VALUE_SIZE, "%lld", (long long)value->integer);
        break;
    case OPTION_NUMBER:
        snprintf(text, OPTION_VALUE_SIZE, "%.15g", value->number);
        break;
    case OPTION_CHOICE:
        snprintf(text, OPTION_VALUE_SIZE, "%s", o->choices[value->choice]);
        break;
    }
}

bool option_value_equal(const struct option_desc *o, const union option_value *a,
                        const union option_value *b) {
    switch (o->type) {
    case OPTION_FLAG:
        return a->flag == b->flag;
    case OPTION_INT:
        return a->integer == b->integer;
    case OPTION_NUMBER:
        return !(a->number < b->number) && !(a->number > b->number);
    case OPTION_CHOICE:
        return a->choice == b->choice;
    }
    return false;
}

union option_value option_value_default(const struct option_desc *o) {
    union option_value value = {0};
    if (o->type != OPTION_FLAG) {
        enum rc rc = option_value_parse(o, o->default_text, &value, NULL);
        assert(rc == RC_OK);
        (void)rc;
    }
    return value;
}

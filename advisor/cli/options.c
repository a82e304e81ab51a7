#include "advisor/cli/options.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "advisor/cli/verbs.h"
#include "core/base/nearest.h"

enum { SPECS_MAX = 64, WIDTH_MAX = 30 };
static const double whole_max = 9007199254740992.0; /* 2^53 */

/* ---- values ---- */

static void range_of(const struct option_spec *s, double *min, double *max) {
    bool none = s->min == 0 && s->max == 0;
    *min = s->min;
    *max = none ? whole_max : s->max;
}

static enum rc parse_number(const struct option_spec *s, const char *text, struct err *err) {
    double min, max;
    char *end;
    errno = 0;
    double value = strtod(text, &end);
    bool whole = s->kind == OPTION_WHOLE;
    range_of(s, &min, &max);
    if (errno || end == text || *end || !isfinite(value) || value < min || value > max ||
        (whole && value != floor(value))) {
        return err_set(err, RC_USAGE, "--%s takes a %snumber from %.15g to %.15g, not \"%.40s\"", s->name,
                       whole ? "whole " : "", min, max, text);
    }
    if (whole) {
        *(int64_t *)s->value = (int64_t)value;
    } else {
        *(double *)s->value = value;
    }
    return RC_OK;
}

static enum rc add_item(const struct option_spec *s, const char *text, struct err *err) {
    struct option_list *list = s->value;
    if (list->count == OPTION_LIST_MAX) {
        return err_set(err, RC_USAGE, "--%s is given more than %d times", s->name, OPTION_LIST_MAX);
    }
    list->items[list->count++] = text;
    return RC_OK;
}

static enum rc set_value(const struct option_spec *s, const char *text, struct err *err) {
    switch (s->kind) {
    case OPTION_FLAG:
        *(bool *)s->value = true;
        return RC_OK;
    case OPTION_TEXT:
        *(const char **)s->value = text;
        return RC_OK;
    case OPTION_LIST:
        return add_item(s, text, err);
    default:
        return parse_number(s, text, err);
    }
}

/* ---- arguments ---- */

struct reader {
    const struct options *o;
    int argc, at;
    char **argv;
    bool given[SPECS_MAX];
    struct option_list *operands;
    bool help;
};

static enum rc unknown_option(const struct reader *r, const char *name, struct err *err) {
    const char *known[SPECS_MAX + 2];
    size_t n = 0;
    for (size_t i = 0; i < r->o->count; i++) {
        known[n++] = r->o->specs[i].name;
    }
    known[n++] = "help";
    known[n] = NULL;
    const char *near = nearest_name(name, known);
    if (near) {
        return err_set(err, RC_USAGE, "unknown option --%.60s; did you mean --%s?", name, near);
    }
    return err_set(err, RC_USAGE, "unknown option --%.60s; see pare %s --help", name, r->o->verb);
}

/* Takes the value behind '=', or the next argument. */
static enum rc take_value(struct reader *r, size_t index, const char *inline_value, struct err *err) {
    const struct option_spec *s = &r->o->specs[index];
    r->given[index] = true;
    if (s->kind == OPTION_FLAG) {
        return inline_value ? err_set(err, RC_USAGE, "--%s takes no value", s->name)
                            : set_value(s, NULL, err);
    }
    if (!inline_value && r->at == r->argc) {
        return err_set(err, RC_USAGE, "--%s needs a value: --%s %s", s->name, s->name, s->argument);
    }
    return set_value(s, inline_value ? inline_value : r->argv[r->at++], err);
}

static enum rc take_long(struct reader *r, const char *text, struct err *err) {
    char name[64];
    size_t size = strcspn(text, "=");
    snprintf(name, sizeof(name), "%.*s", (int)(size < sizeof(name) ? size : sizeof(name) - 1), text);
    if (strcmp(name, "help") == 0) {
        r->help = true;
        return RC_OK;
    }
    for (size_t i = 0; i < r->o->count; i++) {
        if (strcmp(r->o->specs[i].name, name) == 0) {
            return take_value(r, i, text[size] == '=' ? text + size + 1 : NULL, err);
        }
    }
    return unknown_option(r, name, err);
}

static enum rc take_letter(struct reader *r, const char *text, struct err *err) {
    if (strcmp(text, "h") == 0) {
        r->help = true;
        return RC_OK;
    }
    for (size_t i = 0; i < r->o->count; i++) {
        if (r->o->specs[i].letter == text[0]) {
            return take_value(r, i, text[1] ? text + 1 : NULL, err);
        }
    }
    return err_set(err, RC_USAGE, "unknown option -%c; see pare %s --help", text[0], r->o->verb);
}

static enum rc take_operand(struct reader *r, const char *text, struct err *err) {
    size_t max = r->o->max_operands;
    if (!r->operands || r->operands->count == max || r->operands->count == OPTION_LIST_MAX) {
        return err_set(err, RC_USAGE,
                       max == 0 ? "unexpected \"%.80s\"; this verb takes options only"
                                : "\"%.80s\" is one too many",
                       text);
    }
    r->operands->items[r->operands->count++] = text;
    return RC_OK;
}

static enum rc read_arguments(struct reader *r, struct err *err) {
    bool only_operands = false;
    enum rc rc = RC_OK;
    while (rc == RC_OK && !r->help && r->at < r->argc) {
        const char *text = r->argv[r->at++];
        if (only_operands || text[0] != '-' || text[1] == '\0') {
            rc = take_operand(r, text, err);
        } else if (strcmp(text, "--") == 0) {
            only_operands = true;
        } else {
            rc = text[1] == '-' ? take_long(r, text + 2, err) : take_letter(r, text + 1, err);
        }
    }
    return rc;
}

/* A flag's variable sets it unless it is empty, "0", "no" or "false". */
static bool means_yes(const char *text) {
    return *text && strcmp(text, "0") != 0 && strcmp(text, "no") != 0 && strcmp(text, "false") != 0;
}

static enum rc read_environment(const struct reader *r, struct err *err) {
    enum rc rc = RC_OK;
    for (size_t i = 0; rc == RC_OK && i < r->o->count; i++) {
        const struct option_spec *s = &r->o->specs[i];
        const char *text = s->env && !r->given[i] ? getenv(s->env) : NULL;
        if (text && *text && (s->kind != OPTION_FLAG || means_yes(text))) {
            rc = set_value(s, text, err);
            if (rc != RC_OK) {
                err_prefix(err, "the environment variable %s", s->env);
            }
        }
    }
    return rc;
}

static enum rc check_operands(const struct reader *r, struct err *err) {
    size_t count = r->operands ? r->operands->count : 0;
    if (count < r->o->min_operands) {
        return err_set(err, RC_USAGE, "%s is missing: pare %s %s", r->o->operands, r->o->verb,
                       r->o->operands);
    }
    return RC_OK;
}

int options_parse(const struct options *o, int argc, char **argv, struct option_list *operands) {
    struct reader r = {.o = o, .argc = argc, .at = 1, .argv = argv, .operands = operands};
    struct err err = {0};
    if (operands) {
        operands->count = 0;
    }
    enum rc rc =
        o->count <= SPECS_MAX ? read_arguments(&r, &err) : err_set(&err, RC_INTERNAL, "too many options");
    if (rc == RC_OK && r.help) {
        options_help(o);
        return EXIT_FINE;
    }
    if (rc == RC_OK) {
        rc = read_environment(&r, &err);
    }
    if (rc == RC_OK) {
        rc = check_operands(&r, &err);
    }
    return rc == RC_OK ? OPTIONS_GO_ON : verb_fail(o->verb, &err);
}

/* ---- help ---- */

static void print_option(const struct option_spec *s) {
    char left[80], letter[8] = "    ";
    if (s->letter) {
        snprintf(letter, sizeof(letter), "-%c, ", s->letter);
    }
    snprintf(left, sizeof(left), "  %s--%s%s%s", letter, s->name, s->argument ? " " : "",
             s->argument ? s->argument : "");
    if (strlen(left) > WIDTH_MAX) {
        printf("%s\n%*s", left, WIDTH_MAX + 2, "");
    } else {
        printf("%-*s  ", WIDTH_MAX, left);
    }
    printf("%s", s->help);
    if (s->env) {
        printf(" [%s]", s->env);
    }
    printf("%s\n", s->kind == OPTION_LIST ? " (repeatable)" : "");
}

void options_help(const struct options *o) {
    printf("Usage: pare %s [options]%s%s\n\n%c%s\n\nOptions:\n", o->verb, *o->operands ? " " : "",
           o->operands, toupper((unsigned char)o->summary[0]), o->summary + 1);
    for (size_t i = 0; i < o->count; i++) {
        print_option(&o->specs[i]);
    }
    print_option(
        &(struct option_spec){.name = "help", .letter = 'h', .kind = OPTION_FLAG, .help = "this text"});
    printf("\nExamples:\n%s", o->examples);
    size_t size = strlen(o->examples);
    if (size > 0 && o->examples[size - 1] != '\n') {
        printf("\n");
    }
}

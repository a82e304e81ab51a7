/* options.h -- a verb's options as a table: parsing, environment, --help with examples, "did you mean". */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/err.h"

enum option_kind {
    OPTION_FLAG,   /* bool *: true when given */
    OPTION_TEXT,   /* const char ** */
    OPTION_WHOLE,  /* int64_t *, min..max */
    OPTION_NUMBER, /* double *, finite, min..max */
    OPTION_LIST    /* struct option_list *: may be given again and again */
};

enum { OPTION_LIST_MAX = 64 };

struct option_list {
    const char *items[OPTION_LIST_MAX]; /* borrowed from argv */
    size_t count;
};

struct option_spec {
    const char *name; /* "listen", given as --listen VALUE or --listen=VALUE */
    char letter;      /* 0 or 'o': given as -o VALUE */
    enum option_kind kind;
    const char *argument; /* "ADDRESS:PORT" in the help; NULL for a flag */
    const char *env;      /* "PARE_LISTEN": used where the option is not given; or NULL */
    const char *help;     /* one line; a default is named here */
    void *value;     /* what the kind says; keeps its value where neither option nor environment gives one */
    double min, max; /* OPTION_WHOLE and OPTION_NUMBER; both 0 = 0 to 2^53 */
};

struct options {
    const char *verb;     /* "submit" */
    const char *summary;  /* one line */
    const char *operands; /* "MODEL" in the usage line, "" for none */
    size_t min_operands, max_operands;
    const struct option_spec *specs;
    size_t count;
    const char *examples; /* lines, each "  pare submit ..." */
};

enum { OPTIONS_GO_ON = -1 };

/* Reads argv[1..] (argv[0] is the verb) into the specs' values and `operands` (may be NULL for none). "--"
 * ends the options. OPTIONS_GO_ON, or the exit code to end with: after --help (printed on standard output),
 * or after a usage error (printed on standard error with the nearest option). */
int options_parse(const struct options *o, int argc, char **argv, struct option_list *operands);

/* Prints the help. */
void options_help(const struct options *o);

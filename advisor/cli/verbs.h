/* verbs.h -- the verbs of pare. A new verb is a function in advisor/cli/<verb>.c, its declaration and one
 * line in VERB_TABLE. */
#pragma once

#include "core/base/err.h"

/* X(name, function, one line) in the order of `pare --help`. */
#define VERB_TABLE(X)                                                                                        \
    X("serve", verb_serve, "run the service: HTTP interface, store, dashboard, and an agent on this machine")

enum exit_code {
    EXIT_FINE = 0,
    EXIT_BROKEN = 1,        /* a budget or floor is broken */
    EXIT_USAGE = 2,         /* the command is not understood */
    EXIT_INCONCLUSIVE = 3,  /* the sample does not decide */
    EXIT_INFRASTRUCTURE = 4 /* no service, no disk, no worker, ... */
};

/* A verb gets its own name as argv[0] and returns an exit code. */
typedef int verb_function(int argc, char **argv);

#define X(name, function, summary) verb_function function;
VERB_TABLE(X)
#undef X

/* The exit code for an error: EXIT_USAGE for RC_USAGE and RC_INPUT, EXIT_INFRASTRUCTURE for the others. */
int verb_exit_code(enum rc rc);

/* Prints "pare VERB: text" on standard error and returns verb_exit_code(err->rc). */
int verb_fail(const char *verb, const struct err *err);

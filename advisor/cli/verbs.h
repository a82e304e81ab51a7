/* verbs.h -- the verbs of pare. A new verb is a function in advisor/cli/<verb>.c, its declaration and one
 * line in VERB_TABLE. */
#pragma once

#include "core/base/err.h"

/* X(name, function, one line) in the order of `pare --help`. */
#define VERB_TABLE(X)                                                                                        \
    X("serve", verb_serve,                                                                                   \
      "run the service: HTTP interface, store, dashboard, and an agent on this machine")                     \
    X("agent", verb_agent, "make this machine a target: run its jobs for a service")                         \
    X("submit", verb_submit,                                                                                 \
      "measure a model at many levels and recommend the cheapest that meets the floor")                      \
    X("study", verb_study, "list the studies, or look at, follow or cancel one")                             \
    X("recommend", verb_recommend, "ask again over what was measured, with other floors and budgets")        \
    X("ask", verb_ask, "ask in plain words over what was measured")                                          \
    X("gate", verb_gate, "check a policy of budgets and floors in CI")                                       \
    X("show", verb_show, "everything stored about an id")                                                    \
    X("compare", verb_compare, "configurations side by side, tested in pairs")                               \
    X("export", verb_export, "write a compressed model to a file")                                           \
    X("bundle", verb_bundle, "pack a study's work for a machine that cannot reach the service")              \
    X("import", verb_import, "take back what such a machine measured")                                       \
    X("targets", verb_targets, "the machines with an agent, and what they cost")                             \
    X("recipes", verb_recipes, "the levels of each preset, and what the registered machines make of them")   \
    X("size", verb_size, "what a model file holds and what each level would leave")                          \
    X("tokens", verb_tokens, "who may use a service: list, make and revoke tokens")

enum exit_code {
    EXIT_FINE = 0,
    EXIT_BROKEN = 1,        /* a budget or floor is broken */
    EXIT_USAGE = 2,         /* the command, or what it names, is not right */
    EXIT_INCONCLUSIVE = 3,  /* the sample does not decide */
    EXIT_INFRASTRUCTURE = 4 /* no service, no disk, no worker, ... */
};

/* A verb gets its own name as argv[0] and returns an exit code. */
typedef int verb_function(int argc, char **argv);

#define X(name, function, summary) verb_function function;
VERB_TABLE(X)
#undef X

/* The exit code for an error: EXIT_USAGE where the fault lies in what the command says, names or gives (an
 * option, a file, an id, what a file holds); EXIT_INFRASTRUCTURE otherwise. */
int verb_exit_code(enum rc rc);

/* Prints "pare VERB: text" on standard error and returns verb_exit_code(err->rc). */
int verb_fail(const char *verb, const struct err *err);

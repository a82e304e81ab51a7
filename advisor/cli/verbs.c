#include "advisor/cli/verbs.h"

#include <stdio.h>

int verb_exit_code(enum rc rc) {
    return rc == RC_USAGE || rc == RC_INPUT ? EXIT_USAGE : EXIT_INFRASTRUCTURE;
}

int verb_fail(const char *verb, const struct err *err) {
    fprintf(stderr, "pare %s: %s\n", verb, err->text);
    return verb_exit_code(err->rc);
}

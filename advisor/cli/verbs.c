#include "advisor/cli/verbs.h"

#include <stdio.h>

#include "core/base/container.h"

int verb_exit_code(enum rc rc) {
    static const enum rc of_the_command[] = {RC_USAGE, RC_INPUT, RC_NOT_FOUND, RC_UNSUPPORTED, RC_TOO_LARGE};
    for (size_t i = 0; i < ARRAY_SIZE(of_the_command); i++) {
        if (rc == of_the_command[i]) {
            return EXIT_USAGE;
        }
    }
    return EXIT_INFRASTRUCTURE;
}

int verb_fail(const char *verb, const struct err *err) {
    fprintf(stderr, "pare %s: %s\n", verb, err->text);
    return verb_exit_code(err->rc);
}

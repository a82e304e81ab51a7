/* main.c -- pare VERB ...: finds the verb and calls it. */
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "advisor/cli/settings_file.h"
#include "advisor/cli/verbs.h"
#include "core/base/container.h"
#include "core/base/nearest.h"

static const struct verb {
    const char *name;
    verb_function *run;
    const char *summary;
} verbs[] = {
#define X(name, function, summary) {name, function, summary},
    VERB_TABLE(X)
#undef X
};

static int print_help(void) {
    printf("Pare finds the cheapest way to serve a model that still meets its accuracy floor.\n\n"
           "Usage: pare VERB [options] ...\n\nVerbs:\n");
    for (size_t i = 0; i < ARRAY_SIZE(verbs); i++) {
        printf("  %-11s %s\n", verbs[i].name, verbs[i].summary);
    }
    printf("\nEvery verb has --help with examples. The service is found by --server or PARE_SERVER\n"
           "(http://127.0.0.1:7878 where neither is given). Settings come from options, then the environment "
           "(PARE_...), then\n"
           "~/.config/pare/pare.conf and /etc/pare/pare.conf (or the file that PARE_CONFIG "
           "names).\n\nExamples:\n"
           "  pare serve --data ./data\n"
           "  pare submit model.onnx --data eval.npz --floor 'top1>=0.94' --budget 'p99<=5ms'\n");
    return EXIT_FINE;
}

static int unknown_verb(const char *name) {
    const char *known[ARRAY_SIZE(verbs) + 1];
    for (size_t i = 0; i < ARRAY_SIZE(verbs); i++) {
        known[i] = verbs[i].name;
    }
    known[ARRAY_SIZE(verbs)] = NULL;
    const char *near = nearest_name(name, known);
    if (near) {
        fprintf(stderr, "pare: unknown verb \"%.60s\"; did you mean \"%s\"?\n", name, near);
    } else {
        fprintf(stderr, "pare: unknown verb \"%.60s\"; see pare --help\n", name);
    }
    return EXIT_USAGE;
}

int main(int argc, char **argv) {
    const char *word = argc > 1 ? argv[1] : "";
    struct err err = {0};
    if (sodium_init() < 0) {
        fprintf(stderr, "pare: the system gives no random numbers\n");
        return EXIT_INFRASTRUCTURE;
    }
    signal(SIGPIPE, SIG_IGN); /* a peer that went away is an error of write() */
    if (strcmp(word, "--version") == 0 || strcmp(word, "version") == 0) {
        printf("pare %s\n", PARE_VERSION);
        return EXIT_FINE;
    }
    if (argc < 2) {
        print_help();
        return EXIT_USAGE;
    }
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0 || strcmp(word, "help") == 0) {
        return print_help();
    }
    if (settings_file_load(&err) != RC_OK) {
        return verb_fail(word, &err);
    }
    for (size_t i = 0; i < ARRAY_SIZE(verbs); i++) {
        if (strcmp(verbs[i].name, word) == 0) {
            return verbs[i].run(argc - 1, argv + 1);
        }
    }
    return unknown_verb(word);
}

/* main.c -- pare-runner: travels in a bundle and runs its jobs on a machine that cannot reach the service. It
 * opens no model itself: every job gets a pare-worker of its own, as an agent would start it. */
#include <stdio.h>
#include <string.h>

#include "core/base/loaded.h"
#include "profiler/agent/offline.h"

static const char USAGE[] =
    "usage: pare-runner [--results FILE] [--name NAME] [--sandbox=allow|require] FOLDER\n"
    "       runs the jobs of the bundle unpacked in FOLDER; the results go to "
    "FOLDER/results.pare\n"
    "       pare-runner --libraries | --version\n"
    "Example: pare-runner pare-bundle\n";

static int usage(const char *what) {
    fprintf(stderr, "pare-runner: %s\n%s", what, USAGE);
    return 2;
}

int main(int argc, char **argv) {
    struct offline_opts opts = {0};
    struct err err;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0) {
            fputs(USAGE, stdout);
            return 0;
        }
        if (strcmp(argv[i], "--version") == 0) {
            printf("pare-runner %s\n", PARE_VERSION);
            return 0;
        }
        if (strcmp(argv[i], "--libraries") == 0) {
            loaded_print();
            return 0;
        }
        if (strcmp(argv[i], "--results") == 0 && i + 1 < argc) {
            opts.results = argv[++i];
        } else if (strcmp(argv[i], "--name") == 0 && i + 1 < argc) {
            opts.name = argv[++i];
        } else if (strcmp(argv[i], "--sandbox=require") == 0 || strcmp(argv[i], "--sandbox=allow") == 0) {
            opts.sandbox = argv[i] + strlen("--sandbox=");
        } else if (argv[i][0] == '-' || opts.folder) {
            return usage("unknown option, or more than one folder");
        } else {
            opts.folder = argv[i];
        }
    }
    if (!opts.folder) {
        return usage("which folder?");
    }
    if (offline_run(&opts, &err) != RC_OK) {
        fprintf(stderr, "pare-runner: %s\n", err.text);
        return err.rc == RC_INPUT || err.rc == RC_NOT_FOUND ? 2 : 4;
    }
    return 0;
}

/* agent_verb.c -- `pare agent`: makes this machine a target. */
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#include "advisor/cli/options.h"
#include "advisor/cli/verbs.h"
#include "core/base/file.h"
#include "profiler/agent/agent.h"

enum { TOKEN_BYTES = 4096, PATH_BYTES = 4096 };

struct agent_arguments {
    const char *server, *token, *token_file, *name, *cache, *worker, *sandbox;
    double price_per_hour;
    int64_t cache_gib;
    bool local;
};

/* Signal handlers have no argument: the one word that they share with the loop. */
static atomic_int stop_requested;

static void on_signal(int number) {
    (void)number;
    atomic_store(&stop_requested, 1);
}

static void catch_signals(void) {
    struct sigaction action = {.sa_handler = on_signal};
    sigemptyset(&action.sa_mask);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
}

static int parse(int argc, char **argv, struct agent_arguments *a) {
    const struct option_spec specs[] = {
        {.name = "server",
         .kind = OPTION_TEXT,
         .argument = "URL",
         .env = "PARE_SERVER",
         .value = &a->server,
         .help = "the service (default http://127.0.0.1:7878)"},
        {.name = "token-file",
         .kind = OPTION_TEXT,
         .argument = "FILE",
         .env = "PARE_TOKEN_FILE",
         .value = &a->token_file,
         .help = "a file with a token of the role agent (else PARE_TOKEN; none is needed on loopback)"},
        {.name = "name",
         .kind = OPTION_TEXT,
         .argument = "NAME",
         .env = "PARE_AGENT_NAME",
         .value = &a->name,
         .help = "of the target (default: the host's name)"},
        {.name = "price-per-hour",
         .kind = OPTION_NUMBER,
         .argument = "USD",
         .env = "PARE_PRICE_PER_HOUR",
         .value = &a->price_per_hour,
         .min = 0,
         .max = 1e6,
         .help = "what an hour of this machine costs"},
        {.name = "cache",
         .kind = OPTION_TEXT,
         .argument = "DIR",
         .env = "PARE_AGENT_CACHE",
         .value = &a->cache,
         .help = "fetched files and job folders (default ~/.cache/pare-agent)"},
        {.name = "cache-gib",
         .kind = OPTION_WHOLE,
         .argument = "N",
         .env = "PARE_AGENT_CACHE_GIB",
         .value = &a->cache_gib,
         .min = 1,
         .max = 1 << 20,
         .help = "fetched files beyond this are removed, oldest first (default 20)"},
        {.name = "worker",
         .kind = OPTION_TEXT,
         .argument = "FILE",
         .env = "PARE_WORKER",
         .value = &a->worker,
         .help = "the program pare-worker (default: beside this one)"},
        {.name = "sandbox",
         .kind = OPTION_TEXT,
         .argument = "allow|require",
         .env = "PARE_SANDBOX",
         .value = &a->sandbox,
         .help = "require: run nothing where the kernel does not grant the whole sandbox (default allow)"},
        {.name = "local",
         .kind = OPTION_FLAG,
         .value = &a->local,
         .help = "the agent of a service on this machine: ends with the process that started it"},
    };
    const struct options options = {
        .verb = "agent",
        .summary = "Makes this machine a target: takes jobs from the service and runs them, one at a time.",
        .operands = "",
        .specs = specs,
        .count = sizeof(specs) / sizeof(specs[0]),
        .examples =
            "  pare agent --server https://pare.example.org --token-file agent.token --price-per-hour 0.17\n",
    };
    return options_parse(&options, argc, argv, NULL);
}

/* The token without the white space around it. free() *ret. */
static enum rc read_token(const char *path, char **ret, struct err *err) {
    size_t size = 0;
    enum rc rc = file_read(path, TOKEN_BYTES, ret, &size, err);
    if (rc != RC_OK) {
        return rc;
    }
    (*ret)[strcspn(*ret, " \t\r\n")] = '\0';
    if ((*ret)[0] == '\0') {
        free(*ret);
        return err_set(err, RC_INPUT, "%s holds no token", path);
    }
    return RC_OK;
}

static enum rc choose_cache(const struct agent_arguments *a, char path[PATH_BYTES], struct err *err) {
    const char *base = getenv("XDG_CACHE_HOME");
    const char *home = getenv("HOME");
    if (a->cache) {
        snprintf(path, PATH_BYTES, "%s", a->cache);
    } else if (base && *base) {
        snprintf(path, PATH_BYTES, "%s/pare-agent", base);
    } else if (home && *home) {
        snprintf(path, PATH_BYTES, "%s/.cache/pare-agent", home);
    } else {
        return err_set(err, RC_USAGE, "there is no HOME to keep files in: give --cache DIR");
    }
    return RC_OK;
}

static enum rc run(const struct agent_arguments *a, struct err *err) {
    char cache[PATH_BYTES];
    char *token = NULL;
    enum rc rc = choose_cache(a, cache, err);
    if (rc == RC_OK && a->sandbox && strcmp(a->sandbox, "allow") != 0 && strcmp(a->sandbox, "require") != 0) {
        rc = err_set(err, RC_USAGE, "--sandbox is allow or require, not \"%.40s\"", a->sandbox);
    }
    if (rc == RC_OK && a->token_file) {
        rc = read_token(a->token_file, &token, err);
    }
    if (rc != RC_OK) {
        return rc;
    }
    const struct agent_opts opts = {.server = a->server,
                                    .token = token ? token : getenv("PARE_TOKEN"),
                                    .name = a->name,
                                    .price_per_hour = a->price_per_hour,
                                    .cache_folder = cache,
                                    .cache_bytes = (uint64_t)a->cache_gib << 30,
                                    .worker = a->worker,
                                    .sandbox = a->sandbox};
    catch_signals();
    rc = agent_run(&opts, &stop_requested, err);
    free(token);
    return rc;
}

int verb_agent(int argc, char **argv) {
    struct agent_arguments a = {.server = "http://127.0.0.1:7878", .cache_gib = 20};
    struct err err;
    int code = parse(argc, argv, &a);
    if (code != OPTIONS_GO_ON) {
        return code;
    }
    if (a.local) {
        prctl(PR_SET_PDEATHSIG, SIGTERM);
    }
    return run(&a, &err) == RC_OK ? EXIT_FINE : verb_fail("agent", &err);
}

/* serve.c -- `pare serve`: opens the store, listens, starts the planner and the local agent, serves until a
 * signal. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "advisor/ask/ask.h"
#include "advisor/cli/agent_child.h"
#include "advisor/cli/options.h"
#include "advisor/cli/verbs.h"
#include "advisor/http/app.h"
#include "advisor/http/server.h"
#include "advisor/jobs/jobs.h"
#include "advisor/mcp/mcp_route.h"
#include "core/base/container.h"
#include "core/base/file.h"
#include "core/base/log.h"
#include "db/store_tokens.h"

enum { URL_SIZE = 128, PATH_SIZE = 4096 };

/* Names of the tokens that are made here. */
static const char FIRST_ADMIN[] = "first admin", LOCAL_AGENT[] = "local agent";

struct serve {
    const char *data, *listen, *init_token_file, *cache;
    bool no_agent, quiet, verbose;
    int64_t threads, connections, queue, body_timeout_s, idle_timeout_s, lease_s;

    int loopback;
    struct jobs *jobs;
    struct app *app;
    struct server *server;
    struct agent_child *agent;
};

static int parse(struct serve *s, int argc, char **argv) {
    const struct option_spec specs[] = {
        {.name = "data",
         .letter = 'd',
         .kind = OPTION_TEXT,
         .argument = "DIR",
         .env = "PARE_DATA",
         .value = &s->data,
         .help = "where everything is kept; created when missing (default ./pare-data)"},
        {.name = "listen",
         .letter = 'l',
         .kind = OPTION_TEXT,
         .argument = "ADDRESS:PORT",
         .env = "PARE_LISTEN",
         .value = &s->listen,
         .help = "where to listen; port 0 takes a free one (default 127.0.0.1:7878)"},
        {.name = "init-token-file",
         .kind = OPTION_TEXT,
         .argument = "FILE",
         .env = "PARE_INIT_TOKEN_FILE",
         .value = &s->init_token_file,
         .help = "where there is no token yet: make an admin's and write it here"},
        {.name = "no-agent",
         .kind = OPTION_FLAG,
         .env = "PARE_NO_AGENT",
         .value = &s->no_agent,
         .help = "do not run an agent on this machine"},
        {.name = "agent-cache",
         .kind = OPTION_TEXT,
         .argument = "DIR",
         .env = "PARE_AGENT_CACHE",
         .value = &s->cache,
         .help = "files of the local agent (default DIR/agent of --data)"},
        {.name = "threads",
         .kind = OPTION_WHOLE,
         .argument = "N",
         .env = "PARE_THREADS",
         .value = &s->threads,
         .min = 1,
         .max = 64,
         .help = "threads that answer requests (default 8)"},
        {.name = "max-connections",
         .kind = OPTION_WHOLE,
         .argument = "N",
         .env = "PARE_MAX_CONNECTIONS",
         .value = &s->connections,
         .min = 1,
         .max = 65536,
         .help = "beyond these 503 is answered (default 1024)"},
        {.name = "max-waiting",
         .kind = OPTION_WHOLE,
         .argument = "N",
         .env = "PARE_MAX_WAITING",
         .value = &s->queue,
         .min = 1,
         .max = 65536,
         .help = "requests waiting for a thread before 503 (default 256)"},
        {.name = "idle-timeout",
         .kind = OPTION_WHOLE,
         .argument = "SECONDS",
         .env = "PARE_IDLE_TIMEOUT",
         .value = &s->idle_timeout_s,
         .min = 1,
         .max = 3600,
         .help = "an unused connection is closed after this (default 60)"},
        {.name = "body-timeout",
         .kind = OPTION_WHOLE,
         .argument = "SECONDS",
         .env = "PARE_BODY_TIMEOUT",
         .value = &s->body_timeout_s,
         .min = 1,
         .max = 3600,
         .help = "for a body, beside 1 s for every 8 KiB (default 30)"},
        {.name = "lease",
         .kind = OPTION_WHOLE,
         .argument = "SECONDS",
         .env = "PARE_LEASE",
         .value = &s->lease_s,
         .min = 1,
         .max = 3600,
         .help = "a silent agent loses its job after this (default 30)"},
        {.name = "verbose",
         .letter = 'v',
         .kind = OPTION_FLAG,
         .value = &s->verbose,
         .help = "log every request"},
        {.name = "quiet",
         .letter = 'q',
         .kind = OPTION_FLAG,
         .value = &s->quiet,
         .help = "log only what goes wrong"},
    };
    const struct options options = {
        .verb = "serve",
        .summary = "Runs the service: HTTP interface, store, dashboard, and an agent on this machine.",
        .operands = "",
        .specs = specs,
        .count = ARRAY_SIZE(specs),
        .examples =
            "  pare serve --data ./data\n"
            "  pare serve --data /var/lib/pare --listen 0.0.0.0:7878 --init-token-file /root/pare.token\n",
    };
    return options_parse(&options, argc, argv, NULL);
}

/* ---- the data folder ---- */

static enum rc check_folder(const struct serve *s, struct err *err) {
    struct err why = {0};
    struct stat st;
    if (file_make_folder(s->data, &why) != RC_OK) {
        return err_set(err, RC_IO, "cannot make the data folder: %s; choose another with --data", why.text);
    }
    if (stat(s->data, &st) == 0 && !S_ISDIR(st.st_mode)) {
        return err_set(err, RC_IO, "%s is a file; --data takes a folder", s->data);
    }
    if (access(s->data, R_OK | W_OK | X_OK) != 0) {
        return err_set(
            err, RC_IO,
            "the data folder %s cannot be written (%s); change its owner or choose another with --data",
            s->data, strerror(errno));
    }
    return RC_OK;
}

/* ---- tokens ---- */

static enum rc revoke_tokens(struct store *store, enum store_role role, const char *name, struct err *err) {
    struct store_tx *tx = NULL;
    struct store_token *rows = NULL;
    char ids[16][64];
    size_t n = 0, count = 0;
    enum rc rc = store_read_begin(store, &tx, err);
    if (rc == RC_OK) {
        rc = store_tokens_list(tx, &rows, &n, err);
    }
    for (size_t i = 0; rc == RC_OK && i < n && count < ARRAY_SIZE(ids); i++) {
        if (rows[i].role == role && strcmp(rows[i].name, name) == 0) {
            snprintf(ids[count++], sizeof(ids[0]), "%s", rows[i].id);
        }
    }
    store_read_end(tx);
    for (size_t i = 0; rc == RC_OK && i < count; i++) {
        rc = store_token_revoke(store, ids[i], err);
    }
    return rc;
}

/* The first admin token, where there is no token yet. One that could not be written would lock all out: it is
 * revoked, so that the next start makes another. */
static enum rc write_first_token(const struct serve *s, struct err *err) {
    char token[TOKEN_SIZE], line[TOKEN_SIZE + 2];
    uint64_t count = 0;
    struct store *store = jobs_store(s->jobs);
    enum rc rc = store_token_count(store, &count, err);
    if (rc != RC_OK || count > 0 || !s->init_token_file) {
        return rc;
    }
    rc = store_token_new(store, FIRST_ADMIN, ROLE_ADMIN, token, err);
    if (rc != RC_OK) {
        return rc;
    }
    snprintf(line, sizeof(line), "%s\n", token);
    rc = file_write(s->init_token_file, line, strlen(line), 0600, err);
    if (rc != RC_OK) {
        (void)!revoke_tokens(store, ROLE_ADMIN, FIRST_ADMIN, NULL);
    } else {
        log_event(LOG_INFO, "token_written", "role=admin file=%s", s->init_token_file);
    }
    return rc;
}

/* Off loopback nothing starts without tokens. */
static enum rc check_tokens(const struct serve *s, uint64_t *count, struct err *err) {
    enum rc rc = store_token_count(jobs_store(s->jobs), count, err);
    if (rc == RC_OK && *count == 0 && !s->loopback) {
        rc = err_set(err, RC_UNAUTHORIZED,
                     "%s can be reached by others, and there is no token yet: give --init-token-file FILE to "
                     "make the first, or listen on 127.0.0.1",
                     s->listen);
    }
    return rc;
}

/* ---- starting ---- */

/* Where the local agent reaches this service: an address that is listened on, or loopback where that is every
 * address. */
static void service_url(const struct serve *s, char url[URL_SIZE]) {
    const char *colon = strrchr(s->listen, ':');
    int size = colon ? (int)(colon - s->listen) : 0;
    bool all =
        strncmp(s->listen, "0.0.0.0", (size_t)size) == 0 || strncmp(s->listen, "[::]", (size_t)size) == 0;
    if (all) {
        snprintf(url, URL_SIZE, "http://127.0.0.1:%d", server_port(s->server));
    } else {
        snprintf(url, URL_SIZE, "http://%.*s:%d", size, s->listen, server_port(s->server));
    }
}

/* The local agent's token, where there are tokens; that of its last start is revoked. */
static enum rc make_agent_token(void *user, char token[AGENT_CHILD_TOKEN_SIZE], struct err *err) {
    const struct serve *s = user;
    struct store *store = jobs_store(s->jobs);
    char text[TOKEN_SIZE];
    uint64_t tokens = 0;
    enum rc rc = store_token_count(store, &tokens, err);
    if (rc != RC_OK || tokens == 0) {
        return rc;
    }
    rc = revoke_tokens(store, ROLE_AGENT, LOCAL_AGENT, err);
    if (rc == RC_OK) {
        rc = store_token_new(store, LOCAL_AGENT, ROLE_AGENT, text, err);
    }
    if (rc == RC_OK) {
        snprintf(token, AGENT_CHILD_TOKEN_SIZE, "%s", text);
    }
    return rc;
}

static enum rc start_agent(struct serve *s, struct err *err) {
    char url[URL_SIZE], cache[PATH_SIZE];
    service_url(s, url);
    snprintf(cache, sizeof(cache), "%s/agent", s->data);
    struct agent_child_opts opts = {.server = url,
                                    .cache_folder = s->cache ? s->cache : cache,
                                    .make_token = make_agent_token,
                                    .user = s};
    return agent_child_start(&opts, &s->agent, err);
}

static void on_stopping(void *user) {
    agent_child_ask_to_stop(((struct serve *)user)->agent);
}

static enum rc open_server(struct serve *s, struct err *err) {
    struct app_opts app = {
        .jobs = s->jobs, .require_token = !s->loopback, .loopback = s->loopback, .version = PARE_VERSION};
    struct server_opts opts = {.listen = s->listen,
                               .threads = (unsigned)s->threads,
                               .queue_max = (uint32_t)s->queue,
                               .connections_max = (uint32_t)s->connections,
                               .limits = conn_default_limits,
                               .on_stopping = on_stopping,
                               .user = s};
    opts.limits.idle_ns = (uint64_t)s->idle_timeout_s * 1000000000u;
    opts.limits.body_ns = (uint64_t)s->body_timeout_s * 1000000000u;
    enum rc rc = app_new(&app, &s->app, err);
    if (rc == RC_OK) {
        rc = mcp_route_add(s->app, err);
    }
    if (rc == RC_OK) {
        rc = ask_route_add(s->app, err);
    }
    opts.app = s->app;
    return rc == RC_OK ? server_new(&opts, &s->server, err) : rc;
}

/* Says on standard output that all is ready, for people and for programs that started this one. */
static void announce(const struct serve *s) {
    char url[URL_SIZE];
    service_url(s, url);
    printf("Pare serves on %s (data in %s)\n", url, s->data);
    fflush(stdout);
    log_event(LOG_INFO, "serving", "url=%s version=%s pid=%d", url, PARE_VERSION, (int)getpid());
}

/* A connection is a descriptor, and so is every file being sent; the soft limit is often 1024. */
static void raise_descriptor_limit(const struct serve *s) {
    struct rlimit limit;
    rlim_t want = 2 * (rlim_t)(s->connections ? s->connections : 1024) + 256;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < want) {
        limit.rlim_cur = want < limit.rlim_max ? want : limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static enum rc start(struct serve *s, struct err *err) {
    uint64_t tokens = 0;
    struct jobs_opts jobs = {.folder = s->data, .lease_s = (uint32_t)s->lease_s};
    raise_descriptor_limit(s);
    enum rc rc = server_listen_is_loopback(s->listen, &s->loopback, err);
    rc = rc == RC_OK ? check_folder(s, err) : rc;
    rc = rc == RC_OK ? jobs_open(&jobs, &s->jobs, err) : rc;
    rc = rc == RC_OK ? write_first_token(s, err) : rc;
    rc = rc == RC_OK ? check_tokens(s, &tokens, err) : rc;
    rc = rc == RC_OK ? open_server(s, err) : rc;
    rc = rc == RC_OK ? jobs_start(s->jobs, err) : rc;
    if (rc == RC_OK && !s->no_agent) {
        rc = start_agent(s, err);
    }
    return rc;
}

static void stop(struct serve *s) {
    agent_child_stop(s->agent);
    jobs_close(s->jobs); /* before the server: the store tells it of changes */
    server_free(s->server);
    app_free(s->app);
}

int verb_serve(int argc, char **argv) {
    struct serve s = {
        .data = "pare-data", .listen = "127.0.0.1:7878", .idle_timeout_s = 60, .body_timeout_s = 30};
    struct err err = {0};
    int code = parse(&s, argc, argv);
    if (code != OPTIONS_GO_ON) {
        return code;
    }
    log_set_level(s.verbose ? LOG_DEBUG : s.quiet ? LOG_WARN : LOG_INFO);
    enum rc rc = start(&s, &err);
    if (rc == RC_OK) {
        announce(&s);
        rc = server_run(s.server, &err);
    }
    stop(&s);
    if (rc != RC_OK) {
        verb_fail("serve", &err);
        return rc == RC_INPUT || rc == RC_USAGE
                   ? EXIT_USAGE
                   : EXIT_INFRASTRUCTURE; /* a folder or port is no usage error */
    }
    log_event(LOG_INFO, "stopped", "pid=%d", (int)getpid());
    return EXIT_FINE;
}

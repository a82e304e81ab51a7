#include "advisor/cli/follow.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "advisor/cli/progress.h"
#include "core/base/json.h"

enum { RETRIES = 30, RETRY_SECONDS = 2 };

struct following {
    struct progress progress;
    char last_id[32];
    bool ended;
    int quiet_tries; /* connections in a row that brought no event */
};

static void show_progress(struct following *f, const json_t *d) {
    char text[160];
    snprintf(text, sizeof(text), "%s %s %s", json_shown_text(d, "kind"), json_shown_text(d, "recipe"),
             json_shown_text(d, "text"));
    progress_update(&f->progress, json_integer_value(json_object_get(d, "done")),
                    json_integer_value(json_object_get(d, "total")),
                    json_number_value(json_object_get(d, "fraction")), text);
}

static void show_step(struct following *f, const json_t *d) {
    char line[512];
    bool failed = strcmp(json_shown_text(d, "state"), "failed") == 0;
    snprintf(line, sizeof(line), "  %s %s", failed ? "failed:" : "done:", json_shown_text(d, "text"));
    progress_line(&f->progress, line);
}

static int on_event(void *user, const char *id, const char *event, const char *data) {
    struct following *f = user;
    struct err err;
    json_t *d = NULL;
    f->quiet_tries = 0;
    snprintf(f->last_id, sizeof(f->last_id), "%s", id ? id : "");
    if (json_parse(data, strlen(data), &d, &err) != RC_OK) {
        return 0;
    }
    if (strcmp(event, "progress") == 0) {
        show_progress(f, d);
    } else if (strcmp(event, "step") == 0) {
        show_step(f, d);
    } else if (strcmp(event, "state") == 0) {
        const char *state = json_shown_text(d, "state");
        f->ended =
            strcmp(state, "done") == 0 || strcmp(state, "failed") == 0 || strcmp(state, "cancelled") == 0;
    }
    json_decref(d);
    return f->ended;
}

enum rc follow_study(struct client *c, const char *study_id, json_t **ret, struct err *err) {
    struct following f = {0};
    char events[96], path[80];
    enum rc rc = RC_OK;
    progress_init(&f.progress);
    snprintf(events, sizeof(events), "/v1/studies/%s/events", study_id);
    snprintf(path, sizeof(path), "/v1/studies/%s", study_id);
    while (!f.ended) {
        rc = http_client_events(c->http, events, f.last_id[0] ? f.last_id : NULL, on_event, &f, err);
        if (f.ended) {
            rc = RC_OK;
        } else if (rc == RC_NOT_FOUND || f.quiet_tries++ >= RETRIES) {
            break;
        } else {
            sleep(RETRY_SECONDS); /* the stream was cut: the service restarts, or a proxy closed it */
        }
    }
    progress_end(&f.progress);
    if (rc == RC_OK && !f.ended) {
        rc =
            err_set(err, RC_IO, "the stream of study %s kept ending; see: pare study %s", study_id, study_id);
    }
    return rc == RC_OK ? client_get(c, path, ret, err) : rc;
}

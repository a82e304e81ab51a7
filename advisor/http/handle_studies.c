/* Studies with their events, and what they make: variants, profiles, evaluations. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "advisor/http/app.h"
#include "advisor/http/handlers.h"
#include "advisor/http/view_call.h"
#include "advisor/jobs/intake.h"
#include "core/base/clock.h"
#include "db/store_blobs.h"

enum {
    KEEP_ALIVE_S = 15,
    EVENTS_MAX = 500, /* that view_events gives in one call */
    NS_PER_S = 1000000000
};

enum rc handle_study_post(struct app *app, const struct http_request *req, struct http_response *res,
                          struct err *err) {
    return view_call_post(intake_study, 201, app, req, res, err);
}

enum rc handle_study_list(struct app *app, const struct http_request *req, struct http_response *res,
                          struct err *err) {
    return view_call_page(view_studies, app, req, res, err);
}

enum rc handle_study_get(struct app *app, const struct http_request *req, struct http_response *res,
                         struct err *err) {
    return view_call_one(view_study, app, req, res, err);
}

enum rc handle_study_cancel(struct app *app, const struct http_request *req, struct http_response *res,
                            struct err *err) {
    return view_call_one(intake_study_cancel, app, req, res, err);
}

/* Where the stream begins: after the event that the client saw last. */
static enum rc first_cursor(const struct http_request *req, int64_t *ret, struct err *err) {
    const char *last = http_header(req, "last-event-id");
    char *end;
    if (!last || *last == '\0') {
        return http_query_int(req, "after", 0, INT64_MAX, ret, err);
    }
    errno = 0;
    long long n = strtoll(last, &end, 10);
    if (errno || end == last || *end || n < 0) {
        return err_set(err, RC_INPUT, "Last-Event-ID must be the id of an event");
    }
    *ret = n;
    return RC_OK;
}

static enum rc write_event(struct http_response *res, const json_t *event, struct err *err) {
    char *data = json_dumps(json_object_get(event, "data"), JSON_COMPACT | JSON_ENCODE_ANY);
    if (!data) {
        return err_memory(err);
    }
    res->cursor = json_integer_value(json_object_get(event, "seq"));
    enum rc rc = buf_printf(&res->body, err, "id: %lld\nevent: %s\ndata: %s\n\n", (long long)res->cursor,
                            json_string_value(json_object_get(event, "event")), data);
    free(data);
    return rc;
}

static enum rc write_events(struct http_response *res, const json_t *events, struct err *err) {
    enum rc rc = RC_OK;
    for (size_t i = 0; rc == RC_OK && i < json_array_size(events); i++) {
        rc = write_event(res, json_array_get(events, i), err);
    }
    return rc;
}

/* When the stream is looked at again, unless the store changes before. Where nothing was sent for long, a
 * comment tells both sides that the other is there. */
static enum rc plan_next(struct http_response *res, size_t sent, uint64_t now_ns, struct err *err) {
    bool silent = sent == 0 && res->park_until_ns > 0 && now_ns >= res->park_until_ns;
    if (sent >= EVENTS_MAX) {
        res->park_until_ns = now_ns; /* there may be more */
    } else if (sent > 0 || silent || res->park_until_ns == 0) {
        res->park_until_ns = now_ns + (uint64_t)KEEP_ALIVE_S * NS_PER_S;
    }
    return silent ? buf_add_text(&res->body, ": still here\n\n", err) : RC_OK;
}

enum rc handle_study_events(struct app *app, const struct http_request *req, struct http_response *res,
                            struct err *err) {
    json_t *events = NULL;
    bool final = false;
    bool first = res->kind != ANSWER_STREAM;
    enum rc rc = first ? first_cursor(req, &res->cursor, err) : RC_OK;
    if (rc == RC_OK) {
        rc = view_events(app_jobs(app), req->params[0], res->cursor, &events, &final, err);
    }
    if (rc == RC_OK) {
        res->kind = ANSWER_STREAM;
        res->content_type = "text/event-stream";
        rc = write_events(res, events, err);
    }
    if (rc == RC_OK) {
        rc = plan_next(res, json_array_size(events), clock_mono_ns(), err);
    }
    res->stream_end = final || req->closing;
    json_decref(events);
    return rc;
}

enum rc handle_variant_get(struct app *app, const struct http_request *req, struct http_response *res,
                           struct err *err) {
    return view_call_one(view_variant, app, req, res, err);
}

/* The name with everything but letters, digits and ".-_" replaced, so that it is safe inside a header. */
static const char *disposition(const struct http_request *req, char *name) {
    for (char *p = name; *p; p++) {
        if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_", *p)) {
            *p = '_';
        }
    }
    return arena_printf(req->arena, "attachment; filename=\"%s\"", name);
}

enum rc handle_variant_artifact(struct app *app, const struct http_request *req, struct http_response *res,
                                struct err *err) {
    struct view_artifact artifact;
    enum rc rc = view_variant_artifact(app_jobs(app), req->params[0], &artifact, err);
    if (rc == RC_OK) {
        rc = store_blob_open(app_store(app), artifact.sha256, &res->fd, &res->file_bytes, err);
    }
    if (rc != RC_OK) {
        return rc;
    }
    res->kind = ANSWER_FILE;
    res->content_type = "application/octet-stream";
    return http_answer_header(res, "Content-Disposition", disposition(req, artifact.name), err);
}

enum rc handle_profile_get(struct app *app, const struct http_request *req, struct http_response *res,
                           struct err *err) {
    return view_call_one(view_profile, app, req, res, err);
}

enum rc handle_evaluation_get(struct app *app, const struct http_request *req, struct http_response *res,
                              struct err *err) {
    return view_call_one(view_evaluation, app, req, res, err);
}

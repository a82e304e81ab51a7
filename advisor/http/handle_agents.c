/* The agents' calls (docs/protocol.md). */
#include "advisor/http/app.h"
#include "advisor/http/handlers.h"
#include "advisor/http/view_call.h"
#include "advisor/jobs/dispatch.h"
#include "core/base/clock.h"
#include "core/base/json.h"

enum { WAIT_MAX_S = 60, NS_PER_S = 1000000000 };

enum rc handle_agent_register(struct app *app, const struct http_request *req, struct http_response *res,
                              struct err *err) {
    return view_call_post(dispatch_register, 200, app, req, res, err);
}

/* Nothing to do: waits for the store to change, until the time that the agent gave is over. */
static enum rc wait_or_end(const struct http_request *req, struct http_response *res, int64_t wait_s) {
    res->park_until_ns = req->started_ns + (uint64_t)wait_s * NS_PER_S;
    if (req->closing || clock_mono_ns() >= res->park_until_ns) {
        res->kind = ANSWER_WHOLE;
        res->status = 204;
    } else {
        res->kind = ANSWER_PARK;
    }
    return RC_OK;
}

enum rc handle_agent_claim(struct app *app, const struct http_request *req, struct http_response *res,
                           struct err *err) {
    json_t *body = NULL, *job = NULL;
    int64_t wait_s = 0;
    enum rc rc = http_body_json(req, res, &body, err);
    if (rc == RC_OK) {
        rc = json_opt_int(body, "wait_s", 0, WAIT_MAX_S, &wait_s, err);
    }
    if (rc == RC_OK && !req->closing) {
        rc = dispatch_claim(app_jobs(app), body, &job, err);
    }
    json_decref(body);
    if (rc != RC_OK) {
        return rc;
    }
    return job ? http_answer_json(res, 200, job, err) : wait_or_end(req, res, wait_s);
}

enum rc handle_agent_heartbeat(struct app *app, const struct http_request *req, struct http_response *res,
                               struct err *err) {
    return view_call_post_to(dispatch_heartbeat, 200, app, req, res, err);
}

enum rc handle_agent_result(struct app *app, const struct http_request *req, struct http_response *res,
                            struct err *err) {
    return view_call_post_to(dispatch_result, 200, app, req, res, err);
}

enum rc handle_agent_failure(struct app *app, const struct http_request *req, struct http_response *res,
                             struct err *err) {
    return view_call_post_to(dispatch_failure, 200, app, req, res, err);
}

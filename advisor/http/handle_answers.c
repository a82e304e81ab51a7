/* What users ask: recommendations, comparisons, gates. */
#include "advisor/http/answer_cache.h"
#include "advisor/http/app.h"
#include "advisor/http/handlers.h"
#include "advisor/http/view_call.h"
#include "advisor/jobs/answer.h"
#include "advisor/jobs/comparisons.h"
#include "advisor/jobs/gates.h"
#include "db/store.h"

enum rc handle_recommendation_post(struct app *app, const struct http_request *req, struct http_response *res,
                                   struct err *err) {
    struct answer_cache *answers = app_answers(app);
    bool found = false;
    uint64_t evidence = store_evidence(app_store(app));
    enum rc rc = RC_OK;
    if (http_body_is_json(req)) {
        rc = answer_cache_get(answers, evidence, req->body, req->body_size, &res->body, &found, err);
    }
    if (rc != RC_OK || found) {
        res->status = 201;
        res->content_type = "application/json";
        return rc;
    }
    rc = view_call_post(answer_recommend, 201, app, req, res, err);
    if (rc == RC_OK && store_evidence(app_store(app)) == evidence) {
        answer_cache_put(answers, evidence, req->body, req->body_size, res->body.data, res->body.size);
    }
    return rc;
}

enum rc handle_recommendation_get(struct app *app, const struct http_request *req, struct http_response *res,
                                  struct err *err) {
    return view_call_one(answer_get, app, req, res, err);
}

enum rc handle_recommendation_rejected(struct app *app, const struct http_request *req,
                                       struct http_response *res, struct err *err) {
    return view_call_page_of(answer_rejected, app, req, res, err);
}

enum rc handle_compare(struct app *app, const struct http_request *req, struct http_response *res,
                       struct err *err) {
    json_t *body = NULL;
    enum rc rc = http_body_json(req, res, &body, err);
    bool measure = rc == RC_OK && json_object_get(body, "measure");
    json_decref(body);
    return rc != RC_OK ? rc
           : measure   ? view_call_post(comparisons_start, 202, app, req, res, err)
                       : view_call_post(answer_compare, 200, app, req, res, err);
}

enum rc handle_comparison_get(struct app *app, const struct http_request *req, struct http_response *res,
                              struct err *err) {
    return view_call_one(comparisons_get, app, req, res, err);
}

enum rc handle_comparison_cancel(struct app *app, const struct http_request *req, struct http_response *res,
                                 struct err *err) {
    return view_call_one(comparisons_cancel, app, req, res, err);
}

enum rc handle_gate_run(struct app *app, const struct http_request *req, struct http_response *res,
                        struct err *err) {
    json_t *body = NULL, *run = NULL;
    enum rc rc = http_body_json(req, res, &body, err);
    if (rc == RC_OK) {
        rc = gates_run(app_jobs(app), req->params[0], body, &run, err);
    }
    json_decref(body);
    return rc == RC_OK ? http_answer_json(res, json_object_get(run, "waiting_for") ? 202 : 201, run, err)
                       : rc;
}

enum rc handle_gate_list(struct app *app, const struct http_request *req, struct http_response *res,
                         struct err *err) {
    return view_call_page(gates_list, app, req, res, err);
}

enum rc handle_gate_get(struct app *app, const struct http_request *req, struct http_response *res,
                        struct err *err) {
    return view_call_one(gates_get, app, req, res, err);
}

#include "advisor/http/view_call.h"

#include "advisor/http/app.h"

enum { LIMIT_MAX = 200 };

static enum rc answer(enum rc rc, int status, json_t *value, struct http_response *res, struct err *err) {
    return rc == RC_OK ? http_answer_json(res, status, value, err) : rc;
}

enum rc view_call_one(view_one *view, struct app *app, const struct http_request *req,
                      struct http_response *res, struct err *err) {
    json_t *value = NULL;
    enum rc rc = view(app_jobs(app), req->params[0], &value, err);
    return answer(rc, 200, value, res, err);
}

enum rc view_call_all(view_all *view, struct app *app, struct http_response *res, struct err *err) {
    json_t *value = NULL;
    enum rc rc = view(app_jobs(app), &value, err);
    return answer(rc, 200, value, res, err);
}

static enum rc read_page(const struct http_request *req, struct view_page *ret, struct err *err) {
    int64_t limit = 0;
    enum rc rc = http_query_int(req, "limit", 1, LIMIT_MAX, &limit, err);
    *ret = (struct view_page){.cursor = http_query(req, "cursor"), .limit = (uint32_t)limit};
    return rc;
}

enum rc view_call_page(view_pages *view, struct app *app, const struct http_request *req,
                       struct http_response *res, struct err *err) {
    json_t *value = NULL;
    struct view_page page;
    enum rc rc = read_page(req, &page, err);
    if (rc != RC_OK) {
        return rc;
    }
    rc = view(app_jobs(app), &page, &value, err);
    return answer(rc, 200, value, res, err);
}

enum rc view_call_page_of(view_pages_of *view, struct app *app, const struct http_request *req,
                          struct http_response *res, struct err *err) {
    json_t *value = NULL;
    struct view_page page;
    enum rc rc = read_page(req, &page, err);
    if (rc != RC_OK) {
        return rc;
    }
    rc = view(app_jobs(app), req->params[0], &page, &value, err);
    return answer(rc, 200, value, res, err);
}

enum rc view_call_post(view_post *view, int status, struct app *app, const struct http_request *req,
                       struct http_response *res, struct err *err) {
    json_t *body = NULL, *value = NULL;
    enum rc rc = http_body_json(req, res, &body, err);
    if (rc == RC_OK) {
        rc = view(app_jobs(app), body, &value, err);
    }
    json_decref(body);
    return answer(rc, status, value, res, err);
}

enum rc view_call_post_to(view_post_to *view, int status, struct app *app, const struct http_request *req,
                          struct http_response *res, struct err *err) {
    json_t *body = NULL, *value = NULL;
    enum rc rc = http_body_json(req, res, &body, err);
    if (rc == RC_OK) {
        rc = view(app_jobs(app), req->params[0], body, &value, err);
    }
    json_decref(body);
    return answer(rc, status, value, res, err);
}

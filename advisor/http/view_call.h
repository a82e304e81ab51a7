/* view_call.h -- what most handlers are: JSON in, one call of advisor/jobs, JSON out. */
#pragma once

#include "advisor/http/http_message.h"
#include "advisor/jobs/views.h"

struct jobs;

typedef enum rc view_one(struct jobs *j, const char *id, json_t **ret, struct err *err);
typedef enum rc view_all(struct jobs *j, json_t **ret, struct err *err);
typedef enum rc view_pages(struct jobs *j, const struct view_page *page, json_t **ret, struct err *err);
typedef enum rc view_pages_of(struct jobs *j, const char *id, const struct view_page *page, json_t **ret,
                              struct err *err);
typedef enum rc view_post(struct jobs *j, const json_t *body, json_t **ret, struct err *err);
typedef enum rc view_post_to(struct jobs *j, const char *id, const json_t *body, json_t **ret,
                             struct err *err);

/* GET of one thing: its id is the route's first parameter. */
MUST_USE enum rc view_call_one(view_one *view, struct app *app, const struct http_request *req,
                               struct http_response *res, struct err *err);
/* GET of everything. */
MUST_USE enum rc view_call_all(view_all *view, struct app *app, struct http_response *res, struct err *err);
/* GET of a page: ?cursor= and ?limit=. */
MUST_USE enum rc view_call_page(view_pages *view, struct app *app, const struct http_request *req,
                                struct http_response *res, struct err *err);
/* The same of the thing that the route's first parameter names. */
MUST_USE enum rc view_call_page_of(view_pages_of *view, struct app *app, const struct http_request *req,
                                   struct http_response *res, struct err *err);
/* POST of a JSON object, answered with `status`. */
MUST_USE enum rc view_call_post(view_post *view, int status, struct app *app, const struct http_request *req,
                                struct http_response *res, struct err *err);
/* The same to the thing that the route's first parameter names. */
MUST_USE enum rc view_call_post_to(view_post_to *view, int status, struct app *app,
                                   const struct http_request *req, struct http_response *res,
                                   struct err *err);

/* Models, datasets, recipes. */
#include "advisor/http/app.h"
#include "advisor/http/handlers.h"
#include "advisor/http/view_call.h"
#include "advisor/jobs/intake.h"

typedef enum rc intake_fn(struct jobs *j, const json_t *body, json_t **ret, bool *created, struct err *err);

static enum rc take_in(intake_fn *intake, struct app *app, const struct http_request *req,
                       struct http_response *res, struct err *err) {
    json_t *body = NULL, *value = NULL;
    bool created = false;
    enum rc rc = http_body_json(req, res, &body, err);
    if (rc == RC_OK) {
        rc = intake(app_jobs(app), body, &value, &created, err);
    }
    json_decref(body);
    return rc == RC_OK ? http_answer_json(res, created ? 201 : 200, value, err) : rc;
}

enum rc handle_model_post(struct app *app, const struct http_request *req, struct http_response *res,
                          struct err *err) {
    return take_in(intake_model, app, req, res, err);
}

enum rc handle_model_list(struct app *app, const struct http_request *req, struct http_response *res,
                          struct err *err) {
    return view_call_page(view_models, app, req, res, err);
}

enum rc handle_model_get(struct app *app, const struct http_request *req, struct http_response *res,
                         struct err *err) {
    return view_call_one(view_model, app, req, res, err);
}

enum rc handle_model_delete(struct app *app, const struct http_request *req, struct http_response *res,
                            struct err *err) {
    res->status = 204;
    return intake_model_delete(app_jobs(app), req->params[0], err);
}

enum rc handle_dataset_post(struct app *app, const struct http_request *req, struct http_response *res,
                            struct err *err) {
    return take_in(intake_dataset, app, req, res, err);
}

enum rc handle_dataset_list(struct app *app, const struct http_request *req, struct http_response *res,
                            struct err *err) {
    return view_call_page(view_datasets, app, req, res, err);
}

enum rc handle_dataset_get(struct app *app, const struct http_request *req, struct http_response *res,
                           struct err *err) {
    return view_call_one(view_dataset, app, req, res, err);
}

enum rc handle_dataset_delete(struct app *app, const struct http_request *req, struct http_response *res,
                              struct err *err) {
    res->status = 204;
    return intake_dataset_delete(app_jobs(app), req->params[0], err);
}

enum rc handle_recipe_list(struct app *app, const struct http_request *req, struct http_response *res,
                           struct err *err) {
    json_t *value = NULL;
    enum rc rc =
        view_recipes(app_jobs(app), http_query(req, "family"), http_query(req, "model"), &value, err);
    return rc == RC_OK ? http_answer_json(res, 200, value, err) : rc;
}

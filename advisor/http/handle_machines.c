/* Targets, machine types, prices. */
#include "advisor/http/app.h"
#include "advisor/http/handlers.h"
#include "advisor/http/view_call.h"
#include "advisor/jobs/machines.h"

enum rc handle_target_list(struct app *app, const struct http_request *req, struct http_response *res,
                           struct err *err) {
    (void)req;
    return view_call_all(machines_targets, app, res, err);
}

enum rc handle_machine_type_list(struct app *app, const struct http_request *req, struct http_response *res,
                                 struct err *err) {
    (void)req;
    return view_call_all(machines_types, app, res, err);
}

enum rc handle_machine_type_get(struct app *app, const struct http_request *req, struct http_response *res,
                                struct err *err) {
    return view_call_one(machines_type, app, req, res, err);
}

enum rc handle_machine_type_put(struct app *app, const struct http_request *req, struct http_response *res,
                                struct err *err) {
    return view_call_post_to(machines_type_put, 200, app, req, res, err);
}

enum rc handle_price_list(struct app *app, const struct http_request *req, struct http_response *res,
                          struct err *err) {
    (void)req;
    return view_call_all(machines_prices, app, res, err);
}

/* Bundles for machines that cannot reach the service, and the results that come back. */
#include "advisor/http/app.h"
#include "advisor/http/handlers.h"
#include "advisor/http/view_call.h"
#include "advisor/jobs/bundles.h"

enum rc handle_bundle_post(struct app *app, const struct http_request *req, struct http_response *res,
                           struct err *err) {
    return view_call_post_to(bundles_make, 201, app, req, res, err);
}

enum rc handle_import_post(struct app *app, const struct http_request *req, struct http_response *res,
                           struct err *err) {
    return view_call_post(bundles_import, 200, app, req, res, err);
}

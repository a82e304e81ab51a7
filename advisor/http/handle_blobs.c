#include <stdio.h>
#include <string.h>

#include "advisor/http/app.h"
#include "advisor/http/handlers.h"
#include "core/base/sha256.h"
#include "db/store_blobs.h"
#include "db/store_upload.h"

/* Ends the upload of the request; `expected` NULL takes any content. */
static enum rc commit(const struct http_request *req, const char *expected, struct http_response *res,
                      struct err *err) {
    char hex[SHA256_HEX_SIZE];
    uint64_t bytes = 0;
    bool created = false;
    struct store_upload *upload = *req->upload;
    *req->upload = NULL; /* ended by the store in every case */
    enum rc rc = store_upload_commit(upload, expected, hex, &bytes, &created, err);
    if (rc != RC_OK) {
        return rc;
    }
    return http_answer_json(res, created ? 201 : 200,
                            json_pack("{s:s, s:I}", "sha256", hex, "bytes", (json_int_t)bytes), err);
}

enum rc handle_blob_put(struct app *app, const struct http_request *req, struct http_response *res,
                        struct err *err) {
    (void)app;
    if (!sha256_is_hex(req->params[0])) {
        return err_set(err, RC_INPUT, "a file is named by its SHA-256: 64 lower-case hexadecimal digits");
    }
    return commit(req, req->params[0], res, err);
}

enum rc handle_blob_post(struct app *app, const struct http_request *req, struct http_response *res,
                         struct err *err) {
    (void)app;
    return commit(req, NULL, res, err);
}

/* The file is not there; where a part of it is, the answer says how much, so that an upload can go on. */
static enum rc tell_kept(struct app *app, const struct http_request *req, struct http_response *res,
                         struct err *err) {
    uint64_t bytes;
    struct err ignored;
    if (store_upload_kept(app_store(app), req->params[0], &bytes, &ignored) == RC_OK && bytes > 0) {
        const char *text = arena_printf(req->arena, "%llu", (unsigned long long)bytes);
        enum rc rc = text ? http_answer_header(res, "Upload-Offset", text, &ignored) : RC_OK;
        (void)rc; /* without the header the upload begins anew */
    }
    return err->rc;
}

enum rc handle_blob_get(struct app *app, const struct http_request *req, struct http_response *res,
                        struct err *err) {
    enum rc rc = store_blob_open(app_store(app), req->params[0], &res->fd, &res->file_bytes, err);
    if (rc != RC_OK) {
        return rc == RC_NOT_FOUND ? tell_kept(app, req, res, err) : rc;
    }
    res->kind = ANSWER_FILE;
    res->content_type = "application/octet-stream";
    return http_answer_header(res, "Cache-Control", "private, max-age=31536000, immutable", err);
}

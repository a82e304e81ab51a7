/* client.h -- what the verbs that talk to a service share: where it is, uploads, models and datasets from
 * files. */
#pragma once

#include <jansson.h>

#include "core/base/err.h"
#include "core/base/http_client.h"

struct client {
    struct http_client *http;
    const char *server; /* borrowed */
};

/* `server` NULL: PARE_SERVER, else http://127.0.0.1:7878. `token` NULL: PARE_TOKEN, else none. */
MUST_USE enum rc client_open(struct client *c, const char *server, const char *token, struct err *err);
void client_close(struct client *c);

/* GET and POST with JSON; the caller owns *ret. `body` is borrowed. */
MUST_USE enum rc client_get(struct client *c, const char *path, json_t **ret, struct err *err);
MUST_USE enum rc client_post(struct client *c, const char *path, const json_t *body, json_t **ret,
                             struct err *err);

/* Uploads one file unless the service has it; hex is its SHA-256. */
MUST_USE enum rc client_upload(struct client *c, const char *file, char hex[65], struct err *err);

/* Uploads a model (a file, with the external data files of an ONNX model that lie beside it) and registers
 * it. *ret is the service's model object, owned by the caller. */
MUST_USE enum rc client_add_model(struct client *c, const char *file, json_t **ret, struct err *err);

/* Text of `path` with every byte that is not unreserved percent-encoded, for use inside a URL; free() it. */
char *client_escape(const char *text);

/* The study a person means: an id ("std_...") as it is, otherwise the newest study of the model with that id
 * or name. *ret is the study object. RC_NOT_FOUND says what is there. */
MUST_USE enum rc client_find_study(struct client *c, const char *what, json_t **ret, struct err *err);

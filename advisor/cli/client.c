#include "advisor/cli/client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "advisor/cli/progress.h"
#include "core/base/blob_upload.h"
#include "core/base/file.h"
#include "core/base/ident.h"
#include "core/base/json.h"
#include "core/base/sha256.h"
#include "core/formats/format_detect.h"
#include "core/formats/onnx_header.h"

enum { REQUEST_TIMEOUT_MS = 120 * 1000 };

enum rc client_open(struct client *c, const char *server, const char *token, struct err *err) {
    const char *from_env = getenv("PARE_SERVER");
    c->server = server ? server : from_env && *from_env ? from_env : "http://127.0.0.1:7878";
    struct http_client_opts opts = {.base_url = c->server, .token = token ? token : getenv("PARE_TOKEN")};
    return http_client_new(&opts, &c->http, err);
}

void client_close(struct client *c) {
    http_client_free(c->http);
    c->http = NULL;
}

enum rc client_get(struct client *c, const char *path, json_t **ret, struct err *err) {
    return http_client_json(c->http, "GET", path, NULL, REQUEST_TIMEOUT_MS, ret, err);
}

enum rc client_post(struct client *c, const char *path, const json_t *body, json_t **ret, struct err *err) {
    return http_client_json(c->http, "POST", path, body, REQUEST_TIMEOUT_MS, ret, err);
}

struct upload {
    struct progress progress;
    const char *name;
    int percent; /* last shown */
};

static void on_upload_progress(void *user, uint64_t sent, uint64_t total) {
    struct upload *u = user;
    int percent = total > 0 ? (int)(100.0 * (double)sent / (double)total) : 0;
    if (percent != u->percent) {
        u->percent = percent;
        progress_update(&u->progress, 0, 1, percent / 100.0, u->name);
    }
}

enum rc client_upload(struct client *c, const char *file, char hex[65], struct err *err) {
    size_t bytes;
    char name[160];
    struct upload u = {.name = name};
    enum rc rc = sha256_of_file(file, hex, &bytes, err);
    if (rc != RC_OK) {
        return rc;
    }
    if (bytes == 0) {
        return err_set(err, RC_INPUT, "%s is empty", file);
    }
    snprintf(name, sizeof(name), "uploading %s", file_base_name(file));
    progress_init(&u.progress);
    rc = blob_upload(c->http, hex, file, on_upload_progress, &u, err);
    progress_end(&u.progress);
    return rc;
}

/* The external data files that the header of an ONNX model names, as a JSON array of relative paths. */
static enum rc model_files(struct client *c, const char *file, json_t *files, struct err *err);

enum rc client_add_model(struct client *c, const char *file, json_t **ret, struct err *err) {
    json_t *files = json_array();
    json_t *body = json_pack("{s:s, s:s, s:o}", "name", file_base_name(file), "main", file_base_name(file),
                             "files", files);
    enum rc rc = body ? model_files(c, file, files, err) : err_memory(err);
    if (rc == RC_OK) {
        rc = client_post(c, "/v1/models", body, ret, err);
    }
    json_decref(body);
    return rc;
}

static enum rc add_file(struct client *c, const char *file, const char *path, json_t *files,
                        struct err *err) {
    char hex[SHA256_HEX_SIZE];
    enum rc rc = client_upload(c, file, hex, err);
    if (rc == RC_OK &&
        json_array_append_new(files, json_pack("{s:s, s:s}", "path", path, "sha256", hex)) != 0) {
        rc = err_memory(err);
    }
    return rc;
}

/* One external data file: beside the model, by a relative path that stays there. */
static enum rc add_external(struct client *c, const char *file, const char *location, json_t *files,
                            struct err *err) {
    char local[4096];
    const char *slash = strrchr(file, '/');
    if (location[0] == '/' || strstr(location, "..")) {
        return err_set(err, RC_INPUT, "%s names external data at \"%.100s\": it must lie beside the model",
                       file, location);
    }
    snprintf(local, sizeof(local), "%.*s%s", slash ? (int)(slash - file + 1) : 0, file, location);
    enum rc rc = add_file(c, local, location, files, err);
    return rc == RC_OK ? RC_OK : err_prefix(err, "external data of %s", file);
}

static enum rc model_files(struct client *c, const char *file, json_t *files, struct err *err) {
    enum model_family family;
    struct onnx_header *header = NULL;
    enum rc rc = format_detect(file, &family, err);
    if (rc == RC_OK && family == FAMILY_ONNX) {
        rc = onnx_header_read(file, &header, err);
    }
    if (rc != RC_OK && !strstr(err->text, file)) {
        err_prefix(err, "%s", file);
    }
    if (rc == RC_OK) {
        rc = add_file(c, file, file_base_name(file), files, err);
    }
    for (size_t i = 0; rc == RC_OK && header && i < header->n_externals; i++) {
        rc = add_external(c, file, header->externals[i].location, files, err);
    }
    onnx_header_free(header);
    return rc;
}

char *client_escape(const char *text) {
    char *out = malloc(3 * strlen(text) + 1), *p = out;
    if (!out) {
        return NULL;
    }
    for (; *text; text++) {
        unsigned char b = (unsigned char)*text;
        bool plain =
            (b >= 'a' && b <= 'z') || (b >= 'A' && b <= 'Z') || (b >= '0' && b <= '9') || strchr("-._~", b);
        p += plain ? sprintf(p, "%c", b) : sprintf(p, "%%%02X", b);
    }
    *p = '\0';
    return out;
}

static const char *study_field(const json_t *study, const char *object, const char *key) {
    const char *text = json_string_value(json_object_get(json_object_get(study, object), key));
    return text ? text : "";
}

enum rc client_find_study(struct client *c, const char *what, json_t **ret, struct err *err) {
    char path[128];
    json_t *list = NULL, *study;
    size_t i;
    if (ident_valid("std", what)) {
        snprintf(path, sizeof(path), "/v1/studies/%s", what);
        return client_get(c, path, ret, err);
    }
    enum rc rc = client_get(c, "/v1/studies?limit=200", &list, err);
    if (rc != RC_OK) {
        return rc;
    }
    json_t *items = json_object_get(list, "items"), *found = NULL;
    json_array_foreach(items, i, study) { /* newest first */
        if (!found && (strcmp(study_field(study, "model", "id"), what) == 0 ||
                       strcmp(study_field(study, "model", "name"), what) == 0)) {
            found = study;
        }
    }
    if (found) {
        *ret = json_incref(found);
    } else if (json_array_size(items) == 0) {
        rc = err_set(err, RC_NOT_FOUND,
                     "the service has no study yet; start one with: pare submit MODEL --data FILE");
    } else {
        rc = err_set(err, RC_NOT_FOUND,
                     "no study of \"%.80s\": give a study's id or a model's name; the newest is of \"%s\"",
                     what, study_field(json_array_get(items, 0), "model", "name"));
    }
    json_decref(list);
    return rc;
}

#include "advisor/cli/dataset_arg.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/file.h"
#include "core/base/json.h"

enum { MAX_DESCRIPTION_BYTES = 1 << 20, MAX_PATH = 4096 };

static bool ends_with(const char *text, const char *end) {
    size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

static enum rc add_file(struct client *c, const char *file, const char *role, json_t *files,
                        struct err *err) {
    char hex[65];
    enum rc rc = client_upload(c, file, hex, err);
    if (rc == RC_OK && json_array_append_new(files, json_pack("{s:s, s:s, s:s}", "path", file_base_name(file),
                                                              "role", role, "sha256", hex)) != 0) {
        rc = err_memory(err);
    }
    return rc;
}

static enum rc post(struct client *c, const char *name, const char *format, json_t *files,
                    const json_t *description, json_t **ret, struct err *err) {
    static const char *const passed_on[] = {"input", "preprocess"};
    json_t *body = json_pack("{s:s, s:s, s:O}", "name", name, "format", format, "files", files);
    if (!body) {
        return err_memory(err);
    }
    for (size_t i = 0; i < 2; i++) {
        json_t *value = json_object_get(description, passed_on[i]);
        if (value) {
            json_object_set(body, passed_on[i], value);
        }
    }
    json_t *labels = json_object_get(description, "labels_array");
    if (labels) {
        json_object_set(body, "labels", labels);
    }
    enum rc rc = client_post(c, "/v1/datasets", body, ret, err);
    json_decref(body);
    return rc;
}

/* `path` as the description means it: relative to the folder of `description_file`. */
static void resolve(const char *description_file, const char *path, char out[MAX_PATH]) {
    const char *slash = strrchr(description_file, '/');
    if (path[0] == '/' || !slash) {
        snprintf(out, MAX_PATH, "%s", path);
    } else {
        snprintf(out, MAX_PATH, "%.*s/%s", (int)(slash - description_file), description_file, path);
    }
}

static enum rc add_described_files(struct client *c, const char *file, const json_t *d, const char *format,
                                   json_t *files, struct err *err) {
    static const struct {
        const char *format, *role;
        bool needed;
    } parts[] = {
        {"npz", "arrays", true}, {"idx", "images", true}, {"idx", "labels", false}, {"text", "text", true}};
    char local[MAX_PATH];
    bool known = false;
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        const char *path = NULL;
        if (strcmp(parts[i].format, format) != 0) {
            continue;
        }
        known = true;
        enum rc rc = parts[i].needed ? json_get_string(d, parts[i].role, &path, err)
                                     : json_opt_string(d, parts[i].role, &path, err);
        if (rc == RC_OK && path) {
            resolve(file, path, local);
            rc = add_file(c, local, parts[i].role, files, err);
        }
        if (rc != RC_OK) {
            return rc;
        }
    }
    return known ? RC_OK
                 : err_set(err, RC_INPUT, "\"format\" must be npz, idx or text, not \"%.40s\"", format);
}

static enum rc add_described(struct client *c, const char *file, json_t **ret, struct err *err) {
    static const char *const keys[] = {"format", "arrays",       "images",     "labels", "text",
                                       "input",  "labels_array", "preprocess", "name",   NULL};
    char *text = NULL;
    size_t size;
    json_t *d = NULL, *files = json_array();
    const char *format = NULL, *name = file_base_name(file);
    enum rc rc = file_read(file, MAX_DESCRIPTION_BYTES, &text, &size, err);
    if (rc != RC_OK) {
        goto out;
    }
    if ((rc = json_parse(text, size, &d, err)) != RC_OK || (rc = json_only_keys(d, keys, err)) != RC_OK ||
        (rc = json_get_string(d, "format", &format, err)) != RC_OK ||
        (rc = json_opt_string(d, "name", &name, err)) != RC_OK ||
        (rc = add_described_files(c, file, d, format, files, err)) != RC_OK) {
        err_prefix(err, "%s", file);
        goto out;
    }
    rc = post(c, name, format, files, d, ret, err);
out:
    free(text);
    json_decref(d);
    json_decref(files);
    return rc;
}

/* "images,labels": both files exist or the error names the one that does not. */
static enum rc add_pair(struct client *c, const char *argument, const char *comma, json_t **ret,
                        struct err *err) {
    char images[MAX_PATH];
    json_t *files = json_array();
    snprintf(images, sizeof(images), "%.*s", (int)(comma - argument), argument);
    enum rc rc = add_file(c, images, "images", files, err);
    if (rc == RC_OK) {
        rc = add_file(c, comma + 1, "labels", files, err);
    }
    if (rc == RC_OK) {
        rc = post(c, file_base_name(images), "idx", files, NULL, ret, err);
    }
    json_decref(files);
    return rc;
}

enum rc dataset_arg_add(struct client *c, const char *argument, json_t **ret, struct err *err) {
    const char *comma = strchr(argument, ',');
    if (ends_with(argument, ".json")) {
        return add_described(c, argument, ret, err);
    }
    if (comma) {
        return add_pair(c, argument, comma, ret, err);
    }
    const char *format = ends_with(argument, ".npz") ? "npz" : ends_with(argument, ".txt") ? "text" : NULL;
    if (!format) {
        return err_set(err, RC_USAGE,
                       "%.200s: data must be an .npz, a .txt, a pair of IDX files \"images,labels\", or a "
                       ".json that describes them",
                       argument);
    }
    json_t *files = json_array();
    enum rc rc = add_file(c, argument, format[0] == 'n' ? "arrays" : "text", files, err);
    if (rc == RC_OK) {
        rc = post(c, file_base_name(argument), format, files, NULL, ret, err);
    }
    json_decref(files);
    return rc;
}

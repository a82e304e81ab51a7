/* Models and datasets; studies are in intake_study.c. */
#include "advisor/jobs/intake.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "advisor/jobs/jobs_internal.h"
#include "advisor/jobs/stored_json.h"
#include "advisor/jobs/submitted_files.h"
#include "advisor/jobs/views.h"
#include "core/base/file.h"
#include "core/base/json.h"
#include "core/formats/format_detect.h"
#include "core/formats/onnx_header.h"
#include "db/store_blobs.h"

enum { BLOB_PATH_SIZE = 4096 };

/* Id from the list of what identifies each file. */
static json_t *identity_of(const struct submitted_files *f) {
    json_t *list = json_array();
    for (size_t i = 0; i < f->n; i++) {
        json_array_append_new(
            list, json_pack("[s, s, s?]", f->items[i].path, f->items[i].sha256, f->items[i].role));
    }
    return list;
}

static enum rc detect(struct store *s, const struct store_file *f, enum model_family *ret, struct err *err) {
    char path[BLOB_PATH_SIZE];
    enum rc rc = store_blob_path(s, f->sha256, path, sizeof(path), err);
    if (rc == RC_OK) {
        rc = format_detect(path, ret, err);
    }
    return rc == RC_OK || rc == RC_IO ? rc : err_prefix(err, "%.100s", f->path);
}

/* The main file: the one that is named, else the only one that is a model. */
static enum rc find_main(struct store *s, const struct submitted_files *f, const char *named,
                         const struct store_file **main_file, enum model_family *family, struct err *err) {
    const struct store_file *found = NULL;
    if (named) {
        *main_file = submitted_files_find(f, named);
        return *main_file
                   ? detect(s, *main_file, family, err)
                   : err_set(err, RC_INPUT, "field \"main\": \"%.100s\" is not among the files", named);
    }
    if (f->n == 1) {
        *main_file = &f->items[0];
        return detect(s, *main_file, family, err);
    }
    for (size_t i = 0; i < f->n; i++) {
        enum model_family seen;
        enum rc rc = detect(s, &f->items[i], &seen, err);
        if (rc == RC_IO || (rc == RC_OK && found)) {
            return rc == RC_IO ? rc
                               : err_set(err, RC_INPUT,
                                         "both \"%.100s\" and \"%.100s\" are models: say which with \"main\"",
                                         found->path, f->items[i].path);
        }
        if (rc == RC_OK) {
            found = &f->items[i];
            *family = seen;
        }
    }
    *main_file = found;
    return found ? RC_OK : err_set(err, RC_INPUT, "none of the %zu files is an ONNX or a GGUF model", f->n);
}

/* External data must be there; a location that leads outside is no file of the model either. */
static enum rc check_externals(struct store *s, const struct submitted_files *f,
                               const struct store_file *main_file, struct err *err) {
    char path[BLOB_PATH_SIZE];
    struct onnx_header *h;
    enum rc rc = store_blob_path(s, main_file->sha256, path, sizeof(path), err);
    if (rc == RC_OK) {
        rc = onnx_header_read(path, &h, err);
    }
    if (rc != RC_OK) {
        return rc;
    }
    int folder = (int)(file_base_name(main_file->path) - main_file->path);
    for (size_t i = 0; rc == RC_OK && i < h->n_externals; i++) {
        snprintf(path, sizeof(path), "%.*s%s", folder, main_file->path, h->externals[i].location);
        if (!submitted_files_find(f, path)) {
            rc = err_set(
                err, RC_INPUT,
                "the model keeps weights in \"%.100s\", which is not among the files: add it with that path",
                path);
        }
    }
    onnx_header_free(h);
    return rc;
}

struct new_model {
    struct store_model row;
    const struct submitted_files *files;
    bool created;
};

static enum rc add_model(struct store_tx *tx, void *user, struct err *err) {
    struct new_model *m = user;
    return store_model_add(tx, &m->row, m->files->items, m->files->n, &m->created, err);
}

static enum rc keep_model(struct jobs *j, const char *name, const struct submitted_files *f,
                          const struct store_file *main_file, enum model_family family, char id[IDENT_SIZE],
                          bool *created, struct err *err) {
    struct new_model m = {.files = f};
    enum rc rc =
        stored_id("mdl", json_pack("{s:o, s:s}", "files", identity_of(f), "main", main_file->path), id, err);
    if (rc != RC_OK) {
        return rc;
    }
    m.row = (struct store_model){.id = id,
                                 .name = name,
                                 .family = model_family_name(family),
                                 .main = main_file->path,
                                 .bytes = f->bytes};
    rc = store_write(j->store, add_model, &m, err);
    *created = m.created;
    return rc;
}

enum rc intake_model(struct jobs *j, const json_t *body, json_t **ret, bool *created, struct err *err) {
    static const char *const keys[] = {"name", "files", "main", NULL};
    struct submitted_files files = {0};
    const struct store_file *main_file = NULL;
    const char *name = NULL, *named = NULL;
    enum model_family family = FAMILY_UNKNOWN;
    char id[IDENT_SIZE];
    enum rc rc = json_only_keys(body, keys, err);
    if (rc == RC_OK) {
        rc = submitted_name(body, &name, err);
    }
    if (rc == RC_OK) {
        rc = json_opt_string(body, "main", &named, err);
    }
    if (rc == RC_OK) {
        rc = submitted_files_read(j->store, body, NULL, &files, err);
    }
    if (rc == RC_OK) {
        rc = find_main(j->store, &files, named, &main_file, &family, err);
    }
    if (rc == RC_OK && family == FAMILY_ONNX) {
        rc = check_externals(j->store, &files, main_file, err);
    }
    if (rc == RC_OK) {
        rc = keep_model(j, name, &files, main_file, family, id, created, err);
    }
    submitted_files_release(&files);
    return rc == RC_OK ? view_model(j, id, ret, err) : rc;
}

/* ---- datasets ---- */

static const struct dataset_format {
    const char *name;
    const char *roles[3];
} FORMATS[] = {{"npz", {"arrays", NULL}}, {"idx", {"images", "labels", NULL}}, {"text", {"text", NULL}}};

static enum rc find_format(const json_t *body, const struct dataset_format **ret, struct err *err) {
    const char *name = NULL;
    enum rc rc = json_get_string(body, "format", &name, err);
    for (size_t i = 0; rc == RC_OK && i < sizeof(FORMATS) / sizeof(*FORMATS); i++) {
        if (strcmp(FORMATS[i].name, name) == 0) {
            *ret = &FORMATS[i];
            return RC_OK;
        }
    }
    return rc == RC_OK ? err_set(err, RC_INPUT, "field \"format\": \"%.32s\" is none of npz, idx, text", name)
                       : rc;
}

/* One npz; one file of images and at most one of labels; one or more texts. */
static enum rc check_roles(const struct dataset_format *format, const struct submitted_files *f,
                           struct err *err) {
    size_t first = 0, second = 0;
    for (size_t i = 0; i < f->n; i++) {
        first += strcmp(f->items[i].role, format->roles[0]) == 0;
        second += format->roles[1] && strcmp(f->items[i].role, format->roles[1]) == 0;
    }
    bool text = strcmp(format->name, "text") == 0;
    if (first < 1 || (first > 1 && !text) || second > 1) {
        return err_set(err, RC_INPUT, "a dataset of format %s has %s", format->name,
                       text               ? "one file or more of role text"
                       : format->roles[1] ? "one file of role images and at most one of role labels"
                                          : "exactly one file of role arrays");
    }
    return RC_OK;
}

static bool is_numbers(const json_t *value) {
    size_t i;
    const json_t *item;
    if (json_is_array(value)) {
        json_array_foreach(value, i, item) {
            if (!json_is_number(item)) {
                return false;
            }
        }
        return json_array_size(value) > 0 && json_array_size(value) <= 4096;
    }
    return json_is_number(value);
}

static enum rc check_preprocess(const json_t *preprocess, struct err *err) {
    static const char *const keys[] = {"scale", "mean", "std", "layout", NULL};
    const char *input;
    json_t *entry;
    json_object_foreach((json_t *)preprocess, input, entry) {
        const json_t *layout = json_object_get(entry, "layout");
        const char *word = json_string_value(layout);
        enum rc rc = json_is_object(entry) ? json_only_keys(entry, keys, err)
                                           : err_set(err, RC_INPUT, "it must be an object");
        for (size_t i = 0; rc == RC_OK && i < 3; i++) {
            const json_t *value = json_object_get(entry, keys[i]);
            if (value && !is_numbers(value)) {
                rc = err_set(err, RC_INPUT, "\"%s\" must be a number or a list of numbers, one a channel",
                             keys[i]);
            }
        }
        if (rc == RC_OK && layout && (!word || (strcmp(word, "nchw") != 0 && strcmp(word, "nhwc") != 0))) {
            rc = err_set(err, RC_INPUT, "\"layout\" must be nchw or nhwc");
        }
        if (rc != RC_OK) {
            return err_prefix(err, "preprocess of \"%.64s\"", input);
        }
    }
    return RC_OK;
}

struct new_dataset {
    struct store_dataset row;
    struct submitted_files files;
    bool created;
};

static enum rc add_dataset(struct store_tx *tx, void *user, struct err *err) {
    struct new_dataset *d = user;
    return store_dataset_add(tx, &d->row, d->files.items, d->files.n, &d->created, err);
}

static enum rc read_dataset(struct jobs *j, const json_t *body, struct new_dataset *d, struct err *err) {
    static const char *const keys[] = {"name", "format", "files", "input", "labels", "preprocess", NULL};
    const struct dataset_format *format = NULL;
    enum rc rc = json_only_keys(body, keys, err);
    if (rc == RC_OK) {
        rc = submitted_name(body, &d->row.name, err);
    }
    if (rc == RC_OK) {
        rc = find_format(body, &format, err);
    }
    if (rc == RC_OK) {
        rc = json_opt_string(body, "input", &d->row.input, err);
    }
    if (rc == RC_OK) {
        rc = json_opt_string(body, "labels", &d->row.labels, err);
    }
    if (rc == RC_OK) {
        rc = submitted_files_read(j->store, body, format->roles, &d->files, err);
    }
    if (rc == RC_OK) {
        d->row.format = format->name;
        d->row.bytes = d->files.bytes;
        rc = check_roles(format, &d->files, err);
    }
    return rc;
}

static enum rc keep_dataset(struct jobs *j, struct new_dataset *d, const json_t *preprocess,
                            char id[IDENT_SIZE], struct err *err) {
    char *text = NULL;
    enum rc rc = preprocess ? stored_text(preprocess, &text, err) : RC_OK;
    if (rc == RC_OK) {
        rc = stored_id("dat",
                       json_pack("{s:o, s:s, s:s?, s:s?, s:O?}", "files", identity_of(&d->files), "format",
                                 d->row.format, "input", d->row.input, "labels", d->row.labels, "preprocess",
                                 preprocess),
                       id, err);
    }
    if (rc == RC_OK) {
        d->row.id = id;
        d->row.preprocess_json = text;
        d->row.examples = -1;
        rc = store_write(j->store, add_dataset, d, err);
    }
    free(text);
    return rc;
}

enum rc intake_dataset(struct jobs *j, const json_t *body, json_t **ret, bool *created, struct err *err) {
    struct new_dataset d = {0};
    char id[IDENT_SIZE];
    const json_t *preprocess = json_object_get(body, "preprocess");
    preprocess = json_is_null(preprocess) ? NULL : preprocess;
    enum rc rc = read_dataset(j, body, &d, err);
    if (rc == RC_OK && preprocess) {
        rc = json_is_object(preprocess)
                 ? check_preprocess(preprocess, err)
                 : err_set(err, RC_INPUT, "field \"preprocess\" must be an object by input name");
    }
    if (rc == RC_OK) {
        rc = keep_dataset(j, &d, preprocess, id, err);
    }
    submitted_files_release(&d.files);
    if (rc == RC_OK) {
        *created = d.created;
        rc = view_dataset(j, id, ret, err);
    }
    return rc;
}

static enum rc delete_model(struct store_tx *tx, void *user, struct err *err) {
    return store_model_delete(tx, *(const char **)user, err);
}

static enum rc delete_dataset(struct store_tx *tx, void *user, struct err *err) {
    return store_dataset_delete(tx, *(const char **)user, err);
}

enum rc intake_model_delete(struct jobs *j, const char *id, struct err *err) {
    return store_write(j->store, delete_model, &id, err);
}

enum rc intake_dataset_delete(struct jobs *j, const char *id, struct err *err) {
    return store_write(j->store, delete_dataset, &id, err);
}

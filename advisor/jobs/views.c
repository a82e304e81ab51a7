#include "advisor/jobs/views.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "advisor/jobs/jobs_internal.h"
#include "advisor/jobs/stored_json.h"
#include "advisor/jobs/view_parts.h"
#include "db/store_models.h"
#include "db/store_work.h"

enum { PAGE_DEFAULT = 50, PAGE_MAX = 200 };

/* ---- lists ---- */

enum rc view_page_read(const struct view_page *page, struct store_page *ret, struct err *err) {
    char *end = NULL;
    ret->limit = page->limit == 0 ? PAGE_DEFAULT : page->limit > PAGE_MAX ? PAGE_MAX : page->limit;
    ret->before = page->cursor ? strtoll(page->cursor, &end, 10) : 0;
    if (page->cursor && (end == page->cursor || *end || ret->before <= 0)) {
        return err_set(err, RC_INPUT, "the cursor \"%.32s\" is not one that was given", page->cursor);
    }
    ret->limit++; /* one more, to see whether there is a next page */
    return RC_OK;
}

enum rc view_list(json_t *items, size_t n, const struct store_page *page, int64_t last_row, json_t **ret,
                  struct err *err) {
    json_t *next = json_null();
    if (n >= page->limit) {
        char cursor[32];
        snprintf(cursor, sizeof(cursor), "%lld", (long long)last_row);
        next = json_string(cursor);
    }
    return stored_give(json_pack("{s:o, s:o}", "items", items, "next", next), ret, err);
}

/* ---- models and datasets ---- */

static json_t *files_json(const struct store_file *files, size_t n) {
    json_t *array = json_array();
    for (size_t i = 0; i < n; i++) {
        json_array_append_new(array, json_pack("{s:s, s:s, s:I, s:s*}", "path", files[i].path, "sha256",
                                               files[i].sha256, "bytes", (json_int_t)files[i].bytes, "role",
                                               files[i].role));
    }
    return array;
}

static enum rc model_json(struct store_tx *tx, const struct store_model *m, json_t **ret, struct err *err) {
    struct store_file *files;
    size_t n;
    enum rc rc = store_model_files(tx, m->id, &files, &n, err);
    if (rc != RC_OK) {
        return rc;
    }
    return stored_give(json_pack("{s:s, s:s, s:s, s:s, s:I, s:o, s:o}", "id", m->id, "name", m->name,
                                 "family", m->family, "main", m->main, "bytes", (json_int_t)m->bytes, "files",
                                 files_json(files, n), "created_at", stored_time(m->created_ms)),
                       ret, err);
}

enum rc view_model(struct jobs *j, const char *id, json_t **ret, struct err *err) {
    struct store_tx *tx;
    struct store_model m;
    enum rc rc = store_read_begin(j->store, &tx, err);
    if (rc == RC_OK) {
        rc = store_model_get(tx, id, &m, err);
        rc = rc == RC_OK ? model_json(tx, &m, ret, err) : rc;
        store_read_end(tx);
    }
    return rc;
}

enum rc view_models(struct jobs *j, const struct view_page *page, json_t **ret, struct err *err) {
    struct store_tx *tx;
    struct store_page p;
    struct store_model *rows;
    size_t n = 0;
    enum rc rc = view_page_read(page, &p, err);
    if (rc == RC_OK) {
        rc = store_read_begin(j->store, &tx, err);
    }
    if (rc != RC_OK) {
        return rc;
    }
    json_t *items = json_array();
    rc = store_models_list(tx, &p, &rows, &n, err);
    for (size_t i = 0; rc == RC_OK && i < n && i + 1 < p.limit; i++) {
        json_t *item = NULL;
        rc = model_json(tx, &rows[i], &item, err);
        json_array_append_new(items, item);
    }
    if (rc == RC_OK) {
        rc = view_list(items, n, &p, n >= p.limit ? rows[n - 2].row : 0, ret, err);
    } else {
        json_decref(items);
    }
    store_read_end(tx);
    return rc;
}

static enum rc dataset_json(struct store_tx *tx, const struct store_dataset *d, json_t **ret,
                            struct err *err) {
    struct store_file *files;
    size_t n;
    enum rc rc = store_dataset_files(tx, d->id, &files, &n, err);
    if (rc != RC_OK) {
        return rc;
    }
    return stored_give(json_pack("{s:s, s:s, s:s, s:I, s:o, s:s?, s:s?, s:o, s:o, s:o}", "id", d->id, "name",
                                 d->name, "format", d->format, "bytes", (json_int_t)d->bytes, "files",
                                 files_json(files, n), "input", d->input, "labels", d->labels, "preprocess",
                                 stored_json(d->preprocess_json), "examples",
                                 d->examples < 0 ? json_null() : json_integer((json_int_t)d->examples),
                                 "created_at", stored_time(d->created_ms)),
                       ret, err);
}

enum rc view_dataset(struct jobs *j, const char *id, json_t **ret, struct err *err) {
    struct store_tx *tx;
    struct store_dataset d;
    enum rc rc = store_read_begin(j->store, &tx, err);
    if (rc == RC_OK) {
        rc = store_dataset_get(tx, id, &d, err);
        rc = rc == RC_OK ? dataset_json(tx, &d, ret, err) : rc;
        store_read_end(tx);
    }
    return rc;
}

enum rc view_datasets(struct jobs *j, const struct view_page *page, json_t **ret, struct err *err) {
    struct store_tx *tx;
    struct store_page p;
    struct store_dataset *rows;
    size_t n = 0;
    enum rc rc = view_page_read(page, &p, err);
    if (rc == RC_OK) {
        rc = store_read_begin(j->store, &tx, err);
    }
    if (rc != RC_OK) {
        return rc;
    }
    json_t *items = json_array();
    rc = store_datasets_list(tx, &p, &rows, &n, err);
    for (size_t i = 0; rc == RC_OK && i < n && i + 1 < p.limit; i++) {
        json_t *item = NULL;
        rc = dataset_json(tx, &rows[i], &item, err);
        json_array_append_new(items, item);
    }
    if (rc == RC_OK) {
        rc = view_list(items, n, &p, n >= p.limit ? rows[n - 2].row : 0, ret, err);
    } else {
        json_decref(items);
    }
    store_read_end(tx);
    return rc;
}

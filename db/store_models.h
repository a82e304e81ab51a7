/* store_models.h -- models and datasets with their files. Ids are made from content by the caller. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/base/err.h"
#include "db/store.h"

/* A file of a model, dataset or variant. */
struct store_file {
    const char *path, *sha256;
    const char *role; /* datasets: arrays, images, labels, text; otherwise NULL */
    int64_t bytes;
};

struct store_model {
    const char *id, *name, *family, *main;
    int64_t bytes, created_ms, row;
};

/* Adds it (created_ms and row are set by the store) unless the id is there: then *created is false and
 * nothing changes. */
MUST_USE enum rc store_model_add(struct store_tx *tx, const struct store_model *m,
                                 const struct store_file *files, size_t n, bool *created, struct err *err);
MUST_USE enum rc store_model_get(struct store_tx *tx, const char *id, struct store_model *ret,
                                 struct err *err);
/* The newest of that name. */
MUST_USE enum rc store_model_by_name(struct store_tx *tx, const char *name, struct store_model *ret,
                                     struct err *err);
MUST_USE enum rc store_model_files(struct store_tx *tx, const char *id, struct store_file **ret, size_t *n,
                                   struct err *err);
MUST_USE enum rc store_models_list(struct store_tx *tx, const struct store_page *page,
                                   struct store_model **ret, size_t *n, struct err *err);
/* RC_CONFLICT when a study uses it; RC_NOT_FOUND. */
MUST_USE enum rc store_model_delete(struct store_tx *tx, const char *id, struct err *err);

struct store_dataset {
    const char *id, *name, *format;
    const char *input, *labels, *preprocess_json; /* NULL where not given */
    int64_t bytes, examples;                      /* examples: -1 until a worker has counted them */
    int64_t created_ms, row;
};

MUST_USE enum rc store_dataset_add(struct store_tx *tx, const struct store_dataset *d,
                                   const struct store_file *files, size_t n, bool *created, struct err *err);
MUST_USE enum rc store_dataset_get(struct store_tx *tx, const char *id, struct store_dataset *ret,
                                   struct err *err);
MUST_USE enum rc store_dataset_files(struct store_tx *tx, const char *id, struct store_file **ret, size_t *n,
                                     struct err *err);
MUST_USE enum rc store_datasets_list(struct store_tx *tx, const struct store_page *page,
                                     struct store_dataset **ret, size_t *n, struct err *err);
MUST_USE enum rc store_dataset_set_examples(struct store_tx *tx, const char *id, int64_t examples,
                                            struct err *err);
MUST_USE enum rc store_dataset_delete(struct store_tx *tx, const char *id, struct err *err);

/* store_machines.h -- targets, machine types and the prices set for these. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/base/err.h"
#include "db/store.h"

struct store_price {
    double usd_per_hour; /* 0 = no price */
    const char *source, *as_of;
};

struct store_machine_type {
    const char *id, *name, *fingerprint_json;
    const char *instance_type; /* NULL = not known */
    struct store_price price;  /* in force */
    int64_t created_ms;
};

/* Adds it where it is new; an existing one stays as it is. */
MUST_USE enum rc store_machine_type_add(struct store_tx *tx, const struct store_machine_type *m,
                                        struct err *err);
MUST_USE enum rc store_machine_type_get(struct store_tx *tx, const char *id, struct store_machine_type *ret,
                                        struct err *err);
MUST_USE enum rc store_machine_types_list(struct store_tx *tx, struct store_machine_type **ret, size_t *n,
                                          struct err *err);
/* NULL leaves what is there. */
MUST_USE enum rc store_machine_type_set(struct store_tx *tx, const char *id, const char *name,
                                        const char *instance_type, struct err *err);
MUST_USE enum rc store_price_set(struct store_tx *tx, const char *machine_type,
                                 const struct store_price *price, struct err *err);

struct store_target {
    const char *id, *name, *machine_type, *fingerprint_json;
    int64_t last_seen_ms, created_ms;
};

/* Adds or refreshes (same id): fingerprint, last_seen_ms. */
MUST_USE enum rc store_target_put(struct store_tx *tx, const struct store_target *t, struct err *err);
/* Notes that it was heard of, at most every 10 s: a note is a change, and changes wake whoever waits. */
MUST_USE enum rc store_target_seen(struct store_tx *tx, const char *id, struct err *err);
/* As store_target_put, without having heard of it: last_seen_ms is 0. A target that was heard of keeps all
 * that it said of itself. */
MUST_USE enum rc store_target_put_unseen(struct store_tx *tx, const struct store_target *t, struct err *err);
MUST_USE enum rc store_target_get(struct store_tx *tx, const char *id, struct store_target *ret,
                                  struct err *err);
MUST_USE enum rc store_targets_list(struct store_tx *tx, struct store_target **ret, size_t *n,
                                    struct err *err);

#include "advisor/jobs/machines.h"

#include <math.h>
#include <string.h>

#include "advisor/jobs/jobs_internal.h"
#include "advisor/jobs/stored_json.h"
#include "core/base/asset.h"
#include "core/base/clock.h"
#include "core/base/json.h"
#include "core/base/nearest.h"
#include "db/store_machines.h"

enum { ONLINE_MS = 60 * 1000, CATALOGUE_MAX = 1024 };

/* ---- the catalogue ---- */

static enum rc catalogue(json_t **ret, struct err *err) {
    const struct asset *a = asset_find("advisor/decide/prices.json");
    return a ? json_parse(a->data, a->size, ret, err)
             : err_set(err, RC_INTERNAL, "the price catalogue is missing from this program");
}

enum rc machines_prices(struct jobs *j, json_t **ret, struct err *err) {
    (void)j; /* the catalogue is part of the program */
    return catalogue(ret, err);
}

static enum rc unknown_type(const json_t *items, const char *name, struct err *err) {
    const char *known[CATALOGUE_MAX + 1];
    size_t i, n = 0;
    const json_t *item;
    json_array_foreach(items, i, item) {
        const char *other = json_string_value(json_object_get(item, "name"));
        if (other && n < CATALOGUE_MAX) {
            known[n++] = other;
        }
    }
    known[n] = NULL;
    const char *near = nearest_name(name, known);
    return err_set(err, RC_INPUT,
                   "the instance type \"%.64s\" is not in the price catalogue%s%s%s; set a price per hour",
                   name, near ? " (did you mean " : "", near ? near : "", near ? "?)" : "");
}

static const json_t *find_type(const json_t *items, const char *name) {
    size_t i;
    const json_t *item;
    json_array_foreach(items, i, item) {
        const char *other = json_string_value(json_object_get(item, "name"));
        if (other && strcmp(other, name) == 0) {
            return item;
        }
    }
    return NULL;
}

/* ---- views ---- */

static json_t *type_json(const struct store_machine_type *m) {
    json_t *price = m->price.usd_per_hour > 0
                        ? json_pack("{s:f, s:s?, s:s?, s:s}", "usd_per_hour", m->price.usd_per_hour, "source",
                                    m->price.source, "as_of", m->price.as_of, "provenance", "quoted")
                        : json_null();
    return json_pack("{s:s, s:s, s:s?, s:o, s:o, s:o}", "id", m->id, "name", m->name, "instance_type",
                     m->instance_type, "price", price, "fingerprint", stored_json(m->fingerprint_json),
                     "created_at", stored_time(m->created_ms));
}

enum rc machines_types(struct jobs *j, json_t **ret, struct err *err) {
    struct store_tx *tx;
    struct store_machine_type *rows;
    size_t n = 0;
    enum rc rc = store_read_begin(j->store, &tx, err);
    if (rc != RC_OK) {
        return rc;
    }
    rc = store_machine_types_list(tx, &rows, &n, err);
    json_t *items = json_array();
    for (size_t i = 0; rc == RC_OK && i < n; i++) {
        json_array_append_new(items, type_json(&rows[i]));
    }
    store_read_end(tx);
    if (rc != RC_OK) {
        json_decref(items);
        return rc;
    }
    return stored_give(json_pack("{s:o, s:n}", "items", items, "next"), ret, err);
}

enum rc machines_type(struct jobs *j, const char *id, json_t **ret, struct err *err) {
    struct store_tx *tx;
    struct store_machine_type m;
    enum rc rc = store_read_begin(j->store, &tx, err);
    if (rc == RC_OK) {
        rc = store_machine_type_get(tx, id, &m, err);
        rc = rc == RC_OK ? stored_give(type_json(&m), ret, err) : rc;
        store_read_end(tx);
    }
    return rc;
}

static enum rc target_json(struct store_tx *tx, const struct store_target *t, json_t **ret, struct err *err) {
    struct store_machine_type m;
    enum rc rc = store_machine_type_get(tx, t->machine_type, &m, err);
    if (rc != RC_OK) {
        return rc;
    }
    bool online = t->last_seen_ms >= store_tx_now_ms(tx) - ONLINE_MS;
    json_t *price = m.price.usd_per_hour > 0 ? json_real(m.price.usd_per_hour) : json_null();
    return stored_give(json_pack("{s:s, s:s, s:s, s:s, s:s, s:o, s:o, s:o}", "id", t->id, "name", t->name,
                                 "machine_type", t->machine_type, "machine", m.name, "state",
                                 online ? "online" : "offline", "last_seen", stored_time(t->last_seen_ms),
                                 "price_per_hour", price, "fingerprint", stored_json(t->fingerprint_json)),
                       ret, err);
}

enum rc machines_targets(struct jobs *j, json_t **ret, struct err *err) {
    struct store_tx *tx;
    struct store_target *rows;
    size_t n = 0;
    enum rc rc = store_read_begin(j->store, &tx, err);
    if (rc != RC_OK) {
        return rc;
    }
    rc = store_targets_list(tx, &rows, &n, err);
    json_t *items = json_array();
    for (size_t i = 0; rc == RC_OK && i < n; i++) {
        json_t *item = NULL;
        rc = target_json(tx, &rows[i], &item, err);
        json_array_append_new(items, item);
    }
    store_read_end(tx);
    if (rc != RC_OK) {
        json_decref(items);
        return rc;
    }
    return stored_give(json_pack("{s:o, s:n}", "items", items, "next"), ret, err);
}

/* ---- prices ---- */

struct type_change {
    const char *id, *name, *instance_type;
    struct store_price price; /* usd_per_hour 0 = leave */
};

static enum rc change_type(struct store_tx *tx, void *user, struct err *err) {
    const struct type_change *c = user;
    enum rc rc = store_machine_type_set(tx, c->id, c->name, c->instance_type, err);
    return rc == RC_OK && c->price.usd_per_hour > 0 ? store_price_set(tx, c->id, &c->price, err) : rc;
}

/* The price of the catalogue, unless one is given. */
static enum rc quote(const json_t *items, struct type_change *c, struct err *err) {
    const json_t *entry = find_type(items, c->instance_type);
    if (!entry) {
        return c->price.usd_per_hour > 0 ? RC_OK : unknown_type(items, c->instance_type, err);
    }
    if (c->price.usd_per_hour > 0) {
        return RC_OK;
    }
    enum rc rc = json_get_number(entry, "usd_per_hour", &c->price.usd_per_hour, err);
    if (rc == RC_OK) {
        rc = json_opt_string(entry, "source", &c->price.source, err);
    }
    return rc == RC_OK ? json_opt_string(entry, "as_of", &c->price.as_of, err) : rc;
}

enum rc machines_type_put(struct jobs *j, const char *id, const json_t *body, json_t **ret, struct err *err) {
    static const char *const keys[] = {"name", "price_per_hour", "instance_type", "source", NULL};
    struct type_change c = {.id = id};
    json_t *list = NULL;
    double price = NAN;
    char today[CLOCK_ISO_SIZE];
    clock_iso(store_now_ms(j->store), today);
    today[10] = '\0';
    c.price.source = "set by hand";
    c.price.as_of = today;
    enum rc rc = json_only_keys(body, keys, err);
    if (rc == RC_OK) {
        rc = json_opt_string(body, "name", &c.name, err);
    }
    if (rc == RC_OK) {
        rc = json_opt_string(body, "instance_type", &c.instance_type, err);
    }
    if (rc == RC_OK) {
        rc = json_opt_string(body, "source", &c.price.source, err);
    }
    if (rc == RC_OK) {
        rc = json_opt_number(body, "price_per_hour", &price, err);
    }
    if (rc == RC_OK && !isnan(price) && !(price > 0 && price < 1e6)) {
        rc = err_set(err, RC_INPUT, "field \"price_per_hour\" must be above 0 USD");
    }
    c.price.usd_per_hour = isnan(price) ? 0 : price;
    if (rc == RC_OK && c.instance_type && (rc = catalogue(&list, err)) == RC_OK) {
        rc = quote(json_object_get(list, "items"), &c, err);
    }
    if (rc == RC_OK) {
        rc = store_write(j->store, change_type, &c, err);
    }
    json_decref(list);
    return rc == RC_OK ? machines_type(j, id, ret, err) : rc;
}

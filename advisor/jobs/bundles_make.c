/* bundles_make.c -- packing: see bundles.h. */
#include <sodium.h>
#include <string.h>

#include "advisor/jobs/bundles.h"
#include "advisor/jobs/jobs_internal.h"
#include "advisor/jobs/stored_json.h"
#include "advisor/jobs/work.h"
#include "core/base/ident.h"
#include "core/base/json.h"
#include "core/base/log.h"
#include "db/store_bundles.h"

enum { JOBS_MAX = 4096, BATCHES_MAX = 16, TOKEN_BITS = 53 };

struct making {
    const char *study;
    int64_t min_samples, time_limit_s, counted_runs;
    const json_t *batches; /* NULL = those of the plan */
    bool roofline;
    char id[IDENT_SIZE];
    unsigned char public_key[crypto_sign_PUBLICKEYBYTES], secret_key[crypto_sign_SECRETKEYBYTES];
    json_t *bundle; /* without the secret key; owned */
};

static enum rc read_body(const json_t *body, struct making *m, struct err *err) {
    static const char *const keys[] = {"min_samples", "time_limit_s", "counted_runs",
                                       "batches",     "roofline",     NULL};
    m->batches = json_object_get(body, "batches");
    m->roofline = true;
    enum rc rc = json_only_keys(body, keys, err);
    if (rc != RC_OK ||
        (rc = json_opt_int(body, "min_samples", 1, 100000000, &m->min_samples, err)) != RC_OK ||
        (rc = json_opt_int(body, "time_limit_s", 1, 86400, &m->time_limit_s, err)) != RC_OK ||
        (rc = json_opt_int(body, "counted_runs", 1, 1000000, &m->counted_runs, err)) != RC_OK ||
        (rc = json_opt_bool(body, "roofline", &m->roofline, err)) != RC_OK) {
        return rc;
    }
    size_t i;
    const json_t *batch;
    if (m->batches && (!json_is_array(m->batches) || json_array_size(m->batches) == 0 ||
                       json_array_size(m->batches) > BATCHES_MAX)) {
        return err_set(err, RC_INPUT, "field \"batches\" must be a list of 1 to %d numbers",
                       (int)BATCHES_MAX);
    }
    json_array_foreach(m->batches, i, batch) {
        if (!json_is_integer(batch) || json_integer_value(batch) < 1 || json_integer_value(batch) > 65536) {
            return err_set(err, RC_INPUT, "field \"batches\": entry %zu is not a number of 1 to 65536", i);
        }
    }
    return RC_OK;
}

/* Fencing tokens nobody guesses: results of another bundle, or made up, do not fit. */
static int64_t random_token(void) {
    uint64_t bits;
    randombytes_buf(&bits, sizeof(bits));
    return (int64_t)(bits >> (64 - TOKEN_BITS)) | 1;
}

static enum rc add_job(struct making *m, const struct store_variant *v, const char *layout, int64_t batch,
                       const json_t *spec, struct err *err) {
    char id[IDENT_SIZE], label[WORK_LABEL_SIZE];
    json_t *jobs = json_object_get(m->bundle, "jobs");
    if (json_array_size(jobs) == JOBS_MAX) {
        return err_set(err, RC_TOO_LARGE, "a bundle holds at most %d jobs", (int)JOBS_MAX);
    }
    ident_random("job", id);
    int n = snprintf(label, sizeof(label), "%.200s, %s", v->recipe,
                     strcmp(layout, "one") == 0 ? "all cores" : "an instance a core");
    if (batch > 1 && n > 0 && n < WORK_LABEL_SIZE) {
        snprintf(label + n, sizeof(label) - (size_t)n, ", batch %lld", (long long)batch);
    }
    json_t *job = json_pack("{s:s, s:I, s:s, s:s, s:s, s:I, s:O}", "id", id, "token",
                            (json_int_t)random_token(), "label", label, "variant", v->id, "layout", layout,
                            "batch", (json_int_t)batch, "spec", spec);
    return json_array_append_new(jobs, job) == 0 ? RC_OK : err_memory(err);
}

/* All cores as one instance with every batch, and an instance a core with batch 1. */
static enum rc add_variant(struct making *m, struct store_tx *tx, const struct work_study *s,
                           const struct store_variant *v, struct err *err) {
    size_t i;
    json_t *spec = NULL;
    const json_t *batch, *batches = m->batches ? m->batches : json_object_get(s->plan, "batches");
    enum rc rc = work_profile_spec(tx, s, v, NULL, &spec, err);
    if (rc == RC_OK && m->counted_runs > 0) {
        json_t *count = json_object_get(spec, "count");
        if (!count) {
            count = json_object();
            json_object_set_new(spec, "count", count);
        }
        json_object_set_new(count, "runs", json_integer((json_int_t)m->counted_runs));
    }
    json_array_foreach(batches, i, batch) {
        rc = rc == RC_OK ? add_job(m, v, "one", json_integer_value(batch), spec, err) : rc;
    }
    if (rc == RC_OK) {
        rc = add_job(m, v, "each", 1, spec, err);
    }
    json_decref(spec);
    return rc;
}

static enum rc add_variants(struct making *m, struct store_tx *tx, const struct work_study *s,
                            struct err *err) {
    const char **ids;
    size_t n = 0;
    enum rc rc = store_study_variants(tx, m->study, &ids, &n, err);
    for (size_t i = 0; rc == RC_OK && i < n; i++) {
        struct store_variant v;
        rc = store_variant_get(tx, ids[i], &v, err);
        if (rc == RC_OK && strcmp(v.state, "ready") == 0) {
            rc = add_variant(m, tx, s, &v, err);
        }
    }
    if (rc == RC_OK && json_array_size(json_object_get(m->bundle, "jobs")) == 0) {
        rc =
            err_set(err, RC_CONFLICT,
                    "study %s has no variant yet that could be measured: wait until some are made", m->study);
    }
    return rc;
}

static enum rc make(struct store_tx *tx, void *user, struct err *err) {
    struct making *m = user;
    struct work_study s;
    enum rc rc = work_study_load(tx, m->study, &s, err);
    if (rc != RC_OK) {
        return rc;
    }
    s.min_samples = m->min_samples;
    s.time_limit_s = m->time_limit_s;
    json_t *threads = json_object_get(s.request, "threads");
    m->bundle = json_pack("{s:i, s:s, s:s, s:O?, s:b, s:I, s:[]}", "format", 1, "bundle", m->id, "study",
                          m->study, "threads", threads, "roofline", (int)m->roofline, "min_samples",
                          (json_int_t)m->min_samples, "jobs");
    struct store_bundle row = {.id = m->id, .study = m->study, .public_key = m->public_key};
    rc = m->bundle ? add_variants(m, tx, &s, err) : err_memory(err);
    if (rc == RC_OK) {
        rc = stored_tx_text(tx, json_incref(m->bundle), &row.bundle_json, err);
    }
    if (rc == RC_OK) {
        rc = store_bundle_add(tx, &row, err);
    }
    work_study_release(&s);
    return rc;
}

enum rc bundles_make(struct jobs *j, const char *study, const json_t *body, json_t **ret, struct err *err) {
    struct making m = {.study = study};
    char hex[2 * crypto_sign_SECRETKEYBYTES + 1];
    enum rc rc = read_body(body, &m, err);
    if (rc != RC_OK) {
        return rc;
    }
    ident_random("bun", m.id);
    if (sodium_init() < 0 || crypto_sign_keypair(m.public_key, m.secret_key) != 0) {
        return err_set(err, RC_INTERNAL, "libsodium makes no key");
    }
    rc = store_write(j->store, make, &m, err);
    if (rc == RC_OK) {
        sodium_bin2hex(hex, sizeof(hex), m.secret_key, sizeof(m.secret_key));
        rc = json_object_set_new(m.bundle, "secret_key", json_string(hex)) == 0 ? RC_OK : err_memory(err);
    }
    sodium_memzero(m.secret_key, sizeof(m.secret_key));
    sodium_memzero(hex, sizeof(hex));
    if (rc != RC_OK) {
        json_decref(m.bundle);
        return rc;
    }
    log_event(LOG_INFO, "bundle_made", "bundle=%s study=%s jobs=%zu", m.id, study,
              json_array_size(json_object_get(m.bundle, "jobs")));
    *ret = m.bundle;
    return RC_OK;
}

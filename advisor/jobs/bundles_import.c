/* bundles_import.c -- taking results back: see bundles.h.
 *
 * First the file is read and its signature checked with the key of the bundle that it names; nothing is
 * stored before. One transaction then does everything: the target, its jobs as the planner would have made
 * them, their results, and that the bundle was imported. So an import that dies or fails leaves nothing but
 * blobs that nobody refers to, and the same file, imported again, completes. Results are read outside any
 * transaction, as an agent's are, and what they are to be read for is what the jobs will be: these come from
 * a rehearsal, the same transaction taken back. */
#include <stdlib.h>
#include <string.h>

#include "advisor/jobs/bundles.h"
#include "advisor/jobs/completion.h"
#include "advisor/jobs/jobs_internal.h"
#include "advisor/jobs/stored_json.h"
#include "advisor/jobs/submitted_files.h"
#include "advisor/jobs/work.h"
#include "core/base/ident.h"
#include "core/base/json.h"
#include "core/base/log.h"
#include "core/base/sha256.h"
#include "core/formats/mapped_file.h"
#include "core/formats/results_file.h"
#include "db/store_blobs.h"
#include "db/store_bundles.h"
#include "db/store_jobs.h"
#include "db/store_machines.h"
#include "profiler/agent/machine_type.h"

enum { FINGERPRINT_BYTES_MAX = 64 * 1024, TEXT_MAX = 1024, LOG_MAX = 32 * 1024, PATH_SIZE = 4096 };
static const int64_t LEASE_MS = INT64_C(10) * 60 * 1000; /* of jobs whose results are being recorded */

/* One job of the results. */
struct item {
    const json_t *said, *packed; /* of the results; of the bundle */
    struct work_runtime runtime;
    bool known; /* such a profile is stored already, or somebody else measures it now */
    bool read;  /* for `read_for`, the subject at the rehearsal (owned) */
    char *read_for;
    char *id, *label, *subject, *profile; /* of the store's job; owned */
    int64_t token;
    struct store_job row;    /* borrows the above */
    struct completion *made; /* NULL for a failure */
    struct store_failure failure;
    struct err why;
};

struct import {
    struct jobs *jobs;
    struct results_file file;
    char sha256[SHA256_HEX_SIZE];
    json_t *bundle; /* as it was packed; owned */
    char *study;    /* owned */
    unsigned char public_key[STORE_BUNDLE_KEY];
    json_t *answer;          /* of an earlier import of this file, or what is answered; owned */
    bool imported, repeated; /* some results were; these very ones were */
    bool rehearsed;
    const char *name;
    char *fingerprint; /* owned */
    int64_t cores;
    struct machine_type type;
    char target[IDENT_SIZE];
    struct item *items;
    size_t n;
};

/* ---- the bundle ---- */

static enum rc copy_bundle(struct import *im, const struct store_bundle *b, struct err *err) {
    memcpy(im->public_key, b->public_key, STORE_BUNDLE_KEY);
    im->bundle = stored_json(b->bundle_json);
    im->study = strdup(b->study);
    im->imported = b->results_sha256 != NULL;
    im->repeated = im->imported && strcmp(b->results_sha256, im->sha256) == 0;
    im->answer = im->repeated ? stored_json(b->answer_json) : NULL;
    return im->bundle && im->study && (im->answer || !im->repeated) ? RC_OK : err_memory(err);
}

static enum rc load_bundle(struct import *im, struct err *err) {
    struct store_tx *tx;
    struct store_bundle b;
    if (!ident_valid("bun", im->file.bundle)) {
        return err_set(err, RC_INPUT, "the results file names no bundle");
    }
    enum rc rc = store_read_begin(im->jobs->store, &tx, err);
    if (rc != RC_OK) {
        return rc;
    }
    rc = store_bundle_get(tx, im->file.bundle, &b, err);
    if (rc == RC_OK) {
        rc = copy_bundle(im, &b, err);
    } else if (rc == RC_NOT_FOUND) {
        rc = err_set(err, RC_NOT_FOUND, "this service made no bundle %s (or its study is gone)",
                     im->file.bundle);
    }
    store_read_end(tx);
    if (rc != RC_OK || (rc = results_file_verify(&im->file, im->public_key, err)) != RC_OK) {
        return rc;
    }
    return im->imported && !im->repeated
               ? err_set(err, RC_CONFLICT,
                         "other results of bundle %s were imported already: make a new bundle",
                         im->file.bundle)
               : RC_OK;
}

/* ---- the machine ---- */

static enum rc read_target(struct import *im, struct err *err) {
    static const char *const keys[] = {"name", "fingerprint", NULL};
    const json_t *target = json_object_get(im->file.head, "target");
    json_t *fingerprint = NULL;
    enum rc rc = json_only_keys(target, keys, err);
    if (rc != RC_OK || (rc = submitted_name(target, &im->name, err)) != RC_OK ||
        (rc = json_get_object(target, "fingerprint", &fingerprint, err)) != RC_OK ||
        (rc = machine_type_of(fingerprint, &im->type, err)) != RC_OK ||
        (rc = stored_text(fingerprint, &im->fingerprint, err)) != RC_OK) {
        return rc;
    }
    if (strlen(im->fingerprint) > FINGERPRINT_BYTES_MAX) {
        return err_set(err, RC_INPUT, "the fingerprint is longer than %d bytes", (int)FINGERPRINT_BYTES_MAX);
    }
    im->cores = json_integer_value(json_object_get(json_object_get(fingerprint, "cpu"), "cores"));
    int64_t most = json_integer_value(json_object_get(im->bundle, "threads"));
    im->cores = most > 0 && most < im->cores ? most : im->cores;
    return stored_id("tgt", json_pack("[s, s]", im->name, im->type.id), im->target, err);
}

/* ---- its jobs ---- */

static const json_t *packed_job(const struct import *im, const char *id) {
    size_t i;
    const json_t *job;
    json_array_foreach(json_object_get(im->bundle, "jobs"), i, job) {
        if (strcmp(json_shown_text(job, "id"), id) == 0) {
            return job;
        }
    }
    return NULL;
}

/* The settings that were measured must be those that the job's layout means on such a machine. */
static enum rc check_runtime(const struct import *im, struct item *it, struct err *err) {
    json_t *runtime = NULL;
    bool each = strcmp(json_shown_text(it->packed, "layout"), "each") == 0;
    struct work_runtime *w = &it->runtime;
    enum rc rc = json_get_object(it->said, "runtime", &runtime, err);
    if (rc != RC_OK || (rc = json_get_int(runtime, "instances", 1, 65536, &w->instances, err)) != RC_OK ||
        (rc = json_get_int(runtime, "threads", 1, 65536, &w->threads, err)) != RC_OK ||
        (rc = json_get_int(runtime, "batch", 1, 65536, &w->batch, err)) != RC_OK) {
        return rc;
    }
    bool fits = w->instances == (each ? im->cores : 1) && w->threads == (each ? 1 : im->cores) &&
                w->batch == json_integer_value(json_object_get(it->packed, "batch"));
    return fits ? RC_OK
                : err_set(
                      err, RC_INPUT,
                      "job %s was measured with %lld x %lld threads, batch %lld, which it does not ask for",
                      json_shown_text(it->said, "id"), (long long)w->instances, (long long)w->threads,
                      (long long)w->batch);
}

static enum rc read_failure(struct item *it, struct err *err) {
    const json_t *error = json_object_get(it->said, "error");
    const char *log = NULL;
    const char *code = NULL;
    enum rc rc = json_opt_string(it->said, "log", &log, err);
    if (rc != RC_OK || (rc = json_get_string(error, "code", &code, err)) != RC_OK ||
        (rc = json_get_string(error, "text", &it->failure.text, err)) != RC_OK) {
        return rc;
    }
    if (strlen(it->failure.text) > TEXT_MAX || (log && strlen(log) > LOG_MAX)) {
        return err_set(err, RC_INPUT, "the error of a job is longer than %d bytes, or its log than %d",
                       (int)TEXT_MAX, (int)LOG_MAX);
    }
    it->failure.code = rc_name(rc_from_name(code));
    it->failure.log = log;
    it->failure.kind = FAILURE_FINAL;
    return RC_OK;
}

static enum rc read_item(const struct import *im, size_t index, struct err *err) {
    struct item *it = &im->items[index];
    const char *id = NULL;
    int64_t token = 0;
    enum rc rc = json_get_string(it->said, "id", &id, err);
    if (rc != RC_OK || (rc = json_get_int(it->said, "token", 1, INT64_MAX, &token, err)) != RC_OK) {
        return rc;
    }
    it->packed = packed_job(im, id);
    if (!it->packed) {
        return err_set(err, RC_CONFLICT, "bundle %s has no job \"%.60s\"", im->file.bundle, id);
    }
    if (token != json_integer_value(json_object_get(it->packed, "token"))) {
        return err_set(err, RC_CONFLICT, "the token of job %s is not the one that bundle %s gave it", id,
                       im->file.bundle);
    }
    for (size_t i = 0; i < index; i++) {
        if (im->items[i].packed == it->packed) {
            return err_set(err, RC_INPUT, "job %s is in the results twice", id);
        }
    }
    bool failed = json_is_object(json_object_get(it->said, "error"));
    if (failed == json_is_object(json_object_get(it->said, "result"))) {
        return err_set(err, RC_INPUT, "job %s needs either a \"result\" or an \"error\"", id);
    }
    rc = check_runtime(im, it, err);
    return rc == RC_OK && failed ? read_failure(it, err) : rc;
}

static enum rc read_items(struct import *im, struct err *err) {
    size_t i;
    const json_t *said;
    im->n = json_array_size(im->file.jobs);
    im->items = calloc(im->n + 1, sizeof(*im->items));
    enum rc rc = im->items ? RC_OK : err_memory(err);
    json_array_foreach(im->file.jobs, i, said) {
        if (rc == RC_OK) {
            im->items[i].said = said;
            rc = read_item(im, i, err);
        }
    }
    return rc;
}

static enum rc store_contents(const struct import *im, struct err *err) {
    enum rc rc = RC_OK;
    for (size_t i = 0; rc == RC_OK && i < im->file.content_count; i++) {
        char hex[SHA256_HEX_SIZE];
        rc = store_blob_put(im->jobs->store, im->file.contents[i].data, im->file.contents[i].size, hex, err);
    }
    return rc;
}

/* ---- the target and its jobs ---- */

static enum rc keep_row(struct item *it, const struct store_job *job, const char *profile, struct err *err) {
    it->id = strdup(job->id);
    it->label = strdup(job->label);
    it->subject = strdup(job->subject_json);
    it->profile = strdup(profile);
    it->token = job->token;
    it->row =
        (struct store_job){.id = it->id, .kind = "profile", .label = it->label, .subject_json = it->subject};
    return it->id && it->label && it->subject && it->profile ? RC_OK : err_memory(err);
}

static enum rc take_job(struct store_tx *tx, const struct import *im, const struct work_study *s,
                        struct item *it, struct err *err) {
    char configuration[IDENT_SIZE], profile_id[IDENT_SIZE];
    struct store_variant v;
    struct store_profile profile;
    struct store_job job;
    bool taken = false;
    enum rc rc = store_variant_get(tx, json_shown_text(it->packed, "variant"), &v, err);
    struct store_configuration c = {.id = configuration,
                                    .machine_type = im->type.id,
                                    .instances = it->runtime.instances,
                                    .threads = it->runtime.threads,
                                    .batch = it->runtime.batch};
    if (rc != RC_OK ||
        (rc = work_configuration_id(v.id, im->type.id, &it->runtime, configuration, err)) != RC_OK) {
        return rc;
    }
    c.variant = v.id;
    if ((rc = store_configuration_add(tx, &c, err)) != RC_OK ||
        (rc = work_profile_id(tx, s, configuration, im->type.id, profile_id, err)) != RC_OK) {
        return rc;
    }
    rc = store_profile_get(tx, profile_id, &profile, err);
    if (rc != RC_NOT_FOUND) {
        it->known = rc == RC_OK;
        return rc;
    }
    if ((rc = work_add_profile(tx, s, &v, &c, &job, err)) != RC_OK ||
        (rc = store_job_take(tx, job.id, im->target, LEASE_MS, &job, &taken, err)) != RC_OK) {
        return rc;
    }
    it->known = !taken;
    return taken ? keep_row(it, &job, profile_id, err) : RC_OK;
}

static void forget_rows(struct import *im) {
    for (size_t i = 0; i < im->n; i++) {
        struct item *it = &im->items[i];
        free(it->id);
        free(it->label);
        free(it->subject);
        free(it->profile);
        it->id = it->label = it->subject = it->profile = NULL;
        it->known = false;
    }
}

static enum rc take_jobs(struct store_tx *tx, struct import *im, struct err *err) {
    struct work_study s;
    const struct store_machine_type m = {
        .id = im->type.id, .name = im->type.name, .fingerprint_json = im->fingerprint};
    const struct store_target t = {
        .id = im->target, .name = im->name, .machine_type = im->type.id, .fingerprint_json = im->fingerprint};
    forget_rows(im); /* the writer may run this again */
    enum rc rc = store_machine_type_add(tx, &m, err);
    if (rc != RC_OK || (rc = store_target_put_unseen(tx, &t, err)) != RC_OK ||
        (rc = work_study_load(tx, im->study, &s, err)) != RC_OK) {
        return rc;
    }
    s.min_samples = json_integer_value(json_object_get(im->bundle, "min_samples"));
    for (size_t i = 0; rc == RC_OK && i < im->n; i++) {
        rc = take_job(tx, im, &s, &im->items[i], err);
    }
    work_study_release(&s);
    return rc;
}

/* Takes the jobs and gives them back: nothing of it is kept. */
static enum rc rehearse(struct store_tx *tx, void *user, struct err *err) {
    struct import *im = user;
    enum rc rc = take_jobs(tx, im, err);
    im->rehearsed = rc == RC_OK;
    return rc == RC_OK ? err_set(err, RC_CANCELLED, "a rehearsal") : rc;
}

static enum rc learn_jobs(struct import *im, struct err *err) {
    enum rc rc = store_write(im->jobs->store, rehearse, im, err);
    return im->rehearsed && rc == RC_CANCELLED ? RC_OK : rc;
}

/* ---- the results, as an agent's ---- */

static enum rc read_result(const struct import *im, struct item *it, struct err *err) {
    it->read = true;
    it->read_for = strdup(it->subject);
    if (!it->read_for) {
        return err_memory(err);
    }
    enum rc rc = completion_read(im->jobs->store, &it->row, json_object_get(it->said, "result"),
                                 json_object_get(it->said, "files"), &it->made, &it->why);
    if (rc == RC_INPUT || rc == RC_TOO_LARGE) { /* this job failed; the others need not */
        it->failure = (struct store_failure){.code = "internal", .text = it->why.text, .kind = FAILURE_FINAL};
        return RC_OK;
    }
    return rc == RC_OK ? RC_OK : err_set(err, rc, "%s", it->why.text);
}

static enum rc read_results(struct import *im, struct err *err) {
    enum rc rc = RC_OK;
    for (size_t i = 0; rc == RC_OK && i < im->n; i++) {
        struct item *it = &im->items[i];
        if (!it->known && !it->failure.text) {
            rc = read_result(im, it, err);
        }
    }
    return rc;
}

static json_t *answer_json(const struct import *im) {
    json_t *recorded = json_array(), *known = json_array(), *failed = json_array();
    for (size_t i = 0; i < im->n; i++) {
        const struct item *it = &im->items[i];
        if (it->known) {
            json_array_append(known, json_object_get(it->packed, "label"));
        } else if (it->made) {
            json_array_append_new(recorded,
                                  json_pack("{s:s, s:s}", "label", it->label, "profile", it->profile));
        } else {
            json_array_append_new(failed,
                                  json_pack("{s:s, s:s}", "label", it->label, "error", it->failure.text));
        }
    }
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:o, s:o, s:o}", "bundle", im->file.bundle, "study",
                     im->study, "target_id", im->target, "machine_type_id", im->type.id, "machine",
                     im->type.name, "recorded", recorded, "known", known, "failed", failed);
}

/* ---- everything at once ---- */

static enum rc record_item(struct store_tx *tx, const struct item *it, struct err *err) {
    bool repeated = false;
    const char *state = NULL;
    if (!it->made && !it->failure.text) {
        return err_set(err, RC_CONFLICT, "the work of the study changed meanwhile: import the results again");
    }
    if (it->read && strcmp(it->subject, it->read_for) != 0) {
        return err_set(err, RC_CONFLICT, "the machine changed meanwhile: import the results again");
    }
    if (!it->made) {
        return store_job_fail(tx, it->id, it->token, &it->failure, &state, &repeated, err);
    }
    enum rc rc = store_job_finish(tx, it->id, it->token, completion_result(it->made), &repeated, err);
    return rc == RC_OK && !repeated ? completion_store(tx, it->made, &it->row, err) : rc;
}

/* The study's later answers cover the machine. */
static enum rc add_to_plan(struct store_tx *tx, const struct import *im, struct err *err) {
    struct work_study s;
    const char *text = NULL;
    size_t i;
    const json_t *item;
    bool there = false;
    enum rc rc = work_study_load(tx, im->study, &s, err);
    if (rc != RC_OK) {
        return rc;
    }
    json_t *list = json_object_get(s.plan, "imported");
    json_array_foreach(list, i, item) {
        there = there || strcmp(json_string_value(item), im->type.id) == 0;
    }
    if (!there && s.plan) {
        if (!list) {
            list = json_array();
            json_object_set_new(s.plan, "imported", list);
        }
        rc = json_array_append_new(list, json_string(im->type.id)) == 0 ? RC_OK : err_memory(err);
        rc = rc == RC_OK ? stored_tx_text(tx, json_incref(s.plan), &text, err) : rc;
        rc = rc == RC_OK ? store_study_plan_more(tx, im->study, text, err) : rc;
    }
    work_study_release(&s);
    return rc;
}

static enum rc record(struct store_tx *tx, void *user, struct err *err) {
    struct import *im = user;
    const char *answer = NULL;
    enum rc rc = take_jobs(tx, im, err);
    if (rc == RC_OK) {
        json_decref(im->answer);
        im->answer = answer_json(im);
        rc = im->answer ? stored_tx_text(tx, json_incref(im->answer), &answer, err) : err_memory(err);
    }
    for (size_t i = 0; rc == RC_OK && i < im->n; i++) {
        rc = im->items[i].known ? RC_OK : record_item(tx, &im->items[i], err);
    }
    rc = rc == RC_OK ? add_to_plan(tx, im, err) : rc;
    return rc == RC_OK ? store_bundle_imported(tx, im->file.bundle, im->sha256, answer, err) : rc;
}

static enum rc import_file(struct import *im, const struct mapped_file *map, struct err *err) {
    enum rc rc = results_file_read(map->data, map->size, &im->file, err);
    if (rc != RC_OK || (rc = load_bundle(im, err)) != RC_OK || im->repeated) {
        return rc;
    }
    if ((rc = read_target(im, err)) != RC_OK || (rc = read_items(im, err)) != RC_OK ||
        (rc = store_contents(im, err)) != RC_OK || (rc = learn_jobs(im, err)) != RC_OK ||
        (rc = read_results(im, err)) != RC_OK) {
        return rc;
    }
    rc = store_write(im->jobs->store, record, im, err);
    if (rc == RC_OK) {
        log_event(LOG_INFO, "bundle_imported", "bundle=%s study=%s target=%s jobs=%zu", im->file.bundle,
                  im->study, im->target, im->n);
    }
    return rc;
}

static void release(struct import *im) {
    forget_rows(im);
    for (size_t i = 0; i < im->n; i++) {
        completion_free(im->items[i].made);
        free(im->items[i].read_for);
    }
    free(im->items);
    json_decref(im->bundle);
    json_decref(im->answer);
    free(im->study);
    free(im->fingerprint);
    results_file_release(&im->file);
}

enum rc bundles_import(struct jobs *j, const json_t *body, json_t **ret, struct err *err) {
    static const char *const keys[] = {"sha256", NULL};
    struct import im = {.jobs = j};
    struct mapped_file map;
    char path[PATH_SIZE];
    const char *sha256 = NULL;
    uint64_t bytes = 0;
    enum rc rc = json_only_keys(body, keys, err);
    if (rc != RC_OK || (rc = json_get_string(body, "sha256", &sha256, err)) != RC_OK ||
        (rc = store_blob_stat(j->store, sha256, &bytes, err)) != RC_OK) {
        return rc;
    }
    if (bytes > RESULTS_FILE_MAX_BYTES) {
        return err_set(err, RC_TOO_LARGE, "the results file is larger than %d MiB",
                       (int)(RESULTS_FILE_MAX_BYTES >> 20));
    }
    if ((rc = store_blob_path(j->store, sha256, path, sizeof(path), err)) != RC_OK ||
        (rc = mapped_file_open(path, &map, err)) != RC_OK) {
        return rc;
    }
    snprintf(im.sha256, sizeof(im.sha256), "%s", sha256);
    rc = import_file(&im, &map, err);
    if (rc == RC_OK) {
        *ret = json_incref(im.answer);
    }
    release(&im);
    mapped_file_close(&map);
    return rc;
}

#include "advisor/jobs/comparison_sides.h"

#include <stdio.h>
#include <string.h>

#include "advisor/jobs/stored_json.h"
#include "core/base/json.h"
#include "db/store_machines.h"

struct side {
    const char *id, *model, *family, *main, *machine_type; /* machine_type NULL: any */
    char label[WORK_LABEL_SIZE];
    struct store_file *files;
    size_t n;
    int64_t threads, batch; /* 0: as the other */
};

static enum rc load_configuration(struct store_tx *tx, const struct store_configuration *c, struct side *s,
                                  struct err *err) {
    struct store_variant v;
    struct store_model m;
    enum rc rc = store_variant_get(tx, c->variant, &v, err);
    if (rc == RC_OK) {
        rc = store_model_get(tx, v.model, &m, err);
    }
    if (rc == RC_OK && strcmp(v.state, "ready") != 0) {
        rc = err_set(err, RC_INPUT, "the model of %s is not there: it is %s", c->id, v.state);
    }
    if (rc == RC_OK) {
        rc = store_variant_files(tx, v.id, &s->files, &s->n, err);
    }
    if (rc != RC_OK) {
        return rc;
    }
    work_label(v.recipe, &(struct work_runtime){1, c->threads, c->batch}, s->label);
    s->model = m.id;
    s->family = m.family;
    s->main = v.main;
    s->machine_type = c->machine_type;
    s->threads = c->threads;
    s->batch = c->batch;
    return RC_OK;
}

static enum rc load_model(struct store_tx *tx, const char *id, struct side *s, struct err *err) {
    struct store_model m;
    enum rc rc = store_model_get(tx, id, &m, err);
    if (rc == RC_NOT_FOUND) {
        return err_set(err, RC_NOT_FOUND, "\"%.64s\" is neither a configuration nor a model", id);
    }
    if (rc == RC_OK) {
        rc = store_model_files(tx, m.id, &s->files, &s->n, err);
    }
    if (rc == RC_OK) {
        snprintf(s->label, sizeof(s->label), "%.200s", m.name);
        s->model = m.id;
        s->family = m.family;
        s->main = m.main;
    }
    return rc;
}

static enum rc load_side(struct store_tx *tx, const char *id, struct side *s, struct err *err) {
    struct store_configuration c;
    *s = (struct side){.id = id};
    enum rc rc = store_configuration_get(tx, id, &c, err);
    if (rc == RC_OK) {
        rc = load_configuration(tx, &c, s, err);
    } else if (rc == RC_NOT_FOUND) {
        rc = load_model(tx, id, s, err);
    }
    return rc;
}

/* Two models without settings: one instance on all cores of the machine heard of last. */
static enum rc default_settings(struct store_tx *tx, struct side *s, struct err *err) {
    struct store_target *targets, *last = NULL;
    size_t n;
    enum rc rc = store_targets_list(tx, &targets, &n, err);
    for (size_t i = 0; rc == RC_OK && i < n; i++) {
        last = !last || targets[i].last_seen_ms > last->last_seen_ms ? &targets[i] : last;
    }
    if (rc != RC_OK || !last) {
        return rc != RC_OK ? rc
                           : err_set(err, RC_NOT_FOUND, "there is no target to measure on: start an agent");
    }
    json_t *fingerprint = stored_json(last->fingerprint_json);
    int64_t cores = json_integer_value(json_object_get(json_object_get(fingerprint, "cpu"), "cores"));
    json_decref(fingerprint);
    s->machine_type = last->machine_type;
    s->threads = cores > 0 ? cores : 1;
    s->batch = 1;
    return RC_OK;
}

static void take_settings(struct side *to, const struct side *from) {
    to->machine_type = from->machine_type;
    to->threads = from->threads;
    to->batch = from->batch;
}

static enum rc fit_settings(struct store_tx *tx, struct side *a, struct side *b, struct err *err) {
    enum rc rc = a->machine_type || b->machine_type ? RC_OK : default_settings(tx, a, err);
    if (rc != RC_OK) {
        return rc;
    }
    if (!a->machine_type) {
        take_settings(a, b);
    } else if (!b->machine_type) {
        take_settings(b, a);
    }
    if (!a->machine_type || !b->machine_type || strcmp(a->machine_type, b->machine_type) != 0) {
        return err_set(err, RC_INPUT, "the two belong to different machine types (%s and %s)",
                       a->machine_type ? a->machine_type : "none",
                       b->machine_type ? b->machine_type : "none");
    }
    return a->batch == b->batch ? RC_OK
                                : err_set(err, RC_INPUT, "the two have different batches (%lld and %lld)",
                                          (long long)a->batch, (long long)b->batch);
}

static enum rc find_dataset(struct store_tx *tx, const struct comparison_wish *wish, const struct side *a,
                            const struct side *b, struct store_dataset *ret, struct err *err) {
    enum { STUDIES_LOOKED_AT = 1000 };
    const struct store_page page = {.limit = STUDIES_LOOKED_AT};
    struct store_study *studies;
    size_t n = 0;
    const char *found = wish->dataset;
    enum rc rc = found ? RC_OK : store_studies_list(tx, &page, &studies, &n, err);
    for (size_t i = 0; rc == RC_OK && !found && i < n; i++) {
        bool fits = strcmp(studies[i].model, a->model) == 0 || strcmp(studies[i].model, b->model) == 0;
        found = fits ? studies[i].dataset : NULL;
    }
    if (rc == RC_OK && !found) {
        rc = err_set(err, RC_INPUT, "no study of these models tells which examples to run: give \"dataset\"");
    }
    return rc == RC_OK ? store_dataset_get(tx, found, ret, err) : rc;
}

/* ---- the plan ---- */

static json_t *model_json(const struct side *s) {
    return json_pack("{s:s, s:s, s:o}", "family", s->family, "main", s->main, "files",
                     work_files_json(s->files, s->n));
}

static json_t *runtime_json(const struct side *s) {
    return json_pack("{s:i, s:I, s:I}", "instances", 1, "threads", (json_int_t)s->threads, "batch",
                     (json_int_t)s->batch);
}

static json_t *side_json(const struct side *s) {
    return json_pack("{s:s, s:s, s:o}", "id", s->id, "label", s->label, "runtime", runtime_json(s));
}

static enum rc make_spec(struct store_tx *tx, const struct side *model, const struct side *reference,
                         const struct store_dataset *d, json_t **ret, struct err *err) {
    json_t *dataset = NULL, *limits = NULL;
    enum rc rc = work_dataset_json(tx, d, json_pack("{s:s}", "take", "all"), &dataset, err);
    if (rc == RC_OK) {
        rc = work_limits_json(tx, NULL, NULL, &limits, err);
    }
    if (rc == RC_OK) {
        rc = stored_give(json_pack("{s:s, s:o, s:o, s:O, s:o, s:o, s:O}", "kind", "compare", "model",
                                   model_json(model), "reference", model_json(reference), "dataset", dataset,
                                   "runtime", runtime_json(model), "reference_runtime",
                                   runtime_json(reference), "limits", limits),
                         ret, err);
    }
    json_decref(dataset);
    json_decref(limits);
    return rc;
}

static enum rc make_texts(struct store_tx *tx, const struct comparison_wish *wish, const struct side *model,
                          const struct side *reference, const struct store_dataset *d,
                          struct comparison_plan *p, struct err *err) {
    json_t *spec = NULL;
    enum rc rc = make_spec(tx, model, reference, d, &spec, err);
    if (rc == RC_OK) {
        rc = stored_id("cmk",
                       json_pack("{s:O, s:s, s:f, s:f}", "spec", spec, "machine_type", model->machine_type,
                                 "margin", wish->margin, "confidence", wish->confidence),
                       p->key, err);
    }
    if (rc == RC_OK) {
        rc = stored_tx_text(tx, spec, &p->spec_json, err);
    }
    if (rc == RC_OK) {
        rc =
            stored_tx_text(tx,
                           json_pack("{s:o, s:o, s:s, s:f, s:f, s:f}", "model", side_json(model), "reference",
                                     side_json(reference), "dataset", d->id, "margin", wish->margin,
                                     "confidence", wish->confidence, "time_limit_s", wish->time_limit_s),
                           &p->request_json, err);
    }
    return rc;
}

static void add_files(struct comparison_plan *p, const struct store_file *files, size_t n) {
    for (size_t i = 0; i < n && p->n_files < COMPARISON_FILES_MAX; i++) {
        p->files[p->n_files++] = files[i].sha256;
    }
}

enum rc comparison_plan_make(struct store_tx *tx, const struct comparison_wish *wish,
                             struct comparison_plan *ret, struct err *err) {
    struct side model, reference;
    struct store_dataset dataset;
    struct store_file *files;
    size_t n = 0;
    ret->n_files = 0;
    enum rc rc = load_side(tx, wish->model, &model, err);
    if (rc == RC_OK) {
        rc = load_side(tx, wish->reference, &reference, err);
    }
    if (rc == RC_OK && strcmp(model.family, reference.family) != 0) {
        rc = err_set(err, RC_UNSUPPORTED,
                     "%s is a %s model and %s a %s one: a comparison run takes two of one kind", model.id,
                     model.family, reference.id, reference.family);
    }
    if (rc == RC_OK) {
        rc = fit_settings(tx, &model, &reference, err);
    }
    if (rc == RC_OK) {
        rc = find_dataset(tx, wish, &model, &reference, &dataset, err);
    }
    if (rc == RC_OK) {
        rc = make_texts(tx, wish, &model, &reference, &dataset, ret, err);
    }
    if (rc == RC_OK) {
        rc = store_dataset_files(tx, dataset.id, &files, &n, err);
    }
    if (rc != RC_OK) {
        return rc;
    }
    if (model.n + reference.n + n > COMPARISON_FILES_MAX) {
        return err_set(err, RC_TOO_LARGE, "the two have more than %d files", (int)COMPARISON_FILES_MAX);
    }
    add_files(ret, model.files, model.n);
    add_files(ret, reference.files, reference.n);
    add_files(ret, files, n);
    ret->machine_type = model.machine_type;
    ident_random("cmp", ret->id);
    return RC_OK;
}

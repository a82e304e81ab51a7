/* explanation.c -- see explanation.h. Results of workers are read with care: they come from other machines.
 */
#include "advisor/jobs/explanation.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "advisor/decide/cause.h"
#include "advisor/jobs/eligibility.h"
#include "advisor/jobs/explanation_scheme.h"
#include "advisor/jobs/question.h"
#include "advisor/jobs/stored_json.h"
#include "core/base/container.h"
#include "core/base/ident.h"
#include "core/base/json.h"
#include "core/recipes/recipe.h"
#include "db/store_machines.h"
#include "db/store_models.h"
#include "db/store_work.h"

enum { KINDS_MAX = 64, OP_SIZE = 48, DTYPE_SIZE = 16, SIBLINGS_MAX = 64, TEXT_BYTES_MAX = 4096 };

/* What a profile says that matters here. */
struct facts {
    double single_us, per_s;
    size_t n;
    struct cause_kind *kinds; /* [n]; their texts are in `names` */
    char (*names)[OP_SIZE + DTYPE_SIZE];
    double us, weight_bytes;
};

struct machine {
    char id[IDENT_SIZE];
    json_t *roofline; /* NULL: none was measured */
    double cache_bytes;
    bool isa_known, int8_dot;
};

struct explanations {
    json_t *places; /* profile -> index of its facts */
    struct facts *facts;
    size_t n, capacity;
    struct machine machine; /* the last one asked about; id "" = none */
    char model[IDENT_SIZE], baseline[IDENT_SIZE], baseline_recipe[RECIPE_TEXT_SIZE]; /* the last one */
    double baseline_bytes;
    enum model_family family;
};

struct explanations *explanations_new(void) {
    struct explanations *e = calloc(1, sizeof(*e));
    if (e && !(e->places = json_object())) {
        free(e);
        return NULL;
    }
    return e;
}

void explanations_free(struct explanations *e) {
    if (!e) {
        return;
    }
    for (size_t i = 0; i < e->n; i++) {
        free(e->facts[i].kinds);
        free(e->facts[i].names);
    }
    free(e->facts);
    json_decref(e->places);
    json_decref(e->machine.roofline);
    free(e);
}

/* ---- profiles ---- */

/* null means not known, and so does anything that is no number of at least 0. */
static double figure(const json_t *object, const char *key) {
    double value = json_shown_number(object, key);
    return value >= 0 && value < 1e30 ? value : NAN;
}

static enum rc read_kinds(const json_t *operators, struct facts *f, struct err *err) {
    const json_t *kind, *types = json_object_get(operators, "types");
    size_t i, n = json_array_size(types) < KINDS_MAX ? json_array_size(types) : KINDS_MAX;
    f->kinds = calloc(n + 1, sizeof(*f->kinds));
    f->names = calloc(n + 1, sizeof(*f->names));
    if (!f->kinds || !f->names) {
        return err_memory(err);
    }
    json_array_foreach(types, i, kind) {
        if (i == n || !(figure(kind, "us") >= 0)) {
            break;
        }
        char *op = f->names[i], *dtype = f->names[i] + OP_SIZE;
        snprintf(op, OP_SIZE, "%s", json_shown_text(kind, "op"));
        snprintf(dtype, DTYPE_SIZE, "%s", json_shown_text(kind, "dtype"));
        f->kinds[i] = (struct cause_kind){.op = op,
                                          .dtype = dtype,
                                          .us = figure(kind, "us"),
                                          .calls = figure(kind, "calls"),
                                          .macs = figure(kind, "macs"),
                                          .bytes = figure(kind, "bytes"),
                                          .weight_bytes = figure(kind, "weight_bytes")};
        f->us += f->kinds[i].us;
        f->n++;
    }
    f->weight_bytes = figure(operators, "weight_bytes");
    return RC_OK;
}

static enum rc read_facts(const json_t *result, struct facts *f, struct err *err) {
    const json_t *scenarios = json_object_get(result, "scenarios");
    const json_t *single = json_object_get(scenarios, "single-stream"),
                 *offline = json_object_get(scenarios, "offline");
    const json_t *latency = json_object_get(single, "latency_us");
    f->single_us = figure(latency, "p50");
    f->single_us = isnan(f->single_us) ? figure(latency, "mean") : f->single_us;
    f->per_s = figure(offline, "throughput_per_s");
    return read_kinds(json_object_get(result, "operators"), f, err);
}

static enum rc room_for_facts(struct explanations *e, struct err *err) {
    if (e->n < e->capacity) {
        return RC_OK;
    }
    size_t capacity = e->capacity ? 2 * e->capacity : 16;
    struct facts *grown = realloc(e->facts, capacity * sizeof(*grown));
    if (!grown) {
        return err_memory(err);
    }
    e->facts = grown;
    e->capacity = capacity;
    return RC_OK;
}

/* *place: index into e->facts. */
static enum rc facts_of(struct explanations *e, struct store_tx *tx, const char *profile, size_t *place,
                        struct err *err) {
    struct store_profile p;
    const json_t *known = json_object_get(e->places, profile);
    *place = (size_t)json_integer_value(known);
    if (known) {
        return RC_OK;
    }
    enum rc rc = room_for_facts(e, err);
    if (rc == RC_OK) {
        rc = store_profile_get(tx, profile, &p, err);
    }
    if (rc != RC_OK) {
        return rc;
    }
    struct facts f = {0};
    json_t *result = stored_json(p.result_json);
    rc = read_facts(result, &f, err);
    json_decref(result);
    *place = e->n;
    e->facts[e->n++] = f; /* released with e, also when it is not complete */
    if (rc == RC_OK && json_object_set_new(e->places, profile, json_integer((json_int_t)*place)) != 0) {
        rc = err_memory(err);
    }
    return rc;
}

/* ---- the machine ---- */

static bool is_byte_dot(const char *isa) {
    static const char *const names[] = {"avx512_vnni", "avx_vnni", "amx_int8", "asimddp", "i8mm"};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        if (strcmp(isa, names[i]) == 0) {
            return true;
        }
    }
    return false;
}

static void read_cpu(const json_t *cpu, struct machine *m) {
    size_t i;
    const json_t *item, *isa = json_object_get(cpu, "isa");
    double l3 = figure(cpu, "l3_bytes"), l2 = figure(cpu, "l2_bytes");
    m->cache_bytes = l3 > 0 ? l3 : l2;
    m->isa_known = json_array_size(isa) > 0;
    json_array_foreach(isa, i, item) {
        const char *name = json_string_value(item);
        m->int8_dot = m->int8_dot || (name && is_byte_dot(name));
    }
}

/* The roofline of the newest target of the type that has one. */
static enum rc find_roofline(struct store_tx *tx, const char *type, json_t **ret, struct err *err) {
    struct store_target *targets;
    size_t n = 0;
    int64_t newest_ms = -1;
    enum rc rc = store_targets_list(tx, &targets, &n, err);
    for (size_t i = 0; rc == RC_OK && i < n; i++) {
        if (strcmp(targets[i].machine_type, type) != 0 || targets[i].last_seen_ms < newest_ms) {
            continue;
        }
        json_t *fingerprint = stored_json(targets[i].fingerprint_json);
        json_t *roofline = json_object_get(fingerprint, "roofline");
        if (json_is_object(roofline)) {
            json_decref(*ret);
            *ret = json_incref(roofline);
            newest_ms = targets[i].last_seen_ms;
        }
        json_decref(fingerprint);
    }
    return rc;
}

static enum rc look_at_machine(struct explanations *e, struct store_tx *tx, const char *type,
                               struct err *err) {
    struct store_machine_type row;
    if (strcmp(e->machine.id, type) == 0) {
        return RC_OK;
    }
    json_decref(e->machine.roofline);
    e->machine = (struct machine){0};
    enum rc rc = store_machine_type_get(tx, type, &row, err);
    if (rc != RC_OK) {
        return rc;
    }
    json_t *fingerprint = stored_json(row.fingerprint_json);
    read_cpu(json_object_get(fingerprint, "cpu"), &e->machine);
    json_decref(fingerprint);
    rc = find_roofline(tx, type, &e->machine.roofline, err);
    snprintf(e->machine.id, sizeof(e->machine.id), "%s", type);
    return rc;
}

/* With `threads`: as measured, or between one thread and all as the threads are. NAN where there is none. */
static double best_rate(const json_t *roofline, const char *list, const char *dtype, const char *key,
                        double threads) {
    const json_t *entry;
    size_t i;
    double one = NAN, most = NAN, at_most = 0;
    json_array_foreach(json_object_get(roofline, list), i, entry) {
        double n = figure(entry, "threads"), value = figure(entry, key);
        if ((dtype && strcmp(json_shown_text(entry, "dtype"), dtype) != 0) || !(value > 0)) {
            continue;
        }
        if (n == threads) {
            return value;
        }
        one = n == 1 ? value : one;
        most = n > at_most ? value : most;
        at_most = n > at_most ? n : at_most;
    }
    return threads >= at_most ? most : fmin(one * threads, most);
}

static struct cause_machine machine_for(const struct machine *m, double threads) {
    double all = figure(m->roofline, "threads");
    return (struct cause_machine){.fp32_gops = best_rate(m->roofline, "gemm", "fp32", "gop_per_s", threads),
                                  .int8_gops = best_rate(m->roofline, "gemm", "int8", "gop_per_s", threads),
                                  .copy_gb_per_s = best_rate(m->roofline, "copy", NULL, "gb_per_s", threads),
                                  .copy_all_gb_per_s = best_rate(m->roofline, "copy", NULL, "gb_per_s", all),
                                  .cache_bytes = m->cache_bytes > 0 ? m->cache_bytes : NAN,
                                  .isa_known = m->isa_known,
                                  .int8_dot = m->int8_dot};
}

/* ---- the baseline ---- */

static enum rc look_at_model(struct explanations *e, struct store_tx *tx, const char *model,
                             struct err *err) {
    struct store_model row;
    struct store_variant *all;
    size_t n = 0;
    if (strcmp(e->model, model) == 0) {
        return RC_OK;
    }
    enum rc rc = store_model_get(tx, model, &row, err);
    if (rc == RC_OK) {
        rc = model_family_parse(row.family, &e->family, err);
    }
    if (rc == RC_OK) {
        rc = store_variants_of_model(tx, model, &all, &n, err);
    }
    e->baseline[0] = '\0';
    for (size_t i = 0; rc == RC_OK && i < n; i++) {
        if (strcmp(all[i].recipe, recipe_baseline(e->family)) == 0) {
            snprintf(e->baseline, sizeof(e->baseline), "%s", all[i].id);
            snprintf(e->baseline_recipe, sizeof(e->baseline_recipe), "%s", all[i].recipe);
            e->baseline_bytes = (double)all[i].bytes;
        }
    }
    if (rc == RC_OK) {
        snprintf(e->model, sizeof(e->model), "%s", model);
    }
    return rc;
}

/* ---- the question ---- */

struct subject {
    struct store_configuration configuration;
    struct store_variant variant;
    struct cause_setting siblings[SIBLINGS_MAX], baseline;
    size_t n_siblings, theirs; /* theirs: place of the facts of the baseline */
    bool has_baseline;
};

static bool same_settings(const struct store_configuration *a, const struct store_configuration *b) {
    return a->instances == b->instances && a->threads == b->threads && a->batch == b->batch;
}

static struct cause_setting setting_of(const struct store_configuration *c, const struct facts *f) {
    return (struct cause_setting){.instances = (uint32_t)c->instances,
                                  .threads = (uint32_t)c->threads,
                                  .batch = (uint32_t)c->batch,
                                  .single_us = f->single_us,
                                  .per_s = f->per_s};
}

/* The measured configurations of a variant on the same machine: with the same settings, or the others. */
static enum rc look_at_variant(struct explanations *e, struct store_tx *tx, const char *variant,
                               struct subject *s, bool as_baseline, struct err *err) {
    struct store_measured *rows;
    size_t n = 0, place;
    const struct store_configuration *c = &s->configuration;
    enum rc rc =
        store_measured_of_variant(tx, variant, scenario_name(SCENARIO_OFFLINE), 0.95, &rows, &n, err);
    for (size_t i = 0; rc == RC_OK && i < n; i++) {
        const struct store_configuration *other = &rows[i].configuration;
        bool here = strcmp(other->machine_type, c->machine_type) == 0;
        if (!here || same_settings(other, c) != as_baseline || s->n_siblings == SIBLINGS_MAX) {
            continue;
        }
        rc = facts_of(e, tx, rows[i].profile, &place, err);
        if (rc == RC_OK && as_baseline) {
            s->baseline = setting_of(other, &e->facts[place]);
            s->theirs = place;
            s->has_baseline = true;
        } else if (rc == RC_OK) {
            s->siblings[s->n_siblings++] = setting_of(other, &e->facts[place]);
        }
    }
    return rc;
}

static struct cause_operators operators_of(const struct facts *f) {
    return (struct cause_operators){f->kinds, f->n, f->us, f->weight_bytes};
}

static struct cause_question question_of(struct explanations *e, const struct subject *s, size_t mine) {
    const struct facts *f = &e->facts[mine];
    bool is_baseline = strcmp(s->variant.id, e->baseline) == 0;
    struct cause_question q = {.recipe = s->variant.recipe,
                               .baseline_recipe = is_baseline || !e->baseline[0] ? NULL : e->baseline_recipe,
                               .scheme = explanation_scheme(s->variant.recipe, e->family),
                               .setting = setting_of(&s->configuration, f),
                               .siblings = s->siblings,
                               .sibling_count = s->n_siblings,
                               .mine = operators_of(f),
                               .size_bytes = (double)s->variant.bytes,
                               .baseline_bytes = e->baseline_bytes,
                               .generates = e->family == FAMILY_GGUF,
                               .machine = machine_for(&e->machine, (double)s->configuration.threads)};
    if (s->has_baseline) {
        q.baseline = &s->baseline;
        q.theirs = operators_of(&e->facts[s->theirs]);
    }
    return q;
}

static enum rc fields_of(const struct cause_question *q, const struct hardware_rule *rule, json_t **ret,
                         struct err *err) {
    struct cause_list list;
    struct buf text;
    buf_init(&text, TEXT_BYTES_MAX);
    cause_find(q, &list);
    enum rc rc = cause_sentence(q, &list, &text, err);
    json_t *causes = json_array();
    for (size_t i = 0; i < list.n; i++) {
        json_array_append_new(causes, json_pack("{s:s, s:s}", "code", cause_name(list.items[i].code), "text",
                                                list.items[i].text));
    }
    json_t *fields = json_pack(
        "{s:s?, s:o, s:o, s:o}", "explanation", text.size > 0 ? text.data : NULL, "causes", causes, "speedup",
        q->baseline_recipe ? stored_number(list.speedup) : json_null(), "hardware", eligibility_json(rule));
    buf_free(&text);
    if (rc != RC_OK) {
        json_decref(fields);
        return rc;
    }
    return stored_give(fields, ret, err);
}

enum rc explanation_fields(struct explanations *e, struct store_tx *tx, const char *profile, json_t **ret,
                           struct err *err) {
    struct subject *s = calloc(1, sizeof(*s));
    struct store_profile p;
    const struct hardware_rule *rule = NULL;
    size_t mine = 0;
    enum rc rc = s ? store_profile_get(tx, profile, &p, err) : err_memory(err);
    if (rc == RC_OK) {
        rc = store_configuration_get(tx, p.configuration, &s->configuration, err);
    }
    if (rc == RC_OK) {
        rc = store_variant_get(tx, s->configuration.variant, &s->variant, err);
    }
    if (rc == RC_OK) {
        rc = look_at_model(e, tx, s->variant.model, err);
    }
    if (rc == RC_OK) {
        rc = look_at_machine(e, tx, s->configuration.machine_type, err);
    }
    if (rc == RC_OK) {
        rc = facts_of(e, tx, profile, &mine, err);
    }
    if (rc == RC_OK) {
        rc = look_at_variant(e, tx, s->variant.id, s, false, err);
    }
    if (rc == RC_OK && e->baseline[0] && strcmp(e->baseline, s->variant.id) != 0) {
        rc = look_at_variant(e, tx, e->baseline, s, true, err);
    }
    if (rc == RC_OK) {
        struct cause_question q = question_of(e, s, mine);
        rc = eligibility_on(tx, s->variant.recipe, e->family, s->configuration.machine_type, &rule, err);
        rc = rc == RC_OK ? fields_of(&q, rule, ret, err) : rc;
    }
    free(s);
    return rc;
}

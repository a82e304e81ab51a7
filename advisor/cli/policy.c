#include "advisor/cli/policy.h"

#include <ctype.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/file.h"
#include "core/base/json.h"

enum { MAX_POLICY_BYTES = 1 << 20, NAME_MAX_BYTES = 64 };

static const char *const keys[] = {"name",      "model",          "data",           "calibration",
                                   "floors",    "budgets",        "recipe",         "recipes",
                                   "preset",    "threads",        "price_per_hour", "confidence",
                                   "scenarios", "no_slower_than", "instructions",   NULL};

static enum rc read_list(const json_t *d, const char *key, struct option_list *list, struct err *err) {
    const json_t *array = json_object_get(d, key);
    size_t i;
    json_t *item;
    if (!array) {
        return RC_OK;
    }
    if (!json_is_array(array) || json_array_size(array) > OPTION_LIST_MAX) {
        return err_set(err, RC_INPUT, "field \"%s\" must be an array of at most %d texts", key,
                       OPTION_LIST_MAX);
    }
    json_array_foreach((json_t *)array, i, item) {
        if (!json_is_string(item)) {
            return err_set(err, RC_INPUT, "field \"%s\" must hold texts only", key);
        }
        list->items[list->count++] = json_string_value(item);
    }
    return RC_OK;
}

/* `text` as a path seen from the policy's folder; "a,b" (a pair of IDX files) is resolved in both halves. */
static enum rc resolve(const char *file, const char *text, char out[4096], struct err *err) {
    const char *slash = strrchr(file, '/');
    int folder = slash ? (int)(slash - file + 1) : 0;
    const char *comma = strchr(text, ',');
    int n;
    if (comma) {
        const char *second = comma + 1;
        n = snprintf(out, 4096, "%.*s%.*s,%.*s%s", text[0] == '/' ? 0 : folder, file, (int)(comma - text),
                     text, second[0] == '/' ? 0 : folder, file, second);
    } else {
        n = snprintf(out, 4096, "%.*s%s", text[0] == '/' ? 0 : folder, file, text);
    }
    return n > 0 && n < 4096 ? RC_OK : err_set(err, RC_INPUT, "a path of the policy is too long");
}

static enum rc read_files(const char *file, struct policy *p, struct err *err) {
    const char *model = NULL, *data = NULL, *calibration = NULL;
    enum rc rc = json_get_string(p->json, "model", &model, err);
    if (rc == RC_OK) {
        rc = json_get_string(p->json, "data", &data, err);
    }
    if (rc == RC_OK) {
        rc = json_opt_string(p->json, "calibration", &calibration, err);
    }
    if (rc == RC_OK) {
        rc = resolve(file, model, p->paths[0], err);
    }
    if (rc == RC_OK) {
        rc = resolve(file, data, p->paths[1], err);
    }
    if (rc == RC_OK && calibration) {
        rc = resolve(file, calibration, p->paths[2], err);
    }
    p->request.model_file = p->paths[0];
    p->request.data = p->paths[1];
    p->request.calibration = calibration ? p->paths[2] : NULL;
    return rc;
}

/* "no_slower_than": {"model": path, "margin"?: share, "time_limit_s"?}: the service checks the numbers. */
static enum rc read_reference(const char *file, struct policy *p, struct err *err) {
    static const char *const known[] = {"model", "margin", "time_limit_s", NULL};
    const char *model = NULL;
    if (!json_object_get(p->json, "no_slower_than")) {
        return RC_OK;
    }
    enum rc rc = json_get_object(p->json, "no_slower_than", &p->no_slower_than, err);
    if (rc == RC_OK) {
        rc = json_only_keys(p->no_slower_than, known, err);
    }
    if (rc == RC_OK) {
        rc = json_get_string(p->no_slower_than, "model", &model, err);
    }
    return rc == RC_OK ? resolve(file, model, p->reference, err) : err_prefix(err, "no_slower_than");
}

/* The service keeps a gate's history under this name: checked here, before anything is measured. */
static enum rc check_name(const char *name, struct err *err) {
    size_t n = strlen(name);
    bool fine = n > 0 && n <= NAME_MAX_BYTES && name[0] != '.';
    for (size_t i = 0; i < n && fine; i++) {
        fine = isalnum((unsigned char)name[i]) || strchr("._-", name[i]);
    }
    return fine ? RC_OK
                : err_set(err, RC_INPUT,
                          "\"name\" must be 1 to %d letters, digits, \".\", \"_\" or \"-\", not \"%.64s\"",
                          (int)NAME_MAX_BYTES, name);
}

static enum rc read_wishes(struct policy *p, struct err *err) {
    struct study_request *r = &p->request;
    enum rc rc = json_get_string(p->json, "name", &p->gate, err);
    if (rc == RC_OK) {
        rc = check_name(p->gate, err);
    }
    if (rc == RC_OK) {
        rc = json_opt_string(p->json, "recipe", &p->recipe, err);
    }
    if (rc == RC_OK) {
        rc = json_opt_string(p->json, "preset", &r->preset, err);
    }
    if (rc == RC_OK) {
        rc = json_opt_string(p->json, "instructions", &r->instructions, err);
    }
    if (rc == RC_OK) {
        rc = json_opt_int(p->json, "threads", 1, 1024, &r->threads, err);
    }
    if (rc == RC_OK) {
        rc = json_opt_number(p->json, "price_per_hour", &r->price_per_hour, err);
    }
    if (rc == RC_OK) {
        rc = json_opt_number(p->json, "confidence", &r->confidence, err);
    }
    if (rc == RC_OK) {
        rc = read_list(p->json, "floors", &r->floors, err);
    }
    if (rc == RC_OK) {
        rc = read_list(p->json, "budgets", &r->budgets, err);
    }
    if (rc == RC_OK) {
        rc = read_list(p->json, "recipes", &r->recipes, err);
    }
    if (rc == RC_OK) {
        rc = read_list(p->json, "scenarios", &r->scenarios, err);
    }
    if (rc == RC_OK && r->floors.count + r->budgets.count == 0 && !p->no_slower_than) {
        rc = err_set(
            err, RC_INPUT,
            "it has neither \"floors\" nor \"budgets\" nor \"no_slower_than\": there is nothing to check");
    }
    return rc;
}

enum rc policy_read(const char *file, struct policy *p, struct err *err) {
    char *text = NULL;
    size_t size;
    *p = (struct policy){.request = {.price_per_hour = NAN, .confidence = NAN}};
    enum rc rc = file_read(file, MAX_POLICY_BYTES, &text, &size, err);
    if (rc != RC_OK) {
        return rc;
    }
    if ((rc = json_parse(text, size, &p->json, err)) != RC_OK ||
        (rc = json_only_keys(p->json, keys, err)) != RC_OK || (rc = read_files(file, p, err)) != RC_OK ||
        (rc = read_reference(file, p, err)) != RC_OK || (rc = read_wishes(p, err)) != RC_OK) {
        err_prefix(err, "%s", file);
        policy_free(p);
    }
    free(text);
    return rc;
}

void policy_free(struct policy *p) {
    json_decref(p->json);
    p->json = NULL;
}

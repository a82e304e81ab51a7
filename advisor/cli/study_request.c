#include "advisor/cli/study_request.h"

#include <math.h>

#include "advisor/cli/client_options.h"
#include "advisor/cli/dataset_arg.h"

/* Steals `value`. */
static enum rc set_new(json_t *body, const char *key, json_t *value, struct err *err) {
    return json_object_set_new(body, key, value) == 0 ? RC_OK : err_memory(err);
}

static enum rc set_text(json_t *body, const char *key, const char *text, struct err *err) {
    return text ? set_new(body, key, json_string(text), err) : RC_OK;
}

static enum rc set_number(json_t *body, const char *key, double number, struct err *err) {
    return isnan(number) ? RC_OK : set_new(body, key, json_real(number), err);
}

static enum rc set_wishes(const struct study_request *r, json_t *body, struct err *err) {
    const struct {
        const char *key;
        const struct option_list *list;
    } lists[] = {{"floors", &r->floors},
                 {"budgets", &r->budgets},
                 {"recipes", &r->recipes},
                 {"targets", &r->targets},
                 {"scenarios", &r->scenarios}};
    enum rc rc = set_text(body, "preset", r->preset, err);
    if (rc == RC_OK) {
        rc = set_text(body, "evaluate", r->evaluate, err);
    }
    if (rc == RC_OK) {
        rc = set_text(body, "instructions", r->instructions, err);
    }
    if (rc == RC_OK) {
        rc = set_number(body, "price_per_hour", r->price_per_hour, err);
    }
    if (rc == RC_OK) {
        rc = set_number(body, "confidence", r->confidence, err);
    }
    if (rc == RC_OK && r->threads > 0) {
        rc = set_new(body, "threads", json_integer(r->threads), err);
    }
    for (size_t i = 0; rc == RC_OK && i < sizeof(lists) / sizeof(lists[0]); i++) {
        rc = client_options_list(body, lists[i].key, lists[i].list, err);
    }
    return rc;
}

static json_t *id_of(const json_t *object) {
    return json_object_get(object, "id");
}

enum rc study_request_send(struct client *c, const struct study_request *r, json_t **ret, struct err *err) {
    json_t *model = NULL, *dataset = NULL, *calibration = NULL, *body = NULL;
    enum rc rc = client_add_model(c, r->model_file, &model, err);
    if (rc != RC_OK) {
        goto out;
    }
    if ((rc = dataset_arg_add(c, r->data, &dataset, err)) != RC_OK) {
        goto out;
    }
    if (r->calibration && (rc = dataset_arg_add(c, r->calibration, &calibration, err)) != RC_OK) {
        goto out;
    }
    body = json_pack("{s:O, s:O, s:O*}", "model", id_of(model), "dataset", id_of(dataset), "calibration",
                     id_of(calibration));
    rc = body ? set_wishes(r, body, err) : err_set(err, RC_INTERNAL, "the service's answer has no id");
    if (rc == RC_OK) {
        rc = client_post(c, "/v1/studies", body, ret, err);
    }
out:
    json_decref(model);
    json_decref(dataset);
    json_decref(calibration);
    json_decref(body);
    return rc;
}

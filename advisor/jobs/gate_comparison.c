#include "advisor/jobs/gate_comparison.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/base/json.h"

static bool is(const char *a, const char *b) {
    return a && strcmp(a, b) == 0;
}

static const char *text_of(const json_t *object, const char *key) {
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

enum rc gate_comparison_read(const json_t *body, struct gate_comparison *ret, struct err *err) {
    json_t *object = NULL, *numbers;
    if (!json_object_get(body, "no_slower_than")) {
        return RC_OK;
    }
    enum rc rc = json_get_object(body, "no_slower_than", &object, err);
    if (rc == RC_OK) {
        rc = json_get_string(object, "model", &ret->wish.reference, err);
    }
    if (rc == RC_OK) {
        rc = json_opt_string(body, "comparison", &ret->named, err);
    }
    if (rc != RC_OK) {
        return rc;
    }
    numbers = json_copy(object);
    json_object_del(numbers, "model");
    rc = comparison_wish_read(numbers, &ret->wish, err);
    json_decref(numbers);
    ret->wish.reuse = true;
    ret->wanted = true;
    return rc == RC_OK ? RC_OK : err_prefix(err, "no_slower_than");
}

enum rc gate_comparison_look(struct jobs *j, struct gate_comparison *g, const char *configuration,
                             struct err *err) {
    enum rc rc = RC_OK;
    g->wish.model = configuration;
    if (g->named) {
        snprintf(g->id, sizeof(g->id), "%s", g->named);
    } else {
        rc = comparisons_begin(j, &g->wish, g->id, err);
    }
    if (rc == RC_OK) {
        rc = comparisons_get(j, g->id, &g->found, err);
    }
    double margin = json_number_value(json_object_get(g->found, "margin"));
    bool same =
        rc != RC_OK || (is(text_of(json_object_get(g->found, "model"), "id"), configuration) &&
                        is(text_of(json_object_get(g->found, "reference"), "id"), g->wish.reference) &&
                        fabs(margin - g->wish.margin) < 1e-9);
    return same ? rc
                : err_set(err, RC_INPUT, "the comparison %s is not of %s and %s at that margin", g->id,
                          configuration, g->wish.reference);
}

bool gate_comparison_waits(const struct gate_comparison *g) {
    return g->wanted && is(text_of(g->found, "state"), "running");
}

enum rc gate_comparison_check(const struct gate_comparison *g, struct gate_check *ret, struct err *err) {
    const json_t *error = json_object_get(g->found, "error"), *ratio = json_object_get(g->found, "ratio");
    const char *verdict = text_of(g->found, "verdict"), *code = text_of(error, "code");
    if (!is(text_of(g->found, "state"), "done")) {
        return err_set(err, code[0] ? rc_from_name(code) : RC_CANCELLED, "the comparison %s %s: %s", g->id,
                       text_of(g->found, "state"), text_of(error, "text"));
    }
    const json_t *low = json_object_get(ratio, "low"), *high = json_object_get(ratio, "high");
    double most = 1 + g->wish.margin;
    bool no_slower = is(verdict, "faster") || (json_is_number(high) && json_number_value(high) < most);
    *ret = (struct gate_check){.bound = most};
    ret->check = (struct check){.verdict = is(verdict, "slower") ? VERDICT_BROKEN
                                           : no_slower           ? VERDICT_MET
                                                                 : VERDICT_UNDECIDED,
                                .measured = true,
                                .test = "comparison run, bounds valid after every replicate",
                                .value = json_number_value(json_object_get(ratio, "value")),
                                .low = json_is_number(low) ? json_number_value(low) : NAN,
                                .high = json_is_number(high) ? json_number_value(high) : NAN,
                                .p_value = NAN};
    ret->check.n = json_array_size(json_object_get(g->found, "replicates"));
    snprintf(ret->limit, sizeof(ret->limit), "slowdown<=%.3g%%", 100 * g->wish.margin);
    snprintf(ret->text, sizeof(ret->text),
             "takes %.3f times as long as %.80s (%.3f to %.3f, %llu replicates): %s", ret->check.value,
             text_of(json_object_get(g->found, "reference"), "label"), ret->check.low, ret->check.high,
             (unsigned long long)ret->check.n,
             is(verdict, "undecided") && no_slower ? "not slower" : verdict);
    return RC_OK;
}

/* ask.h -- a question in plain words, answered from what was measured: "what is the cheapest way to serve
 * resnet if it keeps 99 % of its accuracy and p99 stays under 5 ms?", "why not int8:dynamic?". */
#pragma once

#include <jansson.h>

#include "core/base/err.h"

struct jobs;

/* {"question": text, "study"?: id, "model"?: id or name}. The model is the one that is named, or whose name
 * the question holds, or the only one there is. *ret: {"text": the answer in a few sentences, "understood":
 * {"model", "study", "floors", "budgets"}, "recommendation": as of POST /v1/recommendations}. Limits that the
 * question does not set are those of the newest study of the model. Where it asks about a recipe ("why not
 * int4?"), the text says what became of it. RC_INPUT: what is not clear, and how to put it. RC_NOT_FOUND:
 * nothing was measured. */
MUST_USE enum rc ask_answer(struct jobs *j, const json_t *body, json_t **ret, struct err *err);

struct app;
/* Adds POST /v1/ask. To be called before the server starts. */
MUST_USE enum rc ask_route_add(struct app *app, struct err *err);

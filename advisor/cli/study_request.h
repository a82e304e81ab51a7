/* study_request.h -- what a study is made of on the command line's side: files to upload and wishes. */
#pragma once

#include <jansson.h>

#include "advisor/cli/client.h"
#include "advisor/cli/options.h"

struct study_request {
    const char *model_file;
    const char *data, *calibration; /* arguments as dataset_arg_add takes them; calibration may be NULL */
    const char *preset, *evaluate;  /* NULL: the service's default */
    const char *instructions;       /* "callgrind": count with it where no counter does; NULL */
    struct option_list floors, budgets, recipes, targets, scenarios;
    double price_per_hour, confidence; /* NAN: the service's default */
    int64_t threads;                   /* 0: all */
};

/* Uploads what the service lacks and creates the study. *ret is the study object, owned by the caller. */
MUST_USE enum rc study_request_send(struct client *c, const struct study_request *r, json_t **ret,
                                    struct err *err);

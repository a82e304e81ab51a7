/* dataset_arg.h -- what --data and --calibration name: an .npz, a text, a pair of IDX files, or a JSON
 * description of these. */
#pragma once

#include <jansson.h>

#include "advisor/cli/client.h"

/* `argument` is one of
 *   file.npz                    arrays named like the model's inputs, and "labels"
 *   file.txt                    text (GGUF models)
 *   images.gz,labels.gz         a pair of IDX files, plain or gzip
 *   file.json                   {"format": "npz"|"idx"|"text", "arrays"|"images"|"labels"|"text": path,
 * "input", "labels_array", "preprocess"}; paths are relative to the description Uploads the files, registers
 * the dataset and gives the service's dataset object in *ret, owned by the caller. */
MUST_USE enum rc dataset_arg_add(struct client *c, const char *argument, json_t **ret, struct err *err);

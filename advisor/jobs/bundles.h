/* bundles.h -- work for machines that cannot reach the service: packed into a bundle (`pare bundle`), run
 * there by pare-runner, and taken back as one signed file (`pare import`). */
#pragma once

#include <jansson.h>

#include "core/base/err.h"

struct jobs;

/* Makes a bundle of a study's variants that are ready. Body: {"min_samples"?, "time_limit_s"?,
 * "counted_runs"?, "batches"?: [1], "roofline"?: true}. *ret is the bundle's bundle.json, with the secret
 * half of its one-time key, which is told this once:
 *   {"format": 1, "bundle": "bun_...", "study": "std_...", "secret_key": hex, "threads": n | null,
 * "roofline": true, "jobs": [{"id", "token", "label", "variant", "layout": "one" | "each", "batch", "spec":
 * {...}}]} layout "one": all cores as one instance; "each": an instance a core. RC_NOT_FOUND; RC_CONFLICT
 * while no variant is ready. */
MUST_USE enum rc bundles_make(struct jobs *j, const char *study, const json_t *body, json_t **ret,
                              struct err *err);

/* Takes results back: {"sha256": hash of an uploaded results file}. Everything in the file is hostile until
 * its signature has been checked with the key of the bundle it names, and limited afterwards. *ret:
 *   {"bundle", "study", "target_id", "machine_type_id", "recorded": [{"label", "profile"}], "known":
 * [labels], "failed": [{"label", "error"}]} The same file again answers the same again. RC_INPUT: not a
 * results file, or changed; RC_NOT_FOUND: no such bundle here; RC_CONFLICT: other results of this bundle were
 * imported, or a job or token that is not the bundle's. */
MUST_USE enum rc bundles_import(struct jobs *j, const json_t *body, json_t **ret, struct err *err);

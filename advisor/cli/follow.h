/* follow.h -- waits for a study and shows its progress. */
#pragma once

#include <jansson.h>

#include "advisor/cli/client.h"

/* Follows the study's events (reconnecting where it left off) until it has ended; *ret is the study object,
 * owned by the caller. RC_OK also for a failed or cancelled study: its "state" says so. RC_IO when the
 * service stayed away for a minute. */
MUST_USE enum rc follow_study(struct client *c, const char *study_id, json_t **ret, struct err *err);

/* lease.h -- keeps the lease of one job alive from a thread of its own: a heartbeat every third of it. */
#pragma once

#include <stdatomic.h>
#include <stdint.h>

#include "core/base/err.h"

struct lease;

enum lease_state {
    LEASE_HELD,
    LEASE_LOST,      /* somebody else may have the job: its result is not wanted any more */
    LEASE_CANCELLED, /* the study was cancelled */
};

struct lease_opts {
    const char *server, *token; /* as http_client_opts */
    const char *job_id;
    int64_t job_token; /* the fencing token of the claim */
    uint32_t lease_s;
};

/* Starts the thread. Texts are copied. The caller owns *ret. */
MUST_USE enum rc lease_start(const struct lease_opts *opts, struct lease **ret, struct err *err);
/* Ends the thread (a heartbeat under way is given up). NULL is fine. */
void lease_end(struct lease *l);

enum lease_state lease_state(struct lease *l);
/* What the next heartbeat tells. `text` is copied. */
void lease_progress(struct lease *l, double fraction, const char *text);

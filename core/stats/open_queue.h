/* open_queue.h -- one queue, first come first served, before several servers (Kiefer and Wolfowitz 1955): how
 * long queries take whose arrivals do not wait for answers. */
#pragma once

#include <stddef.h>

/* free_at_s[servers]: when each server is free again; all 0 at the start. */
struct open_queue {
    double *free_at_s; /* borrowed */
    size_t servers;
};

/* Seconds from its arrival to its end of a query that arrives at `arrival_s`, not before the one before, and
 * takes `service_s` once it is begun. */
double open_queue_latency_s(struct open_queue *q, double arrival_s, double service_s);

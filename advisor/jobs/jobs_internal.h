/* jobs_internal.h -- the struct behind jobs.h, for the files of this folder. */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "advisor/jobs/jobs.h"
#include "db/store.h"

struct jobs {
    struct store *store;
    int64_t lease_ms, collect_ms;
    int64_t next_collect_ms; /* planner thread only */
    pthread_t planner;
    bool planner_runs;
    atomic_bool stopping;
};

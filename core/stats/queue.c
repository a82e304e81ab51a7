/* The servers are kept as a binary heap of the times at which they become free: the next query takes the
 * first. */
#include "core/stats/queue.h"

#include <math.h>
#include <stdlib.h>

#include "core/stats/rng.h"

/* B(c) = a B(c - 1) / (c + a B(c - 1)), B(0) = 1. */
double queue_erlang_b(uint32_t servers, double offered) {
    double blocked = 1;
    for (uint32_t c = 1; c <= servers; c++) {
        blocked = offered * blocked / ((double)c + offered * blocked);
    }
    return blocked;
}

double queue_erlang_c(uint32_t servers, double offered) {
    double load = offered / (double)servers;
    if (!(load < 1)) {
        return 1;
    }
    double blocked = queue_erlang_b(servers, offered);
    return blocked / (1 - load * (1 - blocked));
}

double queue_erlang_waiting(uint32_t servers, double offered) {
    double load = offered / (double)servers;
    return load < 1 ? queue_erlang_c(servers, offered) * load / (1 - load) : INFINITY;
}

static enum rc check(const struct queue_load *load, struct err *err) {
    if (load->n == 0 || load->queries == 0 || load->servers == 0 || load->servers > QUEUE_MAX_SERVERS) {
        return err_set(err, RC_INPUT,
                       "a queue needs service times, queries and 1 to %d servers, not %zu, %zu and %u",
                       (int)QUEUE_MAX_SERVERS, load->n, load->queries, load->servers);
    }
    if (!(load->rate_per_s > 0 && load->rate_per_s < 1e12)) {
        return err_set(err, RC_INPUT, "a rate of %g queries a second: it must be above 0", load->rate_per_s);
    }
    for (size_t i = 0; i < load->n; i++) {
        if (!(load->service_us[i] > 0 && load->service_us[i] < 1e15F)) {
            return err_set(err, RC_INPUT, "service time %zu is %g us: it must be above 0", i,
                           (double)load->service_us[i]);
        }
    }
    return RC_OK;
}

/* Replaces the least entry of the heap and moves the new one to its place. */
static void heap_replace_least(double *heap, uint32_t n, double value) {
    uint32_t at = 0;
    for (;;) {
        uint32_t child = 2 * at + 1;
        if (child >= n) {
            break;
        }
        if (child + 1 < n && heap[child + 1] < heap[child]) {
            child++;
        }
        if (!(heap[child] < value)) {
            break;
        }
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = value;
}

struct sums {
    double wait_us, service_us, begin_us, end_us;
};

static void replay(const struct queue_load *load, double *free_us, float *response_us, struct sums *sums) {
    struct rng r;
    rng_seed(&r, load->seed);
    size_t filling = load->queries / 4, next = (size_t)(rng_uniform(&r) * (double)load->n);
    double now_us = 0, gap_us = 1e6 / load->rate_per_s;
    for (size_t i = 0; i < filling + load->queries; i++) {
        now_us += gap_us * rng_exponential(&r);
        double service_us = (double)load->service_us[next];
        double start_us = free_us[0] > now_us ? free_us[0] : now_us;
        heap_replace_least(free_us, load->servers, start_us + service_us);
        next = next + 1 < load->n ? next + 1 : 0;
        if (i >= filling) {
            sums->begin_us = i == filling ? now_us : sums->begin_us;
            sums->end_us = now_us;
            sums->wait_us += start_us - now_us;
            sums->service_us += service_us;
            response_us[i - filling] = (float)(start_us - now_us + service_us);
        }
    }
}

enum rc queue_replay(const struct queue_load *load, float *response_us, struct queue_result *ret,
                     struct err *err) {
    struct sums sums = {0};
    enum rc rc = check(load, err);
    if (rc != RC_OK) {
        return rc;
    }
    double *free_us = calloc(load->servers, sizeof(*free_us));
    if (!free_us) {
        return err_memory(err);
    }
    replay(load, free_us, response_us, &sums);
    free(free_us);
    double queries = (double)load->queries, span_us = sums.end_us - sums.begin_us;
    *ret = (struct queue_result){.mean_wait_us = sums.wait_us / queries,
                                 .mean_response_us = (sums.wait_us + sums.service_us) / queries,
                                 .mean_waiting = span_us > 0 ? sums.wait_us / span_us : 0,
                                 .busy = span_us > 0 ? sums.service_us / span_us / load->servers : 0};
    return RC_OK;
}

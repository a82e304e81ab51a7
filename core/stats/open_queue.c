#include "core/stats/open_queue.h"

double open_queue_latency_s(struct open_queue *q, double arrival_s, double service_s) {
    size_t first = 0;
    for (size_t i = 1; i < q->servers; i++) {
        first = q->free_at_s[i] < q->free_at_s[first] ? i : first;
    }
    double begin_s = q->free_at_s[first] > arrival_s ? q->free_at_s[first] : arrival_s;
    q->free_at_s[first] = begin_s + service_s;
    return q->free_at_s[first] - arrival_s;
}

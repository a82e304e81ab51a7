/* backoff.c -- see backoff.h. Jitter over the upper half of the interval ("equal jitter", Brooker 2015). */
#include "profiler/agent/backoff.h"

uint32_t backoff_failed(struct backoff *b, uint32_t random) {
    uint64_t wait = b->first_ms;
    for (uint32_t i = 0; i < b->failures && wait < b->max_ms; i++) {
        wait *= 2;
    }
    wait = wait > b->max_ms ? b->max_ms : wait;
    if (b->failures < UINT32_MAX) {
        b->failures++;
    }
    uint64_t half = wait / 2;
    return (uint32_t)(half + (wait - half) * random / UINT32_MAX);
}

void backoff_succeeded(struct backoff *b) {
    b->failures = 0;
}

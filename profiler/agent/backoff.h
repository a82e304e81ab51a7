/* backoff.h -- how long to wait before trying again: doubling, with jitter, so that many agents do not come
 * back at once. Pure: the caller brings the random number and waits. */
#pragma once

#include <stdint.h>

struct backoff {
    uint32_t first_ms, max_ms;
    uint32_t failures; /* in a row */
};

/* The wait after one more failure: a random share (half to all) of first_ms * 2^failures, at most max_ms.
 * `random` is any 32-bit number. */
uint32_t backoff_failed(struct backoff *b, uint32_t random);
/* After a success the next wait is short again. */
void backoff_succeeded(struct backoff *b);

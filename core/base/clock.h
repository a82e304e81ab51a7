/* clock.h -- the two clocks. Monotonic time is for durations and deadlines, wall time for people. */
#pragma once

#include <stddef.h>
#include <stdint.h>

uint64_t clock_mono_ns(void);
int64_t clock_wall_ms(void); /* milliseconds since 1970-01-01 UTC */

enum { CLOCK_ISO_SIZE = 32 };
/* "2026-11-23T16:20:45.123Z" */
void clock_iso(int64_t wall_ms, char text[CLOCK_ISO_SIZE]);

#include "core/base/clock.h"

#include <stdio.h>
#include <time.h>

static uint64_t read_ns(clockid_t id) {
    struct timespec t;
    clock_gettime(id, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

uint64_t clock_mono_ns(void) {
    return read_ns(CLOCK_MONOTONIC);
}

int64_t clock_wall_ms(void) {
    return (int64_t)(read_ns(CLOCK_REALTIME) / 1000000u);
}

void clock_iso(int64_t wall_ms, char text[CLOCK_ISO_SIZE]) {
    time_t seconds = (time_t)(wall_ms / 1000);
    struct tm tm;
    char day[24];
    gmtime_r(&seconds, &tm);
    strftime(day, sizeof(day), "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(text, CLOCK_ISO_SIZE, "%s.%03dZ", day, (int)(wall_ms % 1000));
}

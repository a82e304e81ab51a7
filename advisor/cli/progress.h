/* progress.h -- a study's progress on standard error: a bar that is redrawn on a terminal, plain lines
 * otherwise. */
#pragma once

#include <stdbool.h>

struct progress {
    bool terminal;
    bool drawn; /* a bar stands on the last line */
    long long done, total;
    double fraction;
    char text[160];
};

/* Looks whether standard error is a terminal that can redraw a line (TERM=dumb cannot). */
void progress_init(struct progress *p);

/* What runs now: `fraction` of the running job, `done` of `total` jobs. Redraws the bar; prints nothing on a
 * plain stream. */
void progress_update(struct progress *p, long long done, long long total, double fraction, const char *text);

/* A line that stays. */
void progress_line(struct progress *p, const char *text);

/* Removes the bar. */
void progress_end(struct progress *p);

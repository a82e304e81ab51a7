#include "advisor/cli/progress.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "advisor/cli/terminal.h"

enum { BAR_WIDTH = 28 };

void progress_init(struct progress *p) {
    const char *term = getenv("TERM");
    *p = (struct progress){.terminal = terminal_columns(stderr) > 0 && term && strcmp(term, "dumb") != 0};
}

static void erase(struct progress *p) {
    if (p->drawn) {
        fputs("\r\033[K", stderr);
        p->drawn = false;
    }
}

static void draw(struct progress *p) {
    double share = p->total > 0 ? ((double)p->done + p->fraction) / (double)p->total : 0;
    int filled = (int)(share * BAR_WIDTH);
    char bar[BAR_WIDTH + 1], line[320];
    filled = filled < 0 ? 0 : filled > BAR_WIDTH ? BAR_WIDTH : filled;
    memset(bar, '-', BAR_WIDTH);
    memset(bar, '#', (size_t)filled);
    bar[BAR_WIDTH] = '\0';
    snprintf(line, sizeof(line), "[%s] %3d %%  %lld/%lld  %s", bar, (int)(share * 100), p->done, p->total,
             p->text);
    fprintf(stderr, "\r%.*s\033[K", (int)terminal_columns(stderr) - 1, line);
    fflush(stderr);
    p->drawn = true;
}

void progress_update(struct progress *p, long long done, long long total, double fraction, const char *text) {
    p->done = done;
    p->total = total;
    p->fraction = fraction;
    snprintf(p->text, sizeof(p->text), "%s", text);
    if (p->terminal) {
        draw(p);
    }
}

void progress_line(struct progress *p, const char *text) {
    erase(p);
    fprintf(stderr, "%s\n", text);
    if (p->terminal && p->total > 0) {
        draw(p);
    }
}

void progress_end(struct progress *p) {
    erase(p);
    fflush(stderr);
}

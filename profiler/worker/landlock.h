/* landlock.h -- which files this process may still reach (Linux Landlock, kernel 5.13 and later). */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum landlock_right { LANDLOCK_READ, LANDLOCK_READ_WRITE };

struct landlock_path {
    const char *path; /* a file or a folder with all beneath it */
    enum landlock_right right;
};

/* The kernel's ABI version, 0 where Landlock is missing or switched off. */
int landlock_abi(void);

/* From here on only the listed paths can be opened, nothing can be executed, and (ABI 4) no TCP port bound or
 * connected, (ABI 6) no abstract socket reached and no process outside signalled. Paths that do not exist are
 * skipped. Needs no-new-privileges; all threads that exist later inherit it. False with the reason in `why`
 * when it was not granted. */
bool landlock_confine(const struct landlock_path *paths, size_t count, char *why, unsigned why_size);

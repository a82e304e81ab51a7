/* namespaces.c -- see namespaces.h. Writing the maps must come before Landlock, which would refuse the files
 * in /proc. */
#include "profiler/worker/namespaces.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static bool write_text(const char *path, const char *text) {
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0) {
        return false;
    }
    size_t size = strlen(text);
    bool fine = write(fd, text, size) == (ssize_t)size;
    int saved = errno;
    close(fd);
    errno = saved;
    return fine;
}

bool namespaces_enter(char *why, unsigned why_size) {
    char uid_map[64];
    char gid_map[64];
    snprintf(uid_map, sizeof(uid_map), "%u %u 1\n", geteuid(), geteuid());
    snprintf(gid_map, sizeof(gid_map), "%u %u 1\n", getegid(), getegid());
    if (unshare(CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWIPC) != 0) {
        snprintf(why, why_size, "the kernel refuses new namespaces (%s)",
                 errno == EINVAL ? "a library has started a thread" : strerror(errno));
        return false;
    }
    if (!write_text("/proc/self/setgroups", "deny") || !write_text("/proc/self/uid_map", uid_map) ||
        !write_text("/proc/self/gid_map", gid_map)) {
        /* The namespaces hold all the same; only the names of user and group are lost. */
        snprintf(why, why_size, "user and group are not mapped (%s)", strerror(errno));
    }
    return true;
}

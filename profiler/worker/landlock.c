/* landlock.c -- see landlock.h. The kernel's interface is declared here, because the header of Debian 12
 * knows ABI 2 only; the kernel takes a shorter or longer struct as long as what it does not know is zero.
 * Values from linux/landlock.h. */
#include "profiler/worker/landlock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

struct ruleset_attr {
    uint64_t handled_access_fs;
    uint64_t handled_access_net; /* ABI 4 */
    uint64_t scoped;             /* ABI 6 */
};

struct __attribute__((packed)) path_beneath_attr {
    uint64_t allowed_access;
    int32_t parent_fd;
};

enum { CREATE_RULESET_VERSION = 1, RULE_PATH_BENEATH = 1 };

enum {
    FS_EXECUTE = 1 << 0,
    FS_WRITE_FILE = 1 << 1,
    FS_READ_FILE = 1 << 2,
    FS_READ_DIR = 1 << 3,
    FS_REMOVE_DIR = 1 << 4,
    FS_REMOVE_FILE = 1 << 5,
    FS_MAKE_DIR = 1 << 7,
    FS_MAKE_REG = 1 << 8,
    FS_ALL_ABI1 = (1 << 13) - 1,
    FS_REFER = 1 << 13,     /* ABI 2 */
    FS_TRUNCATE = 1 << 14,  /* ABI 3 */
    FS_IOCTL_DEV = 1 << 15, /* ABI 5 */
    NET_ALL = 3,            /* ABI 4: bind and connect TCP */
    SCOPE_ALL = 3,          /* ABI 6: abstract sockets, signals */
};

int landlock_abi(void) {
    long abi = syscall(SYS_landlock_create_ruleset, NULL, (size_t)0, CREATE_RULESET_VERSION);
    return abi > 0 ? (int)abi : 0;
}

static struct ruleset_attr handled(int abi) {
    struct ruleset_attr attr = {.handled_access_fs = FS_ALL_ABI1};
    if (abi >= 2) {
        attr.handled_access_fs |= FS_REFER;
    }
    if (abi >= 3) {
        attr.handled_access_fs |= FS_TRUNCATE;
    }
    if (abi >= 4) {
        attr.handled_access_net = NET_ALL;
    }
    if (abi >= 5) {
        attr.handled_access_fs |= FS_IOCTL_DEV;
    }
    if (abi >= 6) {
        attr.scoped = SCOPE_ALL;
    }
    return attr;
}

static uint64_t rights(enum landlock_right right, bool folder, uint64_t all) {
    uint64_t access = FS_READ_FILE;
    if (right == LANDLOCK_READ_WRITE) {
        access |= FS_WRITE_FILE | FS_TRUNCATE;
    }
    if (folder) {
        access |= FS_READ_DIR;
        if (right == LANDLOCK_READ_WRITE) {
            access |= FS_REMOVE_DIR | FS_REMOVE_FILE | FS_MAKE_DIR | FS_MAKE_REG;
        }
    }
    return access & all;
}

/* True also when the path is not there. */
static bool allow(int ruleset, const struct landlock_path *path, uint64_t all) {
    int fd = open(path->path, O_PATH | O_CLOEXEC);
    if (fd < 0) {
        return errno == ENOENT || errno == ENOTDIR;
    }
    struct stat st;
    bool fine = fstat(fd, &st) == 0;
    if (fine) {
        struct path_beneath_attr attr = {.allowed_access = rights(path->right, S_ISDIR(st.st_mode), all),
                                         .parent_fd = fd};
        fine = syscall(SYS_landlock_add_rule, ruleset, RULE_PATH_BENEATH, &attr, 0) == 0;
    }
    int saved = errno;
    close(fd);
    errno = saved;
    return fine;
}

bool landlock_confine(const struct landlock_path *paths, size_t count, char *why, unsigned why_size) {
    int abi = landlock_abi();
    if (abi == 0) {
        snprintf(why, why_size, "this kernel has no Landlock (%s)", strerror(errno));
        return false;
    }
    struct ruleset_attr attr = handled(abi);
    int ruleset = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr), 0);
    if (ruleset < 0) {
        snprintf(why, why_size, "Landlock gives no rule set (%s)", strerror(errno));
        return false;
    }
    bool fine = true;
    for (size_t i = 0; fine && i < count; i++) {
        fine = allow(ruleset, &paths[i], attr.handled_access_fs);
        if (!fine) {
            snprintf(why, why_size, "Landlock takes no rule for %s (%s)", paths[i].path, strerror(errno));
        }
    }
    if (fine && syscall(SYS_landlock_restrict_self, ruleset, 0) != 0) {
        snprintf(why, why_size, "Landlock does not take effect (%s)", strerror(errno));
        fine = false;
    }
    close(ruleset);
    return fine;
}

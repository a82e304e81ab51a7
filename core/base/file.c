#include "core/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum rc file_error(const char *path, struct err *err) {
    return err_set(err, errno == ENOENT ? RC_NOT_FOUND : RC_IO, "%s: %s", path, strerror(errno));
}

const char *file_base_name(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

enum rc file_size(const char *path, uint64_t *bytes, struct err *err) {
    struct stat st;
    if (stat(path, &st) != 0) {
        return file_error(path, err);
    }
    *bytes = (uint64_t)st.st_size;
    return RC_OK;
}

static enum rc read_all(FILE *f, const char *path, size_t max_bytes, char **data, size_t *size,
                        struct err *err) {
    struct stat st;
    if (fstat(fileno(f), &st) != 0) {
        return file_error(path, err);
    }
    if (!S_ISREG(st.st_mode)) {
        return err_set(err, RC_INPUT, "%s is not a regular file", path);
    }
    if ((uint64_t)st.st_size > max_bytes) {
        return err_set(err, RC_TOO_LARGE, "%s has %lld bytes; the limit is %zu", path, (long long)st.st_size,
                       max_bytes);
    }
    size_t want = (size_t)st.st_size;
    char *bytes = malloc(want + 1);
    if (!bytes) {
        return err_memory(err);
    }
    if (fread(bytes, 1, want, f) != want) {
        free(bytes);
        return err_set(err, RC_IO, "%s: it became shorter while it was read", path);
    }
    bytes[want] = '\0';
    *data = bytes;
    *size = want;
    return RC_OK;
}

enum rc file_read(const char *path, size_t max_bytes, char **data, size_t *size, struct err *err) {
    FILE *f = fopen(path, "rb");
    if (!f) {
        return file_error(path, err);
    }
    enum rc rc = read_all(f, path, max_bytes, data, size, err);
    fclose(f);
    return rc;
}

enum rc file_read_kernel(const char *path, size_t max_bytes, char **data, size_t *size, struct err *err) {
    FILE *f = fopen(path, "rb");
    if (!f) {
        return file_error(path, err);
    }
    enum rc rc = RC_OK;
    char *bytes = malloc(max_bytes + 1);
    if (!bytes) {
        rc = err_memory(err);
        goto out;
    }
    *size = fread(bytes, 1, max_bytes, f);
    if (ferror(f)) {
        rc = file_error(path, err);
        free(bytes);
        goto out;
    }
    bytes[*size] = '\0';
    *data = bytes;

out:
    fclose(f);
    return rc;
}

static enum rc sync_folder_of(const char *path, struct err *err) {
    char folder[4096];
    snprintf(folder, sizeof(folder), "%s", path);
    char *slash = strrchr(folder, '/');
    if (slash) {
        *(slash == folder ? slash + 1 : slash) = '\0';
    }
    int fd = open(slash ? folder : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return file_error(folder, err);
    }
    enum rc rc = fsync(fd) == 0 ? RC_OK : file_error(folder, err);
    close(fd);
    return rc;
}

static enum rc write_all(int fd, const char *path, const char *data, size_t size, struct err *err) {
    while (size > 0) {
        ssize_t n = write(fd, data, size);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return file_error(path, err);
        }
        data += n;
        size -= (size_t)n;
    }
    return fsync(fd) == 0 ? RC_OK : file_error(path, err);
}

enum rc file_write(const char *path, const void *data, size_t size, unsigned mode, struct err *err) {
    char temporary[4096];
    int n = snprintf(temporary, sizeof(temporary), "%s.XXXXXX", path);
    if (n < 0 || (size_t)n >= sizeof(temporary)) {
        return err_set(err, RC_INPUT, "the path is too long: %.100s...", path);
    }
    int fd = mkostemp(temporary, O_CLOEXEC);
    if (fd < 0) {
        return file_error(path, err);
    }
    enum rc rc = write_all(fd, temporary, data, size, err);
    if (rc == RC_OK && fchmod(fd, mode) != 0) {
        rc = file_error(temporary, err);
    }
    close(fd);
    if (rc == RC_OK && rename(temporary, path) != 0) {
        rc = file_error(path, err);
    }
    if (rc != RC_OK) {
        unlink(temporary);
        return rc;
    }
    return sync_folder_of(path, err);
}

enum rc file_make_folder(const char *path, struct err *err) {
    char part[4096];
    int n = snprintf(part, sizeof(part), "%s", path);
    if (n <= 0 || (size_t)n >= sizeof(part)) {
        return err_set(err, RC_INPUT, "the path is empty or too long: %.100s", path);
    }
    for (char *p = part + 1; *p; p++) {
        if (*p == '/') {
            *p = '\0';
            if (mkdir(part, 0777) != 0 && errno != EEXIST) {
                return file_error(part, err);
            }
            *p = '/';
        }
    }
    return mkdir(part, 0777) == 0 || errno == EEXIST ? RC_OK : file_error(part, err);
}

static int on_tree_entry(const char *path, const struct stat *st, int type, struct FTW *ftw) {
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

enum rc file_remove_tree(const char *path, struct err *err) {
    if (nftw(path, on_tree_entry, 32, FTW_DEPTH | FTW_PHYS) != 0 && errno != ENOENT) {
        return file_error(path, err);
    }
    return RC_OK;
}

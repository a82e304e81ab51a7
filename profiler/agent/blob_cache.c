/* blob_cache.c -- see blob_cache.h. A use sets the file's modification time: that is the order of removal. */
#include "profiler/agent/blob_cache.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/file.h"
#include "core/base/http_client.h"
#include "core/base/sha256.h"

struct cached {
    char name[SHA256_HEX_SIZE];
    uint64_t bytes;
    struct timespec used;
};

struct listing {
    struct cached *items;
    size_t count, capacity;
    uint64_t bytes;
};

enum rc blob_cache_open(struct blob_cache *c, const char *folder, uint64_t max_bytes, struct err *err) {
    *c = (struct blob_cache){.max_bytes = max_bytes};
    enum rc rc = file_make_folder(folder, err);
    if (rc != RC_OK) {
        return rc;
    }
    char *full = realpath(folder, NULL);
    if (!full) {
        return file_error(folder, err);
    }
    size_t size = strlen(full);
    if (size + SHA256_HEX_SIZE + 16 > sizeof(c->folder)) {
        rc = err_set(err, RC_INPUT, "the path of the cache folder is too long: %.100s...", full);
    } else {
        memcpy(c->folder, full, size + 1);
    }
    free(full);
    return rc;
}

static enum rc fetch(struct http_client *client, const char *sha256, const char *path, struct err *err) {
    char url[SHA256_HEX_SIZE + 16];
    char hex[SHA256_HEX_SIZE];
    char temporary[BLOB_CACHE_PATH];
    size_t bytes = 0;
    snprintf(url, sizeof(url), "/v1/blobs/%s", sha256);
    if (snprintf(temporary, sizeof(temporary), "%s.%d", path, (int)getpid()) >= (int)sizeof(temporary)) {
        return err_set(err, RC_INPUT, "the path is too long: %.100s...", path);
    }
    enum rc rc = http_client_download(client, url, temporary, err);
    if (rc == RC_OK) {
        rc = sha256_of_file(temporary, hex, &bytes, err);
    }
    if (rc == RC_OK && strcmp(hex, sha256) != 0) {
        rc = err_set(err, RC_INPUT, "blob %.12s... arrived damaged: its hash is %.12s...", sha256, hex);
    }
    if (rc == RC_OK && (chmod(temporary, 0400) != 0 || rename(temporary, path) != 0)) {
        rc = file_error(path, err);
    }
    if (rc != RC_OK) {
        unlink(temporary);
        return err_prefix(err, "fetching %.12s...", sha256);
    }
    return RC_OK;
}

enum rc blob_cache_get(struct blob_cache *c, struct http_client *client, const char *sha256,
                       char path[BLOB_CACHE_PATH], struct err *err) {
    if (!sha256_is_hex(sha256)) {
        return err_set(err, RC_INPUT, "\"%.70s\" is not a SHA-256 hash", sha256);
    }
    snprintf(path, BLOB_CACHE_PATH, "%.*s/%s", BLOB_CACHE_PATH - SHA256_HEX_SIZE - 2, c->folder, sha256);
    if (utimensat(AT_FDCWD, path, NULL, 0) == 0) {
        return RC_OK;
    }
    return errno == ENOENT ? fetch(client, sha256, path, err) : file_error(path, err);
}

static enum rc add(struct listing *l, const char *name, const struct stat *st, struct err *err) {
    if (l->count == l->capacity) {
        size_t capacity = l->capacity > 0 ? l->capacity * 2 : 64;
        struct cached *grown = realloc(l->items, capacity * sizeof(grown[0]));
        if (!grown) {
            return err_memory(err);
        }
        l->items = grown;
        l->capacity = capacity;
    }
    struct cached *item = &l->items[l->count++];
    *item = (struct cached){.bytes = (uint64_t)st->st_size, .used = st->st_mtim};
    memcpy(item->name, name, SHA256_HEX_SIZE);
    l->bytes += item->bytes;
    return RC_OK;
}

static enum rc list(DIR *folder, struct listing *l, struct err *err) {
    enum rc rc = RC_OK;
    for (struct dirent *entry; rc == RC_OK && (entry = readdir(folder));) {
        struct stat st;
        if (sha256_is_hex(entry->d_name) &&
            fstatat(dirfd(folder), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode)) {
            rc = add(l, entry->d_name, &st, err);
        }
    }
    return rc;
}

static int older_first(const void *a, const void *b) {
    const struct timespec *x = &((const struct cached *)a)->used;
    const struct timespec *y = &((const struct cached *)b)->used;
    if (x->tv_sec != y->tv_sec) {
        return x->tv_sec < y->tv_sec ? -1 : 1;
    }
    return (x->tv_nsec > y->tv_nsec) - (x->tv_nsec < y->tv_nsec);
}

enum rc blob_cache_trim(struct blob_cache *c, struct err *err) {
    struct listing l = {0};
    DIR *folder = opendir(c->folder);
    if (!folder) {
        return file_error(c->folder, err);
    }
    enum rc rc = list(folder, &l, err);
    if (rc == RC_OK && l.bytes > c->max_bytes) {
        qsort(l.items, l.count, sizeof(l.items[0]), older_first);
        for (size_t i = 0; i < l.count && l.bytes > c->max_bytes; i++) {
            if (unlinkat(dirfd(folder), l.items[i].name, 0) == 0) {
                l.bytes -= l.items[i].bytes;
            }
        }
    }
    free(l.items);
    closedir(folder);
    return rc;
}

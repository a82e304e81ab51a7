/* tar_file.c -- see tar_file.h. Every header and content fills blocks of 512 bytes; two empty blocks end the
 * archive. Times and owners are zero, so that the same files give the same archive. */
#include "advisor/cli/tar_file.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/file.h"

enum { BLOCK = 512, NAME_MAX_BYTES = 99, PATH_SIZE = 4096, COPY_BYTES = 1 << 16 };
static const uint64_t CONTENT_MAX = (uint64_t)1 << 33; /* eleven octal digits */

struct tar_file {
    FILE *out;
    char path[PATH_SIZE], temporary[PATH_SIZE + 8];
};

/* The header's fields; the rest of the block is zero. */
struct header {
    char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], checksum[8], type, link[100], magic[6],
        version[2];
    char rest[BLOCK - 265];
};
_Static_assert(sizeof(struct header) == BLOCK, "a tar header is one block");

enum rc tar_file_open(const char *path, struct tar_file **ret, struct err *err) {
    struct tar_file *t = calloc(1, sizeof(*t));
    if (!t) {
        return err_memory(err);
    }
    if (snprintf(t->path, sizeof(t->path), "%s", path) >= (int)sizeof(t->path)) {
        free(t);
        return err_set(err, RC_INPUT, "the path is too long: %.100s...", path);
    }
    snprintf(t->temporary, sizeof(t->temporary), "%s.part", path);
    t->out = fopen(t->temporary, "wbe");
    if (!t->out) {
        enum rc rc = file_error(t->temporary, err);
        free(t);
        return rc;
    }
    *ret = t;
    return RC_OK;
}

static enum rc write_all(struct tar_file *t, const void *data, size_t size, struct err *err) {
    return fwrite(data, 1, size, t->out) == size ? RC_OK : file_error(t->temporary, err);
}

static enum rc write_header(struct tar_file *t, const char *name, unsigned mode, uint64_t size,
                            struct err *err) {
    struct header h = {.type = '0', .magic = "ustar", .version = {'0', '0'}};
    if (strlen(name) > NAME_MAX_BYTES) {
        return err_set(err, RC_INPUT, "the name is too long for the archive: %.120s", name);
    }
    if (size >= CONTENT_MAX) {
        return err_set(err, RC_TOO_LARGE, "%s: a file in a bundle may have at most 8 GiB", name);
    }
    memcpy(h.name, name, strlen(name));
    snprintf(h.mode, sizeof(h.mode), "%07o", mode & 07777);
    snprintf(h.uid, sizeof(h.uid), "%07o", 0U);
    snprintf(h.gid, sizeof(h.gid), "%07o", 0U);
    snprintf(h.size, sizeof(h.size), "%011llo", (unsigned long long)size);
    snprintf(h.mtime, sizeof(h.mtime), "%011o", 0U);
    memset(h.checksum, ' ', sizeof(h.checksum));
    unsigned sum = 0;
    for (size_t i = 0; i < sizeof(h); i++) {
        sum += ((const unsigned char *)&h)[i];
    }
    snprintf(h.checksum, sizeof(h.checksum) - 1, "%06o", sum); /* six digits, NUL, blank */
    return write_all(t, &h, sizeof(h), err);
}

static enum rc write_padding(struct tar_file *t, uint64_t size, struct err *err) {
    static const char zeros[BLOCK];
    size_t over = (size_t)(size % BLOCK);
    return over > 0 ? write_all(t, zeros, BLOCK - over, err) : RC_OK;
}

static enum rc copy_content(struct tar_file *t, FILE *in, const char *source, uint64_t size,
                            struct err *err) {
    char data[COPY_BYTES];
    while (size > 0) {
        size_t wanted = size < sizeof(data) ? (size_t)size : sizeof(data);
        if (fread(data, 1, wanted, in) != wanted) {
            return err_set(err, RC_IO, "%s: it cannot be read, or became shorter", source);
        }
        enum rc rc = write_all(t, data, wanted, err);
        if (rc != RC_OK) {
            return rc;
        }
        size -= wanted;
    }
    return RC_OK;
}

enum rc tar_file_add(struct tar_file *t, const char *name, unsigned mode, const char *source,
                     struct err *err) {
    uint64_t size = 0;
    enum rc rc = file_size(source, &size, err);
    if (rc != RC_OK) {
        return rc;
    }
    FILE *in = fopen(source, "rbe");
    if (!in) {
        return file_error(source, err);
    }
    if ((rc = write_header(t, name, mode, size, err)) == RC_OK &&
        (rc = copy_content(t, in, source, size, err)) == RC_OK) {
        rc = write_padding(t, size, err);
    }
    fclose(in);
    return rc;
}

enum rc tar_file_add_text(struct tar_file *t, const char *name, unsigned mode, const char *text,
                          struct err *err) {
    size_t size = strlen(text);
    enum rc rc = write_header(t, name, mode, size, err);
    if (rc == RC_OK && (rc = write_all(t, text, size, err)) == RC_OK) {
        rc = write_padding(t, size, err);
    }
    return rc;
}

enum rc tar_file_close(struct tar_file *t, struct err *err) {
    static const char end[2 * BLOCK];
    enum rc rc = write_all(t, end, sizeof(end), err);
    if (rc == RC_OK && (fflush(t->out) != 0 || fsync(fileno(t->out)) != 0)) {
        rc = file_error(t->temporary, err);
    }
    if (rc != RC_OK) {
        tar_file_abandon(t);
        return rc;
    }
    fclose(t->out);
    if (rename(t->temporary, t->path) != 0) {
        rc = file_error(t->path, err);
        unlink(t->temporary);
    }
    free(t);
    return rc;
}

void tar_file_abandon(struct tar_file *t) {
    if (t) {
        fclose(t->out);
        unlink(t->temporary);
        free(t);
    }
}

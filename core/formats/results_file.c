/* results_file.c -- see results_file.h. */
#include "core/formats/results_file.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/buf.h"
#include "core/base/file.h"
#include "core/base/json.h"

enum { MAGIC_BYTES = 8, HEAD_AT = 12, MAX_HEAD_BYTES = 16 << 20 };
static const char MAGIC[] = "PARERES1";

static uint32_t read_u32(const uint8_t *at) {
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

/* ---- reading ---- */

static enum rc check_job(const json_t *job, const json_t **files, struct err *err) {
    static const char *const keys[] = {"id", "token", "runtime", "result", "files", "error", "log", NULL};
    *files = json_object_get(job, "files");
    enum rc rc = json_is_object(job) ? json_only_keys(job, keys, err)
                                     : err_set(err, RC_INPUT, "an entry of \"jobs\" is not an object");
    if (rc == RC_OK && *files &&
        (!json_is_array(*files) || json_array_size(*files) > RESULTS_FILE_MAX_FILES)) {
        rc = err_set(err, RC_INPUT, "field \"files\" must be a list of at most %d",
                     (int)RESULTS_FILE_MAX_FILES);
    }
    return rc;
}

static enum rc count_contents(const json_t *jobs, size_t *ret, struct err *err) {
    size_t i;
    const json_t *job, *files;
    *ret = 0;
    json_array_foreach(jobs, i, job) {
        enum rc rc = check_job(job, &files, err);
        if (rc != RC_OK) {
            return rc;
        }
        *ret += json_array_size(files);
    }
    return RC_OK;
}

/* The next file's bytes, at *at, checked against its hash. */
static enum rc take_content(struct results_file *f, const json_t *entry, size_t *at, struct err *err) {
    static const char *const keys[] = {"path", "sha256", "bytes", NULL};
    const char *path = NULL;
    const char *sha256 = NULL;
    int64_t bytes = 0;
    char hex[SHA256_HEX_SIZE];
    enum rc rc = json_is_object(entry) ? json_only_keys(entry, keys, err)
                                       : err_set(err, RC_INPUT, "an entry of \"files\" is not an object");
    if (rc != RC_OK || (rc = json_get_string(entry, "path", &path, err)) != RC_OK ||
        (rc = json_get_string(entry, "sha256", &sha256, err)) != RC_OK ||
        (rc = json_get_int(entry, "bytes", 0, RESULTS_FILE_MAX_BYTES, &bytes, err)) != RC_OK) {
        return rc;
    }
    if ((size_t)bytes > f->size - *at) {
        return err_set(err, RC_INPUT, "the file ends inside \"%.60s\"", path);
    }
    sha256_of(f->bytes + *at, (size_t)bytes, hex);
    if (strcmp(hex, sha256) != 0) {
        return err_set(err, RC_INPUT, "the content of \"%.60s\" is not what its hash says", path);
    }
    f->contents[f->content_count++] = (struct results_content){entry, f->bytes + *at, (size_t)bytes};
    *at += (size_t)bytes;
    return RC_OK;
}

static enum rc take_contents(struct results_file *f, size_t at, struct err *err) {
    size_t i, k;
    size_t count = 0;
    const json_t *job, *entry;
    enum rc rc = count_contents(f->jobs, &count, err);
    if (rc != RC_OK) {
        return rc;
    }
    f->contents = calloc(count + 1, sizeof(*f->contents));
    if (!f->contents) {
        return err_memory(err);
    }
    json_array_foreach(f->jobs, i, job) {
        json_array_foreach(json_object_get(job, "files"), k, entry) {
            rc = rc == RC_OK ? take_content(f, entry, &at, err) : rc;
        }
    }
    if (rc == RC_OK && at != f->size) {
        rc = err_set(err, RC_INPUT, "there are %zu bytes after the last file", f->size - at);
    }
    return rc;
}

static enum rc read_head(struct results_file *f, struct err *err) {
    static const char *const keys[] = {"format", "bundle", "target", "jobs", NULL};
    size_t head_bytes = read_u32(f->bytes + MAGIC_BYTES);
    json_t *target, *jobs;
    int64_t format = 0;
    if (head_bytes > MAX_HEAD_BYTES || head_bytes > f->size - HEAD_AT) {
        return err_set(err, RC_INPUT, "its head is cut, or longer than %d bytes", (int)MAX_HEAD_BYTES);
    }
    enum rc rc = json_parse((const char *)f->bytes + HEAD_AT, head_bytes, &f->head, err);
    if (rc == RC_OK && !json_is_object(f->head)) {
        rc = err_set(err, RC_INPUT, "its head is not an object");
    }
    if (rc != RC_OK || (rc = json_only_keys(f->head, keys, err)) != RC_OK ||
        (rc = json_get_int(f->head, "format", 1, 1, &format, err)) != RC_OK ||
        (rc = json_get_string(f->head, "bundle", &f->bundle, err)) != RC_OK ||
        (rc = json_get_object(f->head, "target", &target, err)) != RC_OK ||
        (rc = json_get_array(f->head, "jobs", &jobs, err)) != RC_OK) {
        return rc;
    }
    if (json_array_size(jobs) > RESULTS_FILE_MAX_JOBS) {
        return err_set(err, RC_INPUT, "it has more than %d jobs", (int)RESULTS_FILE_MAX_JOBS);
    }
    f->jobs = jobs;
    return take_contents(f, HEAD_AT + head_bytes, err);
}

enum rc results_file_read(const void *data, size_t size, struct results_file *ret, struct err *err) {
    struct results_file f = {.bytes = data};
    if (size < HEAD_AT + crypto_sign_BYTES || memcmp(data, MAGIC, MAGIC_BYTES) != 0) {
        return err_set(err, RC_INPUT, "this is no results file of a bundle (it does not begin with %s)",
                       MAGIC);
    }
    if (size > RESULTS_FILE_MAX_BYTES) {
        return err_set(err, RC_TOO_LARGE, "the results file is larger than %d MiB",
                       (int)(RESULTS_FILE_MAX_BYTES >> 20));
    }
    f.size = size - crypto_sign_BYTES;
    enum rc rc = read_head(&f, err);
    if (rc != RC_OK) {
        results_file_release(&f);
        return err_prefix(err, "the results file");
    }
    *ret = f;
    return RC_OK;
}

void results_file_release(struct results_file *f) {
    json_decref(f->head);
    free(f->contents);
    *f = (struct results_file){0};
}

enum rc results_file_verify(const struct results_file *f, const uint8_t public_key[RESULTS_FILE_PUBLIC_KEY],
                            struct err *err) {
    const uint8_t *signature = f->bytes + f->size;
    if (sodium_init() < 0) {
        return err_set(err, RC_INTERNAL, "libsodium does not start");
    }
    return crypto_sign_verify_detached(signature, f->bytes, f->size, public_key) == 0
               ? RC_OK
               : err_set(err, RC_INPUT,
                         "the results file was changed after it was signed, or belongs to another bundle");
}

/* ---- writing ---- */

static enum rc add_contents(struct buf *b, const char *const *paths, size_t count, struct err *err) {
    for (size_t i = 0; i < count; i++) {
        char *data = NULL;
        size_t size = 0;
        enum rc rc = file_read(paths[i], RESULTS_FILE_MAX_BYTES, &data, &size, err);
        if (rc == RC_OK) {
            rc = buf_add(b, data, size, err);
            free(data);
        }
        if (rc != RC_OK) {
            return rc;
        }
    }
    return RC_OK;
}

enum rc results_file_write(const char *path, const json_t *head, const char *const *paths, size_t count,
                           const uint8_t secret_key[RESULTS_FILE_SECRET_KEY], struct err *err) {
    struct buf b;
    uint8_t signature[crypto_sign_BYTES];
    char *text = json_text(head);
    if (!text) {
        return err_memory(err);
    }
    size_t size = strlen(text);
    const uint8_t length[4] = {(uint8_t)size, (uint8_t)(size >> 8), (uint8_t)(size >> 16),
                               (uint8_t)(size >> 24)};
    buf_init(&b, RESULTS_FILE_MAX_BYTES);
    enum rc rc = size <= MAX_HEAD_BYTES ? buf_add(&b, MAGIC, MAGIC_BYTES, err)
                                        : err_set(err, RC_TOO_LARGE, "the results are longer than %d bytes",
                                                  (int)MAX_HEAD_BYTES);
    if (rc == RC_OK && (rc = buf_add(&b, length, sizeof(length), err)) == RC_OK &&
        (rc = buf_add(&b, text, size, err)) == RC_OK && (rc = add_contents(&b, paths, count, err)) == RC_OK) {
        if (sodium_init() < 0 ||
            crypto_sign_detached(signature, NULL, (const uint8_t *)b.data, b.size, secret_key) != 0) {
            rc = err_set(err, RC_INTERNAL, "the results cannot be signed");
        }
    }
    if (rc == RC_OK && (rc = buf_add(&b, signature, sizeof(signature), err)) == RC_OK) {
        rc = file_write(path, b.data, b.size, 0644, err);
    }
    free(text);
    buf_free(&b);
    return rc;
}

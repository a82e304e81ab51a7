/* results_file.h -- what a machine that cannot reach the service measured: one signed file.
 *
 *   8 bytes   "PARERES1"
 *   4 bytes   size of the head, little-endian
 *   head      JSON: {"format": 1, "bundle": "bun_...", "target": {"name", "fingerprint": {...}},
 *             "jobs": [{"id", "token", "runtime": {"instances", "threads", "batch"}, "result": {...},
 *                       "files": [{"path", "sha256", "bytes"}]}
 *                      | {"id", "token", "runtime", "error": {"code", "text"}, "log": "..."}]}
 *   contents  of all files, in the order of the head, nothing between them
 *   64 bytes  Ed25519 signature (Bernstein et al. 2011) of everything before it, by the bundle's one-time key
 *
 * Whoever reads one trusts nothing in it before the signature was checked, and little after. */
#pragma once

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/err.h"
#include "core/base/sha256.h"

enum {
    RESULTS_FILE_PUBLIC_KEY = 32,
    RESULTS_FILE_SECRET_KEY = 64,
    RESULTS_FILE_MAX_JOBS = 4096,
    RESULTS_FILE_MAX_FILES = 64, /* of one job */
    RESULTS_FILE_MAX_BYTES = 512 << 20
};

struct results_content {
    const json_t *entry; /* of the head's "files" */
    const uint8_t *data;
    size_t size;
};

struct results_file {
    json_t *head;
    const char *bundle;               /* text of the head */
    const json_t *jobs;               /* array of the head */
    struct results_content *contents; /* of all files, in order */
    size_t content_count;
    const uint8_t *bytes; /* borrowed: the file itself, without its signature */
    size_t size;
};

/* Reads `data` (borrowed as long as *ret lives). RC_INPUT: not such a file, or cut; its signature is not
 * looked at. On success release with results_file_release. */
MUST_USE enum rc results_file_read(const void *data, size_t size, struct results_file *ret, struct err *err);
void results_file_release(struct results_file *f);

/* RC_INPUT unless the file was signed with the secret half of `public_key`. */
MUST_USE enum rc results_file_verify(const struct results_file *f,
                                     const uint8_t public_key[RESULTS_FILE_PUBLIC_KEY], struct err *err);

/* Writes `head` and the contents of `paths` (in the head's order), signed. */
MUST_USE enum rc results_file_write(const char *path, const json_t *head, const char *const *paths,
                                    size_t count, const uint8_t secret_key[RESULTS_FILE_SECRET_KEY],
                                    struct err *err);

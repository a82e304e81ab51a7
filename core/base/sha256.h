/* sha256.h -- streaming SHA-256 (libsodium) and its hexadecimal form. */
#pragma once

#include <sodium.h>
#include <stdbool.h>
#include <stddef.h>

#include "core/base/err.h"

enum { SHA256_HEX_SIZE = 65 }; /* 64 lower-case digits and a NUL */

struct sha256 {
    crypto_hash_sha256_state state;
};

void sha256_init(struct sha256 *h);
void sha256_add(struct sha256 *h, const void *data, size_t size);
void sha256_hex(struct sha256 *h, char hex[SHA256_HEX_SIZE]); /* ends the hash */
void sha256_bytes(struct sha256 *h, unsigned char bytes[32]); /* the same, as bytes */

void sha256_of(const void *data, size_t size, char hex[SHA256_HEX_SIZE]);
MUST_USE enum rc sha256_of_file(const char *path, char hex[SHA256_HEX_SIZE], size_t *bytes, struct err *err);

/* 64 lower-case hexadecimal digits and nothing else. */
bool sha256_is_hex(const char *text);

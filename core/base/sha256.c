#include "core/base/sha256.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

void sha256_init(struct sha256 *h) {
    crypto_hash_sha256_init(&h->state);
}

void sha256_add(struct sha256 *h, const void *data, size_t size) {
    crypto_hash_sha256_update(&h->state, data, size);
}

void sha256_bytes(struct sha256 *h, unsigned char bytes[32]) {
    crypto_hash_sha256_final(&h->state, bytes);
}

void sha256_hex(struct sha256 *h, char hex[SHA256_HEX_SIZE]) {
    unsigned char digest[crypto_hash_sha256_BYTES];
    crypto_hash_sha256_final(&h->state, digest);
    sodium_bin2hex(hex, SHA256_HEX_SIZE, digest, sizeof(digest));
}

void sha256_of(const void *data, size_t size, char hex[SHA256_HEX_SIZE]) {
    struct sha256 h;
    sha256_init(&h);
    sha256_add(&h, data, size);
    sha256_hex(&h, hex);
}

enum rc sha256_of_file(const char *path, char hex[SHA256_HEX_SIZE], size_t *bytes, struct err *err) {
    char chunk[65536];
    struct sha256 h;
    size_t n, total = 0;
    FILE *f = fopen(path, "rb");
    if (!f) {
        return err_set(err, errno == ENOENT ? RC_NOT_FOUND : RC_IO, "%s: %s", path, strerror(errno));
    }
    sha256_init(&h);
    while (!feof(f) && !ferror(f) && (n = fread(chunk, 1, sizeof(chunk), f)) > 0) {
        sha256_add(&h, chunk, n);
        total += n;
    }
    enum rc rc = ferror(f) ? err_set(err, RC_IO, "%s: %s", path, strerror(errno)) : RC_OK;
    fclose(f);
    sha256_hex(&h, hex);
    *bytes = total;
    return rc;
}

bool sha256_is_hex(const char *text) {
    return strspn(text, "0123456789abcdef") == 64 && text[64] == '\0';
}

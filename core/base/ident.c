#include "core/base/ident.h"

#include <assert.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "core/base/sha256.h"

void ident_random(const char *prefix, char id[IDENT_SIZE]) {
    static const char alphabet[] = "abcdefghijklmnopqrstuvwxyz234567";
    unsigned char bytes[26];
    assert(strlen(prefix) <= 5);
    randombytes_buf(bytes, sizeof(bytes));
    size_t n = (size_t)snprintf(id, IDENT_SIZE, "%s_", prefix);
    for (size_t i = 0; i < sizeof(bytes); i++) {
        id[n++] = alphabet[bytes[i] & 31];
    }
    id[n] = '\0';
}

void ident_content(const char *prefix, const void *data, size_t size, char id[IDENT_SIZE]) {
    char hex[SHA256_HEX_SIZE];
    assert(strlen(prefix) <= 5);
    sha256_of(data, size, hex);
    snprintf(id, IDENT_SIZE, "%s_%.32s", prefix, hex);
}

bool ident_valid(const char *prefix, const char *text) {
    size_t n = strlen(prefix), size = strlen(text);
    if (size >= IDENT_SIZE || size < n + 2 || strncmp(text, prefix, n) != 0 || text[n] != '_') {
        return false;
    }
    return strspn(text + n + 1, "abcdefghijklmnopqrstuvwxyz0123456789") == size - n - 1;
}

/* llama_tokenize.c -- text to tokens. */
#include "runtimes/llama_internal.h"

#ifdef PARE_HAVE_LLAMA

#include <stdlib.h>
#include <string.h>

#include "core/base/checked.h"

enum { MAX_TEXT_BYTES = 1 << 30 };

static const char replacement[] = "\xEF\xBF\xBD"; /* U+FFFD */

/* Bytes of the UTF-8 character at p (Unicode 15, table 3-7), or 0 when it is none. */
static size_t utf8_length(const unsigned char *p, size_t size) {
    unsigned char a = p[0];
    if (a < 0x80) {
        return 1;
    }
    size_t length = a >= 0xC2 && a <= 0xDF ? 2 : a >= 0xE0 && a <= 0xEF ? 3 : a >= 0xF0 && a <= 0xF4 ? 4 : 0;
    if (length == 0 || length > size) {
        return 0;
    }
    unsigned char low = a == 0xE0 ? 0xA0 : a == 0xF0 ? 0x90 : 0x80;
    unsigned char high = a == 0xED ? 0x9F : a == 0xF4 ? 0x8F : 0xBF;
    if (p[1] < low || p[1] > high) {
        return 0;
    }
    for (size_t i = 2; i < length; i++) {
        if ((p[i] & 0xC0) != 0x80) {
            return 0;
        }
    }
    return length;
}

/* A copy of `text` in which every byte that is not part of a UTF-8 character is U+FFFD: blocks of a split
 * text may begin and end inside a character, and libllama throws at such bytes. NULL when out of memory. */
static char *utf8_clean(const char *text, size_t size, size_t *clean_size) {
    const unsigned char *p = (const unsigned char *)text;
    size_t room;
    if (checked_mul(size, sizeof replacement - 1, &room) || checked_add(room, 1, &room)) {
        return NULL;
    }
    char *clean = malloc(room);
    if (!clean) {
        return NULL;
    }
    size_t used = 0;
    for (size_t i = 0; i < size;) {
        size_t length = utf8_length(p + i, size - i);
        const void *from = length ? (const void *)(p + i) : replacement;
        size_t bytes = length ? length : sizeof replacement - 1;
        memcpy(clean + used, from, bytes);
        used += bytes;
        i += length ? length : 1;
    }
    *clean_size = used;
    return clean;
}

enum rc llama_lm_tokenize(const struct llama_lm *lm, const char *text, size_t size, int32_t **tokens,
                          size_t *count, struct err *err) {
    if (size > MAX_TEXT_BYTES / sizeof replacement) {
        return err_set(err, RC_TOO_LARGE,
                       "the text has %zu bytes; at most %zu can be read at once: use a part of it", size,
                       MAX_TEXT_BYTES / sizeof replacement);
    }
    size_t clean_size;
    char *clean = utf8_clean(text, size, &clean_size);
    int32_t *room = clean ? malloc((clean_size + 2) * sizeof *room) : NULL;
    if (!room) {
        free(clean);
        return err_memory(err);
    }
    int32_t made =
        llama_tokenize(lm->vocab, clean, (int32_t)clean_size, room, (int32_t)clean_size + 2, true, false);
    free(clean);
    if (made < 0) {
        free(room);
        return err_set(err, RC_INTERNAL, "libllama could not tokenize the text (code %d)", made);
    }
    int32_t *shrunk = realloc(room, ((size_t)made + 1) * sizeof *room);
    *tokens = shrunk ? shrunk : room;
    *count = (size_t)made;
    return RC_OK;
}

#endif

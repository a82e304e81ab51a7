/* cpu_info.c -- see cpu_info.h. */
#include "profiler/agent/cpu_info.h"

#include <stdio.h>
#include <string.h>

#include "core/base/container.h"

/* The kernel's names of instruction sets that decide how fast numbers of few bits are. */
static const char *const ISA[] = {
    "avx",      "f16c",        "fma",         "avx2",        "avx_vnni", "avx512f",  "avx512bw",
    "avx512vl", "avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_tile", "amx_int8", "amx_bf16", /* x86 */
    "asimd",    "asimdhp",     "asimddp",     "i8mm",        "bf16",     "sve",      "sve2",     /* ARM */
};
_Static_assert(ARRAY_SIZE(ISA) <= CPU_INFO_MAX_ISA, "room for every instruction set");

/* The value of "key<tabs>: value" on a line of the first processor, without its end of line. False when there
 * is none. */
static bool find_value(const char *text, const char *key, const char **value, size_t *size) {
    size_t key_size = strlen(key);
    for (const char *line = text; *line;) {
        const char *end = strchr(line, '\n');
        size_t line_size = end ? (size_t)(end - line) : strlen(line);
        const char *colon = memchr(line, ':', line_size);
        if (colon && strncmp(line, key, key_size) == 0 &&
            strspn(line + key_size, " \t") == (size_t)(colon - line) - key_size) {
            const char *start = colon + 1;
            start += strspn(start, " \t");
            *value = start;
            *size = line + line_size > start ? (size_t)(line + line_size - start) : 0;
            return true;
        }
        line += line_size + (end ? 1 : 0);
    }
    return false;
}

static void copy_value(const char *text, const char *key, char *out, size_t out_size) {
    const char *value = NULL;
    size_t size = 0;
    if (find_value(text, key, &value, &size)) {
        snprintf(out, out_size, "%.*s", (int)(size < out_size ? size : out_size - 1), value);
    }
}

/* Is `word` one of the words separated by blanks? */
static bool has_word(const char *words, size_t size, const char *word) {
    size_t length = strlen(word);
    for (size_t i = 0; i + length <= size; i++) {
        bool starts = i == 0 || words[i - 1] == ' ';
        bool ends = i + length == size || words[i + length] == ' ';
        if (starts && ends && memcmp(words + i, word, length) == 0) {
            return true;
        }
    }
    return false;
}

void cpu_info_parse(const char *text, struct cpu_info *ret) {
    const char *flags = "";
    size_t size = 0;
    *ret = (struct cpu_info){0};
    copy_value(text, "model name", ret->model, sizeof(ret->model));
    copy_value(text, "vendor_id", ret->vendor, sizeof(ret->vendor));
    if (ret->vendor[0] == '\0') {
        copy_value(text, "CPU implementer", ret->vendor, sizeof(ret->vendor));
    }
    if (ret->model[0] == '\0' && ret->vendor[0] != '\0') {
        char part[CPU_INFO_TEXT] = "?";
        copy_value(text, "CPU part", part, sizeof(part));
        snprintf(ret->model, sizeof(ret->model), "implementer %.40s part %.40s", ret->vendor, part);
    }
    if (!find_value(text, "flags", &flags, &size)) {
        (void)find_value(text, "Features", &flags, &size); /* ARM; without either there are no flags */
    }
    for (size_t i = 0; i < ARRAY_SIZE(ISA); i++) {
        if (has_word(flags, size, ISA[i])) {
            ret->isa[ret->isa_count++] = ISA[i];
        }
    }
    ret->hypervisor = has_word(flags, size, "hypervisor");
}

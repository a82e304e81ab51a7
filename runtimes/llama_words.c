/* llama_words.c -- catches the reason that libllama writes to its log when something fails. */
#include "runtimes/llama_internal.h"

#ifdef PARE_HAVE_LLAMA

#include <ctype.h>
#include <string.h>

static void on_log(enum ggml_log_level level, const char *text, void *user) {
    struct llama_words *w = user;
    bool begins = level == GGML_LOG_LEVEL_ERROR && w && w->text[0] == '\0';
    bool goes_on = level == GGML_LOG_LEVEL_CONT && w && w->text[0] != '\0';
    if (!w || w->complete || !(begins || goes_on)) {
        return;
    }
    size_t used = strlen(w->text);
    size_t size = strcspn(text, "\n");
    w->complete = text[size] == '\n';
    if (size > sizeof w->text - 1 - used) {
        size = sizeof w->text - 1 - used;
    }
    for (size_t i = 0; i < size; i++) { /* names out of a hostile file need not be UTF-8 */
        unsigned char c = (unsigned char)text[i];
        w->text[used + i] = c >= 0x20 && c < 0x7F ? (char)c : '?';
    }
    w->text[used + size] = '\0';
}

void llama_words_begin(struct llama_words *w) {
    memset(w, 0, sizeof *w);
    llama_log_set(on_log, w);
}

void llama_words_end(void) {
    llama_log_set(on_log, NULL);
}

const char *llama_words_reason(const struct llama_words *w) {
    const char *text = w->text;
    size_t name = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");
    if (name > 0 && text[name] == ':') {
        text += name + 1;
    }
    while (isspace((unsigned char)*text)) {
        text++;
    }
    return *text ? text : "no reason given";
}

#endif

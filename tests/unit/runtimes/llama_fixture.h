/* llama_fixture.h -- the small language model and its text, for tests that need them: from examples/, else
 * from PARE_MODELS. */
#pragma once

#include "tests/support/test.h"

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/base/file.h"
#include "runtimes/llama_lm.h"

struct llama_fixture {
    char model[PATH_MAX]; /* docs-llama-3m.f16.gguf, an absolute path */
    char *text;           /* docs.small.txt */
    size_t text_size;
};

/* The absolute path of a file that lies in examples/docs-llm, or in `folder` of the models. False when it is
 * nowhere. */
static inline bool llama_fixture_find(const char *folder, const char *name, char path[PATH_MAX]) {
    char tried[PATH_MAX];
    const char *root = getenv("PARE_MODELS");
    snprintf(tried, sizeof tried, "examples/docs-llm/%s", name);
    if (realpath(tried, path)) {
        return true;
    }
    snprintf(tried, sizeof tried, "%s/%s/%s", root ? root : "../shared", folder, name);
    return realpath(tried, path) != NULL;
}

/* False, with a line that says why, when the test has to be skipped. */
static inline bool llama_fixture_open(struct llama_fixture *f) {
    char text[PATH_MAX];
    f->text = NULL;
    if (!llama_lm_available()) {
        printf("skipped: this build has no libllama\n");
        return false;
    }
    if (!llama_fixture_find("models", "docs-llama-3m.f16.gguf", f->model) ||
        !llama_fixture_find("data", "docs.small.txt", text)) {
        printf("skipped: docs-llama-3m.f16.gguf or docs.small.txt is not here (PARE_MODELS)\n");
        return false;
    }
    struct err err;
    if (file_read(text, 1 << 24, &f->text, &f->text_size, &err)) {
        printf("skipped: %s\n", err.text);
        return false;
    }
    return true;
}

static inline void llama_fixture_close(struct llama_fixture *f) {
    free(f->text);
}

/* Loads the model with that context on two threads; fails the test when that fails. */
static inline struct llama_lm *llama_fixture_load(const struct llama_fixture *f, const char *path,
                                                  uint32_t context) {
    struct llama_lm *lm = NULL;
    struct llama_lm_opts opts = {.context = context, .threads = 1};
    struct err err = {.text = ""};
    if (llama_lm_load(path ? path : f->model, &opts, &lm, &err)) {
        fail_msg("%s", err.text);
    }
    return lm;
}

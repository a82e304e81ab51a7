/* store_fixture.h -- a store in a temporary folder with a clock of its own. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/base/file.h"
#include "db/store.h"

#define FINE(call)                                                                                           \
    do {                                                                                                     \
        struct err err_ = {0};                                                                               \
        struct err *err = &err_;                                                                             \
        enum rc rc_ = (call);                                                                                \
        if (rc_ != RC_OK) {                                                                                  \
            fail_msg("%s: %s: %s", #call, rc_name(rc_), err_.text);                                          \
        }                                                                                                    \
    } while (0)

struct fixture {
    char folder[64];
    struct store *store;
    int64_t now_ms;
};

static inline int64_t fixture_now(void *user) {
    return ((struct fixture *)user)->now_ms;
}

static inline enum rc fixture_open(struct fixture *f, struct store **ret, struct err *err) {
    struct store_opts opts = {.folder = f->folder, .now_ms = fixture_now, .now_user = f};
    return store_open(&opts, ret, err);
}

static inline int fixture_setup(void **state) {
    struct fixture *f = calloc(1, sizeof(*f));
    snprintf(f->folder, sizeof(f->folder), "/tmp/pare-store-XXXXXX");
    assert_non_null(mkdtemp(f->folder));
    f->now_ms = 1700000000000;
    FINE(fixture_open(f, &f->store, err));
    *state = f;
    return 0;
}

/* Closes the store and opens it again, as a new start of the service would. */
static inline void fixture_reopen(struct fixture *f) {
    store_close(f->store);
    FINE(fixture_open(f, &f->store, err));
}

static inline int fixture_teardown(void **state) {
    struct fixture *f = *state;
    store_close(f->store);
    FINE(file_remove_tree(f->folder, err));
    free(f);
    return 0;
}

/* Runs `fn` and gives its code. */
static inline enum rc fixture_write(struct fixture *f, store_fn *fn, void *user) {
    struct err why;
    return store_write(f->store, fn, user, &why);
}

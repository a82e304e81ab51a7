/* store_internal.h -- the struct behind store.h, for the files of this folder. */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "core/base/container.h"
#include "db/sql.h"
#include "db/store.h"
#include "db/writer.h"

enum { STORE_PATH_SIZE = 4096 };

struct store_reader {
    struct sql *sql;
    struct store_tx tx;
    bool busy; /* under the store's mutex */
};

struct store {
    char *folder;
    int lock_fd;
    int64_t (*now_ms)(void *user);
    void *now_user;
    struct writer *writer;
    struct store_reader *readers;
    unsigned n_readers;

    pthread_mutex_t mutex; /* guards what follows */
    pthread_cond_t changed, reader_free;
    atomic_uint_fast64_t changes, evidence;
    void (*on_change)(void *user);
    void *on_change_user;

    /* Held for reading while an upload becomes a blob, for writing while unused blobs are removed: so that no
     * blob is removed between its rename and its row. */
    pthread_rwlock_t blobs_lock;
};

/* FOLDER/name */
MUST_USE enum rc store_path(const struct store *s, char path[STORE_PATH_SIZE], const char *name,
                            struct err *err);
/* FOLDER/blobs/ab/cdef...; `sha256` was checked. */
MUST_USE enum rc store_blob_file(const struct store *s, const char *sha256, char path[STORE_PATH_SIZE],
                                 struct err *err);

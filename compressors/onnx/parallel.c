#include "compressors/onnx/parallel.h"

#include <cblas.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>

struct shared {
    size_t count;
    parallel_fn *fn;
    void *user;
    pthread_mutex_t lock;
    size_t next; /* under the lock, like the rest */
    bool failed;
    size_t failed_item;
    struct err error;
};

struct member {
    struct shared *shared;
    size_t index;
    pthread_t thread;
    bool started;
};

static bool take(struct shared *s, size_t *item) {
    pthread_mutex_lock(&s->lock);
    bool more = !s->failed && s->next < s->count;
    *item = s->next;
    s->next += more;
    pthread_mutex_unlock(&s->lock);
    return more;
}

static void fail(struct shared *s, size_t item, const struct err *err) {
    pthread_mutex_lock(&s->lock);
    if (!s->failed || item < s->failed_item) {
        s->failed = true;
        s->failed_item = item;
        s->error = *err;
    }
    pthread_mutex_unlock(&s->lock);
}

static void *work(void *arg) {
    struct member *m = arg;
    struct err err;
    for (size_t item = 0; take(m->shared, &item);) {
        if (m->shared->fn(m->shared->user, item, m->index, &err) != RC_OK) {
            fail(m->shared, item, &err);
        }
    }
    return NULL;
}

enum rc parallel_for(size_t threads, size_t count, parallel_fn *fn, void *user, struct err *err) {
    struct shared shared = {.count = count, .fn = fn, .user = user};
    struct member members[PARALLEL_THREADS_MAX];
    size_t n = threads < 1 ? 1 : threads < PARALLEL_THREADS_MAX ? threads : PARALLEL_THREADS_MAX;
    n = n < count ? n : count;
    pthread_mutex_init(&shared.lock, NULL);
    for (size_t i = 0; i < n; i++) {
        members[i] = (struct member){.shared = &shared, .index = i};
        members[i].started = i > 0 && pthread_create(&members[i].thread, NULL, work, &members[i]) == 0;
    }
    if (n > 0) {
        work(&members[0]);
    }
    for (size_t i = 0; i < n; i++) {
        if (members[i].started) {
            pthread_join(members[i].thread, NULL);
        }
    }
    pthread_mutex_destroy(&shared.lock);
    if (shared.failed && err) {
        *err = shared.error;
    }
    return shared.failed ? shared.error.rc : RC_OK;
}

static void set_single(void) {
    openblas_set_num_threads(1);
}

void parallel_keep_blas_single(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, set_single);
}

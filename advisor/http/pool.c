#include "advisor/http/pool.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/container.h"

enum { THREADS_MAX = 64 };

struct list {
    struct pool_task *head, *tail;
    size_t size;
};

struct pool {
    pthread_mutex_t lock; /* guards waiting, finished and stopping */
    pthread_cond_t some;
    struct list waiting, finished;
    bool stopping;
    uv_async_t wake; /* tells the loop that something is finished */
    size_t queue_max;
    unsigned started;
    pthread_t threads[THREADS_MAX];
};

static void push(struct list *l, struct pool_task *task) {
    task->next = NULL;
    if (l->tail) {
        l->tail->next = task;
    } else {
        l->head = task;
    }
    l->tail = task;
    l->size++;
}

static struct pool_task *pop(struct list *l) {
    struct pool_task *task = l->head;
    if (task) {
        l->head = task->next;
        l->tail = l->head ? l->tail : NULL;
        l->size--;
    }
    return task;
}

static struct pool_task *next_task(struct pool *p) {
    pthread_mutex_lock(&p->lock);
    while (!p->waiting.head && !p->stopping) {
        pthread_cond_wait(&p->some, &p->lock);
    }
    struct pool_task *task = pop(&p->waiting);
    pthread_mutex_unlock(&p->lock);
    return task;
}

static void *pool_thread(void *arg) {
    struct pool *p = arg;
    for (struct pool_task *task; (task = next_task(p)) != NULL;) {
        task->work(task);
        pthread_mutex_lock(&p->lock);
        push(&p->finished, task);
        uv_async_send(
            &p->wake); /* under the lock: pool_stop closes the handle only after the threads ended */
        pthread_mutex_unlock(&p->lock);
    }
    return NULL;
}

static void on_finished(uv_async_t *handle) {
    struct pool *p = CONTAINER_OF(handle, struct pool, wake);
    pthread_mutex_lock(&p->lock);
    struct list finished = p->finished;
    p->finished = (struct list){0};
    pthread_mutex_unlock(&p->lock);
    for (struct pool_task *task; (task = pop(&finished)) != NULL;) {
        task->done(task);
    }
}

static enum rc start_threads(struct pool *p, unsigned threads, struct err *err) {
    for (unsigned i = 0; i < threads; i++) {
        int e = pthread_create(&p->threads[i], NULL, pool_thread, p);
        if (e != 0) {
            return err_set(err, RC_IO, "cannot start a thread: %s", strerror(e));
        }
        p->started++;
    }
    return RC_OK;
}

enum rc pool_new(const struct pool_opts *opts, struct pool **ret, struct err *err) {
    assert(opts->threads >= 1 && opts->threads <= THREADS_MAX);
    struct pool *p = calloc(1, sizeof(*p));
    if (!p) {
        return err_memory(err);
    }
    p->queue_max = opts->queue_max;
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->some, NULL);
    int e = uv_async_init(opts->loop, &p->wake, on_finished);
    if (e != 0) {
        free(p);
        return err_set(err, RC_IO, "cannot wake the loop: %s", uv_strerror(e));
    }
    *ret = p; /* from here on pool_stop and pool_free end what was started */
    return start_threads(p, opts->threads, err);
}

void pool_continue(struct pool *p, struct pool_task *task) {
    pthread_mutex_lock(&p->lock);
    assert(!p->stopping);
    push(&p->waiting, task);
    pthread_cond_signal(&p->some);
    pthread_mutex_unlock(&p->lock);
}

bool pool_submit(struct pool *p, struct pool_task *task) {
    if (pool_waiting(p) >= p->queue_max) { /* only the loop thread adds, so it cannot grow in between */
        return false;
    }
    pool_continue(p, task);
    return true;
}

size_t pool_waiting(struct pool *p) {
    pthread_mutex_lock(&p->lock);
    size_t n = p->waiting.size;
    pthread_mutex_unlock(&p->lock);
    return n;
}

void pool_stop(struct pool *p) {
    pthread_mutex_lock(&p->lock);
    p->stopping = true;
    pthread_cond_broadcast(&p->some);
    pthread_mutex_unlock(&p->lock);
    for (unsigned i = 0; i < p->started; i++) {
        pthread_join(p->threads[i], NULL);
    }
    p->started = 0;
    uv_close((uv_handle_t *)&p->wake, NULL);
}

void pool_free(struct pool *p) {
    if (p) {
        pthread_cond_destroy(&p->some);
        pthread_mutex_destroy(&p->lock);
        free(p);
    }
}

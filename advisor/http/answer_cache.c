#include "advisor/http/answer_cache.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct entry {
    char *bytes; /* the question, then the answer */
    size_t question, answer;
};

struct answer_cache {
    pthread_mutex_t lock;
    uint64_t evidence;                   /* at which all entries hold */
    size_t most, bytes_max, bytes, next; /* next: the place filled next, the oldest entry's */
    struct entry entries[];
};

struct answer_cache *answer_cache_new(size_t entries, size_t bytes_max) {
    struct answer_cache *c = calloc(1, sizeof(*c) + entries * sizeof(struct entry));
    if (c) {
        c->most = entries;
        c->bytes_max = bytes_max;
        pthread_mutex_init(&c->lock, NULL);
    }
    return c;
}

static void drop(struct answer_cache *c, struct entry *e) {
    c->bytes -= e->question + e->answer;
    free(e->bytes);
    *e = (struct entry){0};
}

static void drop_all(struct answer_cache *c) {
    for (size_t i = 0; i < c->most; i++) {
        drop(c, &c->entries[i]);
    }
    c->next = 0;
}

void answer_cache_free(struct answer_cache *c) {
    if (c) {
        drop_all(c);
        pthread_mutex_destroy(&c->lock);
        free(c);
    }
}

static struct entry *find(struct answer_cache *c, const char *question, size_t size) {
    for (size_t i = 0; i < c->most; i++) {
        struct entry *e = &c->entries[i];
        if (e->bytes && e->question == size && memcmp(e->bytes, question, size) == 0) {
            return e;
        }
    }
    return NULL;
}

enum rc answer_cache_get(struct answer_cache *c, uint64_t evidence, const char *question, size_t size,
                         struct buf *out, bool *found, struct err *err) {
    enum rc rc = RC_OK;
    pthread_mutex_lock(&c->lock);
    const struct entry *e = c->evidence == evidence ? find(c, question, size) : NULL;
    *found = e != NULL;
    if (e) {
        rc = buf_add(out, e->bytes + e->question, e->answer, err);
    }
    pthread_mutex_unlock(&c->lock);
    return rc;
}

/* Makes room at the oldest places. */
static struct entry *place_for(struct answer_cache *c, size_t bytes) {
    struct entry *e = &c->entries[c->next];
    c->next = (c->next + 1) % c->most;
    drop(c, e);
    for (size_t i = c->next; c->bytes + bytes > c->bytes_max; i = (i + 1) % c->most) {
        drop(c, &c->entries[i]);
    }
    return e;
}

static void keep(struct answer_cache *c, const char *question, size_t size, const char *answer,
                 size_t answer_size) {
    char *bytes =
        size + answer_size <= c->bytes_max && !find(c, question, size) ? malloc(size + answer_size) : NULL;
    if (!bytes) {
        return;
    }
    struct entry *e = place_for(c, size + answer_size);
    memcpy(bytes, question, size);
    memcpy(bytes + size, answer, answer_size);
    *e = (struct entry){bytes, size, answer_size};
    c->bytes += size + answer_size;
}

void answer_cache_put(struct answer_cache *c, uint64_t evidence, const char *question, size_t size,
                      const char *answer, size_t answer_size) {
    pthread_mutex_lock(&c->lock);
    if (evidence >= c->evidence) { /* an older one has nothing to say */
        if (evidence > c->evidence) {
            drop_all(c);
        }
        c->evidence = evidence;
        keep(c, question, size, answer, answer_size);
    }
    pthread_mutex_unlock(&c->lock);
}

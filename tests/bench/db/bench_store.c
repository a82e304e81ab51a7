/* Acknowledged (durable) writes a second, by one caller and by many at once: what group commit is for. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/base/clock.h"
#include "core/base/file.h"
#include "db/store.h"
#include "db/store_models.h"

enum { WRITES = 2000, THREADS_MAX = 32 };

struct writer_thread {
    struct store *store;
    int first, count;
    pthread_t thread;
};

static enum rc add_one(struct store_tx *tx, void *user, struct err *err) {
    char id[32];
    bool created;
    snprintf(id, sizeof(id), "dat_%d", *(const int *)user);
    struct store_dataset d = {.id = id, .name = "n", .format = "text", .examples = -1};
    return store_dataset_add(tx, &d, NULL, 0, &created, err);
}

static void *write_many(void *user) {
    struct writer_thread *t = user;
    struct err err;
    for (int i = t->first; i < t->first + t->count; i++) {
        if (store_write(t->store, add_one, &i, &err) != RC_OK) {
            fprintf(stderr, "%s\n", err.text);
            exit(1);
        }
    }
    return NULL;
}

static double writes_per_s(struct store *s, int threads, int first) {
    struct writer_thread t[THREADS_MAX];
    uint64_t start = clock_mono_ns();
    for (int i = 0; i < threads; i++) {
        t[i] = (struct writer_thread){
            .store = s, .first = first + i * (WRITES / threads), .count = WRITES / threads};
        pthread_create(&t[i].thread, NULL, write_many, &t[i]);
    }
    for (int i = 0; i < threads; i++) {
        pthread_join(t[i].thread, NULL);
    }
    return WRITES / ((double)(clock_mono_ns() - start) / 1e9);
}

int main(void) {
    char folder[] = "/tmp/pare-bench-XXXXXX";
    struct store *s;
    struct err err;
    if (!mkdtemp(folder) || store_open(&(struct store_opts){.folder = folder}, &s, &err) != RC_OK) {
        return 1;
    }
    int first = 0;
    for (int threads = 1; threads <= THREADS_MAX; threads *= 4, first += WRITES) {
        printf("%2d callers: %.0f durable writes/s\n", threads, writes_per_s(s, threads, first));
    }
    store_close(s);
    return file_remove_tree(folder, &err) == RC_OK ? 0 : 1;
}

/* copy_speed.c -- see copy_speed.h. memcpy of the C library is the copy that programs use; at this size it
 * writes past the caches where the machine can. */
#include "profiler/worker/copy_speed.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/file.h"

enum { THREADS_MAX = 1024, LEAST_ROUNDS = 3, MOST_ROUNDS = 20, ALIGNMENT = 4096, MEMORY_SHARE = 16 };
static const size_t LEAST_BYTES = (size_t)32 << 20, MOST_BYTES = (size_t)256 << 20;

struct copier {
    pthread_t thread;
    pthread_barrier_t *barrier;
    char *to;
    const char *from;
    size_t bytes;
    const int *rounds; /* how many more; written by thread 0 between two barriers */
};

static void *copy_on(void *arg) {
    struct copier *c = arg;
    for (;;) {
        pthread_barrier_wait(c->barrier);
        if (*c->rounds == 0) {
            return NULL;
        }
        memcpy(c->to, c->from, c->bytes);
        pthread_barrier_wait(c->barrier);
    }
}

/* Thread 0 of the copiers is the caller. Seconds of the fastest round. */
static double time_rounds(struct copier *mine, int *rounds, uint64_t limit_ns) {
    uint64_t start_ns = clock_mono_ns(), least_ns = UINT64_MAX;
    for (int done = 0;; done++) {
        bool over = clock_mono_ns() - start_ns > limit_ns;
        *rounds = done < LEAST_ROUNDS || (done < MOST_ROUNDS && !over);
        pthread_barrier_wait(mine->barrier);
        if (*rounds == 0) {
            return (double)least_ns / 1e9;
        }
        uint64_t begin_ns = clock_mono_ns();
        memcpy(mine->to, mine->from, mine->bytes);
        pthread_barrier_wait(mine->barrier);
        uint64_t taken_ns = clock_mono_ns() - begin_ns;
        least_ns = done > 0 && taken_ns < least_ns ? taken_ns : least_ns; /* the first maps the pages */
    }
}

static enum rc run_copiers(struct copier *copiers, uint32_t threads, uint64_t limit_ns, double *seconds,
                           struct err *err) {
    pthread_barrier_t barrier;
    int rounds = 1;
    uint32_t started = 1;
    if (pthread_barrier_init(&barrier, NULL, threads) != 0) {
        return err_memory(err);
    }
    for (uint32_t i = 0; i < threads; i++) {
        copiers[i].barrier = &barrier;
        copiers[i].rounds = &rounds;
    }
    while (started < threads &&
           pthread_create(&copiers[started].thread, NULL, copy_on, &copiers[started]) == 0) {
        started++;
    }
    enum rc rc = started == threads ? RC_OK : err_set(err, RC_MEMORY, "no room for %u threads", threads);
    if (rc == RC_OK) {
        *seconds = time_rounds(&copiers[0], &rounds, limit_ns);
    }
    for (uint32_t i = 1; i < started; i++) {
        if (rc != RC_OK) { /* they wait at a barrier that will never be full */
            pthread_cancel(copiers[i].thread);
        }
        pthread_join(copiers[i].thread, NULL);
    }
    pthread_barrier_destroy(&barrier);
    return rc;
}

enum rc copy_speed_measure(uint32_t threads, size_t bytes, uint64_t limit_ns, double *ret, struct err *err) {
    if (threads == 0 || threads > THREADS_MAX || bytes < threads * (size_t)ALIGNMENT) {
        return err_set(err, RC_USAGE, "%u threads cannot copy %zu bytes", threads, bytes);
    }
    size_t part = bytes / threads / ALIGNMENT * ALIGNMENT, whole = part * threads;
    char *from = aligned_alloc(ALIGNMENT, whole), *to = aligned_alloc(ALIGNMENT, whole);
    struct copier *copiers = calloc(threads, sizeof(*copiers));
    double seconds = 0;
    enum rc rc = from && to && copiers ? RC_OK : err_memory(err);
    if (rc == RC_OK) {
        memset(from, 1, whole);
        for (uint32_t i = 0; i < threads; i++) {
            copiers[i] = (struct copier){.to = to + i * part, .from = from + i * part, .bytes = part};
        }
        rc = run_copiers(copiers, threads, limit_ns, &seconds, err);
    }
    if (rc == RC_OK) {
        *ret = 2.0 * (double)whole / 1e9 / seconds;
    }
    free(copiers);
    free(from);
    free(to);
    return rc;
}

/* Of the last level, as the kernel tells it; 0 where it does not. (sysconf knows it too, and is ten times off
 * in some virtual machines.) */
static size_t cache_bytes(void) {
    struct err err;
    char *text = NULL, *end;
    size_t size = 0;
    if (file_read_kernel("/sys/devices/system/cpu/cpu0/cache/index3/size", 64, &text, &size, &err) != RC_OK) {
        return 0;
    }
    unsigned long long value = strtoull(text, &end, 10);
    unsigned shift = *end == 'K' ? 10 : *end == 'M' ? 20 : 0;
    size_t bytes = value < MOST_BYTES ? (size_t)value << shift : MOST_BYTES;
    free(text);
    return bytes;
}

size_t copy_speed_array_bytes(void) {
    long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    size_t bytes = cache_bytes() < MOST_BYTES ? 2 * cache_bytes() : MOST_BYTES;
    size_t share = pages > 0 && page > 0 ? (size_t)pages * (size_t)page / MEMORY_SHARE : LEAST_BYTES;
    bytes = bytes < LEAST_BYTES ? LEAST_BYTES : bytes > MOST_BYTES ? MOST_BYTES : bytes;
    return bytes < share ? bytes : share;
}

/* llama_score_chunks.c -- chunks do not depend on each other: each thread takes the next one and computes it
 * alone, in a context of its own on the shared weights. Threads that share a chunk would wait for each other
 * at every operation, and where other programs keep the processors busy they would wait long (30 times as
 * long with two on two busy cores). */
#include "runtimes/llama_score_chunks.h"

#include "runtimes/llama_internal.h"

#ifdef PARE_HAVE_LLAMA

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "runtimes/llama_logits.h"

/* What the threads share; the fields below the mutex are read and written with it held. */
struct run {
    const struct llama_chunks *chunks;
    struct llama_chunk_sums *sums; /* [chunks]; each element is written by the thread that took the chunk */
    pthread_mutex_t mutex;
    size_t next, done;
    enum rc rc; /* the first failure: nobody takes another chunk */
    struct err err;
};

struct scorer {
    struct llama_lm *lm, *reference; /* reference may be NULL */
    bool owns_models;                /* instances made for this thread */
    size_t vocabulary;
    uint32_t context;
    int32_t *chunk; /* [context]: its tokens, the first replaced */
    struct run *run;
    pthread_t thread;
};

static enum rc score_position(const struct scorer *s, uint32_t begin, uint32_t position,
                              struct llama_chunk_sums *sums, struct err *err) {
    int32_t next = s->chunk[position + 1];
    const float *logits = llama_lm_logits(s->lm, begin, position);
    struct llama_logits_summary own = llama_logits_summarise(logits, s->vocabulary);
    double nll = own.log_sum_exp - (double)logits[next];
    double reference_nll = 0, kld = 0;
    if (s->reference) {
        const float *expected = llama_lm_logits(s->reference, begin, position);
        struct llama_logits_summary other = llama_logits_summarise(expected, s->vocabulary);
        reference_nll = other.log_sum_exp - (double)expected[next];
        kld = llama_logits_divergence(expected, &other, logits, &own, s->vocabulary);
        sums->same_top += own.top == other.top;
    }
    if (!isfinite(nll) || !isfinite(reference_nll) || !isfinite(kld)) {
        return err_set(err, RC_INPUT,
                       "the model's output is not finite at token %u of a chunk: its weights are broken",
                       position);
    }
    sums->nll += nll;
    sums->reference_nll += reference_nll;
    sums->kld += kld;
    sums->scores++;
    return RC_OK;
}

static enum rc score_chunk(const struct scorer *s, struct llama_chunk_sums *sums, struct err *err) {
    uint32_t first = s->context / 2;
    llama_lm_clear(s->lm);
    if (s->reference) {
        llama_lm_clear(s->reference);
    }
    for (uint32_t begin = 0, end; begin < s->context; begin = end) {
        end = llama_lm_piece_end(s->lm, begin, s->context, first);
        enum rc rc = llama_lm_decode(s->lm, s->chunk, begin, end, first, err);
        if (rc == RC_OK && s->reference) {
            rc = llama_lm_decode(s->reference, s->chunk, begin, end, first, err);
        }
        for (uint32_t p = begin > first ? begin : first; rc == RC_OK && p < end && p + 1 < s->context; p++) {
            rc = score_position(s, begin, p, sums, err);
        }
        if (rc) {
            return rc;
        }
    }
    return RC_OK;
}

/* --- threads --- */

static bool take_chunk(struct run *run, size_t *chunk) {
    pthread_mutex_lock(&run->mutex);
    bool taken = run->rc == RC_OK && run->next < run->chunks->count;
    if (taken) {
        *chunk = run->next++;
    }
    pthread_mutex_unlock(&run->mutex);
    return taken;
}

/* How many chunks are done now. */
static size_t end_chunk(struct run *run, enum rc rc, const struct err *err) {
    pthread_mutex_lock(&run->mutex);
    if (rc && run->rc == RC_OK) {
        run->rc = rc;
        run->err = *err;
    }
    size_t done = ++run->done;
    pthread_mutex_unlock(&run->mutex);
    return done;
}

/* Takes chunks until there are none. `reports` is true on the calling thread, which tells the progress of
 * all. */
static void score_available(struct scorer *s, bool reports) {
    struct run *run = s->run;
    const struct llama_chunks *chunks = run->chunks;
    for (size_t i; take_chunk(run, &i);) {
        struct err err;
        memcpy(s->chunk, chunks->tokens + i * s->context, s->context * sizeof *s->chunk);
        s->chunk[0] = llama_lm_first_token(s->lm, s->chunk[0]);
        enum rc rc = score_chunk(s, &run->sums[i], &err);
        size_t done = end_chunk(run, rc, &err);
        if (reports && chunks->on_progress && done < chunks->count) {
            chunks->on_progress(chunks->user, (double)done / (double)chunks->count);
        }
    }
}

static void *scorer_main(void *user) {
    score_available(user, false);
    return NULL;
}

static void scorer_release(struct scorer *s) {
    if (s->owns_models) {
        llama_lm_free(s->lm);
        llama_lm_free(s->reference);
    }
    free(s->chunk);
}

/* A scorer on the models themselves, or (`alone` false) on instances of one thread. */
static enum rc scorer_init(struct scorer *s, struct llama_lm *lm, struct llama_lm *reference, struct run *run,
                           bool alone, struct err *err) {
    const struct llama_lm_opts opts = {.context = run->chunks->context, .threads = 1};
    enum rc rc = RC_OK;
    *s = (struct scorer){.run = run, .context = run->chunks->context, .owns_models = !alone};
    s->vocabulary = (size_t)llama_vocab_n_tokens(lm->vocab);
    if (alone) {
        s->lm = lm;
        s->reference = reference;
    } else {
        rc = llama_lm_instance(lm, &opts, &s->lm, err);
        if (rc == RC_OK && reference) {
            rc = llama_lm_instance(reference, &opts, &s->reference, err);
        }
    }
    if (rc == RC_OK) {
        s->chunk = malloc(s->context * sizeof *s->chunk);
        rc = s->chunk ? RC_OK : err_memory(err);
    }
    if (rc) {
        scorer_release(s);
    }
    return rc;
}

/* Runs scorers [count]; the first on this thread. Where a thread cannot be started the others do its work. */
static void run_scorers(struct scorer *scorers, size_t count) {
    size_t started = 1;
    while (started < count &&
           pthread_create(&scorers[started].thread, NULL, scorer_main, &scorers[started]) == 0) {
        started++;
    }
    score_available(&scorers[0], true);
    for (size_t i = 1; i < started; i++) {
        pthread_join(scorers[i].thread, NULL);
    }
}

enum rc llama_score_chunks(struct llama_lm *lm, struct llama_lm *reference, const struct llama_chunks *chunks,
                           struct llama_chunk_sums *sums, struct err *err) {
    size_t count = lm->threads < chunks->count ? lm->threads : chunks->count;
    struct scorer *scorers = calloc(count, sizeof *scorers);
    if (!scorers) {
        return err_memory(err);
    }
    struct run run = {.chunks = chunks, .sums = sums, .mutex = PTHREAD_MUTEX_INITIALIZER};
    enum rc rc = RC_OK;
    size_t made = 0;
    while (made < count &&
           (rc = scorer_init(&scorers[made], lm, reference, &run, count == 1, err)) == RC_OK) {
        made++;
    }
    if (rc == RC_OK) {
        run_scorers(scorers, count);
        rc = run.rc;
        if (rc && err) {
            *err = run.err;
        }
    }
    for (size_t i = 0; i < made; i++) {
        scorer_release(&scorers[i]);
    }
    free(scorers);
    pthread_mutex_destroy(&run.mutex);
    if (rc == RC_OK && chunks->on_progress) {
        chunks->on_progress(chunks->user, 1);
    }
    return rc;
}

#endif

#include "tests/unit/runtimes/llama_fixture.h"

#include <math.h>
#include <string.h>

#include "runtimes/llama_score.h"

static struct llama_fixture fixture;

#ifdef PARE_HAVE_LLAMA

#include "runtimes/llama_internal.h"

enum { CONTEXT = 128, CHUNKS = 3 };

/* Sum of -log p(next) over the second half of a chunk: libllama directly, softmax in long double. */
static long double slow_chunk(const struct llama_lm *lm, const int32_t *tokens) {
    struct llama_context_params params = llama_context_default_params();
    params.n_ctx = CONTEXT;
    struct llama_context *ctx = llama_init_from_model(lm->model, params);
    struct llama_batch batch = llama_batch_init(CONTEXT, 0, 1);
    int32_t vocabulary = llama_vocab_n_tokens(lm->vocab);
    batch.n_tokens = CONTEXT;
    for (int32_t i = 0; i < CONTEXT; i++) {
        bool bos = i == 0 && llama_vocab_get_add_bos(lm->vocab);
        batch.token[i] = bos ? llama_vocab_bos(lm->vocab) : tokens[i];
        batch.pos[i] = i;
        batch.n_seq_id[i] = 1;
        batch.seq_id[i][0] = 0;
        batch.logits[i] = 1;
    }
    assert_int_equal(llama_decode(ctx, batch), 0);
    long double sum = 0;
    for (int32_t i = CONTEXT / 2; i < CONTEXT - 1; i++) {
        const float *logits = llama_get_logits_ith(ctx, i);
        long double total = 0;
        for (int32_t v = 0; v < vocabulary; v++) {
            total += expl((long double)logits[v]);
        }
        sum += logl(total) - (long double)logits[tokens[i + 1]];
    }
    llama_batch_free(batch);
    llama_free(ctx);
    return sum;
}

static void perplexity_agrees_with_a_recomputation_from_logits(void **state) {
    (void)state;
    struct llama_lm *lm = llama_fixture_load(&fixture, NULL, CONTEXT);
    struct llama_score_opts opts = {.max_chunks = CHUNKS};
    struct llama_scores s;
    struct err err;
    assert_int_equal(llama_score_text(lm, NULL, fixture.text, fixture.text_size, &opts, &s, &err), RC_OK);
    assert_int_equal(s.chunks, CHUNKS);
    assert_int_equal(s.tokens, CHUNKS * (CONTEXT - 1 - CONTEXT / 2));
    assert_null(s.kld);
    int32_t *tokens;
    size_t count;
    assert_int_equal(llama_lm_tokenize(lm, fixture.text, 8192, &tokens, &count, &err), RC_OK);
    long double total = 0;
    for (size_t i = 0; i < CHUNKS; i++) {
        long double sum = slow_chunk(lm, tokens + i * CONTEXT);
        assert_true(fabs((double)sum - (double)s.ppl[i][0]) < 1e-4 * (double)sum);
        assert_true(s.ppl[i][1] == CONTEXT - 1 - CONTEXT / 2);
        total += sum;
    }
    assert_true(fabs((double)expl(total / (long double)s.tokens) - s.mean_ppl) < 1e-3);
    free(tokens);
    llama_scores_free(&s);
    llama_lm_free(lm);
}

/* A vocabulary too large for the logits of half a chunk at once is decoded in pieces. */
static void decoding_in_pieces_changes_nothing(void **state) {
    (void)state;
    struct llama_lm *lm = llama_fixture_load(&fixture, NULL, CONTEXT);
    struct llama_score_opts opts = {.max_chunks = CHUNKS};
    struct llama_scores whole, pieces;
    struct err err;
    assert_int_equal(llama_score_text(lm, NULL, fixture.text, 8192, &opts, &whole, &err), RC_OK);
    lm->max_outputs = 7;
    assert_int_equal(llama_score_text(lm, NULL, fixture.text, 8192, &opts, &pieces, &err), RC_OK);
    for (size_t i = 0; i < CHUNKS; i++) {
        assert_true(fabsf(whole.ppl[i][0] - pieces.ppl[i][0]) < 1e-3f * whole.ppl[i][0]);
    }
    assert_int_equal(whole.tokens, pieces.tokens);
    llama_scores_free(&whole);
    llama_scores_free(&pieces);
    llama_lm_free(lm);
}

#endif

static void a_model_beside_itself_does_not_diverge(void **state) {
    (void)state;
    struct llama_lm *lm = llama_fixture_load(&fixture, NULL, 128),
                    *same = llama_fixture_load(&fixture, NULL, 128);
    struct llama_score_opts opts = {.max_chunks = 3};
    struct llama_scores s;
    struct err err;
    assert_int_equal(llama_score_text(lm, same, fixture.text, fixture.text_size, &opts, &s, &err), RC_OK);
    assert_true(s.mean_kld == 0);
    assert_true(s.mean_same_top == 1);
    assert_true(s.mean_ppl == s.reference_ppl);
    for (size_t i = 0; i < s.chunks; i++) {
        assert_true(s.kld[i][0] == 0 && s.kld[i][1] == s.ppl[i][1]);
        assert_true(s.same_top[i][0] == s.same_top[i][1]);
    }
    llama_scores_free(&s);
    llama_lm_free(lm);
    llama_lm_free(same);
}

/* Chunks are shared out among threads: rows and means are the same to the bit. */
static void the_number_of_threads_changes_nothing(void **state) {
    (void)state;
    struct llama_lm *one = llama_fixture_load(&fixture, NULL, 64), *three = NULL;
    struct llama_lm_opts lm_opts = {.context = 64, .threads = 3};
    struct llama_score_opts opts = {.max_chunks = 7};
    struct llama_scores a, b;
    struct err err;
    assert_int_equal(llama_lm_load(fixture.model, &lm_opts, &three, &err), RC_OK);
    assert_int_equal(llama_score_text(one, NULL, fixture.text, 4096, &opts, &a, &err), RC_OK);
    assert_int_equal(llama_score_text(three, one, fixture.text, 4096, &opts, &b, &err), RC_OK);
    assert_int_equal(a.chunks, 7);
    assert_int_equal(b.chunks, 7);
    assert_memory_equal(a.ppl, b.ppl, 7 * sizeof *a.ppl);
    assert_true(a.mean_ppl == b.mean_ppl);
    assert_true(b.mean_kld == 0);
    llama_scores_free(&a);
    llama_scores_free(&b);
    llama_lm_free(one);
    llama_lm_free(three);
}

static void a_text_shorter_than_a_chunk_is_refused(void **state) {
    (void)state;
    struct llama_lm *lm = llama_fixture_load(&fixture, NULL, 0);
    struct llama_scores s;
    struct err err;
    assert_int_equal(llama_score_text(lm, NULL, fixture.text, 200, NULL, &s, &err), RC_INPUT);
    assert_non_null(strstr(err.text, "use a longer text"));
    assert_int_equal(llama_score_text(lm, NULL, "", 0, NULL, &s, &err), RC_INPUT);
    llama_lm_free(lm);
}

static void chunks_beyond_the_context_are_refused(void **state) {
    (void)state;
    struct llama_lm *lm = llama_fixture_load(&fixture, NULL, 64);
    struct llama_scores s;
    struct err err;
    struct llama_score_opts large = {.context = 65}, small = {.context = 3};
    assert_int_equal(llama_score_text(lm, NULL, fixture.text, 4096, &large, &s, &err), RC_USAGE);
    assert_int_equal(llama_score_text(lm, NULL, fixture.text, 4096, &small, &s, &err), RC_USAGE);
    llama_lm_free(lm);
}

static void on_progress(void *user, double fraction) {
    double *last = user;
    assert_true(fraction > *last);
    *last = fraction;
}

static void progress_ends_at_one(void **state) {
    (void)state;
    struct llama_lm *lm = llama_fixture_load(&fixture, NULL, 64);
    double last = 0;
    struct llama_score_opts opts = {.max_chunks = 4, .on_progress = on_progress, .user = &last};
    struct llama_scores s;
    struct err err;
    assert_int_equal(llama_score_text(lm, NULL, fixture.text, 4096, &opts, &s, &err), RC_OK);
    assert_true(last == 1);
    llama_scores_free(&s);
    llama_lm_free(lm);
}

int main(void) {
    const struct CMUnitTest tests[] = {
#ifdef PARE_HAVE_LLAMA
        cmocka_unit_test(perplexity_agrees_with_a_recomputation_from_logits),
        cmocka_unit_test(decoding_in_pieces_changes_nothing),
#endif
        cmocka_unit_test(a_model_beside_itself_does_not_diverge),
        cmocka_unit_test(the_number_of_threads_changes_nothing),
        cmocka_unit_test(a_text_shorter_than_a_chunk_is_refused),
        cmocka_unit_test(chunks_beyond_the_context_are_refused),
        cmocka_unit_test(progress_ends_at_one),
    };
    if (!llama_fixture_open(&fixture)) {
        return 77;
    }
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    llama_fixture_close(&fixture);
    return failed;
}

/* Answers that were given before: only while nothing else was written. */
#include "tests/support/test.h"

#include <string.h>

#include "advisor/http/answer_cache.h"

enum { ENTRIES = 3, BYTES = 40 };

static bool has(struct answer_cache *c, uint64_t changes, const char *question, const char *answer) {
    struct err err;
    struct buf out;
    bool found;
    buf_init(&out, 1 << 20);
    assert_int_equal(answer_cache_get(c, changes, question, strlen(question), &out, &found, &err), RC_OK);
    if (found && answer) {
        assert_int_equal(out.size, strlen(answer));
        assert_memory_equal(out.data, answer, out.size);
    }
    buf_free(&out);
    return found;
}

static void put(struct answer_cache *c, uint64_t before, uint64_t after, const char *question,
                const char *answer) {
    answer_cache_put(c, before, after, question, strlen(question), answer, strlen(answer));
}

static void test_is_forgotten_when_something_is_written(void **state) {
    (void)state;
    struct answer_cache *c = answer_cache_new(ENTRIES, BYTES);
    assert_false(has(c, 0, "a", NULL));
    put(c, 4, 5, "a", "one");
    assert_true(has(c, 5, "a", "one"));
    assert_false(has(c, 6, "a", NULL));
    assert_false(has(c, 4, "a", NULL));
    assert_false(has(c, 5, "ab", NULL));
    put(c, 6, 7, "b", "two"); /* something was written between 5 and 6 */
    assert_false(has(c, 7, "a", NULL));
    assert_true(has(c, 7, "b", "two"));
    answer_cache_free(c);
}

static void test_storing_an_answer_leaves_the_others(void **state) {
    (void)state;
    struct answer_cache *c = answer_cache_new(ENTRIES, BYTES);
    put(c, 0, 1, "a", "one");
    put(c, 1, 2, "b", "two");
    put(c, 2, 2, "c", "three");
    assert_true(has(c, 2, "a", "one") && has(c, 2, "b", "two") && has(c, 2, "c", "three"));
    put(c, 2, 3, "d", "four"); /* in the place of the oldest */
    assert_false(has(c, 3, "a", NULL));
    assert_true(has(c, 3, "b", "two") && has(c, 3, "d", "four"));
    answer_cache_free(c);
}

static void test_an_answer_that_others_wrote_beside_is_not_kept(void **state) {
    (void)state;
    struct answer_cache *c = answer_cache_new(ENTRIES, BYTES);
    put(c, 0, 2, "a", "one");
    assert_false(has(c, 2, "a", NULL));
    put(c, 8, 9, "b", "two");
    put(c, 6, 7, "a", "late");
    assert_false(has(c, 7, "a", NULL));
    assert_true(has(c, 9, "b", "two"));
    answer_cache_free(c);
}

static void test_holds_no_more_bytes_than_it_may(void **state) {
    (void)state;
    struct answer_cache *c = answer_cache_new(ENTRIES, BYTES);
    put(c, 0, 1, "a", "0123456789012345678");
    put(c, 1, 2, "b", "0123456789012345678");
    assert_true(has(c, 2, "a", NULL) && has(c, 2, "b", NULL));
    put(c, 2, 3, "c", "x");
    assert_false(has(c, 3, "a", NULL));
    assert_true(has(c, 3, "b", NULL) && has(c, 3, "c", "x"));
    put(c, 3, 4, "d", "longer than all that it may hold, which is 40");
    assert_false(has(c, 4, "d", NULL));
    assert_true(has(c, 4, "c", "x"));
    answer_cache_free(c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_is_forgotten_when_something_is_written),
        cmocka_unit_test(test_storing_an_answer_leaves_the_others),
        cmocka_unit_test(test_an_answer_that_others_wrote_beside_is_not_kept),
        cmocka_unit_test(test_holds_no_more_bytes_than_it_may),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

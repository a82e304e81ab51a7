/* Answers that were given before: only while nothing else was written. */
#include "tests/support/test.h"

#include <string.h>

#include "advisor/http/answer_cache.h"

enum { ENTRIES = 3, BYTES = 40 };

static bool has(struct answer_cache *c, uint64_t evidence, const char *question, const char *answer) {
    struct err err;
    struct buf out;
    bool found;
    buf_init(&out, 1 << 20);
    assert_int_equal(answer_cache_get(c, evidence, question, strlen(question), &out, &found, &err), RC_OK);
    if (found && answer) {
        assert_int_equal(out.size, strlen(answer));
        assert_memory_equal(out.data, answer, out.size);
    }
    buf_free(&out);
    return found;
}

static void put(struct answer_cache *c, uint64_t evidence, const char *question, const char *answer) {
    answer_cache_put(c, evidence, question, strlen(question), answer, strlen(answer));
}

static void test_is_forgotten_when_something_is_written(void **state) {
    (void)state;
    struct answer_cache *c = answer_cache_new(ENTRIES, BYTES);
    assert_false(has(c, 0, "a", NULL));
    put(c, 5, "a", "one");
    assert_true(has(c, 5, "a", "one"));
    assert_false(has(c, 6, "a", NULL));
    assert_false(has(c, 4, "a", NULL));
    assert_false(has(c, 5, "ab", NULL));
    put(c, 6, "b", "two");
    assert_false(has(c, 6, "a", NULL));
    assert_true(has(c, 6, "b", "two"));
    put(c, 5, "a", "late");
    assert_false(has(c, 6, "a", NULL) || has(c, 5, "a", NULL));
    assert_true(has(c, 6, "b", "two"));
    answer_cache_free(c);
}

static void test_the_oldest_makes_room(void **state) {
    (void)state;
    struct answer_cache *c = answer_cache_new(ENTRIES, BYTES);
    put(c, 1, "a", "one");
    put(c, 1, "b", "two");
    put(c, 1, "c", "three");
    put(c, 1, "b", "again"); /* the first answer stays */
    assert_true(has(c, 1, "a", "one") && has(c, 1, "b", "two") && has(c, 1, "c", "three"));
    put(c, 1, "d", "four");
    assert_false(has(c, 1, "a", NULL));
    assert_true(has(c, 1, "b", "two") && has(c, 1, "d", "four"));
    answer_cache_free(c);
}

static void test_holds_no_more_bytes_than_it_may(void **state) {
    (void)state;
    struct answer_cache *c = answer_cache_new(ENTRIES, BYTES);
    put(c, 1, "a", "0123456789012345678");
    put(c, 1, "b", "0123456789012345678");
    assert_true(has(c, 1, "a", NULL) && has(c, 1, "b", NULL));
    put(c, 1, "c", "x");
    assert_false(has(c, 1, "a", NULL));
    assert_true(has(c, 1, "b", NULL) && has(c, 1, "c", "x"));
    put(c, 1, "d", "longer than all that it may hold, which is 40");
    assert_false(has(c, 1, "d", NULL));
    assert_true(has(c, 1, "c", "x"));
    answer_cache_free(c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_is_forgotten_when_something_is_written),
        cmocka_unit_test(test_the_oldest_makes_room),
        cmocka_unit_test(test_holds_no_more_bytes_than_it_may),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

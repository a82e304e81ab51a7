#include "tests/support/test.h"

#include <string.h>

#include "core/base/arena.h"

static void arena_memory_is_zeroed_aligned_and_separate(void **state) {
    (void)state;
    struct arena *a = arena_new(1 << 20);
    char *first = arena_alloc(a, 3), *second = arena_alloc(a, 50000), *third = arena_alloc(a, 1);
    assert_int_equal((uintptr_t)second % 16, 0);
    for (int i = 0; i < 50000; i++) {
        assert_int_equal(second[i], 0);
    }
    memset(second, 0x55, 50000);
    assert_int_equal(first[0] | first[2] | third[0], 0);
    arena_free(a);
}

static void arena_stops_at_its_cap(void **state) {
    (void)state;
    struct arena *a = arena_new(100);
    assert_non_null(arena_alloc(a, 64));
    assert_null(arena_alloc(a, 64));
    assert_null(arena_calloc(a, SIZE_MAX / 2, 4));
    assert_string_equal(arena_printf(a, "%d", 42), "42");
    arena_free(a);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arena_memory_is_zeroed_aligned_and_separate),
        cmocka_unit_test(arena_stops_at_its_cap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "tests/support/test.h"

#include <string.h>

#include "core/base/ident.h"
#include "core/base/sha256.h"

static void random_identifiers_differ_and_are_valid(void **state) {
    (void)state;
    char a[IDENT_SIZE], b[IDENT_SIZE];
    ident_random("std", a);
    ident_random("std", b);
    assert_string_not_equal(a, b);
    assert_true(ident_valid("std", a));
    assert_false(ident_valid("job", a));
}

static void content_identifiers_follow_the_content(void **state) {
    (void)state;
    char a[IDENT_SIZE], hex[SHA256_HEX_SIZE];
    ident_content("mdl", "abc", 3, a);
    sha256_of("abc", 3, hex); /* FIPS 180-2, appendix B.1 */
    assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_string_equal(a, "mdl_ba7816bf8f01cfea414140de5dae2223");
}

static void valid_refuses_what_could_be_a_path_or_sql(void **state) {
    (void)state;
    static const char *const bad[] = {
        "std_",     "std",    "",
        "std_../x", "std_A",  "std_a b",
        "std_a'",   "xstd_a", "std_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_false(ident_valid("std", bad[i]));
    }
    assert_false(sha256_is_hex("ABC"));
    assert_false(sha256_is_hex("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad0"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_identifiers_differ_and_are_valid),
        cmocka_unit_test(content_identifiers_follow_the_content),
        cmocka_unit_test(valid_refuses_what_could_be_a_path_or_sql),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

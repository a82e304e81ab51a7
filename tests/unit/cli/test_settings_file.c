/* Settings from a file. */
#include "tests/support/test.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "advisor/cli/settings_file.h"
#include "core/base/file.h"

static enum rc read_text(const char *text, struct err *err) {
    char path[] = "/tmp/pare-settings-XXXXXX";
    close(mkstemp(path));
    enum rc rc = file_write(path, text, strlen(text), 0600, err);
    if (rc == RC_OK) {
        rc = settings_file_read(path, err);
    }
    unlink(path);
    return rc;
}

static void names_and_values_are_read(void **state) {
    struct err err = {0};
    (void)state;
    assert_int_equal(
        read_text("# comment\n\n PARE_T_A = one two \r\nPARE_T_B=\"quoted \"\nPARE_T_C=a=b#c\nPARE_T_D=",
                  &err),
        RC_OK);
    assert_string_equal(getenv("PARE_T_A"), "one two");
    assert_string_equal(getenv("PARE_T_B"), "quoted ");
    assert_string_equal(getenv("PARE_T_C"), "a=b#c");
    assert_string_equal(getenv("PARE_T_D"), "");
}

static void the_environment_wins_over_the_file(void **state) {
    struct err err = {0};
    (void)state;
    setenv("PARE_T_E", "environment", 1);
    assert_int_equal(read_text("PARE_T_E=file\n", &err), RC_OK);
    assert_string_equal(getenv("PARE_T_E"), "environment");
}

static void other_lines_are_refused_with_their_number(void **state) {
    static const char *const bad[] = {"\nPATH=/tmp\n",       "\nLD_PRELOAD=x.so\n", "\nPARE_X\n",
                                      "\nexport PARE_X=1\n", "\nPARE_x=1\n",        "\n=1\n"};
    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct err err = {0};
        assert_int_equal(read_text(bad[i], &err), RC_USAGE);
        assert_non_null(strstr(err.text, "line 2"));
    }
    assert_null(getenv("LD_PRELOAD"));
}

static void a_chosen_file_must_be_there(void **state) {
    struct err err = {0};
    (void)state;
    setenv("PARE_CONFIG", "/tmp/pare-no-such-file", 1);
    assert_int_equal(settings_file_load(&err), RC_NOT_FOUND);
    unsetenv("PARE_CONFIG");
    setenv("XDG_CONFIG_HOME", "/tmp/pare-no-such-folder", 1);
    assert_int_equal(settings_file_load(&err), RC_OK);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_and_values_are_read),
        cmocka_unit_test(the_environment_wins_over_the_file),
        cmocka_unit_test(other_lines_are_refused_with_their_number),
        cmocka_unit_test(a_chosen_file_must_be_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Options of verbs: a table in, values out. */
#include "tests/support/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "advisor/cli/options.h"
#include "advisor/cli/verbs.h"

struct values {
    bool flag;
    const char *text;
    int64_t whole;
    double number;
    struct option_list list, operands;
};

/* Parses with standard error and output in `said`. */
static int parse(struct values *v, int argc, char **argv, char *said, size_t said_size) {
    const struct option_spec specs[] = {
        {.name = "flag",
         .letter = 'f',
         .kind = OPTION_FLAG,
         .env = "PARE_TEST_FLAG",
         .help = "a flag",
         .value = &v->flag},
        {.name = "text",
         .letter = 't',
         .kind = OPTION_TEXT,
         .argument = "T",
         .env = "PARE_TEST_TEXT",
         .help = "a text",
         .value = &v->text},
        {.name = "whole",
         .kind = OPTION_WHOLE,
         .argument = "N",
         .env = "PARE_TEST_WHOLE",
         .help = "a number",
         .value = &v->whole,
         .min = -3,
         .max = 9},
        {.name = "number", .kind = OPTION_NUMBER, .argument = "X", .help = "a number", .value = &v->number},
        {.name = "list", .kind = OPTION_LIST, .argument = "L", .help = "many", .value = &v->list},
    };
    const struct options o = {.verb = "test",
                              .summary = "Tests.",
                              .operands = "THING",
                              .min_operands = 1,
                              .max_operands = 2,
                              .specs = specs,
                              .count = 5,
                              .examples = "  pare test thing\n"};
    char path[] = "/tmp/pare-options-XXXXXX";
    int fd = mkstemp(path), out = dup(STDOUT_FILENO), error = dup(STDERR_FILENO);
    fflush(stdout);
    dup2(fd, STDOUT_FILENO);
    dup2(fd, STDERR_FILENO);
    int code = options_parse(&o, argc, argv, &v->operands);
    fflush(stdout);
    dup2(out, STDOUT_FILENO);
    dup2(error, STDERR_FILENO);
    ssize_t n = pread(fd, said, said_size - 1, 0);
    said[n > 0 ? n : 0] = '\0';
    close(fd), close(out), close(error);
    unlink(path);
    return code;
}

#define PARSE(v, said, ...)                                                                                  \
    parse(v, (int)(sizeof((char *[]){"test", __VA_ARGS__}) / sizeof(char *)),                                \
          (char *[]){"test", __VA_ARGS__}, said, sizeof(said))

static void values_are_set_where_they_are_given(void **state) {
    struct values v = {.text = "before", .number = 1.5};
    char said[4096];
    (void)state;
    assert_int_equal(
        PARSE(&v, said, "one", "--flag", "--whole=-2", "--list", "a", "--list=b", "two", "-t", "x y"),
        OPTIONS_GO_ON);
    assert_true(v.flag);
    assert_string_equal(v.text, "x y");
    assert_int_equal(v.whole, -2);
    assert_true(v.number == 1.5);
    assert_int_equal(v.list.count, 2);
    assert_string_equal(v.list.items[1], "b");
    assert_int_equal(v.operands.count, 2);
    assert_string_equal(v.operands.items[1], "two");
    assert_string_equal(said, "");
}

static void what_follows_two_dashes_is_no_option(void **state) {
    struct values v = {0};
    char said[4096];
    (void)state;
    assert_int_equal(PARSE(&v, said, "--", "--flag"), OPTIONS_GO_ON);
    assert_false(v.flag);
    assert_string_equal(v.operands.items[0], "--flag");
}

static void the_environment_stands_in_and_the_option_wins(void **state) {
    struct values v = {0};
    char said[4096];
    (void)state;
    setenv("PARE_TEST_TEXT", "environment", 1);
    setenv("PARE_TEST_FLAG", "0", 1);
    assert_int_equal(PARSE(&v, said, "one"), OPTIONS_GO_ON);
    assert_string_equal(v.text, "environment");
    assert_false(v.flag);
    assert_int_equal(PARSE(&v, said, "one", "--text", "option"), OPTIONS_GO_ON);
    assert_string_equal(v.text, "option");
    setenv("PARE_TEST_WHOLE", "many", 1);
    assert_int_equal(PARSE(&v, said, "one"), EXIT_USAGE);
    assert_non_null(strstr(said, "PARE_TEST_WHOLE"));
    unsetenv("PARE_TEST_TEXT");
    unsetenv("PARE_TEST_FLAG");
    unsetenv("PARE_TEST_WHOLE");
}

static void mistakes_are_named(void **state) {
    static const struct {
        char *argument, *said;
    } cases[] = {{"--txet=x", "did you mean --text?"},
                 {"--nothing-like-it", "--help"},
                 {"-z", "unknown option -z"},
                 {"--whole=10", "from -3 to 9"},
                 {"--whole=1.5", "whole number"},
                 {"--number=nan", "--number takes a number"},
                 {"--number=", "--number"},
                 {"--flag=yes", "takes no value"},
                 {"--text", "needs a value"}};
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct values v = {0};
        char said[4096];
        assert_int_equal(PARSE(&v, said, "one", cases[i].argument), EXIT_USAGE);
        assert_non_null(strstr(said, cases[i].said));
        assert_non_null(strstr(said, "pare test: "));
    }
}

static void operands_are_counted(void **state) {
    struct values v = {0};
    char said[4096];
    (void)state;
    assert_int_equal(PARSE(&v, said, "--flag"), EXIT_USAGE);
    assert_non_null(strstr(said, "THING is missing"));
    assert_int_equal(PARSE(&v, said, "1", "2", "3"), EXIT_USAGE);
    assert_non_null(strstr(said, "\"3\" is one too many"));
}

static void help_shows_everything_and_ends_well(void **state) {
    struct values v = {0};
    char said[8192];
    (void)state;
    assert_int_equal(PARSE(&v, said, "--help", "--nonsense"), EXIT_FINE);
    static const char *const parts[] = {"Usage: pare test [options] THING",
                                        "-f, --flag",
                                        "--whole N",
                                        "(repeatable)",
                                        "[PARE_TEST_TEXT]",
                                        "  pare test thing"};
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        assert_non_null(strstr(said, parts[i]));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_set_where_they_are_given),
        cmocka_unit_test(what_follows_two_dashes_is_no_option),
        cmocka_unit_test(the_environment_stands_in_and_the_option_wins),
        cmocka_unit_test(mistakes_are_named),
        cmocka_unit_test(operands_are_counted),
        cmocka_unit_test(help_shows_everything_and_ends_well),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

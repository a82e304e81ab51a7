/* The table of what hardware accelerates: whole, sourced, and read as it says. */
#include "tests/support/test.h"

#include <string.h>

#include "core/recipes/hardware.h"

static const char *const VNNI[] = {"avx", "avx2", "avx512f", "avx512bw", "avx512_vnni"};
static const char *const OLD[] = {"avx"};
static const char *const AVX2[] = {"avx", "avx2"};
static const char *const ARM82[] = {"asimd", "asimdhp", "asimddp"};
static const char *const AMX[] = {"avx2", "avx512_vnni", "amx_tile", "amx_int8"};

#define JUDGE(recipe, sets) judge(recipe, sets, sizeof(sets) / sizeof(sets[0]))

static const struct hardware_rule *judge(const char *text, const char *const *sets, size_t n) {
    struct recipe r;
    struct err err;
    assert_int_equal(recipe_parse(text, FAMILY_UNKNOWN, &r, &err), RC_OK);
    return hardware_judge(&r, sets, n);
}

static void every_rule_has_a_reason_and_a_source(void **state) {
    (void)state;
    size_t n;
    const struct hardware_rule *all = hardware_rules(&n);
    for (size_t i = 0; i < n; i++) {
        assert_true(strlen(all[i].why) > 20 || strcmp(all[i].source, "by construction") == 0);
        assert_true(strlen(all[i].source) > 10);
        bool last = i + 1 == n || strcmp(all[i].technique, all[i + 1].technique) != 0;
        assert_int_equal(last, all[i].sets[0] == NULL); /* every machine has a rule */
    }
}

static void int8_needs_instructions(void **state) {
    (void)state;
    assert_int_equal(JUDGE("int8:static", VNNI)->gain, HARDWARE_SPEED);
    assert_int_equal(JUDGE("int8:static", AVX2)->gain, HARDWARE_SOME);
    assert_int_equal(JUDGE("int8:dynamic", OLD)->gain, HARDWARE_NONE);
    assert_int_equal(JUDGE("int8:dynamic", ARM82)->gain, HARDWARE_SPEED);
    assert_non_null(strstr(JUDGE("int8:static", AMX)->why, "AMX"));
}

static void what_cannot_help_says_so(void **state) {
    (void)state;
    assert_int_equal(JUDGE("fp16", VNNI)->gain, HARDWARE_NONE);
    assert_int_equal(JUDGE("fp16", ARM82)->gain, HARDWARE_SPEED);
    assert_int_equal(JUDGE("prune:magnitude", AMX)->gain, HARDWARE_NONE);
    assert_int_equal(JUDGE("prune:magnitude", ARM82)->gain, HARDWARE_NONE);
    assert_int_equal(JUDGE("int4", VNNI)->gain, HARDWARE_SOME);
    assert_int_equal(JUDGE("Q4_K_M", AVX2)->gain, HARDWARE_SPEED);
}

static void of_several_steps_the_best_counts(void **state) {
    (void)state;
    assert_int_equal(JUDGE("prune:magnitude+int8:static", VNNI)->gain, HARDWARE_SPEED);
    assert_int_equal(JUDGE("prune:magnitude+fp16", VNNI)->gain, HARDWARE_NONE);
    assert_null(JUDGE("fp32", VNNI));
    assert_null(JUDGE("original", VNNI));
}

static void every_level_but_the_baseline_is_judged(void **state) {
    (void)state;
    const enum model_family families[] = {FAMILY_ONNX, FAMILY_GGUF};
    for (size_t f = 0; f < 2; f++) {
        for (const char *const *name = recipe_preset_names(); *name; name++) {
            const char *const *levels;
            assert_int_equal(recipe_preset(families[f], *name, &levels, NULL), RC_OK);
            assert_null(JUDGE(levels[0], VNNI));
            for (size_t i = 1; levels[i]; i++) {
                if (!JUDGE(levels[i], VNNI)) {
                    fail_msg("%s has no rule in core/recipes/hardware.c", levels[i]);
                }
            }
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_rule_has_a_reason_and_a_source),
        cmocka_unit_test(int8_needs_instructions),
        cmocka_unit_test(what_cannot_help_says_so),
        cmocka_unit_test(of_several_steps_the_best_counts),
        cmocka_unit_test(every_level_but_the_baseline_is_judged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

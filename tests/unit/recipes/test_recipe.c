#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/file.h"
#include "core/recipes/recipe.h"

static void canonical_is(const char *text, enum model_family family, const char *expected) {
    char canonical[RECIPE_TEXT_SIZE], again[RECIPE_TEXT_SIZE];
    struct err err = {0};
    enum rc rc = recipe_canonicalise(text, family, canonical, &err);
    if (rc != RC_OK) {
        fail_msg("%s: %s", text, err.text);
    }
    assert_string_equal(canonical, expected);
    assert_int_equal(recipe_canonicalise(canonical, family, again, &err), RC_OK);
    assert_string_equal(again, canonical);
}

static void canonical_sorts_options_and_drops_defaults(void **state) {
    (void)state;
    canonical_is("fp32", FAMILY_ONNX, "fp32");
    canonical_is("int4:symmetric,group=128", FAMILY_ONNX, "int4:group=128,symmetric");
    canonical_is("int4:group=32", FAMILY_ONNX, "int4");
    canonical_is("int8:static,weights=channel", FAMILY_ONNX, "int8:static,act=u8");
    canonical_is("int8:weights=tensor,static", FAMILY_ONNX, "int8:static,act=u8,weights=tensor");
    canonical_is("int8:dynamic", FAMILY_ONNX, "int8:dynamic");
    canonical_is("Q4_K_M:imatrix", FAMILY_GGUF, "Q4_K_M:imatrix");
    canonical_is("original", FAMILY_UNKNOWN, "original");
}

static void canonical_writes_hardware_options_always(void **state) {
    (void)state;
    canonical_is("int8:static", FAMILY_ONNX, "int8:static,act=u8");
    canonical_is("int8:static,act=u8,calib=mse", FAMILY_ONNX, "int8:static,act=u8");
    canonical_is("int8:calib=entropy,static,act=s8", FAMILY_ONNX, "int8:static,act=s8,calib=entropy");
}

static void canonical_writes_numbers_shortest(void **state) {
    (void)state;
    canonical_is("prune:magnitude,ratio=0.50", FAMILY_ONNX, "prune:magnitude");
    canonical_is("prune:magnitude,ratio=0.3000", FAMILY_ONNX, "prune:magnitude,ratio=0.3");
    canonical_is("int8:static,calib=percentile,percentile=099.999", FAMILY_ONNX,
                 "int8:static,act=u8,calib=percentile,percentile=99.999");
    canonical_is("prune:magnitude,ratio=0.3+int4", FAMILY_ONNX, "prune:magnitude,ratio=0.3+int4");
}

static void values_are_read_by_name(void **state) {
    (void)state;
    struct recipe r;
    struct err err;
    assert_int_equal(recipe_parse("prune:magnitude,ratio=0.7+int4:symmetric", FAMILY_ONNX, &r, &err), RC_OK);
    assert_int_equal(r.n_steps, 2);
    assert_string_equal(r.steps[0].descriptor->name, "prune:magnitude");
    assert_true(recipe_number(&r.steps[0], "ratio") > 0.699999 &&
                recipe_number(&r.steps[0], "ratio") < 0.700001);
    assert_int_equal(recipe_int(&r.steps[1], "group"), 32);
    assert_true(recipe_flag(&r.steps[1], "symmetric"));
    assert_int_equal(recipe_parse("int8:static,calib=percentile", FAMILY_ONNX, &r, &err), RC_OK);
    assert_string_equal(recipe_choice(&r.steps[0], "calib"), "percentile");
    assert_string_equal(recipe_choice(&r.steps[0], "weights"), "channel");
}

static void choose_respects_what_was_written(void **state) {
    (void)state;
    struct recipe r;
    struct err err;
    char text[RECIPE_TEXT_SIZE];
    assert_int_equal(recipe_parse("int8:static", FAMILY_ONNX, &r, &err), RC_OK);
    assert_int_equal(recipe_choose(&r, "act", "s8"), 1);
    recipe_canonical(&r, text);
    assert_string_equal(text, "int8:static,act=s8");
    assert_int_equal(recipe_parse("int8:static,act=u8", FAMILY_ONNX, &r, &err), RC_OK);
    assert_int_equal(recipe_choose(&r, "act", "s8"), 0);
    recipe_canonical(&r, text);
    assert_string_equal(text, "int8:static,act=u8");
    assert_int_equal(recipe_parse("fp16", FAMILY_ONNX, &r, &err), RC_OK);
    assert_int_equal(recipe_choose(&r, "act", "s8"), 0);
}

static unsigned needs_of(const char *text) {
    struct recipe r;
    struct err err;
    assert_int_equal(recipe_parse(text, FAMILY_UNKNOWN, &r, &err), RC_OK);
    return recipe_needs(&r);
}

static void needs_follow_steps_and_flags(void **state) {
    (void)state;
    assert_int_equal(needs_of("fp32"), NEEDS_NOTHING);
    assert_int_equal(needs_of("int8:dynamic"), NEEDS_NOTHING);
    assert_int_equal(needs_of("int8:static"), NEEDS_CALIBRATION);
    assert_int_equal(needs_of("prune:magnitude+int8:static"), NEEDS_CALIBRATION);
    assert_int_equal(needs_of("Q4_K_M"), NEEDS_NOTHING);
    assert_int_equal(needs_of("Q4_K_M:imatrix"), NEEDS_CALIBRATION);
}

static void presets_hold_valid_distinct_recipes_baseline_first(void **state) {
    (void)state;
    const enum model_family families[] = {FAMILY_ONNX, FAMILY_GGUF};
    for (size_t f = 0; f < 2; f++) {
        for (const char *const *name = recipe_preset_names(); *name; name++) {
            const char *const *levels;
            char seen[64][RECIPE_TEXT_SIZE];
            struct recipe r;
            struct err err;
            assert_int_equal(recipe_preset(families[f], *name, &levels, &err), RC_OK);
            assert_string_equal(levels[0], recipe_baseline(families[f]));
            for (size_t i = 0; levels[i]; i++) {
                assert_true(i < 64);
                assert_int_equal(recipe_parse(levels[i], families[f], &r, &err), RC_OK);
                assert_int_equal(recipe_is_baseline(&r), i == 0);
                recipe_canonical(&r, seen[i]);
                if (!strstr(levels[i], "int8:static") &&
                    !strstr(levels[i], "mixed")) { /* act is chosen later */
                    assert_string_equal(seen[i], levels[i]);
                }
                for (size_t k = 0; k < i; k++) {
                    assert_string_not_equal(seen[k], seen[i]);
                }
            }
        }
    }
}

static void presets_have_about_six_fifteen_and_forty_levels(void **state) {
    (void)state;
    static const enum model_family families[] = {FAMILY_ONNX, FAMILY_GGUF};
    static const struct {
        const char *name;
        size_t least, most;
    } sizes[] = {{"quick", 5, 7}, {"standard", 13, 17}, {"thorough", 37, 43}};
    for (size_t p = 0; p < 2 * sizeof(sizes) / sizeof(sizes[0]); p++) {
        const char *const *levels;
        size_t n = 0;
        assert_int_equal(recipe_preset(families[p % 2], sizes[p / 2].name, &levels, NULL), RC_OK);
        while (levels[n]) {
            n++;
        }
        assert_true(n >= sizes[p / 2].least && n <= sizes[p / 2].most);
    }
}

static void unknown_presets_are_refused(void **state) {
    (void)state;
    const char *const *levels;
    struct err err;
    assert_int_equal(recipe_preset(FAMILY_ONNX, "quik", &levels, &err), RC_INPUT);
    assert_non_null(strstr(err.text, "quick, standard or thorough"));
    assert_int_equal(recipe_preset(FAMILY_UNKNOWN, "quick", &levels, &err), RC_INPUT);
}

/* What the parser and the canonical form rely on. */
static void descriptors_are_well_formed(void **state) {
    (void)state;
    size_t n;
    const struct compressor_desc *all = recipe_descriptors(&n);
    for (size_t i = 0; i < n; i++) {
        const struct compressor_desc *d = &all[i];
        assert_true(d->n_options <= RECIPE_MAX_OPTIONS && d->families != 0 && strlen(d->summary) > 0);
        for (size_t k = 0; k < d->n_options; k++) {
            const struct option_desc *o = &d->options[k];
            assert_true(k == 0 || strcmp(d->options[k - 1].name, o->name) < 0);
            assert_true(strlen(o->help) > 0 && (o->type == OPTION_FLAG) == (o->default_text == NULL));
            assert_true(o->type != OPTION_CHOICE || o->choices);
        }
        struct recipe r;
        struct err err;
        char text[RECIPE_TEXT_SIZE];
        snprintf(text, sizeof(text), "%s%s%s", d->name, d->leads_to ? "+" : "",
                 d->leads_to ? d->leads_to[0] : "");
        assert_int_equal(recipe_parse(text, (enum model_family)d->families, &r, &err), RC_OK);
    }
}

/* tests/data/bad-recipes.txt: family, recipe, what the error must hold; separated by tabs. */
static void bad_recipes_are_refused_with_a_reason(void **state) {
    (void)state;
    char *text, *save = NULL;
    size_t size;
    int lines = 0, wrong = 0;
    struct err err;
    assert_int_equal(file_read("tests/data/bad-recipes.txt", 1 << 20, &text, &size, &err), RC_OK);
    for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        char *recipe = strchr(line, '\t'), *expected = recipe ? strchr(recipe + 1, '\t') : NULL;
        if (line[0] == '#') {
            continue;
        }
        assert_non_null(expected);
        *recipe++ = *expected++ = '\0';
        enum model_family family = FAMILY_UNKNOWN;
        if (strcmp(line, "any") != 0) {
            assert_int_equal(model_family_parse(line, &family, &err), RC_OK);
        }
        struct recipe r;
        err.text[0] = '\0';
        enum rc rc = recipe_parse(recipe, family, &r, &err);
        if (rc != RC_INPUT || !strstr(err.text, expected)) {
            printf("%s: expected \"%s\", got %s \"%s\"\n", recipe, expected, rc_name(rc), err.text);
            wrong++;
        }
        lines++;
    }
    free(text);
    assert_true(lines > 20);
    assert_int_equal(wrong, 0);
}

static void too_long_a_recipe_is_refused(void **state) {
    (void)state;
    char text[2 * RECIPE_TEXT_SIZE];
    struct recipe r;
    struct err err;
    memset(text, 'a', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    assert_int_equal(recipe_parse(text, FAMILY_ONNX, &r, &err), RC_INPUT);
    assert_non_null(strstr(err.text, "longer than 256 characters"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(canonical_sorts_options_and_drops_defaults),
        cmocka_unit_test(canonical_writes_hardware_options_always),
        cmocka_unit_test(canonical_writes_numbers_shortest),
        cmocka_unit_test(values_are_read_by_name),
        cmocka_unit_test(choose_respects_what_was_written),
        cmocka_unit_test(needs_follow_steps_and_flags),
        cmocka_unit_test(presets_hold_valid_distinct_recipes_baseline_first),
        cmocka_unit_test(presets_have_about_six_fifteen_and_forty_levels),
        cmocka_unit_test(unknown_presets_are_refused),
        cmocka_unit_test(descriptors_are_well_formed),
        cmocka_unit_test(bad_recipes_are_refused_with_a_reason),
        cmocka_unit_test(too_long_a_recipe_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

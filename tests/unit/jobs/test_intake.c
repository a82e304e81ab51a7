#include "tests/unit/jobs/jobs_fixture.h"

static enum rc post_model(struct fixture *f, const char *text, struct err *ret) {
    json_t *body = fixture_json(text), *answer = NULL;
    bool created;
    enum rc rc = intake_model(f->jobs, body, &answer, &created, ret);
    json_decref(answer);
    json_decref(body);
    return rc;
}

static enum rc post_dataset(struct fixture *f, const char *text, struct err *ret) {
    json_t *body = fixture_json(text), *answer = NULL;
    bool created;
    enum rc rc = intake_dataset(f->jobs, body, &answer, &created, ret);
    json_decref(answer);
    json_decref(body);
    return rc;
}

static enum rc post_study(struct fixture *f, const char *more, struct err *ret) {
    char text[1024];
    json_t *answer = NULL;
    snprintf(text, sizeof(text), "{\"model\": \"%s\", \"dataset\": \"%s\"%s}", f->model, f->dataset, more);
    json_t *body = fixture_json(text);
    enum rc rc = intake_study(f->jobs, body, &answer, ret);
    json_decref(answer);
    json_decref(body);
    return rc;
}

static void same_content_is_the_same_model(void **state) {
    struct fixture *f = *state;
    char first[64];
    snprintf(first, sizeof(first), "%s", f->model);
    fixture_submit(f);
    assert_string_equal(f->model, first);
}

static void path_that_leads_outside_is_refused(void **state) {
    struct fixture *f = *state;
    static const char *const paths[] = {"../m.onnx", "/etc/passwd", "a//b", "a/./b",    "a/../b",
                                        "",          "a\\\\b",      "a/",   "a\\u0001b"};
    char sha256[SHA256_HEX_SIZE], text[512];
    struct err why;
    fixture_put(f, TINY_ONNX, sizeof(TINY_ONNX), sha256);
    for (size_t i = 0; i < sizeof(paths) / sizeof(*paths); i++) {
        snprintf(text, sizeof(text), "{\"name\": \"m\", \"files\": [{\"path\": \"%s\", \"sha256\": \"%s\"}]}",
                 paths[i], sha256);
        assert_int_equal(post_model(f, text, &why), RC_INPUT);
        assert_non_null(strstr(why.text, "relative"));
    }
}

static void model_whose_file_was_not_uploaded_says_which(void **state) {
    struct fixture *f = *state;
    struct err why;
    char sha256[SHA256_HEX_SIZE], text[512];
    sha256_of("nowhere", 7, sha256);
    snprintf(text, sizeof(text), "{\"name\": \"m\", \"files\": [{\"path\": \"a.onnx\", \"sha256\": \"%s\"}]}",
             sha256);
    assert_int_equal(post_model(f, text, &why), RC_INPUT);
    assert_non_null(strstr(why.text, "a.onnx"));
    assert_non_null(strstr(why.text, "PUT /v1/blobs/"));
    snprintf(text, sizeof(text),
             "{\"name\": \"m\", \"files\": [{\"path\": \"a.onnx\", \"sha256\": \"../../pare.db\"}]}");
    assert_int_equal(post_model(f, text, &why), RC_INPUT);
}

static void file_that_is_no_model_is_refused_with_what_it_is(void **state) {
    struct fixture *f = *state;
    static const struct {
        const char *data;
        size_t size;
    } files[] = {{"", 0}, {"GGUF", 4}, {"plain words", 11}, {(const char *)TINY_ONNX, sizeof(TINY_ONNX) - 5}};
    char sha256[SHA256_HEX_SIZE], text[512];
    struct err why;
    for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++) {
        fixture_put(f, files[i].data, files[i].size, sha256);
        snprintf(text, sizeof(text),
                 "{\"name\": \"m\", \"files\": [{\"path\": \"a.onnx\", \"sha256\": \"%s\"}]}", sha256);
        assert_int_equal(post_model(f, text, &why), RC_INPUT);
        assert_non_null(strstr(why.text, "a.onnx"));
        assert_null(strstr(why.text, f->folder)); /* where the service keeps things is nobody's business */
    }
}

static void unknown_key_names_the_nearest(void **state) {
    struct fixture *f = *state;
    struct err why;
    assert_int_equal(post_study(f, ", \"budgtes\": []", &why), RC_INPUT);
    assert_non_null(strstr(why.text, "budgets"));
}

static void dataset_needs_the_roles_of_its_format(void **state) {
    struct fixture *f = *state;
    char sha256[SHA256_HEX_SIZE], text[512];
    struct err why;
    fixture_put(f, "x", 1, sha256);
    static const char *const bad[] = {
        "\"format\": \"npz\", \"files\": [{\"path\": \"a\", \"role\": \"text\", \"sha256\": \"%s\"}]",
        "\"format\": \"idx\", \"files\": [{\"path\": \"a\", \"role\": \"labels\", \"sha256\": \"%s\"}]",
        "\"format\": \"csv\", \"files\": [{\"path\": \"a\", \"role\": \"text\", \"sha256\": \"%s\"}]",
        "\"format\": \"npz\", \"files\": [{\"path\": \"a\", \"sha256\": \"%s\"}]"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        char part[400];
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        snprintf(part, sizeof(part), bad[i], sha256);
#pragma GCC diagnostic pop
        snprintf(text, sizeof(text), "{\"name\": \"d\", %s}", part);
        assert_int_equal(post_dataset(f, text, &why), RC_INPUT);
    }
}

static void preprocess_of_a_wrong_shape_is_refused(void **state) {
    struct fixture *f = *state;
    static const char *const bad[] = {"[]",
                                      "{\"x\": 1}",
                                      "{\"x\": {\"scale\": \"a\"}}",
                                      "{\"x\": {\"layout\": \"hwc\"}}",
                                      "{\"x\": {\"maen\": [1]}}",
                                      "{\"x\": {\"mean\": []}}"};
    char sha256[SHA256_HEX_SIZE], text[512];
    struct err why;
    fixture_put(f, "x", 1, sha256);
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        snprintf(text, sizeof(text),
                 "{\"name\": \"d\", \"format\": \"npz\", \"files\": [{\"path\": \"a\", \"role\": \"arrays\", "
                 "\"sha256\": "
                 "\"%s\"}], \"preprocess\": %s}",
                 sha256, bad[i]);
        assert_int_equal(post_dataset(f, text, &why), RC_INPUT);
    }
}

static void study_of_something_that_is_not_there_is_not_found(void **state) {
    struct fixture *f = *state;
    struct err why;
    assert_int_equal(post_study(f, ", \"targets\": [\"tgt_none\"]", &why), RC_NOT_FOUND);
    assert_int_equal(post_study(f, ", \"calibration\": \"dat_none\"", &why), RC_NOT_FOUND);
    snprintf(f->dataset, sizeof(f->dataset), "dat_none");
    assert_int_equal(post_study(f, "", &why), RC_NOT_FOUND);
}

static void study_with_a_wrong_wish_is_refused_with_what_is_wrong(void **state) {
    struct fixture *f = *state;
    static const struct {
        const char *more, *says;
    } bad[] = {{", \"floors\": [\"relative>=1.5\"]", "relative"},
               {", \"floors\": [\"tpo1>=0.9\"]", "top1"},
               {", \"budgets\": [\"p99<=5\"]", "p99"},
               {", \"budgets\": \"p99<=5ms\"", "list"},
               {", \"recipes\": [\"int8:statc\"]", "int8:static"},
               {", \"recipes\": [\"Q4_K_M\"]", "Q4_K_M"},
               {", \"preset\": \"fast\"", "quick"},
               {", \"evaluate\": \"some\"", "needed"},
               {", \"confidence\": 1.5", "confidence"},
               {", \"price_per_hour\": -1", "price_per_hour"},
               {", \"threads\": 0", "threads"}};
    struct err why;
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        assert_int_equal(post_study(f, bad[i].more, &why), RC_INPUT);
        assert_non_null(strstr(why.text, bad[i].says));
    }
}

static void refused_study_leaves_no_study(void **state) {
    struct fixture *f = *state;
    struct err why;
    json_t *list = NULL;
    assert_int_equal(post_study(f, ", \"recipes\": [\"nonsense\"]", &why), RC_INPUT);
    FINE(view_studies(f->jobs, &(struct view_page){0}, &list, err));
    assert_int_equal(json_array_size(json_object_get(list, "items")), 0);
    json_decref(list);
}

static void preset_offers_the_levels_and_the_baseline_comes_first(void **state) {
    struct fixture *f = *state;
    json_t *study = fixture_study(f, ", \"preset\": \"quick\"");
    const json_t *recipes = json_object_get(study, "recipes");
    assert_string_equal(json_string_value(json_array_get(recipes, 0)), "fp32");
    assert_int_equal(json_array_size(recipes), 6);
    json_decref(study);
}

static void model_in_use_is_not_deleted(void **state) {
    struct fixture *f = *state;
    struct err why;
    json_t *study = fixture_study(f, "");
    assert_int_equal(intake_model_delete(f->jobs, f->model, &why), RC_CONFLICT);
    assert_int_equal(intake_dataset_delete(f->jobs, f->dataset, &why), RC_CONFLICT);
    assert_int_equal(intake_model_delete(f->jobs, "mdl_none", &why), RC_NOT_FOUND);
    json_decref(study);
}

static void lists_are_paged_by_cursor(void **state) {
    struct fixture *f = *state;
    json_t *list = NULL;
    char last[64] = "";
    for (int i = 0; i < 5; i++) {
        json_decref(fixture_study(f, ""));
    }
    struct view_page page = {.limit = 2};
    int seen = 0;
    for (int i = 0; i < 3; i++) {
        FINE(view_studies(f->jobs, &page, &list, err));
        seen += (int)json_array_size(json_object_get(list, "items"));
        snprintf(last, sizeof(last), "%s", text_at(list, "next"));
        page.cursor = last;
        json_decref(list);
    }
    assert_int_equal(seen, 5);
    assert_string_equal(last, "");
    struct err why;
    assert_int_equal(view_studies(f->jobs, &(struct view_page){.cursor = "x"}, &list, &why), RC_INPUT);
}

static void recipes_tell_their_options_and_presets(void **state) {
    struct fixture *f = *state;
    json_t *all = NULL, *onnx = NULL;
    struct err why;
    FINE(view_recipes(f->jobs, NULL, NULL, &all, err));
    FINE(view_recipes(f->jobs, "onnx", NULL, &onnx, err));
    assert_true(json_array_size(json_object_get(all, "items")) >
                json_array_size(json_object_get(onnx, "items")));
    assert_non_null(json_object_get(json_object_get(onnx, "presets"), "quick"));
    assert_non_null(json_object_get(json_object_get(json_object_get(all, "presets"), "gguf"), "quick"));
    json_decref(all);
    json_decref(onnx);
    assert_int_equal(view_recipes(f->jobs, "torch", NULL, &all, &why), RC_INPUT);
}

int main(void) {
#define T(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        T(same_content_is_the_same_model),
        T(path_that_leads_outside_is_refused),
        T(model_whose_file_was_not_uploaded_says_which),
        T(file_that_is_no_model_is_refused_with_what_it_is),
        T(unknown_key_names_the_nearest),
        T(dataset_needs_the_roles_of_its_format),
        T(preprocess_of_a_wrong_shape_is_refused),
        T(study_of_something_that_is_not_there_is_not_found),
        T(study_with_a_wrong_wish_is_refused_with_what_is_wrong),
        T(refused_study_leaves_no_study),
        T(preset_offers_the_levels_and_the_baseline_comes_first),
        T(model_in_use_is_not_deleted),
        T(lists_are_paged_by_cursor),
        T(recipes_tell_their_options_and_presets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

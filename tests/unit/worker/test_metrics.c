/* Scores against figures worked out by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <math.h>

#include "core/base/json.h"
#include "profiler/worker/metrics.h"

enum { CLASSES = 9 };

/* One row of logits with its largest value at `answer`. */
static void answer_row(float *row, size_t answer) {
    for (size_t i = 0; i < CLASSES; i++) {
        row[i] = i == answer ? 2.0F : -1.0F;
    }
}

static struct dataset *open_file(const char *file) {
    char text[256];
    json_t *descriptor = NULL;
    struct dataset *d = NULL;
    struct err err = {0};
    snprintf(
        text, sizeof(text),
        "{\"format\": \"npz\", \"files\": [{\"role\": \"arrays\", \"local\": \"tests/data/datasets/%s\"}]}",
        file);
    assert_int_equal(json_parse(text, strlen(text), &descriptor, &err), RC_OK);
    if (dataset_open(descriptor, 0, &d, &err) != RC_OK) {
        fail_msg("%s: %s", file, err.text);
    }
    json_decref(descriptor);
    return d;
}

static void assert_near(double a, double b) {
    if (!(fabs(a - b) < 1e-6)) {
        fail_msg("%.9g is not %.9g", a, b);
    }
}

static const struct score_table *table_of(const struct metrics *m, const char *name) {
    for (size_t i = 0; i < m->count; i++) {
        if (strcmp(m->tables[i].metric, name) == 0) {
            return &m->tables[i];
        }
    }
    fail_msg("there is no metric %s", name);
    return NULL;
}

static void the_metrics_follow_from_labels_and_reference(void **state) {
    (void)state;
    const char *names[METRICS_MAX + 1];
    metrics_names(LABELS_EXAMPLE, 10, false, names);
    assert_string_equal(names[0], "top1");
    assert_string_equal(names[1], "f1");
    assert_null(names[2]);
    metrics_names(LABELS_POSITION, 4096, true, names); /* a column a class would be too many */
    assert_string_equal(names[0], "top1");
    assert_string_equal(names[1], "agreement");
    assert_string_equal(names[2], "kld");
    assert_null(names[3]);
    metrics_names(LABELS_NONE, 10, true, names);
    assert_string_equal(names[0], "agreement");
    metrics_names(LABELS_TARGET, 10, true, names);
    assert_string_equal(names[0], "mse");
    assert_string_equal(names[1], "mae");
    assert_null(names[2]);
}

/* Every second position is answered wrong, by the next class; top1 and f1 against a count of their own. */
static void top1_and_f1_agree_with_a_confusion_matrix(void **state) {
    (void)state;
    struct dataset *d = open_file("tokens.npz");
    struct metrics m;
    struct err err = {0};
    size_t n = dataset_count(d);
    size_t width = dataset_label_width(d);
    bool each = dataset_labels(d) == LABELS_POSITION;
    double confusion[CLASSES][CLASSES] = {{0}};
    double right = 0;
    double counted = 0;
    float *values = calloc(n * width * CLASSES, sizeof(float));
    assert_non_null(values);
    assert_int_equal(metrics_init(&m, d, each ? width : 1, CLASSES, false, &err), RC_OK);
    for (size_t i = 0; i < n * width; i++) {
        int64_t label = dataset_label(d, i / width)[i % width];
        bool ignored = each && dataset_ignored(label);
        size_t answer = ignored ? 0 : (size_t)(label + (int64_t)(i % 2)) % CLASSES;
        answer_row(values + i * CLASSES, answer);
        if (!ignored) {
            confusion[label][answer]++;
            counted++;
            right += (int64_t)answer == label;
        }
    }
    const struct logits own = {
        .data = values, .examples = n, .positions = each ? width : 1, .classes = CLASSES};
    assert_int_equal(metrics_score(&m, 0, n, &own, NULL, &err), RC_OK);
    double f1 = 0;
    double classes = 0;
    for (size_t c = 0; c < CLASSES; c++) {
        double tp = confusion[c][c];
        double others = 0;
        for (size_t k = 0; k < CLASSES; k++) {
            others += k == c ? 0 : confusion[c][k] + confusion[k][c];
        }
        if (tp + others > 0) {
            f1 += 2 * tp / (2 * tp + others);
            classes++;
        }
    }
    assert_true(counted > 0);
    assert_near(score_table_mean(table_of(&m, "top1")), right / counted);
    assert_near(score_table_weight(table_of(&m, "top1")), counted);
    assert_near(score_table_mean(table_of(&m, "f1")), f1 / classes);
    metrics_release(&m);
    dataset_free(d);
    free(values);
}

static void mse_and_mae_are_means_over_all_targets(void **state) {
    (void)state;
    struct dataset *d = open_file("targets.npz");
    struct metrics m;
    struct err err = {0};
    size_t n = dataset_count(d);
    size_t width = dataset_label_width(d);
    float *values = calloc(n * width, sizeof(float));
    assert_non_null(values);
    for (size_t i = 0; i < n * width; i++) {
        values[i] = dataset_target(d, i / width)[i % width] + (i % 2 ? 3.0F : -1.0F);
    }
    size_t odd = n * width / 2;
    size_t even = n * width - odd;
    const struct logits own = {.data = values, .examples = n, .positions = 1, .classes = width};
    assert_int_equal(metrics_init(&m, d, 1, width, false, &err), RC_OK);
    assert_int_equal(metrics_score(&m, 0, n, &own, NULL, &err), RC_OK);
    assert_near(score_table_mean(table_of(&m, "mse")), (double)(9 * odd + even) / (double)(n * width));
    assert_near(score_table_mean(table_of(&m, "mae")), (double)(3 * odd + even) / (double)(n * width));
    metrics_release(&m);
    dataset_free(d);
    free(values);
}

static void without_labels_a_reference_is_needed_and_itself_agrees_fully(void **state) {
    (void)state;
    struct dataset *d = open_file("unlabelled.npz");
    struct metrics m;
    struct err err = {0};
    size_t n = dataset_count(d);
    float *a = calloc(n * CLASSES, sizeof(float));
    float *b = calloc(n * CLASSES, sizeof(float));
    assert_true(a && b);
    assert_int_equal(metrics_init(&m, d, 1, CLASSES, false, &err), RC_INPUT);
    assert_non_null(strstr(err.text, "reference"));
    for (size_t i = 0; i < n; i++) {
        answer_row(a + i * CLASSES, i % CLASSES);
        answer_row(b + i * CLASSES, i == 0 ? 1 : i % CLASSES);
    }
    const struct logits own = {.data = a, .examples = n, .positions = 1, .classes = CLASSES};
    const struct logits other = {.data = b, .examples = n, .positions = 1, .classes = CLASSES};
    assert_int_equal(metrics_init(&m, d, 1, CLASSES, true, &err), RC_OK);
    assert_int_equal(metrics_score(&m, 0, n, &own, &own, &err), RC_OK);
    assert_near(score_table_mean(table_of(&m, "agreement")), 1);
    assert_near(score_table_mean(table_of(&m, "kld")), 0);
    metrics_release(&m);
    assert_int_equal(metrics_init(&m, d, 1, CLASSES, true, &err), RC_OK);
    assert_int_equal(metrics_score(&m, 0, n, &own, &other, &err), RC_OK);
    assert_near(score_table_mean(table_of(&m, "agreement")), (double)(n - 1) / (double)n);
    /* p = softmax(-1, 2, -1, ...), q = softmax(2, -1, -1, ...): 3 (p1 - p0) */
    double sum = exp(2) + (CLASSES - 1) * exp(-1);
    assert_near(score_table_mean(table_of(&m, "kld")), 3 * (exp(2) - exp(-1)) / sum / (double)n);
    metrics_release(&m);
    dataset_free(d);
    free(a);
    free(b);
}

static void shapes_that_do_not_fit_the_labels_are_refused(void **state) {
    (void)state;
    struct dataset *d = open_file("targets.npz");
    struct metrics m;
    struct err err = {0};
    assert_int_equal(metrics_init(&m, d, 1, dataset_label_width(d) + 1, false, &err), RC_INPUT);
    assert_non_null(strstr(err.text, "labels"));
    dataset_free(d);
}

static void nan_in_an_answer_is_said_with_its_example(void **state) {
    (void)state;
    struct dataset *d = open_file("targets.npz");
    struct metrics m;
    struct err err = {0};
    size_t n = dataset_count(d);
    size_t width = dataset_label_width(d);
    float *values = calloc(n * width, sizeof(float));
    assert_non_null(values);
    values[n * width - 1] = NAN;
    const struct logits own = {.data = values, .examples = n, .positions = 1, .classes = width};
    assert_int_equal(metrics_init(&m, d, 1, width, false, &err), RC_OK);
    assert_int_equal(metrics_score(&m, 0, n, &own, NULL, &err), RC_INPUT);
    char expected[32];
    snprintf(expected, sizeof(expected), "example %zu", n - 1);
    assert_non_null(strstr(err.text, expected));
    assert_non_null(strstr(err.text, "NaN"));
    metrics_release(&m);
    dataset_free(d);
    free(values);
}

static void argmax_takes_the_first_of_equals_and_never_nan(void **state) {
    (void)state;
    assert_int_equal(logits_argmax((const float[]){1, 3, 3}, 3), 1);
    assert_int_equal(logits_argmax((const float[]){NAN, 1, 2}, 3), 2);
    assert_int_equal(logits_argmax((const float[]){5, NAN, 2}, 3), 0);
}

static void divergence_of_distributions_needs_no_softmax(void **state) {
    (void)state;
    const float p[] = {0.5F, 0.5F};
    const float q[] = {0.25F, 0.75F};
    const struct logits rows = {.data = p, .examples = 1, .positions = 1, .classes = 2};
    assert_true(logits_are_probabilities(&rows));
    assert_near(logits_divergence(p, q, 2, 1), 0.5 * log(2) + 0.5 * log(0.5 / 0.75));
    const float scores[] = {0.5F, 1.5F};
    const struct logits other = {.data = scores, .examples = 1, .positions = 1, .classes = 2};
    assert_false(logits_are_probabilities(&other));
}

static void large_logits_do_not_overflow(void **state) {
    (void)state;
    assert_near(logits_divergence((const float[]){1e30F, 0}, (const float[]){1e30F, 0}, 2, 0), 0);
    assert_near(logits_divergence((const float[]){1000, 1000}, (const float[]){1000, 1000}, 2, 0), 0);
}

static void a_class_that_never_occurs_is_left_out_of_the_mean(void **state) {
    (void)state;
    struct score_table t;
    struct err err;
    assert_int_equal(score_table_init(&t, "f1", 2, 3, &err), RC_OK);
    score_table_add(&t, 0, 0, 2, 2);
    score_table_add(&t, 1, 1, 0, 2);
    assert_near(score_table_mean(&t), 0.5);
    score_table_release(&t);
    assert_int_equal(score_table_init(&t, "f1", SIZE_MAX / 2, 3, &err), RC_TOO_LARGE);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_metrics_follow_from_labels_and_reference),
        cmocka_unit_test(top1_and_f1_agree_with_a_confusion_matrix),
        cmocka_unit_test(mse_and_mae_are_means_over_all_targets),
        cmocka_unit_test(without_labels_a_reference_is_needed_and_itself_agrees_fully),
        cmocka_unit_test(shapes_that_do_not_fit_the_labels_are_refused),
        cmocka_unit_test(nan_in_an_answer_is_said_with_its_example),
        cmocka_unit_test(argmax_takes_the_first_of_equals_and_never_nan),
        cmocka_unit_test(divergence_of_distributions_needs_no_softmax),
        cmocka_unit_test(large_logits_do_not_overflow),
        cmocka_unit_test(a_class_that_never_occurs_is_left_out_of_the_mean),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

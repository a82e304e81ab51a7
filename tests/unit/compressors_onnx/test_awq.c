/* AWQ: the power that is chosen is the best of those tried, the model computes what it did, and outputs come
 * out closer than by rounding to nearest. */
#include <math.h>

#include "compressors/onnx/awq.h"
#include "compressors/onnx/gptq.h"
#include "compressors/onnx/weight_only.h"
#include "int8_fixture.h"

enum { ROWS = 24, COLUMNS = IMAGE };

static const struct group_format format = {3, 32, GROUP_ASYMMETRIC};

/* Some inputs are 20 times as large as the rest. */
static float size_of(size_t i) {
    return i % 9 == 4 ? 20 : 1;
}

static double loss_at(const float *w, const double *products, const double *abs_sums, double count,
                      double power) {
    float scaled[ROWS * COLUMNS], back[ROWS * COLUMNS];
    double s[COLUMNS], least = INFINITY, most = 0, loss = 0;
    struct group_quant q;
    struct err err;
    for (size_t i = 0; i < COLUMNS; i++) {
        s[i] = pow(abs_sums[i] / count, power);
        least = fmin(least, s[i]);
        most = fmax(most, s[i]);
    }
    for (size_t i = 0; i < ROWS * COLUMNS; i++) {
        scaled[i] = (float)((double)w[i] * (power == 0 ? 1 : s[i % COLUMNS] / sqrt(least * most)));
    }
    assert_int_equal(group_round(scaled, ROWS, COLUMNS, &format, GROUP_RANGE, NULL, 1, &q, &err), RC_OK);
    for (size_t i = 0; i < ROWS * COLUMNS; i++) {
        back[i] = group_value(&q, i / COLUMNS, i % COLUMNS) * w[i] / scaled[i];
    }
    for (size_t r = 0; r < ROWS; r++) {
        for (size_t i = 0; i < COLUMNS * COLUMNS; i++) {
            size_t a = r * COLUMNS + i / COLUMNS, b = r * COLUMNS + i % COLUMNS;
            loss += (double)(w[a] - back[a]) * products[i] * (double)(w[b] - back[b]);
        }
    }
    group_quant_release(&q);
    return loss;
}

static void the_power_chosen_is_the_best_of_all(void **state) {
    static double products[COLUMNS * COLUMNS], sums[COLUMNS], abs_sums[COLUMNS];
    static float w[ROWS * COLUMNS];
    const float *const weights[] = {w};
    const size_t rows[] = {ROWS};
    const struct awq_layers layers = {weights, rows, 1, COLUMNS};
    float x[COLUMNS], scales[2][COLUMNS];
    double power[2];
    struct err err;
    (void)state;
    noise_fill(w, ROWS * COLUMNS, 1, 1);
    for (uint32_t k = 0; k < 200; k++) {
        noise_fill(x, COLUMNS, k + 7, 1);
        for (size_t i = 0; i < COLUMNS; i++) {
            x[i] *= size_of(i);
            abs_sums[i] += fabs((double)x[i]);
        }
        for (size_t i = 0; i < COLUMNS * COLUMNS; i++) {
            products[i] += (double)x[i / COLUMNS] * (double)x[i % COLUMNS];
        }
    }
    const struct moments_layer m = {.rows = {.groups = 1, .width = COLUMNS},
                                    .count = 200,
                                    .products = products,
                                    .sums = sums,
                                    .abs_sums = abs_sums};
    for (size_t threads = 1; threads <= 2; threads++) {
        assert_int_equal(
            awq_search(&layers, &m, &format, threads, scales[threads - 1], &power[threads - 1], &err), RC_OK);
    }
    assert_true(power[0] == power[1]);
    assert_memory_equal(scales[0], scales[1], sizeof(scales[0]));
    double chosen = loss_at(w, products, abs_sums, 200, power[0]);
    for (int i = 0; i <= 20; i++) {
        assert_true(chosen <= loss_at(w, products, abs_sums, 200, i / 20.0) * 1.001);
    }
    assert_true(power[0] > 0 && chosen < 0.7 * loss_at(w, products, abs_sums, 200, 0));
}

/* x -> Flatten -> * sizes -> MatMul, twice; the second pair of products is a gate. */
static struct graph *net(struct builder *b) {
    static const int64_t x[] = {-1, 1, SIDE, SIDE}, n[] = {IMAGE}, w[] = {IMAGE, IMAGE}, v[] = {IMAGE, ROWS},
                         y[] = {-1, ROWS};
    static float sizes[IMAGE], values[3][IMAGE * IMAGE];
    for (size_t i = 0; i < IMAGE; i++) {
        sizes[i] = size_of(i);
    }
    builder_init(b, 17);
    builder_input(b, "x", GRAPH_FLOAT32, x, 4);
    b->inputs[0]->type->tensor_type->shape->dim[0]->value_case =
        ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE__NOT_SET;
    builder_output(b, "y", GRAPH_FLOAT32, y, 2);
    b->outputs[0]->type->tensor_type->shape->dim[0]->value_case =
        ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE__NOT_SET;
    for (uint32_t i = 0; i < 3; i++) {
        noise_fill(values[i], IMAGE * IMAGE, i + 1, 0.2F);
    }
    builder_floats(b, "sizes", n, 1, sizes);
    builder_floats(b, "wa", w, 2, values[0]);
    builder_floats(b, "wb", w, 2, values[1]);
    builder_floats(b, "wc", v, 2, values[2]);
    builder_node(b, "Flatten", "x", "f");
    builder_node(b, "Mul", "f sizes", "m");
    builder_node(b, "MatMul", "m wa", "a");
    builder_node(b, "Sigmoid", "a", "s");
    builder_node(b, "MatMul", "m wb", "g");
    builder_node(b, "Mul", "s g", "h");
    builder_node(b, "MatMul", "h wc", "y");
    return builder_graph(b);
}

static void run_net(struct onnxruntime *r, struct graph *g, const struct dataset *d, float *y) {
    static float x[8 * IMAGE];
    dataset_fill(d, 0, 0, 8, x);
    run_floats(r, g, (const int64_t[]){8, 1, SIDE, SIDE}, 4, x, 8 * IMAGE, y, 8 * ROWS);
}

static double distance(const float *a, const float *b) {
    double sum = 0;
    for (size_t i = 0; i < 8 * (size_t)ROWS; i++) {
        sum += (double)(a[i] - b[i]) * (double)(a[i] - b[i]);
    }
    return sqrt(sum / (8.0 * ROWS));
}

static void rescaling_changes_no_output(void **state) {
    const struct graph_node *observed[3];
    struct graph_node *nodes[3];
    struct builder b;
    struct record record;
    struct err err;
    struct graph *g = net(&b);
    struct dataset *d = noise_dataset();
    struct compress_job job = {.graph = g, .calibration = d, .threads = 2, .record = &record};
    const struct moments_opts opts = {.observe = {.text = "observing"}};
    struct moments *m = NULL;
    float before[8 * ROWS], after[8 * ROWS], *scales[3] = {NULL};
    size_t count = 0;
    record_init(&record);
    for (struct graph_node *n = graph_first(g); n; n = n->next) {
        if (graph_is_op(n, "MatMul")) {
            observed[count] = nodes[count] = n;
            count++;
        }
    }
    assert_int_equal(moments_run(&job, observed, 3, &opts, &m, &err), RC_OK);
    run_net(*state, g, d, before);
    assert_int_equal(awq_rescale(&job, nodes, 3, m, &format, scales, &err), RC_OK);
    run_net(*state, g, d, after);
    assert_true(distance(before, after) < 1e-4);
    assert_non_null(scales[0]);
    assert_memory_equal(scales[0], scales[1], IMAGE * sizeof(float));
    assert_true(record_says(&record.changed, "m", "AWQ"));
    for (size_t i = 0; i < 3; i++) {
        free(scales[i]);
    }
    record_release(&record);
    moments_free(m);
    dataset_free(d);
    graph_free(g);
    builder_free(&b);
}

static void outputs_come_out_closer_than_by_rounding_to_nearest(void **state) {
    static const char *const recipes[] = {"int3", "int3:awq", "int4:compute=float", "int4:awq,compute=float"};
    double away[4];
    for (size_t k = 0; k < 4; k++) {
        struct builder b, fresh;
        struct record record;
        struct err err;
        struct graph *g = net(&b), *original = net(&fresh);
        struct dataset *d = noise_dataset();
        struct compress_job job = {.graph = original, .calibration = d, .threads = 1};
        const struct observe_sink none = {NULL, NULL, 0};
        const struct observe_opts opts = {.max_examples = 1, .text = "binding"};
        const char *const names[] = {"m"};
        float before[8 * ROWS], after[8 * ROWS];
        assert_int_equal(observe_run(&job, names, 1, &opts, &none, NULL, &err), RC_OK);
        if (int8_apply(weight_only_compress, recipes[k], g, d, 2, &record, &err)) {
            fail_msg("%s: %s", recipes[k], err.text);
        }
        run_net(*state, original, d, before);
        run_net(*state, g, d, after);
        away[k] = distance(before, after);
        record_release(&record);
        dataset_free(d);
        graph_free(g);
        graph_free(original);
        builder_free(&b);
        builder_free(&fresh);
    }
    print_message("3 bits %.3f, awq %.3f; 4 bits %.3f, awq %.3f\n", away[0], away[1], away[2], away[3]);
    assert_true(away[1] < 0.9 * away[0]);
    assert_true(away[3] < 0.9 * away[2]);
}

static int start(void **state) {
    return onnxruntime_new(NULL, (struct onnxruntime **)state, NULL) != RC_OK;
}

static int stop(void **state) {
    onnxruntime_free(*state);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_power_chosen_is_the_best_of_all),
        cmocka_unit_test(rescaling_changes_no_output),
        cmocka_unit_test(outputs_come_out_closer_than_by_rounding_to_nearest),
    };
    return cmocka_run_group_tests(tests, start, stop);
}

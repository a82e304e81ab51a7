/* Scores by elimination against a brute-force optimum: what the best fit without a unit costs. */
#include "compressors/onnx/channel_score.h"
#include "compressors/onnx/moments.h"
#include "tests/unit/compressors_onnx/channel_fixture.h"

enum { UNITS = 7, OUTPUTS = 4 };

static struct graph *small_model(void) {
    static float w1[IMAGE * UNITS], w2[UNITS * OUTPUTS];
    const int64_t in[] = {-1, 1, SIDE, SIDE}, out[] = {-1, OUTPUTS};
    struct builder b;
    noise_fill(w1, IMAGE * UNITS, 5, 0.3F);
    for (size_t i = 0; i < IMAGE;
         i++) { /* unit 4 is nearly the sum of 1 and 2: the rest can make up for it */
        w1[i * UNITS + 4] = w1[i * UNITS + 1] + w1[i * UNITS + 2] + 0.02F * w1[i * UNITS + 5];
    }
    noise_fill(w2, UNITS * OUTPUTS, 6, 1);
    builder_init(&b, 17);
    builder_input(&b, "x", GRAPH_FLOAT32, in, 4);
    builder_output(&b, "y", GRAPH_FLOAT32, out, 2);
    builder_floats(&b, "w1", (int64_t[]){IMAGE, UNITS}, 2, w1);
    builder_floats(&b, "w2", (int64_t[]){UNITS, OUTPUTS}, 2, w2);
    builder_node(&b, "Flatten", "x", "f");
    builder_node(&b, "MatMul", "f w1", "h");
    builder_node(&b, "MatMul", "h w2", "y");
    struct graph *g = builder_graph(&b);
    builder_free(&b);
    return g;
}

/* Solves a[n, n] x = b by Gaussian elimination; a and b are spoiled, x is left in b. */
static void gauss(double *a, double *b, size_t n) {
    for (size_t i = 0; i < n; i++) {
        for (size_t k = i + 1; k < n; k++) {
            double f = a[k * n + i] / a[i * n + i];
            for (size_t j = i; j < n; j++) {
                a[k * n + j] -= f * a[i * n + j];
            }
            b[k] -= f * b[i];
        }
    }
    for (size_t i = n; i-- > 0;) {
        for (size_t j = i + 1; j < n; j++) {
            b[i] -= a[i * n + j] * b[j];
        }
        b[i] /= a[i * n + i];
    }
}

/* |w_u|^2 (c_uu - c_uk C_kk^-1 c_ku): what no combination of the others k makes up for. */
static double brute_cost(const double *c, const float *w2, size_t u) {
    double a[UNITS * UNITS], b[UNITS], rest = c[u * UNITS + u], squares = 0;
    size_t n = 0;
    for (size_t i = 0; i < UNITS; i++) {
        for (size_t j = 0, m = 0; i != u && j < UNITS; j++) {
            if (j != u) {
                a[n * (UNITS - 1) + m++] = c[i * UNITS + j];
            }
        }
        if (i != u) {
            b[n++] = c[i * UNITS + u];
        }
    }
    gauss(a, b, n);
    for (size_t i = 0, k = 0; i < UNITS; i++) {
        rest -= i != u ? c[u * UNITS + i] * b[k++] : 0;
    }
    for (size_t o = 0; o < OUTPUTS; o++) {
        squares += (double)w2[u * OUTPUTS + o] * (double)w2[u * OUTPUTS + o];
    }
    return squares * rest;
}

static void the_first_to_go_is_the_one_the_rest_makes_up_for(void **state) {
    (void)state;
    struct dataset *d = noise_dataset();
    struct channel_scene s;
    scene_open(&s, small_model());
    struct record record;
    record_init(&record);
    struct compress_job job = {.graph = s.g, .calibration = d, .threads = 2, .record = &record};
    struct err err = {0};
    struct moments *m = NULL;
    const struct graph_node *reader = s.groups->contractions[1].node;
    const struct moments_opts opts = {.observe = {.text = ""}};
    assert_int_equal(s.groups->unit_count, UNITS);
    assert_int_equal(moments_run(&job, &reader, 1, &opts, &m, &err), RC_OK);
    const struct moments_layer *l = moments_at(m, 0);
    double c[UNITS * UNITS], mean = 0, n = (double)l->count, total = 0;
    float *w2;
    size_t count;
    assert_int_equal(graph_tensor_floats(s.g, graph_find(s.g, "w2")->initializer, &w2, &count, &err), RC_OK);
    for (size_t i = 0; i < UNITS; i++) {
        for (size_t j = 0; j < UNITS; j++) {
            c[i * UNITS + j] = l->products[i * UNITS + j] / n - l->sums[i] / n * (l->sums[j] / n);
            for (size_t o = 0; o < OUTPUTS; o++) {
                total += (double)w2[i * OUTPUTS + o] * c[i * UNITS + j] * (double)w2[j * OUTPUTS + o];
            }
        }
        mean += c[i * UNITS + i] / UNITS;
    }
    for (size_t i = 0; i < UNITS; i++) {
        c[i * UNITS + i] += 0.01 * mean; /* as the scores do */
    }
    double scores[UNITS] = {0}, least = INFINITY;
    size_t best = 0, first = 0;
    assert_int_equal(channel_score_eliminate(&job, s.groups, 0, 1.0 / UNITS, 0, 1, scores, &err), RC_OK);
    for (size_t u = 0; u < UNITS; u++) {
        double cost = brute_cost(c, w2, u) / total;
        best = cost < least ? u : best;
        least = cost < least ? cost : least;
        first = scores[u] < scores[first] ? u : first;
    }
    assert_int_equal(first, best);
    assert_true(fabs(scores[first] - least) < 1e-6 * (1 + least));
    moments_free(m);
    free(w2);
    record_release(&record);
    scene_close(&s);
    dataset_free(d);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_to_go_is_the_one_the_rest_makes_up_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

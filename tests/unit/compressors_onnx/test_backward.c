/* Every rule of backward_rules.c against differences of the operator itself: a small random graph for each
 * case, run by ONNX Runtime. The batch is left free, and is another one than that whose shapes are seen. */
#include "compressors/onnx/backward.h"
#include "tests/unit/compressors_onnx/int8_fixture.h"

enum { BATCH = 2, ELEMENTS_MAX = 1024, NODES_MAX = 6, TEXT_MAX = 256 };

/* x: what it is filled with. SPREAD: all numbers apart by `gap` and half of that from any multiple of it, so
 * that no difference steps over a kink. */
enum domain { NOISE, POSITIVE, SPREAD };
static const double gap = 0.15, step = 1.0 / 32;

/* "op inputs > outputs | name=value": a value in brackets is a list, one with a point a float, one in letters
 * a text. Constants: "name=dims", random; "+name", positive; "name:1,2" integers, "name:7!" a scalar;
 * "?name=dims", bools. */
struct scene {
    const char *name;
    int64_t dims[5]; /* of x, the batch left out */
    const char *constants;
    const char *nodes[NODES_MAX];
    enum domain domain;
    int opset; /* 0: 17 */
};

#define CONV_X                                                                                               \
    { 4, 7, 6 }

static const struct scene scenes[] = {
    {"add", {3, 4}, "c=3,1", {"Add x c > y"}, NOISE, 0},
    {"add of a repeated side", {3, 4}, "", {"ReduceSum x axes > s | keepdims=1", "Add s x > y"}, NOISE, 0},
    {"sum of three", {3, 4}, "", {"Exp x > e", "Sum x e x > y"}, NOISE, 0},
    {"sub", {3, 4}, "c=4", {"Exp x > e", "Sub c e > y"}, NOISE, 0},
    {"mul by itself", {3, 4}, "", {"Mul x x > y"}, NOISE, 0},
    {"mul of other ranks", {3, 4}, "+c=5,1,3,1", {"Mul c x > y"}, NOISE, 0},
    {"div by a constant", {3, 4}, "+c=3,1", {"Div x c > y"}, NOISE, 0},
    {"div by it", {3, 4}, "c=4", {"Div c x > y"}, POSITIVE, 0},
    {"pow", {3, 4}, "+e=1", {"Pow x e > y"}, POSITIVE, 0},
    {"pow by an integer", {3, 4}, "e:3!", {"Pow x e > y"}, NOISE, 0},
    {"where", {3, 4}, "?c=3,1", {"Exp x > e", "Where c x e > y"}, NOISE, 0},
    {"neg", {3, 4}, "", {"Neg x > n", "Exp n > y"}, NOISE, 0},
    {"abs", {3, 4}, "", {"Abs x > y"}, SPREAD, 0},
    {"exp", {3, 4}, "", {"Exp x > y"}, NOISE, 0},
    {"log", {3, 4}, "", {"Log x > y"}, POSITIVE, 0},
    {"sqrt", {3, 4}, "", {"Sqrt x > y"}, POSITIVE, 0},
    {"reciprocal", {3, 4}, "", {"Reciprocal x > y"}, POSITIVE, 0},
    {"relu", {5, 8}, "", {"Relu x > y"}, SPREAD, 0},
    {"leaky relu", {5, 8}, "", {"LeakyRelu x > y | alpha=0.2"}, SPREAD, 0},
    {"prelu", {5, 8}, "+a=5,1", {"PRelu x a > y"}, SPREAD, 0},
    {"elu", {5, 8}, "", {"Elu x > y | alpha=0.7"}, SPREAD, 0},
    {"softplus", {3, 4}, "", {"Softplus x > y"}, NOISE, 0},
    {"max of a constant", {5, 8}, "", {"Max x lo > y"}, SPREAD, 0},
    {"min of three", {5, 8}, "", {"Neg x > n", "Min x n hi > y"}, SPREAD, 0},
    {"clip", {5, 8}, "", {"Mul x x > z", "Clip x lo hi > y"}, SPREAD, 0},
    {"sigmoid", {3, 4}, "", {"Sigmoid x > y"}, NOISE, 0},
    {"hard sigmoid", {5, 8}, "", {"HardSigmoid x > y | alpha=0.277777778 beta=0.5"}, SPREAD, 0},
    {"hard swish", {8, 8}, "", {"HardSwish x > y"}, SPREAD, 0},
    {"tanh", {3, 4}, "", {"Tanh x > y"}, NOISE, 0},
    {"erf", {3, 4}, "", {"Erf x > y"}, NOISE, 0},
    {"gelu", {3, 4}, "", {"Gelu x > y"}, NOISE, 20},
    {"gelu by tanh", {3, 4}, "", {"Gelu x > y | approximate=tanh"}, NOISE, 20},
    {"softmax", {3, 4}, "", {"Softmax x > y | axis=1"}, NOISE, 0},
    {"softmax of old", {3, 4}, "", {"Softmax x > y"}, NOISE, 11},
    {"softmax of the last axis", {3, 4}, "", {"Softmax x > y"}, NOISE, 0},
    {"log softmax", {3, 4}, "", {"LogSoftmax x > y | axis=1"}, NOISE, 0},
    {"conv", CONV_X, "w=3,4,3,2 b=3", {"Conv x w b > y | pads=[1,0,1,1]"}, NOISE, 0},
    {"conv with strides", CONV_X, "w=3,4,3,3", {"Conv x w > y | strides=[2,3] pads=[1,1,0,1]"}, NOISE, 0},
    {"conv with dilations", CONV_X, "w=3,4,2,2", {"Conv x w > y | dilations=[3,2]"}, NOISE, 0},
    {"conv in groups",
     CONV_X,
     "w=6,2,3,3",
     {"Conv x w > y | group=2 pads=[1,1,1,1] strides=[2,2]"},
     NOISE,
     0},
    {"depthwise conv", CONV_X, "w=4,1,3,3", {"Conv x w > y | group=4 pads=[1,1,1,1]"}, NOISE, 0},
    {"conv of same size",
     CONV_X,
     "w=3,4,3,2",
     {"Conv x w > y | auto_pad=SAME_UPPER strides=[2,2]"},
     NOISE,
     0},
    {"conv of same size, lower", CONV_X, "w=3,4,2,2", {"Conv x w > y | auto_pad=SAME_LOWER"}, NOISE, 0},
    {"conv without pads", CONV_X, "w=3,4,2,2", {"Conv x w > y | auto_pad=VALID strides=[2,2]"}, NOISE, 0},
    {"conv along one axis", {4, 9}, "w=3,4,3", {"Conv x w > y | strides=[2] pads=[1,0]"}, NOISE, 0},
    {"conv along three", {2, 4, 3, 5}, "w=3,2,2,2,3", {"Conv x w > y | strides=[2,1,2]"}, NOISE, 0},
    {"conv transpose",
     {4, 3, 3},
     "w=4,3,3,2",
     {"ConvTranspose x w > y | strides=[2,2] pads=[1,0,0,1] output_padding=[1,0]"},
     NOISE,
     0},
    {"conv transpose in groups", {4, 3, 3}, "w=4,2,2,2", {"ConvTranspose x w > y | group=2"}, NOISE, 0},
    {"matmul", {3, 4}, "w=4,5", {"MatMul x w > y"}, NOISE, 0},
    {"matmul from the left", {3, 4}, "w=2,3", {"MatMul w x > y"}, NOISE, 0},
    {"matmul of both",
     {2, 3, 4},
     "",
     {"Transpose x > t | perm=[0,1,3,2]", "Tanh t > u", "MatMul x u > y"},
     NOISE,
     0},
    {"matmul of a repeated side",
     {3, 4, 4},
     "",
     {"ReduceSum x axes > s | keepdims=1", "MatMul s x > y"},
     NOISE,
     0},
    {"gemm", {6}, "w=6,5 c=5", {"Gemm x w c > y | alpha=0.5 beta=2.0"}, NOISE, 0},
    {"gemm turned", {6}, "w=5,6", {"Gemm x w > y | transB=1"}, NOISE, 0},
    {"gemm of both, turned",
     {6},
     "",
     {"Tanh x > t", "ReduceSum x axes > c | keepdims=0", "Gemm x t > p | transA=1",
      "Gemm p x c > y | transB=1 beta=0.5"},
     NOISE,
     0},
    {"reduce sum", {3, 4}, "", {"ReduceSum x axes > y | keepdims=0"}, NOISE, 0},
    {"reduce sum of old", {3, 4}, "", {"ReduceSum x > y | axes=[1,-1] keepdims=0"}, NOISE, 12},
    {"reduce mean", {3, 4}, "", {"ReduceMean x > m | axes=[-1] keepdims=1", "Mul m x > y"}, NOISE, 0},
    {"reduce mean of all", {3, 4}, "", {"ReduceMean x > m | keepdims=0", "Mul m x > y"}, NOISE, 0},
    {"reduce mean of new", {3, 4}, "", {"ReduceMean x axes > y | keepdims=0"}, NOISE, 18},
    {"global average pool", {3, 4, 2}, "", {"GlobalAveragePool x > y"}, NOISE, 0},
    {"average pool", {2, 6, 5}, "", {"AveragePool x > y | kernel_shape=[3,2] strides=[2,1]"}, NOISE, 0},
    {"average pool with pads",
     {2, 6, 5},
     "",
     {"AveragePool x > y | kernel_shape=[3,3] strides=[2,2] pads=[1,1,1,1]"},
     NOISE,
     0},
    {"average pool that counts pads",
     {2, 6, 5},
     "",
     {"AveragePool x > y | kernel_shape=[3,3] strides=[2,2] pads=[1,1,1,1] count_include_pad=1"},
     NOISE,
     0},
    {"average pool beyond the edge",
     {2, 6, 5},
     "",
     {"AveragePool x > y | kernel_shape=[2,2] strides=[2,2] ceil_mode=1"},
     NOISE,
     0},
    {"max pool", {2, 6, 5}, "", {"MaxPool x > y | kernel_shape=[2,2] strides=[2,2]"}, SPREAD, 0},
    {"max pool of windows that overlap",
     {2, 6, 5},
     "",
     {"MaxPool x > y | kernel_shape=[3,3] pads=[1,1,1,1] strides=[2,1]"},
     SPREAD,
     0},
    {"max pool beyond the edge",
     {2, 7, 5},
     "",
     {"MaxPool x > y | kernel_shape=[2,2] strides=[2,2] ceil_mode=1"},
     SPREAD,
     13},
    {"layer norm", {3, 8}, "g=8 b=8", {"LayerNormalization x g b > y"}, NOISE, 0},
    {"layer norm of two axes",
     {3, 8},
     "g=3,8",
     {"LayerNormalization x g > y | axis=1 epsilon=0.01"},
     NOISE,
     0},
    {"batch norm", {3, 4}, "g=3 b=3 m=3 +v=3", {"BatchNormalization x g b m v > y | epsilon=0.01"}, NOISE, 0},
    {"identity, dropout, cast",
     {3, 4},
     "",
     {"Identity x > a", "Dropout a > b", "Cast b > c | to=1", "Exp c > y"},
     NOISE,
     0},
    {"reshape", {3, 4}, "s:0,4,3", {"Reshape x s > r", "Softmax r > y"}, NOISE, 0},
    {"reshape to a shape that is computed",
     {3, 4},
     "first:0 last:-1",
     {"Shape x > s", "Gather s first > n", "Concat n last > t | axis=0", "Reshape x t > r", "Softmax r > y"},
     NOISE,
     0},
    {"flatten", {3, 4}, "", {"Flatten x > f | axis=1", "Softmax f > y"}, NOISE, 0},
    {"squeeze and unsqueeze",
     {3, 1, 4},
     "two:2 zero:0",
     {"Squeeze x two > s", "Unsqueeze s zero > u", "Softmax u > y"},
     NOISE,
     0},
    {"transpose", {3, 4}, "", {"Transpose x > t | perm=[1,2,0]", "Softmax t > y"}, NOISE, 0},
    {"transpose by default", {3, 4}, "", {"Transpose x > t", "Softmax t > y"}, NOISE, 0},
    {"expand", {3, 1}, "s:5,1,3,4", {"Expand x s > e", "Softmax e > y"}, NOISE, 0},
    {"tile", {3, 4}, "r:1,2,3", {"Tile x r > t", "Softmax t > y | axis=1"}, NOISE, 0},
    {"pad", {3, 4}, "p:0,1,2,0,0,1", {"Pad x p > k", "Softmax k > y"}, NOISE, 0},
    {"concat",
     {3, 4},
     "",
     {"ReduceSum x axes > c | keepdims=1", "Exp x > e", "Concat x c e > k | axis=1",
      "Softmax k > y | axis=1"},
     NOISE,
     0},
    {"concat of examples",
     {3, 4},
     "",
     {"Exp x > e", "Concat e x > k | axis=0", "Softmax k > y | axis=1"},
     NOISE,
     0},
    {"split",
     {5, 4},
     "l:2,3",
     {"Split x l > a b | axis=1", "ReduceSum b axes > c | keepdims=1", "Mul a c > y"},
     NOISE,
     0},
    {"split of which a part is used", {6, 4}, "", {"Split x > a b c | axis=1", "Exp b > y"}, NOISE, 0},
    {"slice", {6, 4}, "s:1,-3 e:4,9223372036854775807 a:1,-1", {"Slice x s e a > y"}, NOISE, 0},
    {"slice by steps", {6, 4}, "s:-1,0 e:-9,4 a:1,2 p:-2,3", {"Slice x s e a p > y"}, NOISE, 0},
    {"slice of the first axes", {6, 4}, "s:0,2 e:1,5", {"Slice x s e > y"}, NOISE, 0},
    {"gather", {5, 4}, "i:3,0,3,-1", {"Gather x i > y | axis=1"}, NOISE, 0},
    {"gather of one", {5, 4}, "i:2!", {"Gather x i > y | axis=2"}, NOISE, 0},
    {"an operator without a rule before it", {3, 4}, "c=3,4", {"Atan c > d", "Mul x d > y"}, NOISE, 0},
    {"an operator without a rule aside", {3, 4}, "", {"Exp x > y", "Atan x > aside"}, NOISE, 0},
    {"attention",
     {4, 6},
     "w=6,6 m=4,4",
     {"MatMul x w > q", "Transpose x > t | perm=[0,2,1]", "MatMul q t > s", "Add s m > u", "Softmax u > p",
      "MatMul p x > y"},
     NOISE,
     0},
};

/* --- making it --- */

static size_t read_ints(const char *text, int64_t *ret) {
    size_t count = 0;
    for (; *text && strchr("-0123456789,", *text); count++) {
        char *end;
        ret[count] = strtoll(text, &end, 10);
        text = end + (*end == ',');
    }
    return count;
}

static void add_constant(struct builder *b, const char *text, uint32_t seed) {
    int64_t numbers[8] = {0};
    float values[ELEMENTS_MAX] = {0};
    uint8_t bits[ELEMENTS_MAX];
    const bool positive = *text == '+', bools = *text == '?';
    char name[TEXT_MAX];
    text += positive || bools;
    size_t length = strcspn(text, "=:"), count = read_ints(text + length + 1, numbers), elements = 1;
    snprintf(name, sizeof(name), "%.*s", (int)length, text);
    if (text[length] == ':') {
        builder_tensor(b, name, GRAPH_INT64, (int64_t[]){(int64_t)count}, strchr(text, '!') ? 0 : 1, numbers,
                       count * sizeof(*numbers));
        return;
    }
    for (size_t i = 0; i < count; i++) {
        elements *= (size_t)numbers[i];
    }
    noise_fill(values, elements, seed, positive ? 0.5F : 0.8F);
    for (size_t i = 0; i < elements; i++) {
        values[i] += positive ? 1 : 0;
        bits[i] = i % 2;
    }
    builder_tensor(b, name, bools ? GRAPH_BOOL : GRAPH_FLOAT32, numbers, count,
                   bools ? (const void *)bits : (const void *)values, elements * (bools ? 1 : sizeof(float)));
}

static void add_attribute(struct builder *b, Onnx__NodeProto *n, const char *text) {
    int64_t numbers[8] = {0};
    char name[TEXT_MAX];
    const char *value = text + strcspn(text, "=") + 1;
    snprintf(name, sizeof(name), "%.*s", (int)(value - text - 1), text);
    if (*value == '[') {
        builder_attr_ints(b, n, name, numbers, read_ints(value + 1, numbers));
    } else if (strchr(value, '.')) {
        builder_attr_float(b, n, name, strtof(value, NULL));
    } else if (strchr("-0123456789", *value)) {
        builder_attr_int(b, n, name, strtoll(value, NULL, 10));
    } else {
        Onnx__AttributeProto *a = builder_attr(b, n, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRING);
        a->has_s = 1;
        a->s.data = (uint8_t *)arena_strdup(b->arena, value);
        a->s.len = strlen(value);
    }
}

static void add_node(struct builder *b, const char *text) {
    char copy[TEXT_MAX], *rest = NULL;
    snprintf(copy, sizeof(copy), "%s", text);
    char *inputs = strchr(copy, ' '), *outputs = strstr(copy, " > "), *attributes = strstr(copy, " | ");
    *inputs++ = 0;
    *outputs = 0;
    if (attributes) {
        *attributes = 0;
    }
    Onnx__NodeProto *n = builder_node(b, copy, inputs, outputs + 3);
    for (char *a = attributes ? strtok_r(attributes + 3, " ", &rest) : NULL; a;
         a = strtok_r(NULL, " ", &rest)) {
        add_attribute(b, n, a);
    }
}

static struct graph *make(const struct scene *c, int64_t dims[5], size_t *rank) {
    const float lo = -1.05F, hi = 1.2F;
    const int64_t axes[] = {1};
    struct builder b;
    char constants[TEXT_MAX], *rest = NULL;
    uint32_t seed = 21;
    dims[0] = -1;
    for (*rank = 1; *rank < 5 && c->dims[*rank - 1]; (*rank)++) {
        dims[*rank] = c->dims[*rank - 1];
    }
    builder_init(&b, c->opset ? c->opset : 17);
    builder_input(&b, "x", GRAPH_FLOAT32, dims, *rank);
    builder_output(&b, "y", GRAPH_FLOAT32, dims, 1);
    b.outputs[0]->type->tensor_type->shape = NULL;
    if (c->opset == 0 || c->opset >= 13) {
        builder_tensor(&b, "axes", GRAPH_INT64, axes, 1, axes, sizeof(axes));
    }
    builder_floats(&b, "lo", NULL, 0, &lo);
    builder_floats(&b, "hi", NULL, 0, &hi);
    snprintf(constants, sizeof(constants), "%s", c->constants);
    for (char *k = strtok_r(constants, " ", &rest); k; k = strtok_r(NULL, " ", &rest)) {
        add_constant(&b, k, seed++);
    }
    for (size_t i = 0; i < NODES_MAX && c->nodes[i]; i++) {
        add_node(&b, c->nodes[i]);
    }
    struct graph *g = builder_graph(&b);
    builder_free(&b);
    dims[0] = BATCH;
    return g;
}

static void fill(enum domain domain, float *x, size_t n) {
    uint32_t seed = 5;
    const size_t middle = n / 2;
    noise_fill(x, n, 77, domain == POSITIVE ? 0.5F : 1);
    for (size_t i = 0; i < n && domain != NOISE; i++) {
        x[i] = domain == POSITIVE ? x[i] + 1 : (float)(gap * ((double)i - (double)middle + 0.5));
    }
    for (size_t i = n; domain == SPREAD && i > 1; i--) {
        size_t other = noise_next(&seed) % i;
        float swap = x[i - 1];
        x[i - 1] = x[other];
        x[other] = swap;
    }
}

/* --- measuring it --- */

struct trial {
    struct onnxruntime_session *session;
    struct onnxruntime_tensor inputs[2]; /* x, the seed */
    size_t output_count;                 /* y, perhaps the derivative */
};

static struct onnxruntime_result *run(struct trial *t) {
    struct onnxruntime_result *result = NULL;
    struct err err = {0};
    if (onnxruntime_run(t->session, t->inputs, &result, &err)) {
        fail_msg("%s", err.text);
    }
    return result;
}

static double loss(struct trial *t, double *size) {
    struct onnxruntime_result *result = run(t);
    const struct onnxruntime_tensor *y = onnxruntime_result_output(result, 0);
    const float *seed = t->inputs[1].data;
    double sum = 0;
    assert_int_equal(y->bytes, t->inputs[1].bytes);
    for (size_t i = 0; i < y->bytes / sizeof(float); i++) {
        sum += (double)((const float *)y->data)[i] * (double)seed[i];
        *size = fmax(*size, fabs((double)((const float *)y->data)[i]));
    }
    onnxruntime_result_free(result);
    return sum;
}

/* The derivative by x[i], from four places around it: its error is of the order of step^4. */
static double difference(struct trial *t, size_t i) {
    float *x = t->inputs[0].data, was = x[i];
    double at[4], unused = 0;
    for (int k = 0; k < 4; k++) {
        x[i] = was + (float)step * (float)(k < 2 ? k - 2 : k - 1);
        at[k] = loss(t, &unused);
    }
    x[i] = was;
    return (at[0] - 8 * at[1] + 8 * at[2] - at[3]) / (12 * step);
}

/* Adds the backward pass and makes y and the derivative by x the outputs. */
static void differentiate(struct graph *g, struct err *err, enum rc expected) {
    struct graph_shapes *shapes = NULL;
    struct graph_value *x = graph_find(g, "x"), *y = graph_find(g, "y"), *seed = NULL;
    const char *gradient = NULL;
    if (graph_sort(g, err) || graph_shapes_observe(g, NULL, &shapes, err) ||
        graph_add_input(g, "seed", GRAPH_FLOAT32, &seed, err)) {
        fail_msg("%s", err->text);
    }
    assert_non_null(seed);
    const struct backward_seed s = {y, seed ? seed->name : ""};
    enum rc rc = backward_build(g, shapes, &s, 1, &x, 1, &gradient, err);
    if (rc != expected) {
        fail_msg("%s", err->text);
    }
    if (rc == RC_OK) {
        assert_non_null(gradient);
        assert_int_equal(graph_add_output(g, graph_find(g, gradient), GRAPH_FLOAT32, err), RC_OK);
    }
    graph_shapes_free(shapes);
}

static void open_trial(struct trial *t, struct onnxruntime *r, struct graph *g, const int64_t *dims,
                       size_t rank, float *x, float *seed) {
    struct onnxruntime_session_opts opts = {.threads = 1};
    struct err err = {0};
    char *data = NULL;
    size_t size = 0, n = 1;
    memset(t, 0, sizeof(*t));
    if (graph_pack(g, &data, &size, &err) ||
        onnxruntime_open_bytes(r, data, size, &opts, &t->session, &err)) {
        fail_msg("%s", err.text);
    }
    free(data);
    for (size_t i = 0; i < rank; i++) {
        n *= (size_t)dims[i];
    }
    t->inputs[0] = (struct onnxruntime_tensor){
        .dtype = DTYPE_FLOAT32, .rank = rank, .data = x, .bytes = n * sizeof(float)};
    memcpy(t->inputs[0].dims, dims, rank * sizeof(*dims));
    t->inputs[1] = (struct onnxruntime_tensor){.dtype = DTYPE_FLOAT32, .data = seed};
}

/* The shape of y, from the model without the rest. */
static void shape_seed(struct onnxruntime *r, const struct scene *c, float *x,
                       struct onnxruntime_tensor *seed) {
    struct trial t;
    int64_t dims[5];
    size_t rank;
    struct graph *g = make(c, dims, &rank);
    open_trial(&t, r, g, dims, rank, x, seed->data);
    struct onnxruntime_result *result = run(&t);
    const struct onnxruntime_tensor *y = onnxruntime_result_output(result, 0);
    assert_true(y->bytes <= ELEMENTS_MAX * sizeof(float));
    seed->rank = y->rank;
    seed->bytes = y->bytes;
    memcpy(seed->dims, y->dims, sizeof(y->dims));
    noise_fill(seed->data, y->bytes / sizeof(float), 3, 1);
    onnxruntime_result_free(result);
    onnxruntime_close(t.session);
    graph_free(g);
}

static void check(struct onnxruntime *r, const struct scene *c) {
    static float x[ELEMENTS_MAX], seed[ELEMENTS_MAX];
    int64_t dims[5];
    size_t rank, n = 1;
    struct trial t;
    struct err err = {0};
    struct graph *g = make(c, dims, &rank);
    for (size_t i = 0; i < rank; i++) {
        n *= (size_t)dims[i];
    }
    assert_true(n <= ELEMENTS_MAX);
    fill(c->domain, x, n);
    differentiate(g, &err, RC_OK);
    open_trial(&t, r, g, dims, rank, x, seed);
    shape_seed(r, c, x, &t.inputs[1]);
    struct onnxruntime_result *result = run(&t);
    const struct onnxruntime_tensor *gx = onnxruntime_result_output(result, 1);
    double worst = 0, largest = 1e-3;
    assert_int_equal(gx->bytes, n * sizeof(float));
    for (size_t i = 0; i < n; i++) {
        double expected = difference(&t, i), got = (double)((const float *)gx->data)[i];
        assert_true(isfinite(got) != 0);
        worst = fmax(worst, fabs(expected - got));
        largest = fmax(largest, fabs(expected));
    }
    if (!(worst <= 3e-4 * largest)) { /* the largest seen is 5e-5 */
        fail_msg("%s: the derivative is off by %g of %g", c->name, worst, largest);
    }
    onnxruntime_result_free(result);
    onnxruntime_close(t.session);
    graph_free(g);
}

static void every_rule_gives_what_differences_give(void **state) {
    struct onnxruntime *r = NULL;
    struct err err = {0};
    (void)state;
    assert_int_equal(onnxruntime_new(NULL, &r, &err), RC_OK);
    for (size_t i = 0; i < sizeof(scenes) / sizeof(scenes[0]); i++) {
        check(r, &scenes[i]);
    }
    onnxruntime_free(r);
}

static void what_has_no_rule_is_refused_by_name(void **state) {
    static const struct {
        struct scene scene;
        const char *text;
    } refused[] = {
        {{"no rule", {3, 4}, "", {"Exp x > e", "Atan e > a", "Neg a > y"}, NOISE, 0},
         "node Atan n1: there is no rule"},
        {{"dynamic weights",
          {4, 7, 6},
          "w=3,4,3,3",
          {"ReduceMean x > m", "Add w m > v", "Conv x v > y"},
          NOISE,
          0},
         "node Conv n2: its weights are not constant"},
        {{"powers", {3, 4}, "", {"Pow x x > y"}, POSITIVE, 0}, "node Pow n0: its exponent"},
        {{"of float64", {3, 4}, "", {"Cast x > d | to=11", "Neg d > e", "Cast e > y | to=1"}, NOISE, 0},
         "node Cast n2: derivatives are taken of float32"},
        {{"reflecting", {3, 4}, "p:0,1,1,0,1,1", {"Pad x p > y | mode=reflect"}, NOISE, 0},
         "node Pad n0: there is a rule for constant pads"},
        {{"old", {3, 4}, "i:0", {"Gather x i > g | axis=1", "Softmax g > y"}, NOISE, 11},
         "node Gather n0: its derivative needs operator set 16"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        struct err err = {0};
        int64_t dims[5];
        size_t rank;
        struct graph *g = make(&refused[i].scene, dims, &rank);
        differentiate(g, &err, RC_UNSUPPORTED);
        if (!strstr(err.text, refused[i].text)) {
            fail_msg("%s: %s", refused[i].scene.name, err.text);
        }
        graph_free(g);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_has_no_rule_is_refused_by_name),
        cmocka_unit_test(every_rule_gives_what_differences_give),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

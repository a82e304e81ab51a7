/* Causes from figures: each shows itself where the figures are plain, and is silent where they are not. */
#include "tests/support/test.h"

#include <math.h>
#include <string.h>

#include "advisor/decide/cause.h"

enum { KINDS = 8 };

struct scene {
    struct cause_question q;
    struct cause_kind mine[KINDS], theirs[KINDS];
    struct cause_setting baseline, siblings[2];
};

/* A kind that has `us` and calls one operator. */
static struct cause_kind kind(const char *op, const char *dtype, double us, double macs) {
    return (struct cause_kind){.op = op, .dtype = dtype, .us = us, .calls = 1, .macs = macs, .bytes = 1000};
}

static void put(struct cause_operators *o, struct cause_kind *kinds, size_t n) {
    *o = (struct cause_operators){.kinds = kinds, .n = n, .us = 0, .weight_bytes = 16e6};
    for (size_t i = 0; i < n; i++) {
        o->us += kinds[i].us;
    }
}

/* fp32: 800 us of Conv and 200 us of Softmax; the variant is `us` for its two kinds. */
static void set(struct scene *s, const char *recipe, unsigned scheme, struct cause_kind a,
                struct cause_kind b) {
    *s = (struct scene){.q = {.recipe = recipe,
                              .baseline_recipe = "fp32",
                              .scheme = scheme,
                              .setting = {1, 2, 1, NAN, 1000},
                              .size_bytes = 4e6,
                              .baseline_bytes = 16e6,
                              .machine = {.fp32_gops = 200,
                                          .int8_gops = 800,
                                          .copy_gb_per_s = 20,
                                          .copy_all_gb_per_s = 20,
                                          .cache_bytes = 32 << 20,
                                          .isa_known = true,
                                          .int8_dot = true}},
                        .baseline = {1, 2, 1, 1000, 1000}};
    s->mine[0] = a;
    s->mine[1] = b;
    s->theirs[0] = kind("Conv", "float32", 800, 50e6);
    s->theirs[1] = kind("Softmax", "float32", 200, 0);
    put(&s->q.mine, s->mine, 2);
    put(&s->q.theirs, s->theirs, 2);
    s->q.setting.single_us = s->q.mine.us;
    s->q.setting.per_s = 1e6 / s->q.mine.us;
    s->q.baseline = &s->baseline;
    s->q.siblings = s->siblings;
}

static const struct cause *found(const struct scene *s, enum cause_code code) {
    static struct cause_list list;
    cause_find(&s->q, &list);
    for (size_t i = 0; i < list.n; i++) {
        if (list.items[i].code == code) {
            return &list.items[i];
        }
    }
    return NULL;
}

static void assert_text(const struct scene *s, enum cause_code code, const char *expected) {
    const struct cause *c = found(s, code);
    assert_non_null(c);
    assert_string_equal(c->text, expected);
}

static void a_sentence_names_factor_promise_and_cause(void **state) {
    (void)state;
    struct scene s;
    struct cause_list list;
    struct buf text;
    set(&s, "int8:static", CAUSE_INT8, kind("QLinearConv", "uint8", 264, 50e6),
        kind("Softmax", "float32", 645, 0));
    buf_init(&text, 1024);
    cause_find(&s.q, &list);
    assert_int_equal(cause_sentence(&s.q, &list, &text, NULL), RC_OK);
    assert_string_equal(
        text.data, "int8:static is 1.1x as fast as fp32, not the 4.0x of int8 products here: 71 % of the "
                   "time is Softmax, which stay fp32");
    assert_true(fabs(list.speedup - 1.1) < 0.01);
    buf_clear(&text);
    s.q.mine.n = 0; /* nothing known: nothing said */
    s.q.scheme = 0;
    cause_find(&s.q, &list);
    assert_int_equal(list.n, 0);
    assert_int_equal(cause_sentence(&s.q, &list, &text, NULL), RC_OK);
    assert_int_equal(text.size, 0);
    buf_free(&text);
}

static void convolutions_that_fell_back(void **state) {
    (void)state;
    struct scene s;
    set(&s, "int8:dynamic", CAUSE_INT8, kind("ConvInteger", "int32", 4250, 50e6),
        kind("Mul", "float32", 750, 0));
    assert_text(&s, CAUSE_CONV_INTEGER,
                "convolutions fell back to ConvInteger, which takes 4.2 ms (85 % of the time) where all "
                "products of fp32 "
                "took 800 us: ONNX Runtime has no fast kernel for it");
    s.q.theirs.n = 0;
    assert_text(&s, CAUSE_CONV_INTEGER,
                "convolutions fell back to ConvInteger, which takes 85 % of the time: ONNX Runtime has no "
                "fast kernel for "
                "it");
    s.mine[0].op = "QLinearConv";
    assert_null(found(&s, CAUSE_CONV_INTEGER));
}

static void what_stays_in_fp32(void **state) {
    (void)state;
    struct scene s;
    set(&s, "int4", CAUSE_FEW_BITS, kind("Conv", "float32", 780, 50e6),
        kind("MatMulNBits", "float32", 20, 1e6));
    assert_text(&s, CAUSE_PRODUCTS_LEFT, "98 % of the time is Conv, which int4 leaves in fp32");
    s.q.scheme = 0;
    assert_null(found(&s, CAUSE_PRODUCTS_LEFT));
    set(&s, "int8:static", CAUSE_INT8, kind("QLinearConv", "uint8", 800, 50e6),
        kind("Softmax", "float32", 200, 0));
    assert_null(found(&s, CAUSE_STAYS_FP32)); /* a fifth is not what decides */
    s.mine[1].us = 700;
    put(&s.q.mine, s.mine, 2);
    assert_text(&s, CAUSE_STAYS_FP32, "47 % of the time is Softmax, which stay fp32");
    s.mine[1].dtype = "int64"; /* arithmetic on shapes is not fp32 */
    assert_null(found(&s, CAUSE_STAYS_FP32));
}

static void conversions_and_ranges(void **state) {
    (void)state;
    struct scene s;
    set(&s, "int8:static", CAUSE_INT8, kind("QLinearMatMul", "uint8", 900, 50e6),
        kind("QuantizeLinear", "uint8", 100, 0));
    s.mine[1].calls = 13;
    assert_text(&s, CAUSE_QDQ_LEFT,
                "10 % of the time (100 us) is QuantizeLinear and DequantizeLinear, 13 of them, that were not "
                "fused with "
                "their neighbours");
    s.mine[1].us = 10;
    put(&s.q.mine, s.mine, 2);
    assert_null(found(&s, CAUSE_QDQ_LEFT));
    set(&s, "int8:dynamic", CAUSE_INT8, kind("MatMulInteger", "int32", 900, 50e6),
        kind("DynamicQuantizeLinear", "uint8", 100, 0));
    assert_text(&s, CAUSE_DYNAMIC_RANGES,
                "10 % of the time (100 us) is DynamicQuantizeLinear, which looks for the range of "
                "activations at every run");
}

static void fp16_that_computes_in_fp32(void **state) {
    (void)state;
    struct scene s;
    set(&s, "fp16", CAUSE_FP16, kind("Conv", "float32", 900, 50e6), kind("Cast", "float16", 100, 0));
    s.mine[1].calls = 45;
    assert_text(&s, CAUSE_NO_FP16_KERNELS,
                "90 % of the time is spent in fp32 all the same: Conv have no fp16 kernels here, and 45 "
                "conversions (Cast) "
                "take another 10 %");
    s.mine[0].dtype = "float16"; /* a machine that has them */
    assert_null(found(&s, CAUSE_NO_FP16_KERNELS));
}

static void zeros_and_structures(void **state) {
    (void)state;
    struct scene s;
    set(&s, "prune:magnitude", CAUSE_LOOSE_ZEROS, kind("Conv", "float32", 800, 50e6),
        kind("Softmax", "float32", 200, 0));
    assert_text(&s, CAUSE_ZEROS_COMPUTED,
                "the zeros are multiplied like all other weights: 50 M multiplications a run, as with fp32");
    s.mine[0].macs = NAN;
    assert_null(found(&s, CAUSE_ZEROS_COMPUTED));
    set(&s, "prune:channels,ratio=0.5", CAUSE_STRUCTURE, kind("Conv", "float32", 300, 15e6),
        kind("Softmax", "float32", 100, 0));
    assert_text(&s, CAUSE_FEWER_OPERATIONS,
                "it does 30 % of the multiplications of fp32 (15 M instead of 50 M)");
    s.mine[0].macs = 75e6;
    assert_text(&s, CAUSE_MORE_OPERATIONS, "it does 1.5x the multiplications of fp32 (75 M instead of 50 M)");
    assert_null(found(&s, CAUSE_FEWER_OPERATIONS));
}

static void few_bits_that_are_unpacked_or_fit_the_cache(void **state) {
    (void)state;
    struct scene s;
    set(&s, "int4", CAUSE_FEW_BITS, kind("MatMulNBits", "float32", 1500, 50e6),
        kind("Softmax", "float32", 200, 0));
    assert_text(&s, CAUSE_UNPACKED_WEIGHTS,
                "MatMulNBits takes 1.5 ms for what took 800 us in fp32: it unpacks the weights at every run");
    assert_text(
        &s, CAUSE_FITS_CACHE,
        "the weights of fp32 (15 MiB) already fit the last cache (32 MiB), so that reading fewer bytes saves "
        "little");
    s.q.machine.cache_bytes = 1e6;
    assert_null(found(&s, CAUSE_FITS_CACHE));
    s.q.machine.cache_bytes = NAN;
    assert_null(found(&s, CAUSE_FITS_CACHE));
    s.mine[0].us = 300;
    put(&s.q.mine, s.mine, 2);
    assert_null(found(&s, CAUSE_UNPACKED_WEIGHTS));
}

static void memory_decides(void **state) {
    (void)state;
    struct scene s;
    set(&s, "fp32", 0, kind("Gemm", "float32", 5000, 25e6), kind("Softmax", "float32", 10, 0));
    s.q.baseline_recipe = NULL;
    s.mine[0].bytes = 100e6;
    assert_text(
        &s, CAUSE_MEMORY_BOUND,
        "products move 95 MiB for 25 M multiplications: 20.0 GB/s, beside the 20.0 GB/s that copying memory "
        "reaches: bytes decide, not arithmetic");
    s.mine[0].bytes = 10e6; /* which the cache holds */
    assert_null(found(&s, CAUSE_MEMORY_BOUND));
    set(&s, "original", 0, kind("", "", 0, 0), kind("", "", 0, 0));
    s.q.baseline_recipe = NULL;
    s.q.mine.n = 0;
    s.q.generates = true;
    s.q.size_bytes = 50e6;
    s.q.setting.per_s = 300;
    assert_text(&s, CAUSE_MEMORY_BOUND,
                "every token reads the weights (48 MiB): 300 a second are 15.0 GB/s, beside the 20.0 GB/s "
                "that copying "
                "memory reaches: bytes decide");
    s.q.setting.per_s = 100;
    assert_null(found(&s, CAUSE_MEMORY_BOUND));
    s.q.baseline_recipe = "original";
    s.q.baseline_bytes = 100e6;
    s.baseline.per_s = 50;
    assert_text(&s, CAUSE_FEWER_BYTES, "every token reads 48 MiB of weights instead of 95 MiB");
}

static void operators_too_small(void **state) {
    (void)state;
    struct scene s;
    set(&s, "int8:dynamic", CAUSE_INT8, kind("QLinearConv", "uint8", 60, 600e3),
        kind("Mul", "float32", 100, 0));
    s.mine[0].calls = 15;
    s.mine[1].calls = 50;
    assert_text(
        &s, CAUSE_TINY_OPERATORS,
        "65 operators take 2.5 us each on average, while all 600 k multiplications would take 1.5 us at this "
        "machine's best: the operators are too small for their own cost");
    s.mine[0].macs = 50e6; /* at their best 125 of the 160 us */
    assert_null(found(&s, CAUSE_TINY_OPERATORS));
    s.q.machine.fp32_gops = s.q.machine.int8_gops = NAN;
    assert_null(found(&s, CAUSE_TINY_OPERATORS));
}

static void int8_with_and_without_instructions(void **state) {
    (void)state;
    struct scene s;
    set(&s, "int8:static", CAUSE_INT8, kind("QLinearConv", "uint8", 250, 50e6),
        kind("Softmax", "float32", 20, 0));
    assert_text(&s, CAUSE_INT8_KERNELS,
                "93 % of the time is QLinearConv, in int8 at 400 of this machine's best 800 GOP/s");
    assert_null(found(&s, CAUSE_NO_INT8_INSTRUCTIONS));
    s.q.machine.int8_dot = false;
    s.q.machine.int8_gops = 240;
    assert_text(&s, CAUSE_NO_INT8_INSTRUCTIONS,
                "this CPU has no instruction that multiplies bytes and adds (VNNI, AMX, SDOT): its best int8 "
                "products are "
                "1.2x its best fp32 ones");
    s.q.machine.isa_known = false;
    assert_null(found(&s, CAUSE_NO_INT8_INSTRUCTIONS));
}

static void settings_that_bring_nothing(void **state) {
    (void)state;
    struct scene s;
    set(&s, "fp32", 0, kind("Conv", "float32", 980, 50e6), kind("Softmax", "float32", 20, 0));
    s.q.baseline_recipe = NULL;
    s.siblings[0] = (struct cause_setting){2, 1, 1, 1050, 1500};
    s.siblings[1] = (struct cause_setting){1, 2, 1, 1000, 1000};
    s.q.sibling_count = 2;
    assert_text(&s, CAUSE_THREADS, "2 threads are 1.1x as fast as one (1.0 ms, 1.1 ms)");
    s.siblings[0].single_us = 1900;
    assert_null(found(&s, CAUSE_THREADS));
    s.q.setting = (struct cause_setting){1, 2, 8, 7500, 1066};
    assert_text(&s, CAUSE_BATCH, "a batch of 8 gives 1.1x the throughput of single examples");
    s.q.setting.per_s = 2000;
    assert_null(found(&s, CAUSE_BATCH));
    s.q.setting = (struct cause_setting){2, 1, 1, 1000, 1200};
    assert_text(&s, CAUSE_INSTANCES, "2 instances beside each other give 1.2x the throughput of one alone");
    s.q.mine.weight_bytes = 50e6;
    assert_text(&s, CAUSE_INSTANCES,
                "2 instances give 1.2x the throughput of one alone: together they read weights at 60.0 GB/s, "
                "and copying "
                "memory reaches 20.0 GB/s");
    s.q.setting.per_s = 1900;
    assert_null(found(&s, CAUSE_INSTANCES));
}

static void a_table_is_size_and_not_time(void **state) {
    (void)state;
    struct scene s;
    set(&s, "int8:dynamic", CAUSE_INT8, kind("MatMulInteger", "int32", 900, 50e6),
        kind("Softmax", "float32", 90, 0));
    s.theirs[1] = kind("Gather", "float32", 4, 0);
    s.theirs[1].weight_bytes = 8e6;
    put(&s.q.theirs, s.theirs, 2);
    assert_text(&s, CAUSE_TABLE_NOT_TIME,
                "50 % of the weights of fp32 are a table that is looked up in 0.5 % of its time");
    s.theirs[1].us = 400;
    put(&s.q.theirs, s.theirs, 2);
    assert_null(found(&s, CAUSE_TABLE_NOT_TIME));
}

static void the_rate_is_said_where_nothing_else_is(void **state) {
    (void)state;
    struct scene s;
    set(&s, "fp32", 0, kind("Conv", "float32", 900, 50e6), kind("Softmax", "float32", 100, 0));
    s.q.baseline_recipe = NULL;
    assert_text(&s, CAUSE_RATE, "90 % of the time is Conv, in fp32 at 111 of this machine's best 200 GOP/s");
    s.q.machine.fp32_gops = NAN;
    assert_text(&s, CAUSE_RATE, "most of the time is Conv and Softmax");
    set(&s, "prune:magnitude", CAUSE_LOOSE_ZEROS, kind("Conv", "float32", 800, 50e6),
        kind("Softmax", "float32", 200, 0));
    assert_null(found(&s, CAUSE_RATE));
}

static void the_strongest_come_first_and_none_twice(void **state) {
    (void)state;
    struct scene s;
    struct cause_list list;
    set(&s, "int8:dynamic", CAUSE_INT8, kind("ConvInteger", "int32", 5000, 50e6),
        kind("Mul", "float32", 4000, 0));
    s.mine[2] = kind("DynamicQuantizeLinear", "uint8", 600, 0);
    s.mine[3] = kind("DequantizeLinear", "float32", 700, 0);
    put(&s.q.mine, s.mine, 4);
    cause_find(&s.q, &list);
    assert_true(list.n >= 4);
    for (size_t i = 1; i < list.n; i++) {
        assert_true(list.items[i].weight <= list.items[i - 1].weight);
        for (size_t k = 0; k < i; k++) {
            assert_int_not_equal(list.items[i].code, list.items[k].code);
        }
    }
    assert_int_equal(list.items[0].code, CAUSE_CONV_INTEGER);
    for (int code = 0; code < CAUSE_CODE_COUNT; code++) {
        assert_non_null(cause_name((enum cause_code)code));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sentence_names_factor_promise_and_cause),
        cmocka_unit_test(convolutions_that_fell_back),
        cmocka_unit_test(what_stays_in_fp32),
        cmocka_unit_test(conversions_and_ranges),
        cmocka_unit_test(fp16_that_computes_in_fp32),
        cmocka_unit_test(zeros_and_structures),
        cmocka_unit_test(few_bits_that_are_unpacked_or_fit_the_cache),
        cmocka_unit_test(memory_decides),
        cmocka_unit_test(operators_too_small),
        cmocka_unit_test(int8_with_and_without_instructions),
        cmocka_unit_test(settings_that_bring_nothing),
        cmocka_unit_test(a_table_is_size_and_not_time),
        cmocka_unit_test(the_rate_is_said_where_nothing_else_is),
        cmocka_unit_test(the_strongest_come_first_and_none_twice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

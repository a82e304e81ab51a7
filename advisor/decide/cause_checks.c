/* cause_checks.c -- one check a cause (cause.h). Each holds only where the figures show it plainly:
 * thresholds are such that measuring again says the same. Operators are known by the names that ONNX Runtime
 * gives them. */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "advisor/decide/cause_internal.h"
#include "core/base/container.h"

enum { NAMES_SIZE = 120, SHOWN_NAMES = 3 };

static const double LARGE = 0.3;      /* a share of the time that decides */
static const double VISIBLE = 0.05;   /* one that is worth a word */
static const double HARDLY_ANY = 0.2; /* of what more threads or a larger batch could give */
static const double FAIR = 0.6;       /* of what another instance could give */

/* ---- sums over operators ---- */

typedef bool is_kind(const struct cause_kind *k);

static bool is_named(const struct cause_kind *k, const char *op) {
    return strcmp(k->op, op) == 0;
}

static bool is_type(const struct cause_kind *k, const char *dtype) {
    return strcmp(k->dtype, dtype) == 0;
}

static bool is_conv_integer(const struct cause_kind *k) {
    return is_named(k, "ConvInteger");
}

static bool is_range_search(const struct cause_kind *k) {
    return is_named(k, "DynamicQuantizeLinear");
}

static bool is_qdq(const struct cause_kind *k) {
    return is_named(k, "QuantizeLinear") || is_named(k, "DequantizeLinear");
}

static bool is_cast(const struct cause_kind *k) {
    return is_named(k, "Cast");
}

static bool is_few_bits(const struct cause_kind *k) {
    return is_named(k, "MatMulNBits");
}

static bool is_lookup(const struct cause_kind *k) {
    return strncmp(k->op, "Gather", 6) == 0;
}

static bool is_product(const struct cause_kind *k) {
    return !(k->macs == 0); /* also one that is not known */
}

/* A product of bytes. */
static bool is_int8_product(const struct cause_kind *k) {
    return is_product(k) &&
           (strncmp(k->op, "QLinear", 7) == 0 || is_named(k, "QGemm") || is_named(k, "QAttention") ||
            strstr(k->op, "Integer") || strncmp(k->op, "DynamicQuantize", 15) == 0);
}

static bool is_float_product(const struct cause_kind *k) {
    return is_product(k) && is_type(k, "float32") && !is_int8_product(k) && !is_few_bits(k);
}

/* What computes on floats, and neither multiplies matrices nor converts. */
static bool is_other_float(const struct cause_kind *k) {
    return !is_product(k) && is_type(k, "float32") && !is_qdq(k) && !is_cast(k) && !is_lookup(k);
}

static bool is_float32(const struct cause_kind *k) {
    return is_type(k, "float32");
}

static bool is_any(const struct cause_kind *k) {
    (void)k;
    return true;
}

static double us_of(const struct cause_operators *o, is_kind *wanted) {
    double sum = 0;
    for (size_t i = 0; i < o->n; i++) {
        sum += wanted(&o->kinds[i]) ? o->kinds[i].us : 0;
    }
    return sum;
}

static double share_of(const struct cause_operators *o, is_kind *wanted) {
    return o->n > 0 && o->us > 0 ? us_of(o, wanted) / o->us : 0;
}

static double calls_of(const struct cause_operators *o, is_kind *wanted) {
    double sum = 0;
    for (size_t i = 0; i < o->n; i++) {
        sum += wanted(&o->kinds[i]) ? o->kinds[i].calls : 0;
    }
    return sum;
}

/* NAN where one of them is not known. */
static double macs_of(const struct cause_operators *o, is_kind *wanted) {
    double sum = o->n > 0 ? 0 : NAN;
    for (size_t i = 0; i < o->n; i++) {
        sum += wanted(&o->kinds[i]) ? o->kinds[i].macs : 0;
    }
    return sum;
}

static double bytes_of(const struct cause_operators *o, is_kind *wanted) {
    double sum = 0;
    for (size_t i = 0; i < o->n; i++) {
        sum += wanted(&o->kinds[i]) ? o->kinds[i].bytes : 0;
    }
    return sum;
}

static double weight_bytes_of(const struct cause_operators *o, is_kind *wanted) {
    double sum = 0;
    for (size_t i = 0; i < o->n; i++) {
        sum += wanted(&o->kinds[i]) ? o->kinds[i].weight_bytes : 0;
    }
    return sum;
}

/* "LayerNormalization, Softmax and Add": the dearest of them, dearest first (as the kinds are). */
static void names_of(const struct cause_operators *o, is_kind *wanted, char text[NAMES_SIZE]) {
    const char *names[SHOWN_NAMES];
    size_t n = 0, used = 0;
    for (size_t i = 0; i < o->n && n < SHOWN_NAMES; i++) {
        bool known = false;
        for (size_t k = 0; k < n; k++) {
            known = known || strcmp(names[k], o->kinds[i].op) == 0;
        }
        if (wanted(&o->kinds[i]) && !known && o->kinds[i].us > 0) {
            names[n++] = o->kinds[i].op;
        }
    }
    text[0] = '\0';
    for (size_t i = 0; i < n && used < NAMES_SIZE; i++) {
        const char *joint = i == 0 ? "" : i + 1 == n ? " and " : ", ";
        used += (size_t)snprintf(text + used, NAMES_SIZE - used, "%s%.36s", joint, names[i]);
    }
}

/* ---- figures as texts ---- */

static bool say(struct cause *c, double weight, const char *format, ...) PRINTF_LIKE(3, 4);

static bool say(struct cause *c, double weight, const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(c->text, sizeof(c->text), format, args);
    va_end(args);
    c->weight = weight;
    return true;
}

struct figure {
    char text[24];
};

static struct figure scaled(double value, const char *const units[4], double step) {
    struct figure f;
    int unit = 0;
    while (value >= step && unit < 3) {
        value /= step;
        unit++;
    }
    snprintf(f.text, sizeof(f.text), value < 10 ? "%.1f %s" : "%.0f %s", value, units[unit]);
    return f;
}

static struct figure time_text(double us) {
    static const char *const units[] = {"us", "ms", "s", "ks"};
    return scaled(us, units, 1000);
}

static struct figure bytes_text(double bytes) {
    static const char *const units[] = {"B", "KiB", "MiB", "GiB"};
    return scaled(bytes, units, 1024);
}

static struct figure macs_text(double macs) {
    static const char *const units[] = {"", "k", "M", "G"};
    return scaled(macs, units, 1000);
}

static struct figure times_text(double ratio) {
    struct figure f;
    cause_times(ratio, f.text, sizeof(f.text));
    return f;
}

static double percent(double share) {
    return 100 * share;
}

static double ratio_or_nan(double a, double b) {
    return a > 0 && b > 0 ? a / b : NAN;
}

/* ---- compression that does not reach the time ---- */

static bool conv_integer(const struct cause_question *q, struct cause *c) {
    double share = share_of(&q->mine, is_conv_integer);
    double before = us_of(&q->theirs, is_float_product);
    if (share < LARGE) {
        return false;
    }
    if (!(before > 0)) {
        return say(c, share,
                   "convolutions fell back to ConvInteger, which takes %.0f %% of the time: ONNX Runtime has "
                   "no fast "
                   "kernel for it",
                   percent(share));
    }
    return say(c, share,
               "convolutions fell back to ConvInteger, which takes %s (%.0f %% of the time) where all "
               "products of %s "
               "took %s: ONNX Runtime has no fast kernel for it",
               time_text(us_of(&q->mine, is_conv_integer)).text, percent(share), q->baseline_recipe,
               time_text(before).text);
}

static bool stays_fp32(const struct cause_question *q, struct cause *c) {
    char names[NAMES_SIZE];
    double share = share_of(&q->mine, is_other_float);
    if (!(q->scheme & (CAUSE_INT8 | CAUSE_FEW_BITS)) || share < LARGE) {
        return false;
    }
    names_of(&q->mine, is_other_float, names);
    return say(c, share, "%.0f %% of the time is %s, which stay fp32", percent(share), names);
}

static bool products_left(const struct cause_question *q, struct cause *c) {
    char names[NAMES_SIZE];
    double share = share_of(&q->mine, is_float_product);
    if (!(q->scheme & (CAUSE_INT8 | CAUSE_FEW_BITS)) || share < LARGE) {
        return false;
    }
    names_of(&q->mine, is_float_product, names);
    return say(c, share, "%.0f %% of the time is %s, which %s leaves in fp32", percent(share), names,
               q->recipe);
}

static bool qdq_left(const struct cause_question *q, struct cause *c) {
    double share = share_of(&q->mine, is_qdq);
    if (!(q->scheme & CAUSE_INT8) || share < VISIBLE) {
        return false;
    }
    return say(
        c, share,
        "%.0f %% of the time (%s) is QuantizeLinear and DequantizeLinear, %.0f of them, that were not fused "
        "with their neighbours",
        percent(share), time_text(us_of(&q->mine, is_qdq)).text, calls_of(&q->mine, is_qdq));
}

static bool dynamic_ranges(const struct cause_question *q, struct cause *c) {
    double share = share_of(&q->mine, is_range_search);
    if (share < VISIBLE) {
        return false;
    }
    return say(c, share,
               "%.0f %% of the time (%s) is DynamicQuantizeLinear, which looks for the range of activations "
               "at every "
               "run",
               percent(share), time_text(us_of(&q->mine, is_range_search)).text);
}

static bool no_fp16_kernels(const struct cause_question *q, struct cause *c) {
    char names[NAMES_SIZE];
    double share = share_of(&q->mine, is_float32), casts = share_of(&q->mine, is_cast);
    if (!(q->scheme & CAUSE_FP16) || share < 0.5) {
        return false;
    }
    names_of(&q->mine, is_float_product, names);
    if (casts < VISIBLE) {
        return say(c, share,
                   "%.0f %% of the time is spent in fp32 all the same: %s have no fp16 kernels here",
                   percent(share), *names ? names : "its operators");
    }
    return say(c, share,
               "%.0f %% of the time is spent in fp32 all the same: %s have no fp16 kernels here, and %.0f "
               "conversions "
               "(Cast) take another %.0f %%",
               percent(share), *names ? names : "its operators", calls_of(&q->mine, is_cast), percent(casts));
}

static bool zeros_computed(const struct cause_question *q, struct cause *c) {
    double mine = macs_of(&q->mine, is_any), theirs = macs_of(&q->theirs, is_any);
    if (!(q->scheme & CAUSE_LOOSE_ZEROS) || !(mine >= 0.98 * theirs)) {
        return false;
    }
    return say(c, 1, "the zeros are multiplied like all other weights: %s multiplications a run, as with %s",
               macs_text(mine).text, q->baseline_recipe);
}

/* What few-bit products take against the products that they replaced. */
static bool unpacked_weights(const struct cause_question *q, struct cause *c) {
    double share = share_of(&q->mine, is_few_bits), now = us_of(&q->mine, is_few_bits);
    double before = us_of(&q->theirs, is_float_product) - us_of(&q->mine, is_float_product);
    if (share < LARGE || !(before > 0) || now < 0.9 * before) {
        return false;
    }
    return say(c, share, "MatMulNBits takes %s for what took %s in fp32: it unpacks the weights at every run",
               time_text(now).text, time_text(before).text);
}

/* Weights that the last cache holds are not read from memory at all. */
static bool fits_cache(const struct cause_question *q, struct cause *c) {
    bool weights_only = q->scheme & CAUSE_FEW_BITS || q->generates;
    double weights =
        q->theirs.n > 0 && q->theirs.weight_bytes > 0 ? q->theirs.weight_bytes : q->baseline_bytes;
    bool smaller = q->size_bytes < 0.8 * q->baseline_bytes;
    if (!q->baseline_recipe || !weights_only || !smaller || !(weights <= q->machine.cache_bytes) ||
        !(cause_speedup(q) < 1.3)) {
        return false;
    }
    return say(
        c, 0.5,
        "the weights of %s (%s) already fit the last cache (%s), so that reading fewer bytes saves little",
        q->baseline_recipe, bytes_text(weights).text, bytes_text(q->machine.cache_bytes).text);
}

/* ---- what the machine allows ---- */

/* A token of a language model reads all weights once. */
static bool generation_is_memory_bound(const struct cause_question *q, struct cause *c) {
    double rate = q->setting.per_s * q->size_bytes / 1e9 / q->setting.instances;
    double copy = q->setting.instances > 1 ? q->machine.copy_all_gb_per_s : q->machine.copy_gb_per_s;
    rate = q->setting.instances > 1 ? rate * q->setting.instances : rate;
    if (!(rate >= 0.4 * copy) || !(q->size_bytes > q->machine.cache_bytes)) {
        return false;
    }
    return say(
        c, 0.9,
        "every token reads the weights (%s): %.0f a second are %.1f GB/s, beside the %.1f GB/s that copying "
        "memory reaches: bytes decide",
        bytes_text(q->size_bytes).text, q->setting.per_s, rate, copy);
}

static bool memory_bound(const struct cause_question *q, struct cause *c) {
    if (q->generates) {
        return generation_is_memory_bound(q, c);
    }
    double macs = macs_of(&q->mine, is_product), bytes = bytes_of(&q->mine, is_product);
    double us = us_of(&q->mine, is_product), share = share_of(&q->mine, is_product);
    double balance = ratio_or_nan(q->machine.fp32_gops, q->machine.copy_gb_per_s);
    double intensity = 2 * macs / bytes, rate = bytes / us / 1e3;
    if (share < LARGE || !(intensity < 0.5 * balance) || !(rate >= 0.4 * q->machine.copy_gb_per_s) ||
        !(bytes > q->machine.cache_bytes)) {
        return false;
    }
    return say(c, share,
               "products move %s for %s multiplications: %.1f GB/s, beside the %.1f GB/s that copying memory "
               "reaches: "
               "bytes decide, not arithmetic",
               bytes_text(bytes).text, macs_text(macs).text, rate, q->machine.copy_gb_per_s);
}

/* Many operators, each short, whose arithmetic is a small part of the time. */
static bool tiny_operators(const struct cause_question *q, struct cause *c) {
    double calls = calls_of(&q->mine, is_any), macs = macs_of(&q->mine, is_any);
    double best_gops =
        share_of(&q->mine, is_int8_product) > LARGE ? q->machine.int8_gops : q->machine.fp32_gops;
    double best_us = 2 * macs / (best_gops * 1e3);
    double run_us = q->setting.single_us > 0 ? q->setting.single_us : q->mine.us;
    double each_us = run_us / calls;
    if (q->mine.n == 0 || calls < 10 || each_us > 12 || !(best_us < 0.3 * run_us)) {
        return false;
    }
    return say(c, 0.9 * (1 - best_us / run_us),
               "%.0f operators take %s each on average, while all %s multiplications would take %s at this "
               "machine's "
               "best: the operators are too small for their own cost",
               calls, time_text(each_us).text, macs_text(macs).text, time_text(best_us).text);
}

static bool no_int8_instructions(const struct cause_question *q, struct cause *c) {
    double share = share_of(&q->mine, is_int8_product);
    double ratio = ratio_or_nan(q->machine.int8_gops, q->machine.fp32_gops);
    if (!(q->scheme & CAUSE_INT8) || !q->machine.isa_known || q->machine.int8_dot || share < LARGE) {
        return false;
    }
    if (isnan(ratio)) {
        return say(c, share, "this CPU has no instruction that multiplies bytes and adds (VNNI, AMX, SDOT)");
    }
    return say(c, share,
               "this CPU has no instruction that multiplies bytes and adds (VNNI, AMX, SDOT): its best int8 "
               "products "
               "are %s its best fp32 ones",
               times_text(ratio).text);
}

/* ---- settings ---- */

static const struct cause_setting *sibling(const struct cause_question *q, uint32_t threads, uint32_t batch) {
    for (size_t i = 0; i < q->sibling_count; i++) {
        if (q->siblings[i].threads == threads && q->siblings[i].batch == batch &&
            q->siblings[i].single_us > 0) {
            return &q->siblings[i];
        }
    }
    return NULL;
}

static bool threads_do_not_scale(const struct cause_question *q, struct cause *c) {
    const struct cause_setting *one = sibling(q, 1, q->setting.batch);
    double threads = q->setting.threads;
    if (threads < 2 || !one || !(q->setting.single_us > 0)) {
        return false;
    }
    double gain = one->single_us / q->setting.single_us;
    if (gain > 1 + HARDLY_ANY * (threads - 1)) {
        return false;
    }
    return say(c, 0.2, "%.0f threads are %s as fast as one (%s, %s)", threads, times_text(gain).text,
               time_text(q->setting.single_us).text, time_text(one->single_us).text);
}

static bool batch_does_not_help(const struct cause_question *q, struct cause *c) {
    if (q->setting.batch < 2) {
        return false;
    }
    for (size_t i = 0; i < q->sibling_count; i++) {
        const struct cause_setting *s = &q->siblings[i];
        double gain = q->setting.per_s / s->per_s;
        if (s->batch == 1 && s->threads == q->setting.threads && s->instances == q->setting.instances &&
            gain < 1 + HARDLY_ANY) {
            return say(c, 0.2, "a batch of %u gives %s the throughput of single examples", q->setting.batch,
                       times_text(gain).text);
        }
    }
    return false;
}

/* Only weights that the last cache cannot hold for all instances together come from memory. */
static bool instances_do_not_scale(const struct cause_question *q, struct cause *c) {
    double n = q->setting.instances;
    double alone = q->setting.batch * 1e6 / q->setting.single_us; /* of one instance, nothing beside it */
    double gain = q->setting.per_s / alone;
    double weights = q->mine.weight_bytes > 0 ? q->mine.weight_bytes : q->size_bytes;
    double gb = weights * q->setting.per_s / q->setting.batch / 1e9;
    if (n < 2 || !(gain < 1 + FAIR * (n - 1))) {
        return false;
    }
    bool copies = !q->generates; /* each session has weights of its own */
    if (weights * (copies ? n : 1) > q->machine.cache_bytes && gb >= 0.4 * q->machine.copy_all_gb_per_s) {
        return say(c, 0.25,
                   "%.0f instances give %s the throughput of one alone: together they read weights at %.1f "
                   "GB/s, and "
                   "copying memory reaches %.1f GB/s",
                   n, times_text(gain).text, gb, q->machine.copy_all_gb_per_s);
    }
    return say(c, 0.25, "%.0f instances beside each other give %s the throughput of one alone", n,
               times_text(gain).text);
}

/* ---- what compression did ---- */

static bool table_not_time(const struct cause_question *q, struct cause *c) {
    double table = weight_bytes_of(&q->theirs, is_lookup), share = share_of(&q->theirs, is_lookup);
    double part = table / q->theirs.weight_bytes;
    if (!q->baseline_recipe || !(q->size_bytes < 0.8 * q->baseline_bytes) || !(part >= LARGE) ||
        share > VISIBLE) {
        return false;
    }
    return say(c, 0.15, "%.0f %% of the weights of %s are a table that is looked up in %.1f %% of its time",
               percent(part), q->baseline_recipe, percent(share));
}

/* Generating reads all weights for every token, so that time follows their bytes. */
static bool fewer_bytes(const struct cause_question *q, struct cause *c) {
    if (!q->generates || !q->baseline_recipe || !(q->size_bytes < 0.9 * q->baseline_bytes) ||
        !(cause_speedup(q) > 1.1)) {
        return false;
    }
    return say(c, 0.8, "every token reads %s of weights instead of %s", bytes_text(q->size_bytes).text,
               bytes_text(q->baseline_bytes).text);
}

static bool fewer_operations(const struct cause_question *q, struct cause *c) {
    double mine = macs_of(&q->mine, is_any), theirs = macs_of(&q->theirs, is_any);
    if (!(q->scheme & CAUSE_STRUCTURE) || !(mine < 0.9 * theirs)) {
        return false;
    }
    return say(c, 1 - mine / theirs + 0.2, "it does %.0f %% of the multiplications of %s (%s instead of %s)",
               percent(mine / theirs), q->baseline_recipe, macs_text(mine).text, macs_text(theirs).text);
}

static bool more_operations(const struct cause_question *q, struct cause *c) {
    double mine = macs_of(&q->mine, is_any), theirs = macs_of(&q->theirs, is_any);
    if (!(q->scheme & CAUSE_STRUCTURE) || !(mine > 1.05 * theirs)) {
        return false;
    }
    return say(c, mine / theirs - 0.5, "it does %s the multiplications of %s (%s instead of %s)",
               times_text(mine / theirs).text, q->baseline_recipe, macs_text(mine).text,
               macs_text(theirs).text);
}

static bool int8_kernels(const struct cause_question *q, struct cause *c) {
    char names[NAMES_SIZE];
    double share = share_of(&q->mine, is_int8_product), us = us_of(&q->mine, is_int8_product);
    double rate = 2 * macs_of(&q->mine, is_int8_product) / us / 1e3;
    if (share < LARGE || !(cause_speedup(q) > 1.2)) {
        return false;
    }
    names_of(&q->mine, is_int8_product, names);
    if (!(rate > 0) || !(q->machine.int8_gops > 0)) {
        return say(c, share, "%.0f %% of the time is %s, in int8", percent(share), names);
    }
    return say(c, share, "%.0f %% of the time is %s, in int8 at %.0f of this machine's best %.0f GOP/s",
               percent(share), names, rate, q->machine.int8_gops);
}

/* Where the time goes, and how near that is to the machine's best: known for nearly everything, and so only
 * said where there is no other cause. */
static bool rate(const struct cause_question *q, struct cause *c) {
    char names[NAMES_SIZE];
    double share = share_of(&q->mine, is_float_product), us = us_of(&q->mine, is_float_product);
    double reached = 2 * macs_of(&q->mine, is_float_product) / us / 1e3;
    if (q->mine.n == 0) {
        return false;
    }
    if (share < LARGE || !(reached > 0) || !(q->machine.fp32_gops > 0)) {
        names_of(&q->mine, is_any, names);
        return say(c, 0.5, "most of the time is %s", names);
    }
    names_of(&q->mine, is_float_product, names);
    return say(c, 0.5, "%.0f %% of the time is %s, in fp32 at %.0f of this machine's best %.0f GOP/s",
               percent(share), names, reached, q->machine.fp32_gops);
}

const struct cause_row cause_rows[] = {
    {CAUSE_ZEROS_COMPUTED, zeros_computed, CAUSE_MAIN},
    {CAUSE_MORE_OPERATIONS, more_operations, CAUSE_MAIN},
    {CAUSE_FEWER_OPERATIONS, fewer_operations, CAUSE_MAIN},
    {CAUSE_FEWER_BYTES, fewer_bytes, CAUSE_MAIN},
    {CAUSE_CONV_INTEGER, conv_integer, CAUSE_MAIN},
    {CAUSE_NO_FP16_KERNELS, no_fp16_kernels, CAUSE_MAIN},
    {CAUSE_UNPACKED_WEIGHTS, unpacked_weights, CAUSE_MAIN},
    {CAUSE_PRODUCTS_LEFT, products_left, CAUSE_MAIN},
    {CAUSE_STAYS_FP32, stays_fp32, CAUSE_MAIN},
    {CAUSE_QDQ_LEFT, qdq_left, CAUSE_MAIN},
    {CAUSE_DYNAMIC_RANGES, dynamic_ranges, CAUSE_MAIN},
    {CAUSE_NO_INT8_INSTRUCTIONS, no_int8_instructions, CAUSE_MAIN},
    {CAUSE_INT8_KERNELS, int8_kernels, CAUSE_MAIN},
    {CAUSE_MEMORY_BOUND, memory_bound, CAUSE_MAIN},
    {CAUSE_FITS_CACHE, fits_cache, CAUSE_MAIN},
    {CAUSE_TINY_OPERATORS, tiny_operators, CAUSE_MAIN},
    {CAUSE_INSTANCES, instances_do_not_scale, CAUSE_OF_SETTINGS},
    {CAUSE_THREADS, threads_do_not_scale, CAUSE_OF_SETTINGS},
    {CAUSE_BATCH, batch_does_not_help, CAUSE_OF_SETTINGS},
    {CAUSE_TABLE_NOT_TIME, table_not_time, CAUSE_MAIN},
    {CAUSE_RATE, rate, CAUSE_IF_NO_OTHER},
};
const size_t cause_row_count = ARRAY_SIZE(cause_rows);

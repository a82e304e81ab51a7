/* calibrate.c -- see calibrate.h. Products run through ONNX Runtime, with constant weights as in a model, as
 * what counts is what the runtime makes of the processor. The fastest of several runs is kept: whatever
 * disturbs one makes it slower, never faster. Sizes start small, so that a slow machine is not kept waiting.
 */
#include "profiler/worker/calibrate.h"

#include <math.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/container.h"
#include "profiler/worker/copy_speed.h"
#include "profiler/worker/onnx_bytes.h"
#include "runtimes/onnxruntime.h"

enum {
    SMALL_SIZE = 128,
    LARGE_SIZE = 512,
    LEAST_RUNS = 3,
    MOST_RUNS = 200,
    CHAIN = 64,
    MODEL_BYTES = 64 << 20,
};
static const uint64_t MS = 1000000;
static const uint64_t PRODUCT_NS = (uint64_t)60 * 1000 * 1000; /* for each rate */
static const uint64_t COPY_NS = (uint64_t)150 * 1000 * 1000;
static const uint64_t TOTAL_NS = (uint64_t)3000 * 1000 * 1000;
static const uint64_t SMALL_IS_FAST_NS = (uint64_t)4 * 1000 * 1000; /* 64 times that fits PRODUCT_NS well */

static const struct {
    const char *dtype, *op;
    enum dtype a, b, y;
} rates[] = {
    {"fp32", "MatMul", DTYPE_FLOAT32, DTYPE_FLOAT32, DTYPE_FLOAT32},
    {"fp16", "MatMul", DTYPE_FLOAT16, DTYPE_FLOAT16, DTYPE_FLOAT16},
    {"bf16", "MatMul", DTYPE_BFLOAT16, DTYPE_BFLOAT16, DTYPE_BFLOAT16},
    {"int8", "MatMulInteger", DTYPE_UINT8, DTYPE_INT8, DTYPE_INT32},
};

struct calibration {
    struct onnxruntime *runtime;
    uint64_t deadline_ns;
    uint32_t cores;
};

/* The least time of a run, after one that is not counted. */
static enum rc least_time(struct onnxruntime_session *session, const struct onnxruntime_tensor *a,
                          uint64_t limit_ns, uint64_t *ret, struct err *err) {
    struct onnxruntime_binding *binding = NULL;
    enum rc rc = onnxruntime_binding_new(session, a, &binding, err);
    uint64_t start_ns = clock_mono_ns(), least_ns = UINT64_MAX;
    for (int i = 0; rc == RC_OK && i < MOST_RUNS && (i < LEAST_RUNS || clock_mono_ns() - start_ns < limit_ns);
         i++) {
        uint64_t begin_ns = clock_mono_ns();
        rc = onnxruntime_binding_run(binding, err);
        uint64_t taken_ns = clock_mono_ns() - begin_ns;
        least_ns = taken_ns < least_ns ? taken_ns : least_ns;
    }
    onnxruntime_binding_free(binding);
    *ret = least_ns > 0 ? least_ns : 1;
    return rc;
}

static enum rc time_model(struct calibration *c, const struct buf *model, uint32_t threads,
                          const struct onnxruntime_tensor *a, uint64_t limit_ns, uint64_t *ret,
                          struct err *err) {
    const struct onnxruntime_session_opts opts = {.threads = threads, .spin = ONNXRUNTIME_SPIN};
    struct onnxruntime_session *session = NULL;
    enum rc rc = onnxruntime_open_bytes(c->runtime, model->data, model->size, &opts, &session, err);
    if (rc == RC_OK) {
        rc = least_time(session, a, limit_ns, ret, err);
    }
    onnxruntime_close(session);
    return rc;
}

static enum rc time_product(struct calibration *c, size_t which, uint32_t threads, size_t size,
                            uint64_t limit_ns, uint64_t *ret, struct err *err) {
    const struct onnx_product p = {
        rates[which].op, rates[which].a, rates[which].b, rates[which].y, size, size, size};
    struct buf model;
    struct onnxruntime_tensor a = {.dtype = p.a, .rank = 2, .dims = {(int64_t)size, (int64_t)size}};
    a.bytes = size * size * dtype_bytes(p.a);
    a.data = calloc(1, a.bytes);
    if (!a.data) {
        return err_memory(err);
    }
    memset(a.data, 0x3c, a.bytes); /* a plain number in every one of these types */
    buf_init(&model, MODEL_BYTES);
    enum rc rc = onnx_bytes_product(&p, &model, err);
    if (rc == RC_OK) {
        rc = time_model(c, &model, threads, &a, limit_ns, ret, err);
    }
    buf_free(&model);
    free(a.data);
    return rc;
}

/* Operations a second (a multiplication and an addition are two) in 10^9. */
static enum rc product_rate(struct calibration *c, size_t which, uint32_t threads, double *ret,
                            struct err *err) {
    uint64_t taken_ns = 0;
    size_t size = SMALL_SIZE;
    if (clock_mono_ns() > c->deadline_ns) {
        return err_set(err, RC_TIMEOUT, "not measured: the time for measuring this machine ran out");
    }
    enum rc rc = time_product(c, which, threads, size, MS, &taken_ns, err);
    if (rc == RC_OK && taken_ns < SMALL_IS_FAST_NS) {
        size = LARGE_SIZE;
        rc = time_product(c, which, threads, size, PRODUCT_NS, &taken_ns, err);
    }
    *ret = 2.0 * (double)size * (double)size * (double)size / (double)taken_ns;
    return rc;
}

static json_t *rounded(double value) {
    return json_real(round(value * 100) / 100);
}

static json_t *product_json(struct calibration *c, size_t which, uint32_t threads) {
    double rate = NAN;
    struct err err = {0};
    enum rc rc = product_rate(c, which, threads, &rate, &err);
    json_t *entry =
        json_pack("{s:s, s:s, s:I, s:o}", "dtype", rates[which].dtype, "op", rates[which].op, "threads",
                  (json_int_t)threads, "gop_per_s", rc == RC_OK ? rounded(rate) : json_null());
    if (rc != RC_OK) {
        json_object_set_new(entry, "reason", json_string(err.text));
    }
    return entry;
}

static json_t *copy_json(struct calibration *c, uint32_t threads) {
    double rate = NAN;
    struct err err = {0};
    size_t bytes = copy_speed_array_bytes();
    enum rc rc = clock_mono_ns() > c->deadline_ns
                     ? err_set(&err, RC_TIMEOUT, "not measured: the time for measuring this machine ran out")
                     : copy_speed_measure(threads, bytes, COPY_NS, &rate, &err);
    json_t *entry = json_pack("{s:I, s:I, s:o}", "threads", (json_int_t)threads, "array_bytes",
                              (json_int_t)bytes, "gb_per_s", rc == RC_OK ? rounded(rate) : json_null());
    if (rc != RC_OK) {
        json_object_set_new(entry, "reason", json_string(err.text));
    }
    return entry;
}

/* Microseconds that an operator takes which has nothing to do. */
static json_t *operator_json(struct calibration *c) {
    float one = 1;
    const struct onnxruntime_tensor a = {
        .dtype = DTYPE_FLOAT32, .rank = 1, .dims = {1}, .data = &one, .bytes = sizeof(one)};
    struct buf model;
    struct err err;
    uint64_t taken_ns = 0;
    buf_init(&model, MODEL_BYTES);
    enum rc rc = onnx_bytes_chain(CHAIN, &model, &err);
    if (rc == RC_OK) {
        rc = time_model(c, &model, 1, &a, 20 * MS, &taken_ns, &err);
    }
    buf_free(&model);
    return rc == RC_OK ? json_real((double)taken_ns / 1e3 / CHAIN) : json_null();
}

static json_t *measure(struct calibration *c) {
    json_t *gemm = json_array(), *copy = json_array();
    uint64_t start_ns = clock_mono_ns();
    json_t *overhead = operator_json(c);
    const uint32_t threads[] = {1, c->cores};
    for (size_t t = 0; t < (c->cores > 1 ? 2 : 1); t++) {
        for (size_t i = 0; i < ARRAY_SIZE(rates); i++) {
            json_array_append_new(gemm, product_json(c, i, threads[t]));
        }
        json_array_append_new(copy, copy_json(c, threads[t]));
    }
    char when[CLOCK_ISO_SIZE];
    clock_iso(clock_wall_ms(), when);
    return json_pack("{s:i, s:s, s:I, s:o, s:o, s:o, s:s, s:s, s:f}", "version", (int)CALIBRATE_VERSION,
                     "runtime", onnxruntime_version(), "threads", (json_int_t)c->cores, "gemm", gemm, "copy",
                     copy, "operator_us", overhead, "provenance", "measured", "measured_at", when, "seconds",
                     (double)(clock_mono_ns() - start_ns) / 1e9);
}

enum rc calibrate_run(json_t **ret, struct err *err) {
    cpu_set_t set;
    struct calibration c = {.deadline_ns = clock_mono_ns() + TOTAL_NS};
    c.cores = sched_getaffinity(0, sizeof(set), &set) == 0 ? (uint32_t)CPU_COUNT(&set) : 1;
    enum rc rc = onnxruntime_new(NULL, &c.runtime, err);
    if (rc != RC_OK) {
        return rc;
    }
    json_t *roofline = measure(&c);
    onnxruntime_free(c.runtime);
    if (!roofline) {
        return err_memory(err);
    }
    *ret = roofline;
    return RC_OK;
}

/* onnxruntime_run.c -- tensors in, tensors out. A binding keeps the runtime's values between runs, so that a
 * run is one call. */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/checked.h"
#include "runtimes/onnxruntime.h"
#include "runtimes/onnxruntime_parts.h"

struct onnxruntime_result {
    const OrtApi *api;
    size_t count;
    OrtValue **values;
    struct onnxruntime_tensor *tensors; /* views of `values` */
};

struct onnxruntime_binding {
    struct onnxruntime_session *session;
    OrtValue **inputs;
    struct onnxruntime_result *outputs;
};

/* --- inputs --- */

static enum rc check_input(const struct tensor_spec *v, const struct onnxruntime_tensor *t, struct err *err) {
    if (v->dtype == DTYPE_OTHER) {
        return err_set(err, RC_UNSUPPORTED, "input \"%s\" is not a tensor of numbers: Pare cannot feed it",
                       v->name);
    }
    if (t->dtype != v->dtype) {
        return err_set(err, RC_INPUT, "input \"%s\" is %s in the model and %s in the data", v->name,
                       dtype_name(v->dtype), dtype_name(t->dtype));
    }
    /* The runtime says rank 0 for a scalar and also for an input declared without a shape. */
    if (v->rank > 0 && t->rank != v->rank) {
        return err_set(err, RC_INPUT, "input \"%s\" has %zu dimensions in the model and %zu in the data",
                       v->name, v->rank, t->rank);
    }
    for (size_t d = 0; d < v->rank; d++) {
        if (v->dims[d] >= 0 && t->dims[d] != v->dims[d]) {
            return err_set(err, RC_INPUT,
                           "input \"%s\": dimension %zu is %lld in the model and %lld in the data", v->name,
                           d, (long long)v->dims[d], (long long)t->dims[d]);
        }
    }
    size_t elements = 0;
    size_t bytes = 0;
    if (t->rank > TENSOR_MAX_RANK || checked_product(t->dims, t->rank, &elements) ||
        checked_mul(elements, dtype_bytes(t->dtype), &bytes) || bytes != t->bytes) {
        return err_set(err, RC_INPUT, "input \"%s\": %zu bytes do not fit its shape", v->name, t->bytes);
    }
    return RC_OK;
}

static void values_release(const OrtApi *api, OrtValue **values, size_t count) {
    for (size_t i = 0; values && i < count; i++) {
        if (values[i]) {
            api->ReleaseValue(values[i]);
        }
    }
    free(values);
}

/* Wraps the caller's memory; nothing is copied. */
static enum rc wrap_inputs(struct onnxruntime_session *s, const struct onnxruntime_tensor *inputs,
                           OrtValue ***ret, struct err *err) {
    const OrtApi *api = s->runtime->api;
    OrtValue **values = calloc(s->input_count + 1, sizeof(*values));
    if (!values) {
        return err_memory(err);
    }
    for (size_t i = 0; i < s->input_count; i++) {
        const struct onnxruntime_tensor *t = &inputs[i];
        enum rc rc = check_input(&s->inputs[i], t, err);
        if (!rc) {
            OrtStatus *status = api->CreateTensorWithDataAsOrtValue(
                s->runtime->memory, t->data, t->bytes, t->dims, t->rank,
                (ONNXTensorElementDataType)dtype_to_onnx(t->dtype), &values[i]);
            rc = onnxruntime_status(api, status, err);
        }
        if (rc) {
            values_release(api, values, s->input_count);
            return rc;
        }
    }
    *ret = values;
    return RC_OK;
}

/* --- outputs --- */

static enum rc view_shape(const OrtApi *api, const OrtTensorTypeAndShapeInfo *info,
                          struct onnxruntime_tensor *t, struct err *err) {
    ONNXTensorElementDataType type;
    enum rc rc = onnxruntime_status(api, api->GetTensorElementType(info, &type), err);
    if (!rc) {
        rc = onnxruntime_status(api, api->GetDimensionsCount(info, &t->rank), err);
    }
    if (rc) {
        return rc;
    }
    if (t->rank > TENSOR_MAX_RANK) {
        return err_set(err, RC_UNSUPPORTED, "an output has %zu dimensions: at most %d are supported", t->rank,
                       TENSOR_MAX_RANK);
    }
    rc = onnxruntime_status(api, api->GetDimensions(info, t->dims, t->rank), err);
    size_t elements = 0;
    t->dtype = dtype_from_onnx(type);
    if (!rc && (checked_product(t->dims, t->rank, &elements) ||
                checked_mul(elements, dtype_bytes(t->dtype), &t->bytes))) {
        rc = err_set(err, RC_TOO_LARGE, "an output's size overflows");
    }
    return rc;
}

/* Leaves DTYPE_OTHER and no data for what is not a tensor of numbers. */
static enum rc view_value(const OrtApi *api, OrtValue *value, struct onnxruntime_tensor *t, struct err *err) {
    enum ONNXType kind = ONNX_TYPE_UNKNOWN;
    *t = (struct onnxruntime_tensor){.dtype = DTYPE_OTHER};
    enum rc rc = onnxruntime_status(api, api->GetValueType(value, &kind), err);
    if (rc || kind != ONNX_TYPE_TENSOR) {
        return rc;
    }
    OrtTensorTypeAndShapeInfo *info = NULL;
    rc = onnxruntime_status(api, api->GetTensorTypeAndShape(value, &info), err);
    if (rc) {
        return rc;
    }
    rc = view_shape(api, info, t, err);
    api->ReleaseTensorTypeAndShapeInfo(info);
    if (!rc && t->dtype != DTYPE_OTHER) {
        rc = onnxruntime_status(api, api->GetTensorMutableData(value, &t->data), err);
    }
    return rc;
}

static enum rc run_values(struct onnxruntime_session *s, OrtValue *const *inputs, OrtValue **outputs,
                          struct err *err) {
    const OrtApi *api = s->runtime->api;
    OrtStatus *status = api->Run(s->session, NULL, s->input_names, (const OrtValue *const *)inputs,
                                 s->input_count, s->output_names, s->output_count, outputs);
    return onnxruntime_status(api, status, err);
}

static enum rc run_new_result(struct onnxruntime_session *s, OrtValue *const *inputs,
                              struct onnxruntime_result **ret, struct err *err) {
    struct onnxruntime_result *r = calloc(1, sizeof(*r));
    if (!r) {
        return err_memory(err);
    }
    r->api = s->runtime->api;
    r->count = s->output_count;
    r->values = calloc(r->count + 1, sizeof(*r->values));
    r->tensors = calloc(r->count + 1, sizeof(*r->tensors));
    enum rc rc = r->values && r->tensors ? run_values(s, inputs, r->values, err) : err_memory(err);
    for (size_t i = 0; i < r->count && !rc; i++) {
        rc = view_value(r->api, r->values[i], &r->tensors[i], err);
    }
    if (rc) {
        onnxruntime_result_free(r);
        return rc;
    }
    *ret = r;
    return RC_OK;
}

enum rc onnxruntime_run(struct onnxruntime_session *s, const struct onnxruntime_tensor *inputs,
                        struct onnxruntime_result **ret, struct err *err) {
    OrtValue **values = NULL;
    enum rc rc = wrap_inputs(s, inputs, &values, err);
    if (rc) {
        return rc;
    }
    rc = run_new_result(s, values, ret, err);
    values_release(s->runtime->api, values, s->input_count);
    return rc;
}

const struct onnxruntime_tensor *onnxruntime_result_output(const struct onnxruntime_result *r, size_t i) {
    return &r->tensors[i];
}

void onnxruntime_result_free(struct onnxruntime_result *r) {
    if (!r) {
        return;
    }
    values_release(r->api, r->values, r->count);
    free(r->tensors);
    free(r);
}

/* --- bindings --- */

enum rc onnxruntime_binding_new(struct onnxruntime_session *s, const struct onnxruntime_tensor *inputs,
                                struct onnxruntime_binding **ret, struct err *err) {
    struct onnxruntime_binding *b = calloc(1, sizeof(*b));
    if (!b) {
        return err_memory(err);
    }
    b->session = s;
    enum rc rc = wrap_inputs(s, inputs, &b->inputs, err);
    if (!rc) {
        rc = run_new_result(s, b->inputs, &b->outputs, err);
    }
    if (rc) {
        onnxruntime_binding_free(b);
        return rc;
    }
    *ret = b;
    return RC_OK;
}

void onnxruntime_binding_free(struct onnxruntime_binding *b) {
    if (!b) {
        return;
    }
    values_release(b->session->runtime->api, b->inputs, b->session->input_count);
    onnxruntime_result_free(b->outputs);
    free(b);
}

/* The values of the first run are passed as outputs again: the runtime then writes into the same memory. */
enum rc onnxruntime_binding_run(struct onnxruntime_binding *b, struct err *err) {
    return run_values(b->session, b->inputs, b->outputs->values, err);
}

const struct onnxruntime_tensor *onnxruntime_binding_output(const struct onnxruntime_binding *b, size_t i) {
    return &b->outputs->tensors[i];
}

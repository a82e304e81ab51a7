#include "compressors/onnx/int8_plan.h"

#include <stdlib.h>
#include <string.h>

#include "compressors/onnx/passes.h"

/* Products of 8-bit values are summed in 32 bits: 2^31 / (255 * 127) terms fit. */
enum { SUM_MAX = 66000 };

/* --- bans --- */

enum rc int8_ban_add(struct int8_ban *b, const struct graph_value *v, struct err *err) {
    if (b->count == b->capacity) {
        size_t capacity = b->capacity ? 2 * b->capacity : 16;
        const struct graph_value **values = realloc(b->values, capacity * sizeof(*values));
        if (!values) {
            return err_memory(err);
        }
        b->values = values;
        b->capacity = capacity;
    }
    b->values[b->count++] = v;
    return RC_OK;
}

bool int8_ban_has(const struct int8_ban *b, const struct graph_value *v) {
    for (size_t i = 0; i < b->count; i++) {
        if (b->values[i] == v) {
            return true;
        }
    }
    return false;
}

void int8_ban_release(struct int8_ban *b) {
    free(b->values);
    *b = (struct int8_ban){0};
}

/* --- the plan as lists --- */

struct making {
    struct graph *g;
    const struct int8_ban *ban;
    struct record *record;
    struct int8_plan *plan;
    size_t op_capacity, tensor_capacity;
};

size_t int8_plan_find(const struct int8_plan *plan, const struct graph_value *v) {
    for (size_t i = 0; i < plan->tensor_count; i++) {
        if (plan->tensors[i].value == v) {
            return i;
        }
    }
    return SIZE_MAX;
}

const struct int8_op *int8_plan_op(const struct int8_plan *plan, const struct graph_node *n) {
    for (size_t i = 0; i < plan->op_count; i++) {
        if (plan->ops[i].node == n) {
            return &plan->ops[i];
        }
    }
    return NULL;
}

void int8_plan_release(struct int8_plan *plan) {
    free(plan->ops);
    free(plan->tensors);
    *plan = (struct int8_plan){0};
}

static enum rc add_op(struct making *m, const struct int8_op *op, struct err *err) {
    struct int8_plan *p = m->plan;
    if (p->op_count == m->op_capacity) {
        size_t capacity = m->op_capacity ? 2 * m->op_capacity : 64;
        struct int8_op *ops = realloc(p->ops, capacity * sizeof(*ops));
        if (!ops) {
            return err_memory(err);
        }
        p->ops = ops;
        m->op_capacity = capacity;
    }
    p->ops[p->op_count++] = *op;
    return RC_OK;
}

/* Adds v, or widens the entry that is there. */
static enum rc add_tensor(struct making *m, struct graph_value *v, bool everywhere, size_t same_as,
                          struct err *err) {
    struct int8_plan *p = m->plan;
    size_t at = int8_plan_find(p, v);
    if (at != SIZE_MAX) {
        p->tensors[at].everywhere = p->tensors[at].everywhere || everywhere;
        return RC_OK;
    }
    if (p->tensor_count == m->tensor_capacity) {
        size_t capacity = m->tensor_capacity ? 2 * m->tensor_capacity : 64;
        struct int8_tensor *tensors = realloc(p->tensors, capacity * sizeof(*tensors));
        if (!tensors) {
            return err_memory(err);
        }
        p->tensors = tensors;
        m->tensor_capacity = capacity;
    }
    p->tensors[p->tensor_count++] = (struct int8_tensor){v, everywhere, same_as};
    return RC_OK;
}

/* --- what the operators are --- */

/* A constant that nobody can override when the model runs. */
static Onnx__TensorProto *fixed_constant(const struct making *m, const struct graph_value *v) {
    return v && !v->is_input ? graph_constant(m->g, v) : NULL;
}

static bool is_activation(const struct making *m, const struct graph_value *v) {
    return v && v->dtype == GRAPH_FLOAT32 && !graph_constant(m->g, v);
}

/* Clip with fixed bounds around 0: the runtime drops it when the 8-bit range lies inside the bounds. */
static bool clip_is_fixed(const struct making *m, const struct graph_node *n) {
    struct graph_value *min = graph_input(m->g, n, 1);
    struct graph_value *max = graph_input(m->g, n, 2);
    return (!min || fixed_constant(m, min)) && (!max || fixed_constant(m, max));
}

/* Where the 8-bit output of n is written: behind a Relu or Clip that reads nothing else, because those become
 * part of the range. */
static struct graph_value *final_output(const struct making *m, const struct graph_node *n) {
    struct graph_value *out = graph_output(m->g, n, 0);
    const struct graph_use *use = out ? graph_sole_use(out) : NULL;
    if (!use || use->slot != 0) {
        return out;
    }
    bool clips =
        graph_is_op(use->node, "Relu") || (graph_is_op(use->node, "Clip") && clip_is_fixed(m, use->node));
    return clips ? graph_output(m->g, use->node, 0) : out;
}

/* Operators that move values and change none. */
static bool is_movement(const struct graph_node *n) {
    static const char *const names[] = {"Flatten", "Reshape", "Transpose", "Squeeze", "Unsqueeze"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (graph_is_op(n, names[i])) {
            return true;
        }
    }
    return false;
}

/* The tensor that v is a rearrangement of, when that one is 8 bits everywhere. */
static size_t moved_from(const struct making *m, const struct graph_value *v) {
    const struct graph_node *n = v->producer;
    if (!n || !is_movement(n)) {
        return SIZE_MAX;
    }
    size_t at = int8_plan_find(m->plan, graph_input(m->g, n, 0));
    return at != SIZE_MAX && m->plan->tensors[at].everywhere ? at : SIZE_MAX;
}

/* --- nodes with weights --- */

/* Why a node with weights is not quantized; NULL when it is. */
static const char *check_weights(const struct making *m, const struct int8_op *op, size_t min_rank,
                                 size_t max_rank) {
    const Onnx__TensorProto *w = fixed_constant(m, op->weights);
    if (!w) {
        return "its weights are not constant";
    }
    if (w->data_type != GRAPH_FLOAT32) {
        return "its weights are not float32";
    }
    if (w->n_dims < min_rank || w->n_dims > max_rank) {
        return "its weights have an unusual shape";
    }
    if (int8_ban_has(m->ban, op->weights)) {
        return "its weights are kept in float32";
    }
    int64_t terms = 1;
    for (size_t d = 0; d < w->n_dims; d++) {
        if (w->dims[d] <= 0) {
            return "its weights are empty";
        }
        terms = d == op->weight_axis || terms > SUM_MAX ? terms : terms * w->dims[d];
    }
    return terms > SUM_MAX ? "its sums are too long for 32 bits" : NULL;
}

static const char *check_conv(const struct making *m, struct int8_op *op) {
    op->kind = INT8_CONV;
    op->weight_axis = 0;
    op->weights = graph_input(m->g, op->node, 1);
    op->bias = graph_input(m->g, op->node, 2);
    if (op->bias && !fixed_constant(m, op->bias)) {
        return "its bias is not constant";
    }
    return check_weights(m, op, 3, 5);
}

static const char *check_gemm(const struct making *m, struct int8_op *op) {
    op->kind = INT8_GEMM;
    op->weight_axis = graph_attr_int(op->node, "transB", 0) ? 0 : 1;
    op->weights = graph_input(m->g, op->node, 1);
    op->bias = graph_input(m->g, op->node, 2);
    if (graph_attr_int(op->node, "transA", 0)) {
        return "its first factor is transposed";
    }
    if (graph_attr_float(op->node, "alpha", 1) != 1.0F ||
        (op->bias && graph_attr_float(op->node, "beta", 1) != 1.0F)) {
        return "its alpha or beta is not 1";
    }
    const char *why = check_weights(m, op, 2, 2);
    if (why || !op->bias) {
        return why;
    }
    const Onnx__TensorProto *c = fixed_constant(m, op->bias);
    const Onnx__TensorProto *w = fixed_constant(m, op->weights);
    size_t count = 0;
    struct err err;
    if (!c || graph_tensor_count(c, &count, &err) || (int64_t)count != w->dims[op->weight_axis]) {
        return "its bias is not one constant a column";
    }
    return NULL;
}

static const char *check_matmul(const struct making *m, struct int8_op *op) {
    op->kind = INT8_MATMUL;
    op->weight_axis = 1;
    op->weights = graph_input(m->g, op->node, 1);
    if (!fixed_constant(m, op->weights)) {
        return fixed_constant(m, graph_input(m->g, op->node, 0))
                   ? "its constant is the first factor"
                   : "both factors are activations: in float32 they cost little, in 8 bits accuracy";
    }
    return check_weights(m, op, 2, 2);
}

/* Its input must be, or may become, an 8-bit tensor. */
static const char *check_activations(const struct making *m, const struct int8_op *op) {
    struct graph_value *in = graph_input(m->g, op->node, 0);
    if (!is_activation(m, in)) {
        return "its input is not a float32 activation";
    }
    if (int8_ban_has(m->ban, in)) {
        return "its input does not fit 8 bits";
    }
    if (op->kind != INT8_CONV) {
        return NULL;
    }
    struct graph_value *out = final_output(m, op->node);
    return !out || int8_ban_has(m->ban, out) ? "its output does not fit 8 bits" : NULL;
}

static enum rc left_alone(const struct making *m, const struct int8_op *op, const char *why,
                          struct err *err) {
    if (!m->record) {
        return RC_OK;
    }
    bool named = op->weights && fixed_constant(m, op->weights) && op->weights->initializer;
    const char *name = named ? op->weights->name : graph_node_label(m->g, op->node);
    return record_left_alone(m->record, err, name, "%s: %s", op->node->proto->op_type, why);
}

static enum rc plan_weighted(struct making *m, struct int8_op *op, const char *why, struct err *err) {
    why = why ? why : check_activations(m, op);
    if (why) {
        return left_alone(m, op, why, err);
    }
    struct graph_value *in = graph_input(m->g, op->node, 0);
    enum rc rc = add_tensor(m, in, false, moved_from(m, in), err);
    if (!rc && op->kind == INT8_CONV) {
        rc = add_tensor(m, final_output(m, op->node), true, SIZE_MAX, err);
    }
    op->input = int8_plan_find(m->plan, in);
    return rc ? rc : add_op(m, op, err);
}

/* --- nodes between them --- */

static bool is_flow(const struct graph_node *n) {
    static const char *const names[] = {"Add", "Concat", "MaxPool", "AveragePool", "GlobalAveragePool"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (graph_is_op(n, names[i])) {
            return n->proto->n_output == 1;
        }
    }
    return false;
}

/* A flow node is quantized when everything it reads is already in 8 bits: it then only saves converting. */
static enum rc plan_flow(struct making *m, struct graph_node *n, struct err *err) {
    size_t first = SIZE_MAX;
    for (size_t i = 0; i < n->proto->n_input; i++) {
        size_t at = int8_plan_find(m->plan, graph_input(m->g, n, i));
        if (at == SIZE_MAX || !m->plan->tensors[at].everywhere) {
            return RC_OK;
        }
        first = i == 0 ? at : first;
    }
    struct graph_value *out = graph_is_op(n, "Add") ? final_output(m, n) : graph_output(m->g, n, 0);
    if (first == SIZE_MAX || !out || out->dtype != GRAPH_FLOAT32 || int8_ban_has(m->ban, out)) {
        return RC_OK;
    }
    struct int8_op op = {.node = n, .kind = INT8_FLOW};
    enum rc rc = add_tensor(m, out, true, graph_is_op(n, "MaxPool") ? first : SIZE_MAX, err);
    return rc ? rc : add_op(m, &op, err);
}

enum rc int8_plan_prepare(struct graph *g, struct err *err) {
    enum rc rc = pass_fold_constants(g, NULL, err);
    if (!rc) {
        rc = pass_fold_batchnorm(g, NULL, err);
    }
    if (!rc) {
        rc = graph_sort(g, err);
    }
    if (!rc) {
        graph_infer_types(g);
    }
    return rc;
}

enum rc int8_plan_make(struct graph *g, const struct int8_ban *ban, struct record *record,
                       struct int8_plan *plan, struct err *err) {
    struct making m = {.g = g, .ban = ban, .record = record, .plan = plan};
    *plan = (struct int8_plan){0};
    enum rc rc = RC_OK;
    for (struct graph_node *n = graph_first(g); n && !rc; n = n->next) {
        struct int8_op op = {.node = n};
        if (graph_is_op(n, "Conv")) {
            rc = plan_weighted(&m, &op, check_conv(&m, &op), err);
        } else if (graph_is_op(n, "Gemm")) {
            rc = plan_weighted(&m, &op, check_gemm(&m, &op), err);
        } else if (graph_is_op(n, "MatMul")) {
            rc = plan_weighted(&m, &op, check_matmul(&m, &op), err);
        } else if (graph_is_op(n, "ConvTranspose")) {
            op.weights = graph_input(g, n, 1);
            rc = left_alone(&m, &op, "the runtime has no 8-bit transposed convolution", err);
        } else if (is_flow(n)) {
            rc = plan_flow(&m, n, err);
        }
    }
    return rc;
}

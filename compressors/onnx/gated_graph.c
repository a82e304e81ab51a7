#include "compressors/onnx/gated_graph.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compressors/onnx/graph_shapes.h"

/* The axis of v with a unit of the family, or NULL. */
static const struct channel_axis *axis_with(const struct channel_groups *c, const struct graph_value *v,
                                            const struct channel_family *f, uint32_t *rank) {
    const struct channel_axis *found = NULL, *a;
    for (*rank = 0; (a = channel_groups_axis(c, v, *rank)) != NULL; (*rank)++) {
        for (uint32_t i = 0; i < a->length && !found; i++) {
            uint32_t unit = c->unit_of[a->first + i];
            found = unit != CHANNEL_NO_UNIT && unit >= f->first && unit < f->first + f->count ? a : NULL;
        }
    }
    return found;
}

static bool reads_family(const struct channel_groups *c, size_t contraction, const struct channel_family *f) {
    const struct channel_axis *a = &c->axes[c->contractions[contraction].axis];
    for (uint32_t i = 0; i < a->length; i++) {
        uint32_t unit = c->unit_of[a->first + i];
        if (unit != CHANNEL_NO_UNIT && unit >= f->first && unit < f->first + f->count) {
            return true;
        }
    }
    return false;
}

/* Puts x * gate in place of what node `label` of the copy reads by `slot`. */
static enum rc add_gate(struct graph *copy, struct graph_node *n, size_t slot, struct gate *gate,
                        struct err *err) {
    const char *x = n->proto->input[slot], *gated = graph_unique_name(copy, x);
    const char *name = graph_unique_name(copy, "gate");
    if (!gated || !name) {
        return err_memory(err);
    }
    const char *inputs[] = {x, name};
    const struct graph_node_spec spec = {
        .op_type = "Mul", .inputs = inputs, .input_count = 2, .outputs = &gated, .output_count = 1};
    struct graph_node *mul;
    (void)snprintf(gate->name, sizeof(gate->name), "%s", name);
    enum rc rc = strlen(name) < sizeof(gate->name)
                     ? graph_add_node(copy, &spec, n, &mul, err)
                     : err_set(err, RC_INTERNAL, "the name of a gate is too long");
    return rc != RC_OK ? rc : graph_set_input(copy, n, slot, gated, err);
}

static enum rc add_gates(struct graph *g, struct graph *copy, const struct channel_groups *c,
                         const struct channel_family *f, struct gates *gates, struct err *err) {
    enum rc rc = RC_OK;
    gates->list = calloc(c->contraction_count + 1, sizeof(*gates->list));
    if (!gates->list) {
        return err_memory(err);
    }
    for (size_t i = 0; i < c->contraction_count && rc == RC_OK; i++) {
        struct graph_node *n = c->contractions[i].node;
        size_t slot = 1 - c->contractions[i].slot;
        struct gate *gate = &gates->list[gates->count];
        const struct graph_value *x = graph_input(g, n, slot), *y = graph_output(g, n, 0);
        const struct graph_value *there = y ? graph_find(copy, y->name) : NULL;
        gate->axis = x && reads_family(c, i, f) ? axis_with(c, x, f, &gate->rank) : NULL;
        if (gate->axis && there && there->producer) {
            rc = add_gate(copy, there->producer, slot, gate, err);
            gates->count++;
        }
    }
    return rc;
}

/* --- inputs, in the message itself --- */

struct declared {
    Onnx__ValueInfoProto info;
    Onnx__TypeProto type;
    Onnx__TypeProto__Tensor tensor;
    Onnx__TensorShapeProto shape;
    Onnx__TensorShapeProto__Dimension dims[8], *list[8];
};

static void declare(struct declared *d, struct gate *gate) {
    onnx__value_info_proto__init(&d->info);
    onnx__type_proto__init(&d->type);
    onnx__type_proto__tensor__init(&d->tensor);
    onnx__tensor_shape_proto__init(&d->shape);
    for (uint32_t i = 0; i < gate->rank && i < 8; i++) {
        onnx__tensor_shape_proto__dimension__init(&d->dims[i]);
        d->dims[i].value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
        d->dims[i].dim_value = i == gate->axis->index ? (int64_t)gate->axis->length : 1;
        d->list[d->shape.n_dim++] = &d->dims[i];
    }
    d->shape.dim = d->list;
    d->tensor.has_elem_type = 1;
    d->tensor.elem_type = GRAPH_FLOAT32;
    d->tensor.shape = &d->shape;
    d->type.value_case = ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE;
    d->type.tensor_type = &d->tensor;
    d->info.type = &d->type;
    d->info.name = gate->name;
}

/* Packs `packed` again with the gates among its inputs, after the others. */
static enum rc declare_gates(const char *packed, size_t packed_size, struct gates *gates, char **data,
                             size_t *size, struct err *err) {
    Onnx__ModelProto *m = onnx__model_proto__unpack(NULL, packed_size, (const uint8_t *)packed);
    struct declared *declared = calloc(gates->count + 1, sizeof(*declared));
    Onnx__ValueInfoProto **saved = m ? m->graph->input : NULL;
    size_t count = m ? m->graph->n_input : 0;
    Onnx__ValueInfoProto **all = malloc((count + gates->count + 1) * sizeof(Onnx__ValueInfoProto *));
    bool fine = m && declared && all;
    if (fine) {
        memcpy(all, saved, count * sizeof(Onnx__ValueInfoProto *));
        for (size_t i = 0; i < gates->count; i++) {
            declare(&declared[i], &gates->list[i]);
            all[count + i] = &declared[i].info;
        }
        m->graph->input = all;
        m->graph->n_input = count + gates->count;
        *size = onnx__model_proto__get_packed_size(m);
        *data = malloc(*size + 1);
        fine = *data != NULL;
        if (fine) {
            onnx__model_proto__pack(m, (uint8_t *)*data);
        }
        m->graph->input = saved;
        m->graph->n_input = count;
    }
    free(all);
    free(declared);
    onnx__model_proto__free_unpacked(m, NULL);
    return fine ? RC_OK : err_memory(err);
}

enum rc gated_graph_pack(struct graph *g, const struct channel_groups *groups, size_t family,
                         struct gates *gates, char **data, size_t *size, struct err *err) {
    struct graph *copy = NULL;
    char *plain = NULL, *gated = NULL;
    size_t plain_size = 0, gated_size = 0;
    *gates = (struct gates){0};
    enum rc rc = graph_pack(g, &plain, &plain_size, err);
    rc = rc != RC_OK ? rc : graph_parse(plain, plain_size, &copy, err);
    rc = rc != RC_OK ? rc : add_gates(g, copy, groups, &groups->families[family], gates, err);
    rc = rc != RC_OK ? rc : graph_pack(copy, &gated, &gated_size, err);
    rc = rc != RC_OK ? rc : declare_gates(gated, gated_size, gates, data, size, err);
    graph_free(copy);
    free(plain);
    free(gated);
    if (rc != RC_OK) {
        gates_release(gates);
    }
    return rc;
}

void gates_release(struct gates *gates) {
    free(gates->list);
    *gates = (struct gates){0};
}

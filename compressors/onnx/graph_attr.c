/* Attributes of nodes. */
#include <string.h>

#include "compressors/onnx/graph_internal.h"

static Onnx__AttributeProto *find(const struct graph_node *n, const char *name) {
    for (size_t i = 0; i < n->proto->n_attribute; i++) {
        const char *other = n->proto->attribute[i]->name;
        if (other && strcmp(other, name) == 0) {
            return n->proto->attribute[i];
        }
    }
    return NULL;
}

const Onnx__AttributeProto *graph_attr(const struct graph_node *n, const char *name) {
    return find(n, name);
}

int64_t graph_attr_int(const struct graph_node *n, const char *name, int64_t absent) {
    const Onnx__AttributeProto *a = find(n, name);
    return a && a->has_i ? a->i : absent;
}

float graph_attr_float(const struct graph_node *n, const char *name, float absent) {
    const Onnx__AttributeProto *a = find(n, name);
    return a && a->has_f ? a->f : absent;
}

const int64_t *graph_attr_ints(const struct graph_node *n, const char *name, size_t *count) {
    const Onnx__AttributeProto *a = find(n, name);
    *count = a ? a->n_ints : 0;
    return *count ? a->ints : NULL;
}

bool graph_attr_is(const struct graph_node *n, const char *name, const char *text) {
    const Onnx__AttributeProto *a = find(n, name);
    return a && a->has_s && a->s.len == strlen(text) && memcmp(a->s.data, text, a->s.len) == 0;
}

/* An empty attribute of that name in n, in place of one that was there. NULL: no memory. */
static Onnx__AttributeProto *renew(struct graph *g, struct graph_node *n, const char *name,
                                   Onnx__AttributeProto__AttributeType type) {
    Onnx__NodeProto *p = n->proto;
    Onnx__AttributeProto *a = find(n, name);
    char *copy = arena_strdup(g->arena, name);
    if (!a && copy) {
        Onnx__AttributeProto **list =
            arena_calloc(g->arena, p->n_attribute + 1, sizeof(Onnx__AttributeProto *));
        a = arena_alloc(g->arena, sizeof(*a));
        if (!list || !a) {
            return NULL;
        }
        if (p->n_attribute) {
            memcpy(list, p->attribute, p->n_attribute * sizeof(Onnx__AttributeProto *));
        }
        list[p->n_attribute++] = a;
        p->attribute = list;
    }
    if (!copy) {
        return NULL;
    }
    onnx__attribute_proto__init(a);
    a->name = copy;
    a->has_type = 1;
    a->type = type;
    return a;
}

enum rc graph_set_attr_int(struct graph *g, struct graph_node *n, const char *name, int64_t value,
                           struct err *err) {
    Onnx__AttributeProto *a = renew(g, n, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT);
    if (!a) {
        return err_memory(err);
    }
    a->has_i = 1;
    a->i = value;
    return RC_OK;
}

enum rc graph_set_attr_float(struct graph *g, struct graph_node *n, const char *name, float value,
                             struct err *err) {
    Onnx__AttributeProto *a = renew(g, n, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT);
    if (!a) {
        return err_memory(err);
    }
    a->has_f = 1;
    a->f = value;
    return RC_OK;
}

enum rc graph_set_attr_ints(struct graph *g, struct graph_node *n, const char *name, const int64_t *values,
                            size_t count, struct err *err) {
    int64_t *copy = arena_calloc(g->arena, count + 1, sizeof(*copy));
    Onnx__AttributeProto *a = copy ? renew(g, n, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS) : NULL;
    if (!a) {
        return err_memory(err);
    }
    if (count) {
        memcpy(copy, values, count * sizeof(*copy));
    }
    a->ints = copy;
    a->n_ints = count;
    return RC_OK;
}

enum rc graph_set_attr_string(struct graph *g, struct graph_node *n, const char *name, const char *value,
                              struct err *err) {
    char *copy = arena_strdup(g->arena, value);
    Onnx__AttributeProto *a = copy ? renew(g, n, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRING) : NULL;
    if (!a) {
        return err_memory(err);
    }
    a->has_s = 1;
    a->s.data = (uint8_t *)copy;
    a->s.len = strlen(copy);
    return RC_OK;
}

void graph_remove_attr(struct graph_node *n, const char *name) {
    Onnx__NodeProto *p = n->proto;
    Onnx__AttributeProto *a = find(n, name);
    size_t kept = 0;
    for (size_t i = 0; i < p->n_attribute; i++) {
        if (p->attribute[i] != a) {
            p->attribute[kept++] = p->attribute[i];
        }
    }
    p->n_attribute = kept;
}

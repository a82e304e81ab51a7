/* Versions of operator sets. ONNX's version_converter is not at hand, so the default domain is only raised
 * where every node of the model means the same in the new version: the table lists the changes of definitions
 * that are not compatible (docs/Changelog.md of ONNX), everything else only gained types, optional attributes
 * or optional inputs. */
#include <string.h>

#include "compressors/onnx/graph_internal.h"
#include "core/base/container.h"

enum { MAX_OPSET = 21 };

enum when {
    ALWAYS,
    WITH_ATTR,         /* the attribute `attr` became an input */
    WITHOUT_ATTR,      /* the default of `attr` changed, or it became required */
    WITH_MORE_OUTPUTS, /* more than one output */
    WITH_ONE_INPUT,    /* what was an optional input now needs an attribute */
};

static const struct change {
    const char *op_type;
    int version; /* of the operator set that changed it */
    enum when when;
    const char *attr;
} changes[] = {
    {"Upsample", 9, WITH_ATTR, "scales"},
    {"BatchNormalization", 9, WITH_ATTR, "spatial"},
    {"Scan", 9, ALWAYS, NULL},
    {"Upsample", 10, ALWAYS, NULL},
    {"Slice", 10, ALWAYS, NULL},
    {"TopK", 10, WITH_ATTR, "k"},
    {"Clip", 11, WITH_ATTR, "min"},
    {"Clip", 11, WITH_ATTR, "max"},
    {"Pad", 11, WITH_ATTR, "pads"},
    {"Resize", 11, ALWAYS, NULL},
    {"Scatter", 11, ALWAYS, NULL},
    {"Dropout", 12, WITH_ATTR, "ratio"},
    {"Softmax", 13, ALWAYS, NULL},
    {"LogSoftmax", 13, ALWAYS, NULL},
    {"Hardmax", 13, ALWAYS, NULL},
    {"Squeeze", 13, WITH_ATTR, "axes"},
    {"Unsqueeze", 13, WITH_ATTR, "axes"},
    {"ReduceSum", 13, WITH_ATTR, "axes"},
    {"Split", 13, WITH_ATTR, "split"},
    {"BatchNormalization", 14, WITH_MORE_OUTPUTS, NULL},
    {"RoiAlign", 16, WITHOUT_ATTR, "coordinate_transformation_mode"},
    {"Resize", 18, ALWAYS, NULL},
    {"Split", 18, WITH_ONE_INPUT, NULL},
    {"ReduceL1", 18, WITH_ATTR, "axes"},
    {"ReduceL2", 18, WITH_ATTR, "axes"},
    {"ReduceLogSum", 18, WITH_ATTR, "axes"},
    {"ReduceLogSumExp", 18, WITH_ATTR, "axes"},
    {"ReduceMax", 18, WITH_ATTR, "axes"},
    {"ReduceMean", 18, WITH_ATTR, "axes"},
    {"ReduceMin", 18, WITH_ATTR, "axes"},
    {"ReduceProd", 18, WITH_ATTR, "axes"},
    {"ReduceSumSquare", 18, WITH_ATTR, "axes"},
    {"GridSample", 20, ALWAYS, NULL},
    {"GroupNormalization", 21, ALWAYS, NULL},
};

static Onnx__OperatorSetIdProto *find_import(const struct graph *g, const char *domain) {
    for (size_t i = 0; i < g->model->n_opset_import; i++) {
        Onnx__OperatorSetIdProto *o = g->model->opset_import[i];
        const char *d = o->domain && strcmp(o->domain, "ai.onnx") != 0 ? o->domain : "";
        if (strcmp(d, domain) == 0) {
            return o;
        }
    }
    return NULL;
}

int64_t graph_opset(const struct graph *g) {
    const Onnx__OperatorSetIdProto *o = find_import(g, "");
    return o && o->has_version ? o->version : 1;
}

static bool has_attr(const Onnx__NodeProto *p, const char *name) {
    for (size_t i = 0; i < p->n_attribute; i++) {
        if (p->attribute[i]->name && strcmp(p->attribute[i]->name, name) == 0) {
            return true;
        }
    }
    return false;
}

static bool applies(const struct change *c, const Onnx__NodeProto *p, int64_t from, int64_t to) {
    bool default_domain = !p->domain || !*p->domain || strcmp(p->domain, "ai.onnx") == 0;
    if (!default_domain || !p->op_type || strcmp(p->op_type, c->op_type) != 0 || c->version <= from ||
        c->version > to) {
        return false;
    }
    switch (c->when) {
    case WITH_ATTR:
        return has_attr(p, c->attr);
    case WITHOUT_ATTR:
        return !has_attr(p, c->attr);
    case WITH_MORE_OUTPUTS:
        return p->n_output > 1;
    case WITH_ONE_INPUT:
        return p->n_input < 2;
    case ALWAYS:
        break;
    }
    return true;
}

/* The first node, in subgraphs too, whose meaning changes between the versions. */
static const Onnx__NodeProto *find_changed(const Onnx__NodeProto *const *nodes, size_t count, int64_t from,
                                           int64_t to) {
    for (size_t i = 0; i < count; i++) {
        for (size_t c = 0; c < ARRAY_SIZE(changes); c++) {
            if (applies(&changes[c], nodes[i], from, to)) {
                return nodes[i];
            }
        }
        for (size_t a = 0; a < nodes[i]->n_attribute; a++) {
            const Onnx__AttributeProto *attr = nodes[i]->attribute[a];
            const Onnx__NodeProto *found = NULL;
            if (attr->g) {
                found =
                    find_changed((const Onnx__NodeProto *const *)attr->g->node, attr->g->n_node, from, to);
            }
            for (size_t j = 0; j < attr->n_graphs && !found; j++) {
                const Onnx__GraphProto *sub = attr->graphs[j];
                found = find_changed((const Onnx__NodeProto *const *)sub->node, sub->n_node, from, to);
            }
            if (found) {
                return found;
            }
        }
    }
    return NULL;
}

enum rc graph_need_opset(struct graph *g, int64_t version, struct err *err) {
    int64_t from = graph_opset(g);
    if (from >= version) {
        return RC_OK;
    }
    if (version > MAX_OPSET) {
        return err_set(err, RC_INTERNAL, "opset %lld is newer than what graph_opset.c knows",
                       (long long)version);
    }
    enum rc rc = graph_sync(g, err);
    if (rc != RC_OK) {
        return rc;
    }
    const Onnx__GraphProto *p = g->model->graph;
    const Onnx__NodeProto *n =
        from < 7 ? (p->n_node ? p->node[0] : NULL)
                 : find_changed((const Onnx__NodeProto *const *)p->node, p->n_node, from, version);
    if (n) {
        return err_set(
            err, RC_UNSUPPORTED,
            "the model uses opset %lld and needs %lld here, where %.80s is defined differently; export it "
            "again with opset %lld or newer",
            (long long)from, (long long)version, n->op_type, (long long)version);
    }
    Onnx__OperatorSetIdProto *o = find_import(g, "");
    if (!o) {
        return graph_need_domain(g, "", version, err);
    }
    o->has_version = 1;
    o->version = version;
    return RC_OK;
}

enum rc graph_need_domain(struct graph *g, const char *domain, int64_t version, struct err *err) {
    Onnx__ModelProto *m = g->model;
    if (find_import(g, domain)) {
        return RC_OK;
    }
    Onnx__OperatorSetIdProto **list =
        arena_calloc(g->arena, m->n_opset_import + 1, sizeof(Onnx__OperatorSetIdProto *));
    Onnx__OperatorSetIdProto *o = arena_alloc(g->arena, sizeof(*o));
    char *copy = arena_strdup(g->arena, domain);
    if (!list || !o || !copy) {
        return err_memory(err);
    }
    onnx__operator_set_id_proto__init(o);
    o->domain = copy;
    o->has_version = 1;
    o->version = version;
    if (m->n_opset_import) {
        memcpy(list, m->opset_import, m->n_opset_import * sizeof(Onnx__OperatorSetIdProto *));
    }
    list[m->n_opset_import++] = o;
    m->opset_import = list;
    return RC_OK;
}

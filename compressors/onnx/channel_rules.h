/* channel_rules.h -- what each operator says about the axes of its inputs and outputs, for channel_groups.c:
 * the rules (channel_rules*.c) join atoms and pin axes of a `struct coupling`. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "compressors/onnx/channel_groups.h"

/* One entry of a vector of integers that shapes are made from. */
enum element_kind { ELEMENT_UNKNOWN, ELEMENT_NUMBER, ELEMENT_DIM };
struct element {
    enum element_kind kind;
    int64_t number;
    uint32_t axis; /* ELEMENT_DIM: the number is the length of this axis */
};
enum { ELEMENTS_MAX = 64 };
struct elements {
    struct element *list; /* NULL: not followed */
    size_t count;
};

/* Why an axis is pinned. */
struct pin_reason {
    const struct graph_node *node; /* NULL: the graph itself */
    const char *why;
};

struct coupling {
    struct graph *g;
    struct channel_groups *groups; /* axes and contractions */
    uint32_t *parent;              /* union-find over atoms */
    uint32_t *pinned;              /* by root: index into reasons plus 1, 0 = free */
    struct pin_reason *reasons;
    size_t reason_count, reason_capacity;
    struct elements *elements; /* by index of the value */
    /* A Reshape that splits or merges axes can hand on one of its factors; which one is a choice. */
    uint8_t *choices;
    uint32_t *choice_atoms;  /* an atom of the factor that was chosen */
    uint8_t *choice_factors; /* how many there are to choose from */
    size_t choice_count, choice_capacity;
    enum channel_use use;
    bool failed; /* no memory */
};

/* A value of the node with its axes. */
struct operand {
    struct graph_value *value; /* NULL: left out */
    const struct channel_axis *axes;
    size_t rank;
    bool known; /* its shape is */
};

struct operand operand_of(const struct coupling *c, struct graph_value *v);
struct operand operand_in(const struct coupling *c, const struct graph_node *n, size_t slot);
struct operand operand_out(const struct coupling *c, const struct graph_node *n, size_t slot);

/* Joins two atoms. */
void coupling_join(struct coupling *c, uint32_t a, uint32_t b);
/* Joins two axes of equal length index by index; pins both where they are not. */
void coupling_link(struct coupling *c, const struct channel_axis *a, const struct channel_axis *b,
                   const struct graph_node *n);
/* `why`: a literal that goes on the sentence "node Softmax /x ...". */
void coupling_pin(struct coupling *c, const struct channel_axis *a, const struct graph_node *n,
                  const char *why);
/* The same for an operator that sums or compares over the whole axis: its order is of no account. */
void coupling_pin_number(struct coupling *c, const struct channel_axis *a, const struct graph_node *n,
                         const char *why);
void coupling_pin_operand(struct coupling *c, const struct operand *o, const struct graph_node *n,
                          const char *why);
/* Every axis of every input and output, and of the axes whose lengths the inputs tell. */
void coupling_pin_node(struct coupling *c, const struct graph_node *n, const char *why);
/* Notes a product that sums over `axis` of the weights in `slot`; pins the axis where they are no constant.
 */
void coupling_contract(struct coupling *c, struct graph_node *n, size_t slot,
                       const struct channel_axis *axis);

/* Constant integers of v; free() *values. False when it is not that. */
bool constant_ints(const struct coupling *c, const struct graph_value *v, int64_t **values, size_t *count);

/* Applies the node's rule. */
void channel_rules_apply(struct coupling *c, struct graph_node *n);

typedef void channel_rule(struct coupling *c, struct graph_node *n);
/* channel_rules_shape.c */
channel_rule rule_reshape, rule_transpose, rule_concat, rule_split, rule_slice, rule_gather, rule_expand,
    rule_constant_of_shape, rule_pad, rule_resize, rule_tile, rule_depth_to_space, rule_space_to_depth;

/* channel_elements.c: follows the integers that shapes are computed from. */
/* Works out the entries of the node's outputs. False when a length that it reads goes where it cannot be
 * followed, so that the axes must be pinned. */
bool elements_follow(struct coupling *c, struct graph_node *n);
/* The entries of v, a constant or followed; count 0 when unknown. */
struct elements elements_of(struct coupling *c, const struct graph_value *v,
                            struct element buffer[ELEMENTS_MAX]);
/* Ties the axes of output `out` to the entries of input `slot`, the shape it was asked to have. */
void elements_target(struct coupling *c, struct graph_node *n, size_t slot, const struct operand *out);
/* Pins the axes whose lengths v tells. */
void elements_pin(struct coupling *c, const struct graph_value *v, const struct graph_node *n,
                  const char *why);

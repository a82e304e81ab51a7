/* channel_random.h -- structured pruning proven on random graphs: what is cut is what zeros would give, what
 * is not cut is named, and every kind of step was cut through in some graph.
 *
 * PARE_GRAPH_SEED=n runs that graph alone and prints it; PARE_GRAPH_COUNT=n runs that many. */
#pragma once

#include "compressors/onnx/weights.h"
#include "tests/unit/compressors_onnx/channel_fixture.h"
#include "tests/unit/compressors_onnx/random_make.h"

/* Norms enlarge what rounding does to small numbers: the largest seen is 1e-5 of the largest output. */
static const double random_rounding = 2e-4;

/* Seen over 12,000 graphs: 8 % refused, 15 % of layers whole, 17 % with zeros made by weights. */
enum { RANDOM_REFUSED_PERCENT = 12, RANDOM_WHOLE_PERCENT = 20, RANDOM_BY_MAKERS_PERCENT = 10 };

struct random_tally {
    size_t graphs;
    size_t refused;             /* graphs of which nothing can be removed because of some node */
    size_t bare;                /* all whose layers make outputs of the model */
    size_t by_makers;           /* graphs where weights made the zeros */
    size_t layers, whole;       /* that make channels; those of which some node forbids to remove any */
    size_t cut[RANDOM_STEPS];   /* graphs in which channels were cut through such a step */
    size_t named[RANDOM_STEPS]; /* layers that stay whole because of it */
    double worst;               /* difference */
};

static inline void random_print(const struct graph *g) {
    for (const struct graph_node *n = graph_first(g); n; n = n->next) {
        print_message("%-24s %-16s", n->proto->name, n->proto->op_type);
        for (size_t i = 0; i < n->proto->n_input; i++) {
            print_message(" %s", n->proto->input[i]);
        }
        for (size_t i = 0; i < n->proto->n_attribute; i++) {
            const Onnx__AttributeProto *a = n->proto->attribute[i];
            print_message(" %s=", a->name);
            for (size_t k = 0; k < a->n_ints; k++) {
                print_message("%lld,", (long long)a->ints[k]);
            }
            if (a->has_i) {
                print_message("%lld", (long long)a->i);
            }
        }
        print_message(" ->");
        for (size_t i = 0; i < n->proto->n_output; i++) {
            print_message(" %s", n->proto->output[i]);
        }
        print_message("\n");
    }
}

/* The step that made the node of this name (or label, which has the operator before it), or RANDOM_STEPS. */
static inline size_t random_step_of(const char *name) {
    const char *space = strrchr(name, ' ');
    name = space ? space + 1 : name;
    size_t length = strcspn(name, "."), i = 0;
    while (i < RANDOM_STEPS &&
           (strlen(random_steps[i].name) != length || strncmp(random_steps[i].name, name, length) != 0)) {
        i++;
    }
    return i;
}

static inline bool random_is_cut(const struct channel_scene *s, const struct graph_value *v) {
    const struct channel_axis *a;
    for (size_t axis = 0; (a = channel_groups_axis(s->groups, v, axis)) != NULL; axis++) {
        for (uint32_t i = 0; i < a->length; i++) {
            uint32_t unit = s->groups->unit_of[a->first + i];
            if (unit != CHANNEL_NO_UNIT && s->remove[unit]) {
                return true;
            }
        }
    }
    return false;
}

static inline void random_count_cut(const struct channel_scene *s, struct random_tally *t) {
    bool cut[RANDOM_STEPS + 1] = {false};
    for (const struct graph_node *n = graph_first(s->g); n; n = n->next) {
        cut[random_step_of(n->proto->name)] |= random_is_cut(s, graph_output(s->g, n, 0));
    }
    for (size_t i = 0; i < RANDOM_STEPS; i++) {
        t->cut[i] += cut[i];
    }
}

/* A layer that stays whole says why: because of which node, or of which border of the model. */
static inline void random_check_refusal(const struct channel_refusal *f, uint32_t seed) {
    bool border = strstr(f->why, "of the model") || strstr(f->why, "no constant weights");
    if (!*f->label || (f->node ? !strchr(f->node, '.') : !border)) {
        fail_msg("seed %u: %s stays whole, and no node is named: %s", seed, f->label, f->why);
    }
}

static inline void random_count_refusals(const struct channel_scene *s, uint32_t seed,
                                         struct random_tally *t) {
    size_t whole = 0;
    for (size_t i = 0; i < s->groups->refusal_count; i++) {
        const struct channel_refusal *f = &s->groups->refusals[i];
        random_check_refusal(f, seed);
        size_t step = f->node ? random_step_of(f->node) : RANDOM_STEPS;
        whole += f->node != NULL;
        if (step < RANDOM_STEPS) {
            t->named[step]++;
        }
    }
    for (struct graph_node *n = graph_first(s->g); n; n = n->next) {
        t->layers += weights_of(s->g, n).kind != WEIGHTS_NONE;
    }
    t->graphs++;
    t->whole += whole;
    t->refused += s->groups->family_count == 0 && whole > 0;
    t->bare += s->groups->family_count == 0 && whole == 0;
}

/* The graph, and releases what it was built from. */
static inline struct graph *random_parse(struct random_graph *r, uint32_t seed) {
    struct graph *g = NULL;
    struct err err = {.text = ""};
    if (builder_try(&r->b, &g, &err)) {
        fail_msg("seed %u: %s", seed, err.text);
    }
    builder_free(&r->b);
    return g;
}

/* One graph, with its channels at zero where they are read and, where zeros stay zeros, where they are made.
 */
static inline void random_prove(uint32_t seed, bool by_makers, bool alone, struct random_tally *t) {
    struct random_graph r;
    struct channel_scene s;
    char name[32];
    snprintf(name, sizeof(name), "seed %u", seed);
    random_make(&r, seed, RANDOM_INPUT_ANY);
    bool neutral = r.neutral;
    struct graph *g = random_parse(&r, seed);
    if (alone && !by_makers) {
        random_print(g);
    }
    scene_open(&s, g);
    scene_choose(&s, seed * 77 + by_makers);
    if (!by_makers) {
        random_count_refusals(&s, seed, t);
        random_count_cut(&s, t);
    }
    if (s.groups->family_count && (!by_makers || neutral)) {
        t->by_makers += by_makers;
        t->worst = fmax(t->worst, scene_prove(&s, by_makers, random_rounding, name));
    }
    scene_close(&s);
}

static inline void random_prove_all(uint32_t first, uint32_t count, struct random_tally *t) {
    memset(t, 0, sizeof(*t));
    for (uint32_t i = first; i < first + count; i++) {
        random_prove(i, false, count == 1, t);
        random_prove(i, true, count == 1, t);
    }
    print_message("%zu graphs: %zu refused, %zu without channels inside; %zu of %zu layers stay whole for a "
                  "node's sake; zeros "
                  "made by weights in %zu; largest difference %.2g\n",
                  t->graphs, t->refused, t->bare, t->whole, t->layers, t->by_makers, t->worst);
}

/* Asserts that little was refused, and that channels went through every kind of step or the step was named.
 */
static inline void random_check_coverage(const struct random_tally *t) {
    for (size_t i = 0; i < RANDOM_STEPS; i++) {
        print_message("%s%s %zu", i ? ", " : "cut through, in graphs: ", random_steps[i].name, t->cut[i]);
    }
    print_message("\n");
    for (size_t i = 0; i < RANDOM_STEPS; i++) {
        if ((random_steps[i].refuses ? t->named[i] : t->cut[i]) == 0) {
            fail_msg("no graph of %zu shows what step %s does", t->graphs, random_steps[i].name);
        }
    }
    assert_in_range(t->refused * 100 / t->graphs, 0, RANDOM_REFUSED_PERCENT);
    assert_in_range(t->whole * 100 / t->layers, 0, RANDOM_WHOLE_PERCENT);
    assert_in_range(t->by_makers * 100 / t->graphs, RANDOM_BY_MAKERS_PERCENT, 100);
}

static inline uint32_t random_setting(const char *name, uint32_t otherwise) {
    const char *text = getenv(name);
    return text ? (uint32_t)strtoul(text, NULL, 10) : otherwise;
}

/* Seeds first .. first + count - 1, or as many as PARE_GRAPH_COUNT says, or the one of PARE_GRAPH_SEED. */
static inline void random_prove_seeds(uint32_t first, uint32_t count) {
    struct random_tally t;
    if (getenv("PARE_GRAPH_SEED")) {
        random_prove_all(random_setting("PARE_GRAPH_SEED", 0), 1, &t);
    } else {
        random_prove_all(first, random_setting("PARE_GRAPH_COUNT", count), &t);
        random_check_coverage(&t);
    }
}

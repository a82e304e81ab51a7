/* cause.h -- why a configuration is as fast as it is: the times, multiplications and bytes of its operators
 * beside those of the uncompressed model with the same settings, held against what the machine can do. Pure:
 * figures in, sentences out. Only what the figures show is said. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/buf.h"
#include "core/base/err.h"

/* X(code, name in the API) */
#define CAUSE_TABLE(X)                                                                                       \
    X(CAUSE_CONV_INTEGER, "conv_integer")                                                                    \
    X(CAUSE_STAYS_FP32, "stays_fp32")                                                                        \
    X(CAUSE_PRODUCTS_LEFT, "products_left")                                                                  \
    X(CAUSE_QDQ_LEFT, "qdq_left")                                                                            \
    X(CAUSE_DYNAMIC_RANGES, "dynamic_ranges")                                                                \
    X(CAUSE_NO_FP16_KERNELS, "no_fp16_kernels")                                                              \
    X(CAUSE_ZEROS_COMPUTED, "zeros_computed")                                                                \
    X(CAUSE_UNPACKED_WEIGHTS, "unpacked_weights")                                                            \
    X(CAUSE_FITS_CACHE, "fits_cache")                                                                        \
    X(CAUSE_MEMORY_BOUND, "memory_bound")                                                                    \
    X(CAUSE_TINY_OPERATORS, "tiny_operators")                                                                \
    X(CAUSE_NO_INT8_INSTRUCTIONS, "no_int8_instructions")                                                    \
    X(CAUSE_THREADS, "threads_do_not_scale")                                                                 \
    X(CAUSE_BATCH, "batch_does_not_help")                                                                    \
    X(CAUSE_INSTANCES, "instances_do_not_scale")                                                             \
    X(CAUSE_TABLE_NOT_TIME, "table_not_time")                                                                \
    X(CAUSE_FEWER_OPERATIONS, "fewer_operations")                                                            \
    X(CAUSE_MORE_OPERATIONS, "more_operations")                                                              \
    X(CAUSE_FEWER_BYTES, "fewer_bytes")                                                                      \
    X(CAUSE_INT8_KERNELS, "int8_kernels")                                                                    \
    X(CAUSE_RATE, "rate")

enum cause_code {
#define X(code, name) code,
    CAUSE_TABLE(X)
#undef X
        CAUSE_CODE_COUNT
};
const char *cause_name(enum cause_code code);

/* Operators of one kind, a run. */
struct cause_kind {
    const char *op, *dtype; /* "QLinearConv"; "uint8", the type of its output */
    double us, calls;
    double macs;  /* multiply-accumulates; 0: it has no products; NAN: not known */
    double bytes; /* read and written */
    double weight_bytes;
};

struct cause_operators {
    const struct cause_kind *kinds;
    size_t n;            /* 0: the runtime told nothing */
    double us;           /* all together */
    double weight_bytes; /* of the graph as it runs; NAN: not known */
};

/* How a variant was made, as far as causes depend on it: bits. */
enum cause_scheme {
    CAUSE_INT8 = 1,
    CAUSE_FP16 = 2,
    CAUSE_FEW_BITS = 4,    /* weights alone */
    CAUSE_LOOSE_ZEROS = 8, /* pruned without a structure that kernels could skip */
    CAUSE_STRUCTURE = 16,  /* channels, layers or ranks taken out: another number of multiplications */
};

/* A setting of a variant that was measured. NAN where not known. */
struct cause_setting {
    uint32_t instances, threads, batch;
    double single_us; /* a query alone */
    double per_s;     /* examples or tokens, all instances busy */
};

/* The machine's best for the configuration's threads; NAN where it was not measured. */
struct cause_machine {
    double fp32_gops, int8_gops; /* 10^9 operations a second */
    double copy_gb_per_s;        /* with those threads */
    double copy_all_gb_per_s;    /* with all */
    double cache_bytes;          /* the last level */
    bool isa_known, int8_dot;    /* an instruction that multiplies bytes and adds (VNNI, AMX, SDOT) */
};

struct cause_question {
    const char *recipe, *baseline_recipe; /* baseline_recipe NULL: this is the baseline itself */
    unsigned scheme;
    struct cause_setting setting;
    const struct cause_setting *baseline; /* the same settings; NULL: not measured */
    const struct cause_setting *siblings; /* other settings of this variant on this machine */
    size_t sibling_count;
    struct cause_operators mine, theirs; /* theirs: of the baseline with the same settings */
    double size_bytes, baseline_bytes;   /* of the files */
    bool generates;                      /* a language model: every token reads all weights */
    struct cause_machine machine;
};

enum { CAUSE_MAX = 8, CAUSE_SHOWN = 3, CAUSE_TEXT_SIZE = 320 };

struct cause {
    enum cause_code code;
    double weight; /* larger: explains more; 1: all of the time */
    char text[CAUSE_TEXT_SIZE];
};

struct cause_list {
    struct cause items[CAUSE_MAX]; /* the strongest first */
    size_t n;                      /* 0: the figures show no cause */
    double speedup;                /* times the baseline's rate with the same settings; NAN: not known */
};

/* Deterministic; never fails: what is not known is left out. */
void cause_find(const struct cause_question *q, struct cause_list *ret);

/* One sentence with the strongest CAUSE_SHOWN: "int8:static is 1.1x as fast as fp32, not 4x as int8 products
 * are here: 71 % of the time is Softmax and Add, which stay fp32". Empty where there is nothing to say. */
MUST_USE enum rc cause_sentence(const struct cause_question *q, const struct cause_list *list,
                                struct buf *out, struct err *err);

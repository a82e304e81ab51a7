/* recipe.h -- the grammar of recipes and what every compressor offers, as data.
 *
 *   recipe := step ('+' step)*      step := name [':' option (',' option)*]      option := flag | key '='
 * value
 *
 * Some compressors have two words: `int8:static` is a descriptor of that name, and `int8:static,calib=mse`
 * gives it an option. Its second word may stand anywhere among the options. Names and values are
 * case-sensitive. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/err.h"
#include "core/base/model_family.h"

enum {
    RECIPE_MAX_STEPS = 8,
    RECIPE_MAX_OPTIONS = 8,
    RECIPE_TEXT_SIZE = 257, /* 256 characters and a NUL */
};

enum option_type { OPTION_FLAG, OPTION_INT, OPTION_NUMBER, OPTION_CHOICE };

struct option_desc {
    const char *name;
    enum option_type type;
    double min, max;            /* inclusive; OPTION_INT, OPTION_NUMBER */
    const char *const *choices; /* NULL-terminated; OPTION_CHOICE, and OPTION_INT with few valid values */
    const char *default_text;   /* "32", "minmax"; flags are off by default: NULL */
    const char *help;           /* one line */
    const char *only_with;      /* "calib=percentile": means nothing without that choice; else NULL */
    bool always_written;        /* in the canonical form even at its default, as it depends on the hardware */
};

enum recipe_needs { NEEDS_NOTHING = 0, NEEDS_CALIBRATION = 1 };

/* Where a step stands in a recipe: steps come in this order, at most one of each kind. First what makes the
 * model smaller, so that the rest works on what is left; then what prepares its numbers; last their type. */
enum recipe_place {
    PLACE_ALONE,     /* the baseline: changes nothing, so it stands alone */
    PLACE_LAYERS,    /* takes whole layers out */
    PLACE_CHANNELS,  /* takes channels, hidden units and heads out */
    PLACE_RANK,      /* two thin matrices for a wide one */
    PLACE_SPARSE,    /* makes weights zero */
    PLACE_EQUALIZE,  /* scales moved between layers, for the weights' sake */
    PLACE_SMOOTH,    /* scales moved between activations and weights */
    PLACE_PRECISION, /* fewer bits */
};

struct compressor_desc {
    const char *name;                  /* "int8:static" */
    unsigned families;                 /* bits of enum model_family */
    const char *summary;               /* one line */
    const struct option_desc *options; /* sorted by name */
    size_t n_options;
    unsigned needs;               /* bits of enum recipe_needs, whatever the options */
    const char *calibration_flag; /* the flag that makes it need calibration; NULL when there is none */
    enum recipe_place place;
    const char *const *leads_to; /* names of which one must come later in the recipe, because alone this step
                                    gives nothing; NULL: none need to */
};

/* Every descriptor, in the order in which they are listed to people. */
const struct compressor_desc *recipe_descriptors(size_t *count);

union option_value {
    bool flag;
    int64_t integer;
    double number;
    size_t choice; /* index into choices */
};

struct recipe_step {
    const struct compressor_desc *descriptor;
    union option_value values[RECIPE_MAX_OPTIONS]; /* by index of descriptor->options */
    bool given[RECIPE_MAX_OPTIONS];                /* written in the text that was parsed */
};

struct recipe {
    size_t n_steps; /* at least 1 */
    struct recipe_step steps[RECIPE_MAX_STEPS];
};

/* Parses a recipe for models of one family (FAMILY_UNKNOWN = any). RC_INPUT for everything else: an unknown
 * step, option or value with the nearest valid name and the list of valid ones, a value out of range,
 * something twice, a step of the other family, a wrong order, more than 256 characters. */
MUST_USE enum rc recipe_parse(const char *text, enum model_family family, struct recipe *ret,
                              struct err *err);

/* The canonical form, the identity of a recipe: options sorted by name, defaults dropped (except
 * always_written ones), numbers in their shortest form. Parsing it gives the same recipe. */
void recipe_canonical(const struct recipe *r, char text[RECIPE_TEXT_SIZE]);
/* Its length without the NUL; recipe_parse gives no recipe for which that is RECIPE_TEXT_SIZE or more. */
size_t recipe_canonical_length(const struct recipe *r);

/* Parse and canonicalise in one. */
MUST_USE enum rc recipe_canonicalise(const char *text, enum model_family family,
                                     char canonical[RECIPE_TEXT_SIZE], struct err *err);

/* What the recipe needs beside the model: bits of enum recipe_needs. */
unsigned recipe_needs(const struct recipe *r);

/* The recipe that changes nothing: "fp32" for ONNX, "original" for GGUF. */
const char *recipe_baseline(enum model_family family);
bool recipe_is_baseline(const struct recipe *r);

/* Option values by name. Asking for an option that the descriptor does not have, or of another type, is a
 * programmer error (asserted). A choice is given by its name. */
bool recipe_flag(const struct recipe_step *s, const char *option);
int64_t recipe_int(const struct recipe_step *s, const char *option);
double recipe_number(const struct recipe_step *s, const char *option);
const char *recipe_choice(const struct recipe_step *s, const char *option);

/* Sets the option `option` to `value` in every step that has it and whose text did not say it; for the
 * planner, which chooses act=u8|s8 for the targets. Returns the number of steps changed or already so.
 * `value` must be valid (asserted). */
size_t recipe_choose(struct recipe *r, const char *option, const char *value);

/* The levels of a preset ("quick", "standard", "thorough"), canonical but for always_written options,
 * baseline first, NULL-terminated, static. RC_INPUT naming the valid presets. */
MUST_USE enum rc recipe_preset(enum model_family family, const char *preset, const char *const **ret,
                               struct err *err);
/* "quick", "standard", "thorough", NULL. */
const char *const *recipe_preset_names(void);

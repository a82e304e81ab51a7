/* Canonical form, needs and typed access. The parser is in recipe_parse.c. */
#include "core/recipes/recipe.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "core/recipes/option_value.h"

/* Counts what does not fit any more, but does not write it. */
static void append(char text[RECIPE_TEXT_SIZE], size_t *used, const char *a, const char *b) {
    size_t at = *used < RECIPE_TEXT_SIZE ? *used : RECIPE_TEXT_SIZE - 1;
    *used += (size_t)snprintf(text + at, RECIPE_TEXT_SIZE - at, "%s%s", a, b);
}

static void append_step(const struct recipe_step *s, char text[RECIPE_TEXT_SIZE], size_t *used) {
    const struct compressor_desc *d = s->descriptor;
    append(text, used, d->name, "");
    const char *separator = strchr(d->name, ':') ? "," : ":";
    for (size_t i = 0; i < d->n_options; i++) {
        const struct option_desc *o = &d->options[i];
        union option_value standard = option_value_default(o);
        if (!o->always_written && option_value_equal(o, &s->values[i], &standard)) {
            continue;
        }
        append(text, used, separator, o->name);
        if (o->type != OPTION_FLAG) {
            char value[OPTION_VALUE_SIZE];
            option_value_text(o, &s->values[i], value);
            append(text, used, "=", value);
        }
        separator = ",";
    }
}

static size_t write_canonical(const struct recipe *r, char text[RECIPE_TEXT_SIZE]) {
    size_t used = 0;
    text[0] = '\0';
    for (size_t i = 0; i < r->n_steps; i++) {
        append(text, &used, i ? "+" : "", "");
        append_step(&r->steps[i], text, &used);
    }
    return used;
}

size_t recipe_canonical_length(const struct recipe *r) {
    char text[RECIPE_TEXT_SIZE];
    return write_canonical(r, text);
}

void recipe_canonical(const struct recipe *r, char text[RECIPE_TEXT_SIZE]) {
    size_t used = write_canonical(r, text);
    assert(used < RECIPE_TEXT_SIZE); /* the parser refuses longer ones */
    (void)used;
}

enum rc recipe_canonicalise(const char *text, enum model_family family, char canonical[RECIPE_TEXT_SIZE],
                            struct err *err) {
    struct recipe r;
    enum rc rc = recipe_parse(text, family, &r, err);
    if (rc == RC_OK) {
        recipe_canonical(&r, canonical);
    }
    return rc;
}

unsigned recipe_needs(const struct recipe *r) {
    unsigned needs = NEEDS_NOTHING;
    for (size_t i = 0; i < r->n_steps; i++) {
        const struct recipe_step *s = &r->steps[i];
        needs |= s->descriptor->needs;
        if (s->descriptor->calibration_flag && recipe_flag(s, s->descriptor->calibration_flag)) {
            needs |= NEEDS_CALIBRATION;
        }
    }
    return needs;
}

const char *recipe_baseline(enum model_family family) {
    return family == FAMILY_GGUF ? "original" : "fp32";
}

bool recipe_is_baseline(const struct recipe *r) {
    return r->n_steps == 1 && r->steps[0].descriptor->place == PLACE_ALONE;
}

static bool find_option(const struct compressor_desc *d, const char *name, size_t *ret) {
    for (size_t i = 0; i < d->n_options; i++) {
        if (strcmp(d->options[i].name, name) == 0) {
            *ret = i;
            return true;
        }
    }
    return false;
}

static const union option_value *value_of(const struct recipe_step *s, const char *option,
                                          enum option_type type, const struct option_desc **desc) {
    size_t i = 0;
    bool found = find_option(s->descriptor, option, &i);
    assert(found && s->descriptor->options[i].type == type);
    (void)found, (void)type;
    *desc = &s->descriptor->options[i];
    return &s->values[i];
}

bool recipe_flag(const struct recipe_step *s, const char *option) {
    const struct option_desc *o;
    return value_of(s, option, OPTION_FLAG, &o)->flag;
}

int64_t recipe_int(const struct recipe_step *s, const char *option) {
    const struct option_desc *o;
    return value_of(s, option, OPTION_INT, &o)->integer;
}

double recipe_number(const struct recipe_step *s, const char *option) {
    const struct option_desc *o;
    return value_of(s, option, OPTION_NUMBER, &o)->number;
}

const char *recipe_choice(const struct recipe_step *s, const char *option) {
    const struct option_desc *o;
    size_t choice = value_of(s, option, OPTION_CHOICE, &o)->choice;
    return o->choices[choice];
}

size_t recipe_choose(struct recipe *r, const char *option, const char *value) {
    size_t steps = 0, at = 0;
    for (size_t i = 0; i < r->n_steps; i++) {
        struct recipe_step *s = &r->steps[i];
        if (!find_option(s->descriptor, option, &at) || s->given[at]) {
            continue;
        }
        enum rc rc = option_value_parse(&s->descriptor->options[at], value, &s->values[at], NULL);
        assert(rc == RC_OK);
        (void)rc;
        s->given[at] = true;
        steps++;
    }
    return steps;
}

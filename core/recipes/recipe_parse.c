/* The parser of recipes: splits the text by '+', ':' and ',', looks every word up in the descriptors, and
 * explains what it does not know. Nothing is allocated. */
#include <stdio.h>
#include <string.h>

#include "core/base/nearest.h"
#include "core/recipes/option_value.h"
#include "core/recipes/recipe.h"

enum { MAX_NAMES = 64, MAX_WORDS = RECIPE_MAX_OPTIONS + 2, LIST_SIZE = 320 };

struct step_words {
    char *name;
    size_t n_words;
    char *words[MAX_WORDS]; /* what follows the ':', split at ',' */
};

static bool in_family(const struct compressor_desc *d, unsigned families) {
    return (d->families & families) != 0;
}

static size_t names_of(unsigned families, const char *names[MAX_NAMES + 1]) {
    size_t count, n = 0;
    const struct compressor_desc *all = recipe_descriptors(&count);
    for (size_t i = 0; i < count && n < MAX_NAMES; i++) {
        if (in_family(&all[i], families)) {
            names[n++] = all[i].name;
        }
    }
    names[n] = NULL;
    return n;
}

static void join(const char *const *names, char list[LIST_SIZE]) {
    size_t used = 0;
    list[0] = '\0';
    for (size_t i = 0; names[i] && used < LIST_SIZE; i++) {
        used += (size_t)snprintf(list + used, LIST_SIZE - used, "%s%s", i ? ", " : "", names[i]);
    }
}

static const struct compressor_desc *find_descriptor(const char *name) {
    size_t count;
    const struct compressor_desc *all = recipe_descriptors(&count);
    for (size_t i = 0; i < count; i++) {
        if (strcmp(all[i].name, name) == 0) {
            return &all[i];
        }
    }
    return NULL;
}

static const struct compressor_desc *find_two_words(const char *first, const char *second) {
    char name[RECIPE_TEXT_SIZE * 2];
    snprintf(name, sizeof(name), "%s:%s", first, second);
    return find_descriptor(name);
}

static enum rc unknown_step(const struct step_words *w, unsigned families, struct err *err) {
    const char *names[MAX_NAMES + 1];
    char list[LIST_SIZE], full[RECIPE_TEXT_SIZE * 2];
    names_of(families, names);
    join(names, list);
    snprintf(full, sizeof(full), "%s%s%s", w->name, w->n_words ? ":" : "", w->n_words ? w->words[0] : "");
    const char *near = nearest_name(full, names);
    near = near ? near : nearest_name(w->name, names);
    return err_set(err, RC_INPUT, "unknown step \"%.64s\"%s%s%s; valid steps: %s", full,
                   near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "", list);
}

/* `name` alone is not a step, but the first word of some: "int8". */
static enum rc needs_second_word(const struct step_words *w, unsigned families, struct err *err) {
    const char *names[MAX_NAMES + 1], *some[MAX_NAMES + 1];
    char list[LIST_SIZE];
    size_t n = names_of(families, names), kept = 0, length = strlen(w->name);
    for (size_t i = 0; i < n; i++) {
        if (strncmp(names[i], w->name, length) == 0 && names[i][length] == ':') {
            some[kept++] = names[i];
        }
    }
    some[kept] = NULL;
    if (kept == 0 || w->n_words > 0) {
        return unknown_step(w, families, err);
    }
    join(some, list);
    return err_set(err, RC_INPUT, "\"%.64s\" alone is not a step; choose one of: %s", w->name, list);
}

/* Finds the descriptor; a second word of its name ("gptq" of "int4:gptq") is taken out of the words. */
static enum rc choose_descriptor(struct step_words *w, unsigned families, const struct compressor_desc **ret,
                                 struct err *err) {
    const struct compressor_desc *d = NULL;
    size_t kept = 0;
    for (size_t i = 0; i < w->n_words; i++) {
        const struct compressor_desc *two = find_two_words(w->name, w->words[i]);
        if (two && d && two != d) {
            return err_set(err, RC_INPUT, "%s and %s exclude each other: choose one", d->name, two->name);
        }
        if (two && d) {
            return err_set(err, RC_INPUT, "%s: \"%s\" is there twice", d->name, w->words[i]);
        }
        if (two) {
            d = two;
        } else {
            w->words[kept++] = w->words[i];
        }
    }
    d = d ? d : find_descriptor(w->name);
    if (!d) {
        return needs_second_word(w, families, err);
    }
    w->n_words = kept;
    if (!in_family(d, families)) {
        return err_set(err, RC_INPUT, "%s is a step for %s models; this recipe is for %s", d->name,
                       model_family_name(d->families), model_family_name(families));
    }
    *ret = d;
    return RC_OK;
}

static enum rc unknown_option(const struct compressor_desc *d, const char *name, struct err *err) {
    const char *names[RECIPE_MAX_OPTIONS + 1];
    char list[LIST_SIZE];
    if (d->n_options == 0) {
        return err_set(err, RC_INPUT, "%s has no options, but \"%.64s\" is given", d->name, name);
    }
    for (size_t i = 0; i < d->n_options; i++) {
        names[i] = d->options[i].name;
    }
    names[d->n_options] = NULL;
    join(names, list);
    const char *near = nearest_name(name, names);
    return err_set(err, RC_INPUT, "%s: unknown option \"%.64s\"%s%s%s; valid options: %s", d->name, name,
                   near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "", list);
}

static enum rc parse_option(struct recipe_step *s, char *word, struct err *err) {
    const struct compressor_desc *d = s->descriptor;
    char *value = strchr(word, '=');
    if (value) {
        *value++ = '\0';
    }
    size_t i = 0;
    while (i < d->n_options && strcmp(d->options[i].name, word) != 0) {
        i++;
    }
    if (i == d->n_options) {
        return unknown_option(d, word, err);
    }
    const struct option_desc *o = &d->options[i];
    if (s->given[i]) {
        return err_set(err, RC_INPUT, "%s: option \"%s\" is there twice", d->name, o->name);
    }
    s->given[i] = true;
    if (o->type == OPTION_FLAG) {
        s->values[i].flag = true;
        return value ? err_set(err, RC_INPUT, "%s: \"%s\" takes no value: write it alone, or leave it out",
                               d->name, o->name)
                     : RC_OK;
    }
    if (!value) {
        return err_set(err, RC_INPUT, "%s: option \"%s\" needs a value, as in %s=%s", d->name, o->name,
                       o->name, o->default_text);
    }
    return option_value_parse(o, value, &s->values[i], err) == RC_OK ? RC_OK : err_prefix(err, "%s", d->name);
}

/* An option that means nothing beside the others' values is a mistake, and would give one recipe two names.
 */
static enum rc check_only_with(const struct recipe_step *s, struct err *err) {
    const struct compressor_desc *d = s->descriptor;
    for (size_t i = 0; i < d->n_options; i++) {
        const struct option_desc *o = &d->options[i];
        if (!s->given[i] || !o->only_with) {
            continue;
        }
        char other[OPTION_VALUE_SIZE * 2];
        size_t length = strcspn(o->only_with, "=");
        snprintf(other, sizeof(other), "%.*s", (int)length, o->only_with);
        if (strcmp(recipe_choice(s, other), o->only_with + length + 1) != 0) {
            return err_set(err, RC_INPUT, "%s: option \"%s\" works only with %s", d->name, o->name,
                           o->only_with);
        }
    }
    return RC_OK;
}

/* Splits "name:word,word" in place. */
static enum rc split_step(char *text, struct step_words *w, struct err *err) {
    *w = (struct step_words){.name = text};
    char *rest = strchr(text, ':');
    if (rest) {
        *rest++ = '\0';
    }
    if (!*text) {
        return err_set(err, RC_INPUT,
                       "a step of the recipe is empty: write steps as in \"int8:static\", joined by '+'");
    }
    while (rest) {
        char *next = strchr(rest, ',');
        if (next) {
            *next++ = '\0';
        }
        if (!*rest || w->n_words == MAX_WORDS) {
            return err_set(err, RC_INPUT, *rest ? "%s: too many options" : "%s: an option is empty", w->name);
        }
        w->words[w->n_words++] = rest;
        rest = next;
    }
    return RC_OK;
}

static enum rc parse_step(char *text, unsigned families, struct recipe_step *s, struct err *err) {
    struct step_words w;
    enum rc rc = split_step(text, &w, err);
    if (rc == RC_OK) {
        rc = choose_descriptor(&w, families, &s->descriptor, err);
    }
    if (rc != RC_OK) {
        return rc;
    }
    for (size_t i = 0; i < s->descriptor->n_options; i++) {
        s->values[i] = option_value_default(&s->descriptor->options[i]);
    }
    for (size_t i = 0; i < w.n_words && rc == RC_OK; i++) {
        rc = parse_option(s, w.words[i], err);
    }
    return rc == RC_OK ? check_only_with(s, err) : rc;
}

static enum rc check_order(const struct compressor_desc *before, const struct compressor_desc *d,
                           struct err *err) {
    if (before == d) {
        return err_set(err, RC_INPUT, "%s is there twice", d->name);
    }
    if (before->place == PLACE_ALONE || d->place == PLACE_ALONE) {
        return err_set(err, RC_INPUT, "%s stands alone: it changes nothing, so leave it out of the recipe",
                       before->place == PLACE_ALONE ? before->name : d->name);
    }
    if (before->place == d->place) {
        return err_set(err, RC_INPUT, "%s and %s do the same kind of thing: choose one", before->name,
                       d->name);
    }
    if (before->place > d->place) {
        return err_set(err, RC_INPUT, "%s must come before %s: write %s+%s", d->name, before->name, d->name,
                       before->name);
    }
    return RC_OK;
}

static bool comes_later(const struct recipe *r, size_t after, const char *const *names) {
    for (size_t i = after + 1; i < r->n_steps; i++) {
        for (const char *const *name = names; *name; name++) {
            if (strcmp(r->steps[i].descriptor->name, *name) == 0) {
                return true;
            }
        }
    }
    return false;
}

/* What only prepares for another step needs that step. */
static enum rc check_leads(const struct recipe *r, struct err *err) {
    for (size_t i = 0; i < r->n_steps; i++) {
        const struct compressor_desc *d = r->steps[i].descriptor;
        if (d->leads_to && !comes_later(r, i, d->leads_to)) {
            char list[LIST_SIZE];
            join(d->leads_to, list);
            return err_set(err, RC_INPUT, "%s only prepares for another step; put one of these behind it: %s",
                           d->name, list);
        }
    }
    return RC_OK;
}

/* The canonical form may be longer than the text: options that are always written. */
static enum rc check_length(const struct recipe *r, struct err *err) {
    return recipe_canonical_length(r) < RECIPE_TEXT_SIZE
               ? RC_OK
               : err_set(err, RC_INPUT, "the recipe is longer than %d characters in its full form",
                         RECIPE_TEXT_SIZE - 1);
}

static enum rc check_text(const char *text, struct err *err) {
    size_t length = strnlen(text, RECIPE_TEXT_SIZE);
    if (length == 0) {
        return err_set(err, RC_INPUT, "the recipe is empty: name at least one step");
    }
    if (length >= RECIPE_TEXT_SIZE) {
        return err_set(err, RC_INPUT, "the recipe is longer than %d characters", RECIPE_TEXT_SIZE - 1);
    }
    size_t good = strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.:,=+-");
    if (text[good]) {
        return err_set(err, RC_INPUT,
                       "the recipe has a character that does not belong there, at position %zu: use "
                       "letters, digits and _ . : , = + - without spaces",
                       good + 1);
    }
    return RC_OK;
}

enum rc recipe_parse(const char *text, enum model_family family, struct recipe *ret, struct err *err) {
    char copy[RECIPE_TEXT_SIZE];
    struct recipe r = {0};
    unsigned families = family == FAMILY_UNKNOWN ? FAMILY_ONNX | FAMILY_GGUF : family;
    enum rc rc = check_text(text, err);
    if (rc != RC_OK) {
        return rc;
    }
    snprintf(copy, sizeof(copy), "%s", text);
    for (char *step = copy, *next; step && rc == RC_OK; step = next) {
        next = strchr(step, '+');
        if (next) {
            *next++ = '\0';
        }
        if (r.n_steps == RECIPE_MAX_STEPS) {
            return err_set(err, RC_INPUT, "the recipe has more than %d steps", RECIPE_MAX_STEPS);
        }
        struct recipe_step *s = &r.steps[r.n_steps];
        rc = parse_step(step, families, s, err);
        if (rc == RC_OK && r.n_steps > 0) {
            rc = check_order(s[-1].descriptor, s->descriptor, err);
        }
        if (rc == RC_OK) {
            families = s->descriptor->families & families;
            r.n_steps++;
        }
    }
    rc = rc != RC_OK ? rc : check_leads(&r, err);
    rc = rc != RC_OK ? rc : check_length(&r, err);
    if (rc == RC_OK) {
        *ret = r;
    }
    return rc;
}

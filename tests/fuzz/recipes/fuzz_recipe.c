/* Any text as a recipe: the canonical form of an accepted one parses to itself. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/recipes/recipe.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *text = malloc(size + 1), first[RECIPE_TEXT_SIZE], second[RECIPE_TEXT_SIZE];
    struct err err;
    if (!text) {
        return 0;
    }
    memcpy(text, data, size);
    text[size] = '\0';
    if (recipe_canonicalise(text, FAMILY_UNKNOWN, first, &err) == RC_OK &&
        (recipe_canonicalise(first, FAMILY_UNKNOWN, second, &err) != RC_OK || strcmp(first, second) != 0)) {
        abort();
    }
    free(text);
    return 0;
}

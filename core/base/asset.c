#include "core/base/asset.h"

#include <string.h>

const struct asset *asset_find(const char *name) {
    size_t count;
    const struct asset *table = asset_table(&count);
    for (size_t i = 0; i < count; i++) {
        if (strcmp(table[i].name, name) == 0) {
            return &table[i];
        }
    }
    return NULL;
}

/* asset.h -- files that travel inside the program (cmake/embed.cmake): migrations, OpenAPI, prices, the
 * dashboard. */
#pragma once

#include <stddef.h>

struct asset {
    const char *name; /* "db/migrations/001_first.sql", "web/index.html" */
    const char *data; /* followed by a NUL that is not counted */
    size_t size;
};

/* All assets, in the order of the build (generated). */
const struct asset *asset_table(size_t *count);

/* The asset of that name, or NULL. */
const struct asset *asset_find(const char *name);

/* table.h -- rows of text cells printed as an aligned table, Markdown or CSV. */
#pragma once

#include <stddef.h>
#include <stdio.h>

#include "core/base/err.h"

enum output { OUTPUT_TABLE, OUTPUT_JSON, OUTPUT_CSV, OUTPUT_MD };

/* "table", "json", "csv" or "md"; RC_USAGE names the valid ones. */
MUST_USE enum rc output_parse(const char *text, enum output *ret, struct err *err);

struct table;

/* `headers` has `columns` entries (at most 16); a header that begins with '>' makes its column right-aligned
 * and is shown without the '>'. NULL when out of memory. */
struct table *table_new(const char *const *headers, size_t columns);
void table_free(struct table *t); /* NULL is fine */

/* Adds one row of `columns` cells; the texts are copied, NULL is an empty cell. */
MUST_USE enum rc table_add(struct table *t, const char *const *cells, struct err *err);
size_t table_rows(const struct table *t);

/* `output` is OUTPUT_TABLE, OUTPUT_CSV or OUTPUT_MD. */
void table_print(const struct table *t, enum output output, FILE *out);

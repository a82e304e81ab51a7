/* table.h -- rows of text cells printed as an aligned table, Markdown or CSV. */
#pragma once

#include <stddef.h>
#include <stdio.h>

#include "core/base/err.h"

enum output { OUTPUT_TABLE, OUTPUT_JSON, OUTPUT_CSV, OUTPUT_MD };

/* "table", "json", "csv" or "md"; RC_USAGE names the valid ones. */
MUST_USE enum rc output_parse(const char *text, enum output *ret, struct err *err);

struct table;

/* `headers` has `columns` entries (at most 16). A header that begins with '>' makes its column right-aligned;
 * one that begins with '~' (or ">~") is left out where a terminal is too narrow. The marks are not shown.
 * NULL when out of memory. */
struct table *table_new(const char *const *headers, size_t columns);
void table_free(struct table *t); /* NULL is fine */

/* Adds one row of `columns` cells; the texts are copied, NULL is an empty cell. */
MUST_USE enum rc table_add(struct table *t, const char *const *cells, struct err *err);
size_t table_rows(const struct table *t);

/* `output` is OUTPUT_TABLE, OUTPUT_CSV or OUTPUT_MD. A table is fitted to the terminal where `out` is one. */
void table_print(const struct table *t, enum output output, FILE *out);

/* As a table of at most `columns` columns (0 = any): the last column is wrapped, or goes below its row; then
 * those that may be left out are, from the right, and named in a last line. */
void table_print_within(const struct table *t, size_t columns, FILE *out);

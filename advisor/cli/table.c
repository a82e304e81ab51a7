#include "advisor/cli/table.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/nearest.h"

enum { MAX_COLUMNS = 16 };

struct table {
    size_t columns, rows, capacity;
    bool right[MAX_COLUMNS];
    char **cells; /* row after row, the headers first */
};

enum rc output_parse(const char *text, enum output *ret, struct err *err) {
    static const char *const names[] = {"table", "json", "csv", "md", NULL};
    for (int i = 0; names[i]; i++) {
        if (strcmp(text, names[i]) == 0) {
            *ret = (enum output)i;
            return RC_OK;
        }
    }
    const char *near = nearest_name(text, names);
    return err_set(err, RC_USAGE, "--output %.40s: it must be table, json, csv or md%s%s", text,
                   near ? "; did you mean " : "", near ? near : "");
}

struct table *table_new(const char *const *headers, size_t columns) {
    assert(columns > 0 && columns <= MAX_COLUMNS);
    struct table *t = calloc(1, sizeof(*t));
    const char *names[MAX_COLUMNS];
    struct err err;
    if (!t) {
        return NULL;
    }
    t->columns = columns;
    for (size_t i = 0; i < columns; i++) {
        t->right[i] = headers[i][0] == '>';
        names[i] = headers[i] + (t->right[i] ? 1 : 0);
    }
    if (table_add(t, names, &err) != RC_OK) {
        table_free(t);
        return NULL;
    }
    return t;
}

void table_free(struct table *t) {
    if (!t) {
        return;
    }
    for (size_t i = 0; i < t->rows * t->columns; i++) {
        free(t->cells[i]);
    }
    free(t->cells);
    free(t);
}

size_t table_rows(const struct table *t) {
    return t->rows - 1;
}

enum rc table_add(struct table *t, const char *const *cells, struct err *err) {
    if (t->rows == t->capacity) {
        size_t capacity = t->capacity ? 2 * t->capacity : 16;
        char **grown = realloc(t->cells, capacity * t->columns * sizeof(*grown));
        if (!grown) {
            return err_memory(err);
        }
        t->cells = grown;
        t->capacity = capacity;
    }
    char **row = t->cells + t->rows * t->columns;
    for (size_t i = 0; i < t->columns; i++) {
        row[i] = strdup(cells[i] ? cells[i] : "");
        if (!row[i]) {
            while (i > 0) {
                free(row[--i]);
            }
            return err_memory(err);
        }
    }
    t->rows++;
    return RC_OK;
}

/* Code points of UTF-8 text: what a terminal shows as columns for the texts used here. */
static size_t shown_width(const char *text) {
    size_t n = 0;
    for (; *text; text++) {
        n += ((unsigned char)*text & 0xc0) != 0x80;
    }
    return n;
}

static const char *cell(const struct table *t, size_t row, size_t column) {
    return t->cells[row * t->columns + column];
}

static void print_padded(const char *text, size_t width, bool right, FILE *out) {
    int fill = (int)(width - shown_width(text));
    if (right) {
        fprintf(out, "%*s%s", fill, "", text);
    } else {
        fprintf(out, "%s%*s", text, fill, "");
    }
}

static void print_aligned(const struct table *t, FILE *out) {
    size_t width[MAX_COLUMNS] = {0};
    for (size_t i = 0; i < t->rows * t->columns; i++) {
        size_t w = shown_width(t->cells[i]);
        width[i % t->columns] = w > width[i % t->columns] ? w : width[i % t->columns];
    }
    for (size_t r = 0; r < t->rows; r++) {
        for (size_t c = 0; c < t->columns; c++) {
            bool last = c + 1 == t->columns;
            if (last && !t->right[c]) {
                fputs(cell(t, r, c), out);
            } else {
                print_padded(cell(t, r, c), width[c], t->right[c], out);
            }
            fputs(last ? "\n" : "  ", out);
        }
    }
}

static void print_md(const struct table *t, FILE *out) {
    for (size_t r = 0; r < t->rows; r++) {
        for (size_t c = 0; c < t->columns; c++) {
            fputs(c == 0 ? "| " : " | ", out);
            for (const char *p = cell(t, r, c); *p; p++) {
                if (*p == '|') {
                    fputc('\\', out);
                }
                fputc(*p, out);
            }
        }
        fputs(" |\n", out);
        for (size_t c = 0; r == 0 && c < t->columns; c++) {
            fputs(t->right[c] ? "|--:" : "|---", out);
        }
        fputs(r == 0 ? "|\n" : "", out);
    }
}

static void print_csv(const struct table *t, FILE *out) {
    for (size_t r = 0; r < t->rows; r++) {
        for (size_t c = 0; c < t->columns; c++) {
            const char *text = cell(t, r, c);
            bool quote = strpbrk(text, ",\"\n") != NULL;
            fputs(c == 0 ? "" : ",", out);
            fputs(quote ? "\"" : "", out);
            for (const char *p = text; *p; p++) {
                if (*p == '"') {
                    fputc('"', out);
                }
                fputc(*p, out);
            }
            fputs(quote ? "\"" : "", out);
        }
        fputs("\r\n", out); /* RFC 4180 */
    }
}

void table_print(const struct table *t, enum output output, FILE *out) {
    if (output == OUTPUT_MD) {
        print_md(t, out);
    } else if (output == OUTPUT_CSV) {
        print_csv(t, out);
    } else {
        print_aligned(t, out);
    }
}

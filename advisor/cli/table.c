#include "advisor/cli/table.h"

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "advisor/cli/terminal.h"
#include "core/base/nearest.h"

enum { MAX_COLUMNS = 32, GAP = 2, WRAP_AT_LEAST = 30, BELOW_INDENT = 4, LINES_MAX = 3 };

struct table {
    size_t columns, rows, capacity;
    bool right[MAX_COLUMNS], optional[MAX_COLUMNS];
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
    struct table *t = columns <= MAX_COLUMNS ? calloc(1, sizeof(*t)) : NULL;
    const char *names[MAX_COLUMNS];
    struct err err;
    if (!t) {
        return NULL;
    }
    t->columns = columns;
    for (size_t i = 0; i < columns; i++) {
        t->right[i] = headers[i][0] == '>';
        names[i] = headers[i] + (t->right[i] ? 1 : 0);
        t->optional[i] = names[i][0] == '~';
        names[i] += t->optional[i] ? 1 : 0;
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

/* How a table is laid out: which columns are shown, how wide, and where the last one goes. */
struct layout {
    size_t width[MAX_COLUMNS];
    bool hidden[MAX_COLUMNS];
    size_t before; /* columns on the terminal in front of the last column of the table */
    size_t last;   /* columns for each line of the last column */
    bool below;    /* the last column has lines of its own */
};

static size_t width_before_last(const struct table *t, const struct layout *l) {
    size_t sum = 0;
    for (size_t c = 0; c + 1 < t->columns; c++) {
        sum += l->hidden[c] ? 0 : l->width[c] + GAP;
    }
    return sum;
}

static struct layout layout_of(const struct table *t, size_t columns) {
    struct layout l = {.last = SIZE_MAX};
    for (size_t i = 0; i < t->rows * t->columns; i++) {
        size_t w = shown_width(t->cells[i]), *width = &l.width[i % t->columns];
        *width = w > *width ? w : *width;
    }
    l.before = width_before_last(t, &l);
    size_t last = l.width[t->columns - 1];
    if (columns == 0 || l.before + last <= columns) {
        return l;
    }
    size_t beside = columns > l.before ? columns - l.before : 0;
    if (!t->right[t->columns - 1] && beside >= WRAP_AT_LEAST && last <= LINES_MAX * beside) {
        l.last = beside;
        return l;
    }
    l.below = !t->right[t->columns - 1];
    l.last = columns > BELOW_INDENT + WRAP_AT_LEAST ? columns - BELOW_INDENT : WRAP_AT_LEAST;
    for (size_t c = t->columns; c > 0 && l.before + (l.below ? 0 : last) > columns + GAP; c--) {
        l.hidden[c - 1] = t->optional[c - 1];
        l.before = width_before_last(t, &l);
    }
    return l;
}

/* The bytes of `text` that fit into `columns`, ended at a blank where there is one. */
static size_t fitting(const char *text, size_t columns) {
    size_t shown = 0, at = 0, blank = 0;
    for (; text[at] && shown < columns; shown++) {
        blank = text[at] == ' ' ? at : blank;
        for (at++; ((unsigned char)text[at] & 0xc0) == 0x80; at++) {
        }
    }
    return text[at] == '\0' || text[at] == ' ' || blank == 0 ? at : blank;
}

/* `text` in lines of at most `columns`; those behind the first begin at `indent`. */
static void print_wrapped(const char *text, size_t columns, size_t indent, FILE *out) {
    for (;;) {
        size_t size = fitting(text, columns);
        fprintf(out, "%.*s\n", (int)size, text);
        text += size;
        text += strspn(text, " ");
        if (!*text) {
            return;
        }
        fprintf(out, "%*s", (int)indent, "");
    }
}

static void print_last(const struct table *t, const struct layout *l, size_t row, FILE *out) {
    const char *text = cell(t, row, t->columns - 1);
    if (t->right[t->columns - 1]) {
        print_padded(text, l->width[t->columns - 1], true, out);
        fputc('\n', out);
    } else if (!l->below) {
        print_wrapped(text, l->last, l->before, out);
    } else {
        fputc('\n', out);
        if (row > 0 && *text) {
            fprintf(out, "%*s", BELOW_INDENT, "");
            print_wrapped(text, l->last, BELOW_INDENT, out);
        }
    }
}

static void print_hidden(const struct table *t, const struct layout *l, FILE *out) {
    const char *before = "(too narrow here for: ";
    for (size_t c = 0; c < t->columns; c++) {
        if (l->hidden[c]) {
            fprintf(out, "%s%s", before, cell(t, 0, c));
            before = ", ";
        }
    }
    fputs(before[0] == ',' ? ")\n" : "", out);
}

void table_print_within(const struct table *t, size_t columns, FILE *out) {
    struct layout l = layout_of(t, columns);
    for (size_t r = 0; r < t->rows; r++) {
        bool first = true;
        for (size_t c = 0; c + 1 < t->columns; c++) {
            if (!l.hidden[c]) {
                fprintf(out, "%*s", first ? 0 : GAP, "");
                print_padded(cell(t, r, c), l.width[c], t->right[c], out);
                first = false;
            }
        }
        fprintf(out, "%*s", first || l.below ? 0 : GAP, "");
        print_last(t, &l, r, out);
    }
    print_hidden(t, &l, out);
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
        table_print_within(t, terminal_columns(out), out);
    }
}

/* Optimal string alignment distance (Damerau 1964; Wagner and Fischer 1974), three rows. */
#include "core/base/nearest.h"

#include <string.h>

enum { MAX_LENGTH = 64 };

static size_t min3(size_t a, size_t b, size_t c) {
    size_t m = a < b ? a : b;
    return m < c ? m : c;
}

size_t nearest_distance(const char *a, const char *b) {
    size_t rows[3][MAX_LENGTH + 1];
    size_t la = strnlen(a, MAX_LENGTH), lb = strnlen(b, MAX_LENGTH);
    for (size_t j = 0; j <= lb; j++) {
        rows[0][j] = j;
    }
    for (size_t i = 1; i <= la; i++) {
        size_t *row = rows[i % 3], *up = rows[(i + 2) % 3], *upup = rows[(i + 1) % 3];
        row[0] = i;
        for (size_t j = 1; j <= lb; j++) {
            row[j] = min3(up[j] + 1, row[j - 1] + 1, up[j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && upup[j - 2] + 1 < row[j]) {
                row[j] = upup[j - 2] + 1;
            }
        }
    }
    return rows[la % 3][lb];
}

const char *nearest_name(const char *name, const char *const *known) {
    const char *best = NULL;
    size_t limit = strnlen(name, MAX_LENGTH) / 3 + 1, least = limit + 1;
    for (size_t i = 0; known[i]; i++) {
        size_t d = nearest_distance(name, known[i]);
        if (d < least) {
            least = d;
            best = known[i];
        }
    }
    return best;
}

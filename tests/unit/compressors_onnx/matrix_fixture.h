/* matrix_fixture.h -- random layers with correlated inputs, and what an error of their weights costs. */
#pragma once

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* -1 .. 1, the same every time. */
static inline double matrix_random(uint32_t *seed) {
    *seed = *seed * 1664525u + 1013904223u;
    return (double)(*seed >> 8) / (double)(1 << 23) - 1.0;
}

static inline void matrix_fill(double *out, size_t count, uint32_t *seed) {
    for (size_t i = 0; i < count; i++) {
        out[i] = matrix_random(seed);
    }
}

/* h [n, n] = the sum over `samples` inputs of x x^T, each input a mixture of its neighbours. */
static inline void matrix_moments(double *h, size_t n, size_t samples, uint32_t *seed) {
    double *x = calloc(n + 1, sizeof(*x));
    memset(h, 0, n * n * sizeof(*h));
    for (size_t s = 0; s < samples; s++) {
        double before = matrix_random(seed);
        for (size_t i = 0; i < n; i++) {
            before = 0.7 * before + matrix_random(seed) * (1 + (double)(i % 3));
            x[i] = before;
        }
        for (size_t i = 0; i < n; i++) {
            for (size_t j = 0; j < n; j++) {
                h[i * n + j] += x[i] * x[j];
            }
        }
    }
    free(x);
}

/* trace((a - b) h (a - b)^T): the error of the outputs on those inputs, the scalar reference. */
static inline double matrix_error(const double *a, const double *b, size_t rows, size_t n, const double *h) {
    double sum = 0;
    for (size_t r = 0; r < rows; r++) {
        for (size_t i = 0; i < n; i++) {
            for (size_t j = 0; j < n; j++) {
                sum += (a[r * n + i] - b[r * n + i]) * h[i * n + j] * (a[r * n + j] - b[r * n + j]);
            }
        }
    }
    return sum;
}

/* Solves a x = b in place by elimination with pivots; a [n, n] and b [n] are overwritten. */
static inline void matrix_solve(double *a, double *b, size_t n) {
    for (size_t k = 0; k < n; k++) {
        size_t p = k;
        for (size_t i = k + 1; i < n; i++) {
            p = fabs(a[i * n + k]) > fabs(a[p * n + k]) ? i : p;
        }
        for (size_t j = 0; j < n; j++) {
            double x = a[k * n + j];
            a[k * n + j] = a[p * n + j];
            a[p * n + j] = x;
        }
        double y = b[k];
        b[k] = b[p];
        b[p] = y;
        for (size_t i = 0; i < n; i++) {
            double f = i == k ? 0 : a[i * n + k] / a[k * n + k];
            for (size_t j = k; j < n && f != 0; j++) {
                a[i * n + j] -= f * a[k * n + j];
            }
            b[i] -= f * b[k];
        }
    }
    for (size_t k = 0; k < n; k++) {
        b[k] /= a[k * n + k];
    }
}

/* The least error of one row w [n] when only the inputs whose bit is set in `kept` may have a weight; the
 * weights go to best [n]. */
static inline double matrix_best_row(const double *w, size_t n, const double *h, uint32_t kept,
                                     double *best) {
    double a[16 * 16], b[16];
    size_t index[16], m = 0;
    for (size_t i = 0; i < n; i++) {
        best[i] = 0;
        if (kept >> i & 1) {
            index[m++] = i;
        }
    }
    for (size_t i = 0; i < m; i++) {
        b[i] = 0;
        for (size_t j = 0; j < n; j++) {
            b[i] += h[index[i] * n + j] * w[j];
        }
        for (size_t j = 0; j < m; j++) {
            a[i * m + j] = h[index[i] * n + index[j]];
        }
    }
    matrix_solve(a, b, m);
    for (size_t i = 0; i < m; i++) {
        best[index[i]] = b[i];
    }
    return matrix_error(w, best, 1, n, h);
}

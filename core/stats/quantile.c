#include "core/stats/quantile.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

static int compare_float(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static int compare_double(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

void quantile_sort(float *values, size_t n) {
    if (n > 1) {
        qsort(values, n, sizeof *values, compare_float);
    }
}

void quantile_sort_double(double *values, size_t n) {
    if (n > 1) {
        qsort(values, n, sizeof *values, compare_double);
    }
}

size_t quantile_rank(size_t n, double q) {
    assert(n > 0 && q > 0 && q <= 1);
    /* n * q is meant exactly: 0.07 * 100 must not become rank 8 because the product is 7.000000000000001 */
    double exact = (double)n * q;
    double rank = ceil(exact * (1 - 1e-12));
    if (rank < 1) {
        return 1;
    }
    return rank > (double)n ? n : (size_t)rank;
}

float quantile_of(const float *sorted, size_t n, double q) {
    return sorted[quantile_rank(n, q) - 1];
}

static void swap(double *a, double *b) {
    double t = *a;
    *a = *b;
    *b = t;
}

double quantile_select(double *values, size_t n, size_t rank) {
    assert(rank >= 1 && rank <= n);
    size_t low = 0, high = n - 1, k = rank - 1;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (values[mid] < values[low]) {
            swap(&values[mid], &values[low]);
        }
        if (values[high] < values[low]) {
            swap(&values[high], &values[low]);
        }
        if (values[high] < values[mid]) {
            swap(&values[high], &values[mid]);
        }
        double pivot = values[mid];
        size_t i = low, j = high;
        while (i <= j) {
            while (values[i] < pivot) {
                i++;
            }
            while (values[j] > pivot) {
                j--;
            }
            if (i <= j) {
                swap(&values[i], &values[j]);
                i++;
                if (j == 0) {
                    break;
                }
                j--;
            }
        }
        /* low..j <= pivot, i..high >= pivot, anything between equals it */
        if (k <= j) {
            high = j;
        } else if (k >= i) {
            low = i;
        } else {
            break;
        }
    }
    return values[k];
}

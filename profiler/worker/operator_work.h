/* operator_work.h -- how many multiplications an operator does, from its shapes. Pure. */
#pragma once

#include <stdbool.h>

/* Elements as they were at run time; 0 where they are not known. */
struct operator_shape {
    const char *op;                             /* as the runtime runs it: "QLinearConv", "FusedMatMul" */
    double first_input, first_output, last_dim; /* elements; of the output's last dimension */
    double weights, weights_first_dim;          /* elements of its largest constant, and that one's dims[0] */
};

/* Multiply-accumulates of one call of a matrix product or a convolution. NAN: an operator that multiplies in
 * a way that is not known here (recurrent ones, attention), or whose shapes are not known. 0: an operator
 * that has no products, such as Add. */
double operator_work_macs(const struct operator_shape *s);

/* A convolution or a matrix product of any width. */
bool operator_work_is_product(const char *op);
/* One that reads rows of a table and leaves the rest: its weights are not bytes that it moves. */
bool operator_work_is_lookup(const char *op);

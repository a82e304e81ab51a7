/* terminal.h -- how wide a terminal is. */
#pragma once

#include <stdio.h>

/* Columns of the terminal that `out` writes to; 0 when it is none (a file, a pipe, memory). */
size_t terminal_columns(FILE *out);

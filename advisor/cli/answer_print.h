/* answer_print.h -- a recommendation as a person reads it: the sentence, the table of configurations, why
 * each was not chosen. */
#pragma once

#include <jansson.h>
#include <stdio.h>

#include "advisor/cli/table.h"

/* `answer` is the JSON of DESIGN section 8 (POST /v1/recommendations). OUTPUT_JSON prints it as it came. */
MUST_USE enum rc answer_print(const json_t *answer, enum output output, FILE *out, struct err *err);

/* The exit code of an answer: 0 ok, 1 nothing qualifies, 3 undecided. */
int answer_exit_code(const json_t *answer);

enum { FIGURE_SIZE = 48 };
/* "741 kB", "2.8 MB" */
void figure_bytes(double bytes, char text[FIGURE_SIZE]);
/* "0.44 ms", "12 us" */
void figure_us(double us, char text[FIGURE_SIZE]);

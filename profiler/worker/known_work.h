/* known_work.h -- work whose counts are known beforehand, to try hardware counters on. */
#pragma once

#include <stdint.h>

/* Instructions that known_work_loop executes, give or take the few around it. 0: not known on this
 * architecture. */
uint64_t known_work_instructions(void);
void known_work_loop(void);

/* Makes everything else happen that is counted: misses in every cache, branches nobody can predict, waiting
 * for memory, vector arithmetic. The value keeps the compiler from leaving it out. */
uint64_t known_work_mixture(void);

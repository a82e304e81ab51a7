/* known_work.c -- see known_work.h. */
#include "profiler/worker/known_work.h"

#include <stddef.h>
#include <stdlib.h>

enum { LOOP_ROUNDS = 10 * 1000 * 1000, MEMORY_BYTES = 4 << 20, LINE_BYTES = 64, STEPS = 100 * 1000 };

#if defined(__x86_64__)
uint64_t known_work_instructions(void) {
    return 2 * (uint64_t)LOOP_ROUNDS;
}

void known_work_loop(void) {
    uint64_t rounds = LOOP_ROUNDS;
    __asm__ volatile("1: sub $1, %0\n\tjnz 1b" : "+r"(rounds) : : "cc");
}

static void flush_line(const char *line) {
    __asm__ volatile("clflush %0" : : "m"(*line) : "memory");
}
#elif defined(__aarch64__)
uint64_t known_work_instructions(void) {
    return 2 * (uint64_t)LOOP_ROUNDS;
}

void known_work_loop(void) {
    uint64_t rounds = LOOP_ROUNDS;
    __asm__ volatile("1: subs %0, %0, #1\n\tb.ne 1b" : "+r"(rounds) : : "cc");
}

static void flush_line(const char *line) {
    __asm__ volatile("dc civac, %0" : : "r"(line) : "memory");
}
#else
uint64_t known_work_instructions(void) {
    return 0;
}

void known_work_loop(void) {
    for (volatile uint32_t i = 0; i < LOOP_ROUNDS; i++) {
    }
}

static void flush_line(const char *line) {
    (void)line;
}
#endif

uint64_t known_work_mixture(void) {
    typedef float lanes __attribute__((vector_size(16)));
    size_t words = MEMORY_BYTES / sizeof(uint64_t);
    uint64_t *memory = calloc(words, sizeof(uint64_t));
    uint64_t state = 88172645463325252u;
    lanes sum = {1, 2, 3, 4};
    if (!memory) {
        return 0;
    }
    for (size_t i = 0; i < MEMORY_BYTES; i += LINE_BYTES) {
        ((volatile char *)memory)[i] = (char)i;
        flush_line((const char *)memory + i);
    }
    for (size_t i = 0; i < STEPS; i++) {
        state ^= state << 13; /* xorshift64 (Marsaglia 2003) */
        state ^= state >> 7;
        state ^= state << 17;
        state += memory[state % words]; /* the next address waits for this one */
        if (state & 1) {
            __asm__ volatile("" : "+r"(state) : : "memory"); /* stays a branch */
            sum *= sum;
        }
    }
    free(memory);
    return state + (uint64_t)(sum[0] > 1);
}

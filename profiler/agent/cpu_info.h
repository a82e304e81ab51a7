/* cpu_info.h -- what /proc/cpuinfo says about the first processor. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum { CPU_INFO_TEXT = 128, CPU_INFO_MAX_ISA = 24 };

struct cpu_info {
    char model[CPU_INFO_TEXT];         /* "AMD EPYC"; on ARM "implementer 0x41 part 0xd0c" */
    char vendor[CPU_INFO_TEXT];        /* "AuthenticAMD"; on ARM the implementer */
    const char *isa[CPU_INFO_MAX_ISA]; /* those that matter to inference, in the order of the table in
                                          cpu_info.c; static */
    size_t isa_count;
    bool hypervisor; /* the flag that x86 guests see */
};

/* Reads the text of /proc/cpuinfo (x86, ARM). What is missing stays empty. */
void cpu_info_parse(const char *text, struct cpu_info *ret);

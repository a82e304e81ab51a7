/* loaded.h -- the shared libraries that this process has loaded. */
#pragma once

/* Prints their paths, one a line, on standard output: what a copy of this program needs elsewhere (`pare
 * bundle`). The loader and the C library, which every machine has, are left out. */
void loaded_print(void);

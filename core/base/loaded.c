/* loaded.c -- see loaded.h. */
#include "core/base/loaded.h"

#include <link.h>
#include <stdio.h>
#include <string.h>

#include "core/base/container.h"
#include "core/base/file.h"

/* What a machine has: parts of glibc, which must fit each other, and what the kernel provides. */
static const char *const THERE[] = {"ld-linux", "libc.so",    "libm.so",      "libpthread.so", "libdl.so",
                                    "librt.so", "libutil.so", "libresolv.so", "linux-vdso"};

static int print_one(struct dl_phdr_info *info, size_t size, void *user) {
    (void)size;
    (void)user;
    const char *name = file_base_name(info->dlpi_name);
    for (size_t i = 0; i < ARRAY_SIZE(THERE); i++) {
        if (name[0] == '\0' || strncmp(name, THERE[i], strlen(THERE[i])) == 0) {
            return 0;
        }
    }
    puts(info->dlpi_name);
    return 0;
}

void loaded_print(void) {
    dl_iterate_phdr(print_one, NULL);
}

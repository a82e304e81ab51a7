/* single_thread.c -- see single_thread.h. OpenBLAS reads OPENBLAS_NUM_THREADS when it is loaded; its pool can
 * grow later (openblas_set_num_threads). */
#include "profiler/worker/single_thread.h"

#include <dirent.h>
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

static const char MARK[] = "PARE_WORKER_RESTARTED";

static size_t count_threads(void) {
    size_t count = 0;
    DIR *tasks = opendir("/proc/self/task");
    for (struct dirent *entry; tasks && (entry = readdir(tasks));) {
        count += entry->d_name[0] != '.';
    }
    if (tasks) {
        closedir(tasks);
    }
    return count;
}

void single_thread_ensure(char **argv) {
    if (count_threads() <= 1 || getenv(MARK)) {
        return;
    }
    if (setenv(MARK, "1", 1) == 0 && setenv("OPENBLAS_NUM_THREADS", "1", 1) == 0) {
        execv("/proc/self/exe", argv);
    }
}

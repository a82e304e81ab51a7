/* memory.c -- see memory.h. */
#include "profiler/worker/memory.h"

#include <fcntl.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/file.h"

int memory_open_reset(void) {
    return open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);
}

enum rc memory_status_bytes(const char *text, const char *key, uint64_t *ret, struct err *err) {
    const char *found = strstr(text, key);
    char *end = NULL;
    unsigned long long kib = found ? strtoull(found + strlen(key), &end, 10) : 0;
    if (!found || end == found + strlen(key) || kib > UINT64_MAX / 1024) {
        return err_set(err, RC_INTERNAL, "/proc/self/status has no %s", key);
    }
    *ret = kib * 1024;
    return RC_OK;
}

static enum rc status_bytes(const char *key, uint64_t *ret, struct err *err) {
    char *text = NULL;
    size_t size = 0;
    enum rc rc = file_read_kernel("/proc/self/status", 1 << 16, &text, &size, err);
    if (rc == RC_OK) {
        rc = memory_status_bytes(text, key, ret, err);
        free(text);
    }
    return rc;
}

enum rc memory_begin(int reset_fd, struct memory_mark *ret, struct err *err) {
    malloc_trim(0);
    ret->reset = reset_fd >= 0 && pwrite(reset_fd, "5", 1, 0) == 1;
    return status_bytes("VmRSS:", &ret->base_bytes, err);
}

enum rc memory_peak(const struct memory_mark *mark, uint64_t *ret, struct err *err) {
    uint64_t peak = 0;
    enum rc rc = status_bytes(mark->reset ? "VmHWM:" : "VmRSS:", &peak, err);
    if (rc == RC_OK) {
        *ret = peak > mark->base_bytes ? peak - mark->base_bytes : 0;
    }
    return rc;
}

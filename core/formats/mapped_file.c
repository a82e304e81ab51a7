#include "core/formats/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/file.h"

static enum rc map(int fd, const char *path, struct mapped_file *ret, struct err *err) {
    struct stat st;
    if (fstat(fd, &st) != 0) {
        return file_error(path, err);
    }
    if (!S_ISREG(st.st_mode)) {
        return err_set(err, RC_INPUT, "%s is not a regular file", path);
    }
    if (st.st_size == 0) {
        *ret = (struct mapped_file){(const uint8_t *)"", 0};
        return RC_OK;
    }
    void *data = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (data == MAP_FAILED) {
        return file_error(path, err);
    }
    *ret = (struct mapped_file){data, (size_t)st.st_size};
    return RC_OK;
}

enum rc mapped_file_open(const char *path, struct mapped_file *ret, struct err *err) {
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO must not block; it is refused by map */
    if (fd < 0) {
        return file_error(path, err);
    }
    enum rc rc = map(fd, path, ret, err);
    close(fd);
    return rc;
}

void mapped_file_close(struct mapped_file *m) {
    if (m->size > 0) {
        munmap((void *)m->data, m->size);
    }
    *m = (struct mapped_file){0};
}

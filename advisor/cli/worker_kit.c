/* worker_kit.c -- see worker_kit.h. This machine's programs are asked which libraries they loaded; libllama's
 * backends, which are loaded only when a model is, lie beside it. */
#include "advisor/cli/worker_kit.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/container.h"
#include "core/base/file.h"

enum { PATH_SIZE = PATH_MAX, NAME_SIZE = 100, LIBRARIES_MAX = 128 };
static const char *const PROGRAMS[] = {"pare-runner", "pare-worker"};

struct kit {
    struct tar_file *tar;
    const char *prefix;
    char added[LIBRARIES_MAX][NAME_SIZE]; /* names of libraries */
    size_t count;
};

/* The folder of this program, with a '/'. */
static enum rc own_folder(char ret[PATH_SIZE], struct err *err) {
    ssize_t n = readlink("/proc/self/exe", ret, PATH_SIZE - 1);
    if (n <= 0) {
        return file_error("/proc/self/exe", err);
    }
    ret[n] = '\0';
    strrchr(ret, '/')[1] = '\0';
    return RC_OK;
}

static enum rc add_library(struct kit *k, const char *path, struct err *err) {
    char name[2 * NAME_SIZE];
    const char *base = file_base_name(path);
    for (size_t i = 0; i < k->count; i++) {
        if (strcmp(k->added[i], base) == 0) {
            return RC_OK;
        }
    }
    if (k->count == LIBRARIES_MAX || strlen(base) >= NAME_SIZE) {
        return err_set(err, RC_TOO_LARGE, "too many libraries, or too long a name: %.100s", base);
    }
    snprintf(k->added[k->count++], NAME_SIZE, "%s", base);
    snprintf(name, sizeof(name), "%s/lib/%s", k->prefix, base);
    return tar_file_add(k->tar, name, 0644, path, err);
}

/* Every file of a folder whose name begins with `start`. */
static enum rc add_libraries_of(struct kit *k, const char *folder, const char *start, struct err *err) {
    enum rc rc = RC_OK;
    DIR *dir = opendir(folder);
    if (!dir) {
        return file_error(folder, err);
    }
    for (struct dirent *entry; rc == RC_OK && (entry = readdir(dir));) {
        char path[PATH_SIZE];
        if (entry->d_name[0] != '.' && strncmp(entry->d_name, start, strlen(start)) == 0) {
            rc = snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name) < PATH_SIZE
                     ? add_library(k, path, err)
                     : err_set(err, RC_INPUT, "the path is too long: %.100s...", folder);
        }
    }
    closedir(dir);
    return rc;
}

static enum rc add_loaded(struct kit *k, char *path, struct err *err) {
    enum rc rc = add_library(k, path, err);
    if (rc == RC_OK && strncmp(file_base_name(path), "libllama.", 9) == 0) {
        *strrchr(path, '/') = '\0';
        rc = add_libraries_of(k, path, "libggml", err);
    }
    return rc;
}

/* A stream of what `program --libraries` prints; the child's id in *pid. */
static FILE *ask_libraries(const char *program, pid_t *pid) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) {
        return NULL;
    }
    *pid = fork();
    if (*pid == 0) {
        dup2(ends[1], STDOUT_FILENO);
        execl(program, program, "--libraries", (char *)NULL);
        _exit(127);
    }
    close(ends[1]);
    FILE *out = *pid > 0 ? fdopen(ends[0], "r") : NULL;
    if (!out) {
        close(ends[0]);
    }
    return out;
}

static enum rc add_libraries(struct kit *k, const char *program, struct err *err) {
    char line[PATH_SIZE];
    pid_t pid = -1;
    int status = -1;
    enum rc rc = RC_OK;
    FILE *out = ask_libraries(program, &pid);
    while (out && rc == RC_OK && fgets(line, sizeof(line), out)) {
        line[strcspn(line, "\n")] = '\0';
        rc = line[0] == '/' ? add_loaded(k, line, err) : RC_OK;
    }
    if (out) {
        fclose(out);
    }
    if (pid <= 0 || waitpid(pid, &status, 0) != pid || (rc == RC_OK && status != 0)) {
        return err_set(err, RC_IO, "%s --libraries did not answer", program);
    }
    return rc;
}

static enum rc add_program(struct kit *k, const char *folder, const char *name, char path[PATH_SIZE],
                           struct err *err) {
    char inside[2 * NAME_SIZE];
    if (snprintf(path, PATH_SIZE, "%s%s", folder, name) >= PATH_SIZE) {
        return err_set(err, RC_INPUT, "the path is too long: %.100s...", folder);
    }
    snprintf(inside, sizeof(inside), "%s/bin/%s", k->prefix, name);
    return tar_file_add(k->tar, inside, 0755, path, err);
}

static enum rc add_own(struct kit *k, struct err *err) {
    char folder[PATH_SIZE], path[PATH_SIZE];
    enum rc rc = own_folder(folder, err);
    for (size_t i = 0; rc == RC_OK && i < ARRAY_SIZE(PROGRAMS); i++) {
        rc = add_program(k, folder, PROGRAMS[i], path, err);
        rc = rc == RC_OK ? add_libraries(k, path, err) : rc;
    }
    return rc;
}

static enum rc add_folder(struct kit *k, const char *arch, const char *folder, struct err *err) {
    char beside[PATH_SIZE], bin[PATH_SIZE], lib[PATH_SIZE], path[PATH_SIZE];
    enum rc rc = RC_OK;
    if (!folder) {
        rc = own_folder(beside, err);
        strncat(beside, "../arm64/kit", sizeof(beside) - strlen(beside) - 1);
        folder = beside;
    }
    if (rc == RC_OK && (snprintf(bin, sizeof(bin), "%s/bin/", folder) >= PATH_SIZE ||
                        snprintf(lib, sizeof(lib), "%s/lib", folder) >= PATH_SIZE)) {
        rc = err_set(err, RC_INPUT, "the path is too long: %.100s...", folder);
    }
    if (rc == RC_OK && access(bin, R_OK) != 0) {
        rc = err_set(err, RC_NOT_FOUND,
                     "there is no pare-worker for %s at %s: make one with scripts/build-arm64.sh, or name "
                     "its folder with --kit",
                     arch, folder);
    }
    for (size_t i = 0; rc == RC_OK && i < ARRAY_SIZE(PROGRAMS); i++) {
        rc = add_program(k, bin, PROGRAMS[i], path, err);
    }
    return rc == RC_OK ? add_libraries_of(k, lib, "lib", err) : rc;
}

enum rc worker_kit_add(struct tar_file *t, const char *prefix, const char *arch, const char *folder,
                       struct err *err) {
    struct utsname machine;
    struct kit *k = calloc(1, sizeof(*k));
    if (!k) {
        return err_memory(err);
    }
    k->tar = t;
    k->prefix = prefix;
    bool own = uname(&machine) == 0 && strcmp(machine.machine, arch) == 0 && !folder;
    enum rc rc = own ? add_own(k, err) : add_folder(k, arch, folder, err);
    free(k);
    return rc;
}

/* sandbox.c -- see sandbox.h. */
#include "profiler/worker/sandbox.h"

#include <errno.h>
#include <link.h>
#include <linux/capability.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifdef PARE_SANITIZED
#include <sanitizer/common_interface_defs.h>
#endif

#include "core/base/container.h"
#include "profiler/worker/namespaces.h"
#include "profiler/worker/syscall_filter.h"

enum { MAX_PATHS = 4096 };

/* What libraries look at while they start: topology, the time zone, random bytes. Not /etc as a whole. */
static const char *const SYSTEM_PATHS[] = {"/proc",
                                           "/sys",
                                           "/dev/urandom",
                                           "/dev/random",
                                           "/etc/localtime",
                                           "/etc/ld.so.cache",
                                           "/etc/ld.so.preload"};

struct path_list {
    struct landlock_path paths[MAX_PATHS];
    char *owned[MAX_PATHS]; /* folders of libraries */
    size_t count, owned_count;
    bool full;
};

static void add(struct path_list *list, const char *path, enum landlock_right right) {
    if (list->count == MAX_PATHS) {
        list->full = true;
        return;
    }
    list->paths[list->count++] = (struct landlock_path){path, right};
}

/* Adds the folder of each library that is loaded: the runtimes load their plugins from there. */
static int on_library(struct dl_phdr_info *info, size_t size, void *user) {
    (void)size;
    struct path_list *list = user;
    const char *slash = info->dlpi_name ? strrchr(info->dlpi_name, '/') : NULL;
    if (!slash || slash == info->dlpi_name || list->owned_count == MAX_PATHS) {
        return 0;
    }
    char *folder = strndup(info->dlpi_name, (size_t)(slash - info->dlpi_name));
    if (!folder) {
        list->full = true;
        return 0;
    }
    list->owned[list->owned_count++] = folder;
    add(list, folder, LANDLOCK_READ);
    return 0;
}

static enum rc confine_files(const struct sandbox_opts *opts, struct sandbox_report *report,
                             struct err *err) {
    struct path_list *list = calloc(1, sizeof(*list));
    if (!list) {
        return err_memory(err);
    }
    for (size_t i = 0; i < ARRAY_SIZE(SYSTEM_PATHS); i++) {
        add(list, SYSTEM_PATHS[i], LANDLOCK_READ);
    }
    add(list, "/dev/null", LANDLOCK_READ_WRITE);
    dl_iterate_phdr(on_library, list);
    for (size_t i = 0; i < opts->input_count; i++) {
        add(list, opts->inputs[i], LANDLOCK_READ);
    }
    if (opts->folder) {
        add(list, opts->folder, LANDLOCK_READ_WRITE);
    }
    enum rc rc = RC_OK;
    if (list->full) {
        rc = err_set(err, RC_TOO_LARGE, "the job has more than %d input files", MAX_PATHS);
    } else if (landlock_confine(list->paths, list->count, report->landlock_why,
                                sizeof(report->landlock_why))) {
        report->landlock = landlock_abi();
    }
    for (size_t i = 0; i < list->owned_count; i++) {
        free(list->owned[i]);
    }
    free(list);
    return rc;
}

/* All capabilities go, those of the new user namespace and, where there is none, a root user's own. */
static enum rc drop_capabilities(struct err *err) {
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {{0}};
    if (syscall(SYS_capset, &header, none) != 0) {
        return err_set(err, RC_INTERNAL, "capabilities cannot be dropped: %s", strerror(errno));
    }
    return RC_OK;
}

/* A sanitizer's report names functions, and its suppressions go by names: it reads the symbols of the loaded
 * files at its first need, which must come before they are out of reach. */
static void read_symbols(void) {
#ifdef PARE_SANITIZED
    char name[64];
    __sanitizer_symbolize_pc((void *)(uintptr_t)read_symbols, "%f", name, sizeof(name));
#endif
}

enum rc sandbox_enter(const struct sandbox_opts *opts, struct sandbox_report *report, struct err *err) {
    read_symbols();
    *report = (struct sandbox_report){0};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
        return err_set(err, RC_INTERNAL, "no_new_privs cannot be set: %s", strerror(errno));
    }
    report->namespaces = namespaces_enter(report->namespaces_why, sizeof(report->namespaces_why));
    enum rc rc = drop_capabilities(err);
    if (rc != RC_OK || (rc = confine_files(opts, report, err)) != RC_OK) {
        return rc;
    }
    if (opts->require && (!report->namespaces || report->landlock == 0)) {
        return err_set(
            err, RC_UNSUPPORTED, "--sandbox=require: this machine does not grant the whole sandbox: %s%s%s",
            report->namespaces_why, report->namespaces_why[0] && report->landlock_why[0] ? "; " : "",
            report->landlock_why);
    }
    if ((rc = resource_limits_apply(&opts->limits, err)) != RC_OK) {
        return rc;
    }
    report->limits = true;
    if ((rc = syscall_filter_apply(err)) != RC_OK) {
        return rc;
    }
    report->seccomp = true;
    return RC_OK;
}

json_t *sandbox_report_json(const struct sandbox_report *report) {
    json_t *missing = json_array();
    if (report->namespaces_why[0]) {
        json_array_append_new(missing, json_sprintf("namespaces: %s", report->namespaces_why));
    }
    if (report->landlock_why[0]) {
        json_array_append_new(missing, json_sprintf("landlock: %s", report->landlock_why));
    }
    return json_pack("{s:b, s:b, s:i, s:b, s:o}", "seccomp", report->seccomp, "limits", report->limits,
                     "landlock", report->landlock, "namespaces", report->namespaces, "missing", missing);
}

/* energy.c -- see energy.h. The files are described in the kernel's Documentation/power/powercap. */
#include "profiler/worker/energy.h"

#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/file.h"

enum { FILE_MAX = 64 };

/* The first line of a file of a domain. */
static enum rc read_line(const char *folder, const char *file, char text[FILE_MAX + 1], struct err *err) {
    char path[ENERGY_PATH_SIZE + 32];
    char *data = NULL;
    size_t size = 0;
    snprintf(path, sizeof(path), "%s/%s", folder, file);
    enum rc rc = file_read_kernel(path, FILE_MAX, &data, &size, err);
    if (rc == RC_OK) {
        snprintf(text, FILE_MAX + 1, "%.*s", (int)strcspn(data, "\n"), data);
        free(data);
    }
    return rc;
}

static enum rc read_uj(const char *folder, const char *file, uint64_t *ret, struct err *err) {
    char text[FILE_MAX + 1];
    char *end;
    enum rc rc = read_line(folder, file, text, err);
    if (rc != RC_OK) {
        return rc;
    }
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (end == text || *end != '\0' || errno != 0 || text[0] == '-') {
        return err_set(err, RC_IO, "%s/%s: \"%.40s\" is not a number", folder, file, text);
    }
    *ret = value;
    return RC_OK;
}

static bool adds_up(const char *entry, const char *name) {
    bool mmio = strncmp(entry, "intel-rapl-mmio", 15) == 0;
    return !mmio && (strncmp(name, "package", 7) == 0 || strcmp(name, "dram") == 0);
}

/* Takes a domain in when it can be read now; otherwise keeps why not, for when none can. */
static void try_domain(const char *root, const char *entry, struct energy_meter *m) {
    struct energy_domain *d = &m->domains[m->count];
    char name[FILE_MAX + 1];
    uint64_t now_uj;
    struct err err;
    int n = snprintf(d->path, sizeof(d->path), "%s/%s", root, entry);
    if (n < 0 || (size_t)n >= sizeof(d->path) || read_line(d->path, "name", name, &err) != RC_OK ||
        !adds_up(entry, name)) {
        return;
    }
    snprintf(d->name, sizeof(d->name), "%.31s", name);
    if (read_uj(d->path, "max_energy_range_uj", &d->range_uj, &err) == RC_OK &&
        read_uj(d->path, "energy_uj", &now_uj, &err) == RC_OK) {
        m->count++;
    } else {
        snprintf(m->reason, sizeof(m->reason), "the powercap domain %s cannot be read (%.150s)", d->name,
                 err.text);
    }
}

void energy_open(const char *root, struct energy_meter *ret) {
    *ret = (struct energy_meter){0};
    struct dirent **entries = NULL;
    int n = scandir(root, &entries, NULL, alphasort);
    for (int i = 0; i < n; i++) {
        if (ret->count < ENERGY_DOMAINS_MAX && entries[i]->d_name[0] != '.') {
            try_domain(root, entries[i]->d_name, ret);
        }
        free(entries[i]);
    }
    free(entries);
    if (ret->count > 0) {
        ret->reason[0] = '\0';
    } else if (ret->reason[0] == '\0') {
        snprintf(ret->reason, sizeof(ret->reason), "no powercap domain here (%s)",
                 n < 0 ? "this kernel or machine shows none" : "none measures a package");
    }
}

enum rc energy_read(const struct energy_meter *m, struct energy_reading *ret, struct err *err) {
    if (m->count == 0) {
        return err_set(err, RC_UNSUPPORTED, "%s", m->reason);
    }
    for (size_t i = 0; i < m->count; i++) {
        enum rc rc = read_uj(m->domains[i].path, "energy_uj", &ret->uj[i], err);
        if (rc != RC_OK) {
            return rc;
        }
    }
    ret->at_ns = clock_mono_ns();
    return RC_OK;
}

double energy_between_j(const struct energy_meter *m, const struct energy_reading *before,
                        const struct energy_reading *after) {
    double joules = 0;
    for (size_t i = 0; i < m->count; i++) {
        uint64_t from = before->uj[i];
        uint64_t to = after->uj[i];
        uint64_t uj = to >= from                       ? to - from
                      : m->domains[i].range_uj >= from ? m->domains[i].range_uj - from + to
                                                       : 0;
        joules += (double)uj / 1e6;
    }
    return joules;
}

static json_t *names_json(const struct energy_meter *m) {
    json_t *list = json_array();
    for (size_t i = 0; i < m->count; i++) {
        json_array_append_new(list, json_string(m->domains[i].name));
    }
    return list;
}

json_t *energy_json(const struct energy_meter *m, const struct energy_use *use) {
    if (m->count == 0) {
        return json_pack("{s:b, s:s}", "available", 0, "reason", m->reason);
    }
    if (!(use->seconds > 0) || !(use->inferences > 0)) {
        return json_pack("{s:b, s:s}", "available", 0, "reason",
                         "the counters could not be read while it ran");
    }
    double above_j = use->joules - use->idle_w * use->seconds; /* NAN without idle */
    json_t *object = json_pack("{s:b, s:o, s:f, s:f, s:f, s:f, s:s}", "available", 1, "domains",
                               names_json(m), "joules", use->joules, "seconds", use->seconds, "inferences",
                               use->inferences, "per_inference_total_j", use->joules / use->inferences,
                               "note", "whole packages and their memory, with whatever else ran on them");
    if (object) {
        json_object_set_new(object, "idle_w", isfinite(use->idle_w) ? json_real(use->idle_w) : json_null());
        json_object_set_new(object, "per_inference_j",
                            isfinite(above_j) ? json_real(above_j / use->inferences) : json_null());
    }
    return object;
}

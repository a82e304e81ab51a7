/* machine_type.c -- see machine_type.h. */
#include "profiler/agent/machine_type.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/json.h"

enum { MAX_COUNT = 1 << 20, MAX_ISA = 64 };
static const int64_t MAX_BYTES = (int64_t)1 << 50;
static const int64_t GIB = (int64_t)1 << 30;

static int compare_text(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The instruction sets as a sorted array, so that their order does not matter. */
static enum rc sorted_isa(const json_t *cpu, json_t **ret, struct err *err) {
    json_t *isa = NULL;
    enum rc rc = json_get_array(cpu, "isa", &isa, err);
    if (rc != RC_OK) {
        return rc;
    }
    const char *names[MAX_ISA];
    size_t count = json_array_size(isa);
    if (count > MAX_ISA) {
        return err_set(err, RC_INPUT, "field \"isa\": more than %d instruction sets", MAX_ISA);
    }
    for (size_t i = 0; i < count; i++) {
        names[i] = json_string_value(json_array_get(isa, i));
        if (!names[i]) {
            return err_set(err, RC_INPUT, "field \"isa\": entry %zu is not a text", i);
        }
    }
    qsort(names, count, sizeof(names[0]), compare_text);
    json_t *sorted = json_array();
    for (size_t i = 0; i < count; i++) {
        if (json_array_append_new(sorted, json_string(names[i])) != 0) {
            json_decref(sorted);
            return err_memory(err);
        }
    }
    *ret = sorted;
    return RC_OK;
}

/* Copies an optional integer of `from` (0 when absent) into the identity. */
static enum rc copy_int(json_t *identity, const json_t *from, const char *key, int64_t max, struct err *err) {
    int64_t value = 0;
    enum rc rc = json_opt_int(from, key, 0, max, &value, err);
    if (rc != RC_OK) {
        return rc;
    }
    return json_object_set_new(identity, key, json_integer(value)) == 0 ? RC_OK : err_memory(err);
}

static enum rc copy_text(json_t *identity, const json_t *from, const char *key, const char **value,
                         struct err *err) {
    const char *text = "";
    enum rc rc = json_opt_string(from, key, &text, err);
    if (rc != RC_OK) {
        return rc;
    }
    if (value) {
        *value = text;
    }
    return json_object_set_new(identity, key, json_string(text)) == 0 ? RC_OK : err_memory(err);
}

static enum rc fill(json_t *identity, const json_t *fingerprint, struct machine_type *ret, struct err *err) {
    json_t *cpu = NULL;
    json_t *isa = NULL;
    const char *model = "";
    const char *vendor = "";
    int64_t cores = 0;
    int64_t memory = 0;
    enum rc rc = json_get_object(fingerprint, "cpu", &cpu, err);
    if (rc != RC_OK || (rc = json_get_string(cpu, "model", &model, err)) != RC_OK ||
        (rc = json_get_int(cpu, "cores", 1, MAX_COUNT, &cores, err)) != RC_OK ||
        (rc = json_get_int(fingerprint, "memory_bytes", 1, MAX_BYTES, &memory, err)) != RC_OK ||
        (rc = sorted_isa(cpu, &isa, err)) != RC_OK) {
        return rc;
    }
    int64_t gib = (memory + GIB / 2) / GIB;
    if (json_object_set_new(identity, "isa", isa) != 0 ||
        json_object_set_new(identity, "memory_gib", json_integer(gib)) != 0) {
        return err_memory(err);
    }
    if ((rc = copy_text(identity, cpu, "model", NULL, err)) != RC_OK ||
        (rc = copy_text(identity, cpu, "vendor", &vendor, err)) != RC_OK ||
        (rc = copy_int(identity, cpu, "cores", MAX_COUNT, err)) != RC_OK ||
        (rc = copy_int(identity, cpu, "threads", MAX_COUNT, err)) != RC_OK ||
        (rc = copy_int(identity, cpu, "l1d_bytes", MAX_BYTES, err)) != RC_OK ||
        (rc = copy_int(identity, cpu, "l2_bytes", MAX_BYTES, err)) != RC_OK ||
        (rc = copy_int(identity, cpu, "l3_bytes", MAX_BYTES, err)) != RC_OK ||
        (rc = copy_text(identity, fingerprint, "virtual", NULL, err)) != RC_OK ||
        (rc = copy_text(identity, fingerprint, "arch", NULL, err)) != RC_OK) {
        return rc;
    }
    snprintf(ret->name, sizeof(ret->name), "%.100s, %lld %s, %lld GiB", model, (long long)cores,
             cores == 1 ? "core" : "cores", (long long)gib);
    return RC_OK;
}

enum rc machine_type_of(const json_t *fingerprint, struct machine_type *ret, struct err *err) {
    json_t *identity = json_object();
    char *text = NULL;
    enum rc rc = identity ? fill(identity, fingerprint, ret, err) : err_memory(err);
    if (rc != RC_OK) {
        goto out;
    }
    text = json_text(identity);
    if (!text) {
        rc = err_memory(err);
        goto out;
    }
    ident_content("mt", text, strlen(text), ret->id);

out:
    free(text);
    json_decref(identity);
    return rc;
}

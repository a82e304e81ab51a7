/* bundle.c -- `pare bundle`: a study's work as one archive for a machine that cannot reach the service. The
 * archive holds pare-runner and pare-worker with their libraries, the variants and data by content, and
 * bundle.json with the jobs and the key that signs their results: whoever has the archive can sign results,
 * so it is written for its owner alone. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "advisor/cli/client_options.h"
#include "advisor/cli/tar_file.h"
#include "advisor/cli/verbs.h"
#include "advisor/cli/worker_kit.h"
#include "core/base/file.h"
#include "core/base/ident.h"
#include "core/base/json.h"
#include "core/base/sha256.h"

static const char PREFIX[] = "pare-bundle";
static const char RUN[] = "#!/bin/sh\n"
                          "# Runs the jobs of this bundle and writes results.pare beside this file.\n"
                          "cd \"$(dirname \"$0\")\" || exit 4\n"
                          "LD_LIBRARY_PATH=\"$PWD/lib\" exec bin/pare-runner \"$@\" .\n";

struct bundle_options {
    struct client_options client;
    const char *file, *arch, *kit;
    int64_t min_samples, time_limit_s, counted_runs;
    struct option_list batches;
    bool no_roofline;
};

static enum rc request_body(const struct bundle_options *o, json_t **ret, struct err *err) {
    json_t *body = json_pack("{s:b}", "roofline", (int)!o->no_roofline);
    json_t *batches = json_array();
    for (size_t i = 0; i < o->batches.count; i++) {
        char *end;
        long long n = strtoll(o->batches.items[i], &end, 10);
        if (*end != '\0' || n < 1) {
            json_decref(body);
            json_decref(batches);
            return err_set(err, RC_USAGE, "--batch needs a number, not \"%.40s\"", o->batches.items[i]);
        }
        json_array_append_new(batches, json_integer(n));
    }
    if (o->batches.count > 0) {
        json_object_set(body, "batches", batches);
    }
    json_decref(batches);
    const struct {
        const char *key;
        int64_t value;
    } numbers[] = {{"min_samples", o->min_samples},
                   {"time_limit_s", o->time_limit_s},
                   {"counted_runs", o->counted_runs}};
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        if (numbers[i].value > 0) {
            json_object_set_new(body, numbers[i].key, json_integer(numbers[i].value));
        }
    }
    *ret = body;
    return body ? RC_OK : err_memory(err);
}

/* The hashes of all files that the jobs name, as keys of `ret`. */
static void collect_hashes(const json_t *value, json_t *ret) {
    const char *sha256 = json_string_value(json_object_get(value, "sha256"));
    const char *key;
    json_t *child;
    size_t i;
    if (sha256 && sha256_is_hex(sha256)) {
        json_object_set_new(ret, sha256, json_true());
    }
    json_object_foreach((json_t *)(uintptr_t)value, key, child) {
        collect_hashes(child, ret);
    }
    json_array_foreach(value, i, child) {
        collect_hashes(child, ret);
    }
}

static enum rc add_blob(struct client *c, struct tar_file *t, const char *sha256, const char *temporary,
                        struct err *err) {
    char path[128], name[128], hex[SHA256_HEX_SIZE];
    size_t bytes = 0;
    snprintf(path, sizeof(path), "/v1/blobs/%s", sha256);
    snprintf(name, sizeof(name), "%s/blobs/%s", PREFIX, sha256);
    enum rc rc = http_client_download(c->http, path, temporary, err);
    if (rc == RC_OK && (rc = sha256_of_file(temporary, hex, &bytes, err)) == RC_OK &&
        strcmp(hex, sha256) != 0) {
        rc = err_set(err, RC_IO, "the service sent another file than %s", sha256);
    }
    if (rc == RC_OK) {
        rc = tar_file_add(t, name, 0644, temporary, err);
    }
    unlink(temporary);
    return rc;
}

static enum rc add_blobs(struct client *c, struct tar_file *t, const json_t *bundle, const char *file,
                         struct err *err) {
    char temporary[4096];
    json_t *hashes = json_object();
    enum rc rc = hashes ? RC_OK : err_memory(err);
    collect_hashes(json_object_get(bundle, "jobs"), hashes);
    if (rc == RC_OK && snprintf(temporary, sizeof(temporary), "%s.blob", file) >= (int)sizeof(temporary)) {
        rc = err_set(err, RC_INPUT, "the path is too long: %.100s...", file);
    }
    for (void *it = json_object_iter(hashes); rc == RC_OK && it; it = json_object_iter_next(hashes, it)) {
        rc = add_blob(c, t, json_object_iter_key(it), temporary, err);
    }
    json_decref(hashes);
    return rc;
}

static enum rc write_archive(const struct bundle_options *o, struct client *c, const char *arch,
                             const json_t *bundle, struct err *err) {
    struct tar_file *t = NULL;
    char *text = json_text(bundle);
    umask(077);
    enum rc rc = text ? tar_file_open(o->file, &t, err) : err_memory(err);
    if (rc == RC_OK && (rc = tar_file_add_text(t, "pare-bundle/run.sh", 0755, RUN, err)) == RC_OK &&
        (rc = tar_file_add_text(t, "pare-bundle/bundle.json", 0600, text, err)) == RC_OK &&
        (rc = worker_kit_add(t, PREFIX, arch, o->kit, err)) == RC_OK &&
        (rc = add_blobs(c, t, bundle, o->file, err)) == RC_OK) {
        rc = tar_file_close(t, err);
    } else if (rc != RC_OK) {
        tar_file_abandon(t);
    }
    free(text);
    return rc;
}

/* "arm64" is what Debian calls aarch64, "amd64" x86_64. */
static const char *kernel_arch(const char *arch) {
    return strcmp(arch, "arm64") == 0 ? "aarch64" : strcmp(arch, "amd64") == 0 ? "x86_64" : arch;
}

static enum rc make_bundle(const struct bundle_options *o, struct client *c, const char *what,
                           struct err *err) {
    char path[128];
    struct utsname machine;
    json_t *study = NULL, *body = NULL, *bundle = NULL;
    enum rc rc = uname(&machine) == 0 ? client_find_study(c, what, &study, err) : RC_INTERNAL;
    if (rc == RC_OK && (rc = request_body(o, &body, err)) == RC_OK) {
        snprintf(path, sizeof(path), "/v1/studies/%s/bundles", json_shown_text(study, "id"));
        rc = client_post(c, path, body, &bundle, err);
    }
    if (rc == RC_OK &&
        (rc = write_archive(o, c, o->arch ? kernel_arch(o->arch) : machine.machine, bundle, err)) == RC_OK) {
        printf("%s: bundle %s with %zu jobs. On the other machine: tar -xf %s && %s/run.sh, then bring "
               "%s/results.pare back for\n"
               "pare import. The archive holds the key that signs its results: keep it as you would keep a "
               "password.\n",
               o->file, json_shown_text(bundle, "bundle"), json_array_size(json_object_get(bundle, "jobs")),
               file_base_name(o->file), PREFIX, PREFIX);
    }
    json_decref(study);
    json_decref(body);
    json_decref(bundle);
    return rc;
}

int verb_bundle(int argc, char **argv) {
    struct bundle_options o = {.file = "pare-bundle.tar"};
    struct option_list operands = {0};
    const struct option_spec specs[] = {
        {.name = "file",
         .kind = OPTION_TEXT,
         .argument = "FILE",
         .value = &o.file,
         .help = "the archive (default pare-bundle.tar)"},
        {.name = "arch",
         .kind = OPTION_TEXT,
         .argument = "ARCH",
         .value = &o.arch,
         .help = "of the other machine: amd64 or arm64 (default: this machine's)"},
        {.name = "kit",
         .kind = OPTION_TEXT,
         .argument = "FOLDER",
         .env = "PARE_KIT",
         .value = &o.kit,
         .help = "pare-runner, pare-worker (bin/) and their libraries (lib/) for that machine"},
        {.name = "min-samples",
         .kind = OPTION_WHOLE,
         .argument = "N",
         .value = &o.min_samples,
         .min = 1,
         .max = 1e8,
         .help = "runs a profile needs (default: the study's preset)"},
        {.name = "time-limit",
         .kind = OPTION_WHOLE,
         .argument = "SECONDS",
         .value = &o.time_limit_s,
         .min = 1,
         .max = 86400,
         .help = "of a profile (default: the study's preset)"},
        {.name = "counted-runs",
         .kind = OPTION_WHOLE,
         .argument = "N",
         .value = &o.counted_runs,
         .min = 1,
         .max = 1e6,
         .help = "runs of a counting pass (default 50)"},
        {.name = "batch",
         .kind = OPTION_LIST,
         .argument = "N",
         .value = &o.batches,
         .help = "batch size to measure (default: those of the study's plan)"},
        {.name = "no-roofline",
         .kind = OPTION_FLAG,
         .value = &o.no_roofline,
         .help = "do not measure how fast that machine can be at best"},
        CLIENT_OPTION_ROWS(o.client),
    };
    const struct options options = {
        .verb = "bundle",
        .summary = "pack a study's variants, data and jobs with the programs that run them, for a machine "
                   "that cannot reach "
                   "the service",
        .operands = "STUDY|MODEL",
        .min_operands = 1,
        .max_operands = 1,
        .specs = specs,
        .count = sizeof(specs) / sizeof(specs[0]),
        .examples = "  pare bundle fmnist-resnet.onnx --arch arm64 --file board.tar\n",
    };
    struct client c = {0};
    struct err err;
    enum output output;
    int code = options_parse(&options, argc, argv, &operands);
    if (code != OPTIONS_GO_ON) {
        return code;
    }
    enum rc rc = client_options_open(&o.client, &c, &output, &err);
    if (rc == RC_OK) {
        rc = make_bundle(&o, &c, operands.items[0], &err);
    }
    client_close(&c);
    return rc == RC_OK ? EXIT_FINE : verb_fail("bundle", &err);
}

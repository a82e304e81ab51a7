#include "advisor/jobs/bundles.h"

#include "advisor/jobs/completion.h"
#include "core/formats/results_file.h"
#include "db/store_jobs.h"
#include "db/store_machines.h"
#include "tests/unit/jobs/jobs_fixture.h"

/* The linker puts __wrap_completion_read in front of completion_read (tests/CMakeLists.txt): after so many
 * calls it fails, as a full disk or the end of the process would. */
enum rc __real_completion_read(struct store *s, const struct store_job *job, const json_t *result,
                               const json_t *files, struct completion **ret, struct err *err);
enum rc __wrap_completion_read(struct store *s, const struct store_job *job, const json_t *result,
                               const json_t *files, struct completion **ret, struct err *err);

static int calls_left = -1; /* -1: it never fails */

enum rc __wrap_completion_read(struct store *s, const struct store_job *job, const json_t *result,
                               const json_t *files, struct completion **ret, struct err *err) {
    if (calls_left == 0) {
        return err_set(err, RC_INTERNAL, "the disk is gone");
    }
    calls_left -= calls_left > 0;
    return __real_completion_read(s, job, result, files, ret, err);
}

enum { FILES_MAX = 64, PATH_MAX_BYTES = 4096, CORES = 2 };

/* ---- a bundle, and what comes back ---- */

struct away {
    json_t *bundle; /* owned */
    char study[64];
    uint8_t secret_key[RESULTS_FILE_SECRET_KEY];
};

static void pack(struct fixture *f, struct away *a) {
    json_t *study = fixture_study(f, ", \"recipes\": [\"fp16\"]");
    snprintf(a->study, sizeof(a->study), "%s", id_of(study));
    json_decref(study);
    fixture_run(f);
    json_t *body = json_object();
    FINE(bundles_make(f->jobs, a->study, body, &a->bundle, err));
    json_decref(body);
    const char *hex = text_at(a->bundle, "secret_key");
    assert_int_equal(strlen(hex), 2 * RESULTS_FILE_SECRET_KEY);
    for (size_t i = 0; i < RESULTS_FILE_SECRET_KEY; i++) {
        const char digits[3] = {hex[2 * i], hex[2 * i + 1], 0};
        a->secret_key[i] = (uint8_t)strtoul(digits, NULL, 16);
    }
}

static json_t *job_result(struct fixture *f, const json_t *job, char (*paths)[PATH_MAX_BYTES], size_t *n) {
    bool each = strcmp(text_at(job, "layout"), "each") == 0;
    json_t *runtime = json_pack("{s:i, s:i, s:O}", "instances", each ? CORES : 1, "threads", each ? 1 : CORES,
                                "batch", json_object_get(job, "batch"));
    json_t *spec = json_pack("{s:o}", "runtime", runtime), *files = json_array(), *file;
    json_t *result = made_profile(f, text_at(job, "label"), spec, files);
    size_t i;
    json_array_foreach(files, i, file) {
        assert_true(*n < FILES_MAX);
        FINE(store_blob_path(jobs_store(f->jobs), text_at(file, "sha256"), paths[(*n)++], PATH_MAX_BYTES,
                             err));
    }
    json_t *said =
        json_pack("{s:O, s:O, s:O, s:o, s:o}", "id", json_object_get(job, "id"), "token",
                  json_object_get(job, "token"), "runtime", runtime, "result", result, "files", files);
    json_decref(spec);
    return said;
}

/* Signed results of all jobs, from a machine of that name; *sha256 is the uploaded file. */
static void come_back(struct fixture *f, const struct away *a, const char *name, const char *isa,
                      char sha256[SHA256_HEX_SIZE]) {
    static char paths[FILES_MAX][PATH_MAX_BYTES];
    const char *list[FILES_MAX];
    char text[1024], file[128], *data;
    json_t *jobs = json_array(), *job;
    size_t i, n = 0, size;
    snprintf(
        text, sizeof(text),
        "{\"cpu\": {\"model\": \"Test CPU %s\", \"vendor\": \"T\", \"cores\": 2, \"threads\": 2, \"isa\": "
        "[\"avx2\", \"%s\"], \"l1d_bytes\": 32768, \"l2_bytes\": 1048576, \"l3_bytes\": 33554432}, "
        "\"memory_bytes\": 25000000000, \"kernel\": \"6.6.6\", \"os\": \"Debian\", \"virtual\": \"kvm\", "
        "\"arch\": \"x86_64\", \"pmu\": {\"available\": false, \"reason\": \"none\"}, \"runtimes\": "
        "{\"onnxruntime\": \"1.30.0\"}, \"sandbox\": {}}",
        isa, isa);
    json_array_foreach(json_object_get(a->bundle, "jobs"), i, job) {
        json_array_append_new(jobs, job_result(f, job, paths, &n));
    }
    for (i = 0; i < n; i++) {
        list[i] = paths[i];
    }
    json_t *head = json_pack("{s:i, s:O, s:{s:s, s:o}, s:o}", "format", 1, "bundle",
                             json_object_get(a->bundle, "bundle"), "target", "name", name, "fingerprint",
                             fixture_json(text), "jobs", jobs);
    snprintf(file, sizeof(file), "%s/results", f->folder);
    FINE(results_file_write(file, head, list, n, a->secret_key, err));
    FINE(file_read(file, RESULTS_FILE_MAX_BYTES, &data, &size, err));
    fixture_put(f, data, size, sha256);
    free(data);
    json_decref(head);
}

static enum rc import(struct fixture *f, const char *sha256, json_t **ret, struct err *err) {
    json_t *body = json_pack("{s:s}", "sha256", sha256);
    enum rc rc = bundles_import(f->jobs, body, ret, err);
    json_decref(body);
    return rc;
}

/* How many targets of that name there are, and one's fingerprint. */
static size_t targets_named(struct fixture *f, const char *name, char *fingerprint, size_t room) {
    struct store_tx *tx;
    struct store_target *targets;
    size_t n = 0, found = 0;
    FINE(store_read_begin(jobs_store(f->jobs), &tx, err));
    FINE(store_targets_list(tx, &targets, &n, err));
    for (size_t i = 0; i < n; i++) {
        if (strcmp(targets[i].name, name) == 0) {
            found++;
            snprintf(fingerprint, room, "%s", targets[i].fingerprint_json);
        }
    }
    store_read_end(tx);
    return found;
}

static size_t jobs_of(struct fixture *f, const char *study) {
    struct store_tx *tx;
    struct store_job *jobs;
    size_t n = 0;
    FINE(store_read_begin(jobs_store(f->jobs), &tx, err));
    FINE(store_jobs_of_study(tx, study, &jobs, &n, err));
    store_read_end(tx);
    return n;
}

/* ---- tests ---- */

static void an_import_that_dies_midway_leaves_nothing_and_completes_when_repeated(void **state) {
    struct fixture *f = *state;
    struct away a;
    struct err why = {0};
    char sha256[SHA256_HEX_SIZE], fingerprint[2048];
    json_t *answer = NULL, *again = NULL;
    pack(f, &a);
    come_back(f, &a, "faraway", "sve2", sha256);
    size_t before = jobs_of(f, a.study), n = json_array_size(json_object_get(a.bundle, "jobs"));
    assert_true(n >= 4);
    for (int left = 0; left < (int)n; left++) {
        calls_left = left;
        assert_int_equal(import(f, sha256, &answer, &why), RC_INTERNAL);
        assert_non_null(strstr(why.text, "the disk is gone"));
        assert_int_equal(jobs_of(f, a.study), before);
        assert_int_equal(targets_named(f, "faraway", fingerprint, sizeof(fingerprint)), 0);
    }
    calls_left = -1;
    jobs_close(f->jobs);
    fixture_open(f);
    FINE(import(f, sha256, &answer, err));
    assert_int_equal(json_array_size(json_object_get(answer, "recorded")), n);
    assert_int_equal(json_array_size(json_object_get(answer, "failed")), 0);
    assert_int_equal(targets_named(f, "faraway", fingerprint, sizeof(fingerprint)), 1);
    FINE(import(f, sha256, &again, err));
    assert_true(json_equal(answer, again));
    json_decref(again);
    json_decref(answer);
    json_decref(a.bundle);
}

/* Who holds a bundle's key may say it is any machine: the agent of that name keeps its fingerprint and what
 * it measured. */
static void results_that_name_a_live_agent_change_nothing_of_it(void **state) {
    struct fixture *f = *state;
    struct away a;
    char sha256[SHA256_HEX_SIZE], before[2048], after[2048];
    json_t *answer = NULL;
    pack(f, &a);
    assert_int_equal(targets_named(f, "here", before, sizeof(before)), 1);
    come_back(f, &a, "here", "avx512_vnni", sha256);
    FINE(import(f, sha256, &answer, err));
    assert_string_equal(text_at(answer, "target_id"), f->target);
    assert_int_equal(targets_named(f, "here", after, sizeof(after)), 1);
    assert_string_equal(before, after);
    assert_null(strstr(after, "6.6.6"));
    assert_true(json_array_size(json_object_get(answer, "known")) > 0);
    json_decref(answer);
    json_decref(a.bundle);
}

#define T(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        T(an_import_that_dies_midway_leaves_nothing_and_completes_when_repeated),
        T(results_that_name_a_live_agent_change_nothing_of_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The split of docs/protocol.md, checked against a plain computation of its definition. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/base/file.h"
#include "core/base/json.h"
#include "core/base/sha256.h"
#include "core/data/dataset.h"

enum { EXAMPLES = 400, PIXELS = 4, DISTINCT = 150 };

/* 400 images of 2x2 bytes, of which at most 150 are distinct; `salt` makes another dataset that shares images
 * below `shared`. */
static void write_images(const char *path, uint32_t seed, uint32_t salt, uint32_t shared) {
    uint8_t file[16 + EXAMPLES * PIXELS] = {0, 0, 8, 3, 0, 0, EXAMPLES >> 8, EXAMPLES & 255, 0, 0,
                                            0, 2, 0, 0, 0, 2};
    struct err err;
    for (size_t i = 0; i < EXAMPLES; i++) {
        seed = seed * 1664525u + 1013904223u; /* Numerical Recipes' generator */
        uint32_t which = (seed >> 8) % DISTINCT, value = which * 7919u + (which < shared ? 0 : salt);
        memcpy(file + 16 + i * PIXELS, &value, PIXELS);
    }
    assert_int_equal(file_write(path, file, sizeof(file), 0600, &err), RC_OK);
}

struct fixture {
    char folder[64], first[128], second[128];
};

static int set_up(void **state) {
    struct fixture *f = calloc(1, sizeof(*f));
    if (!f) {
        return -1;
    }
    snprintf(f->folder, sizeof(f->folder), "/tmp/pare-split-XXXXXX");
    if (!mkdtemp(f->folder)) {
        free(f);
        return -1;
    }
    snprintf(f->first, sizeof(f->first), "%s/first", f->folder);
    snprintf(f->second, sizeof(f->second), "%s/second", f->folder);
    write_images(f->first, 1, 0, DISTINCT);
    write_images(f->second, 2, 1000003, 50);
    *state = f;
    return 0;
}

static int tear_down(void **state) {
    struct fixture *f = *state;
    struct err err;
    enum rc rc = file_remove_tree(f->folder, &err);
    free(f);
    return rc != RC_OK;
}

static json_t *describe(const char *path, const char *take, int examples, const char *exclude) {
    return json_pack("{s:s, s:[{s:s, s:s}], s:{s:s, s:i, s:o}}", "format", "idx", "files", "role", "images",
                     "local", path, "split", "take", take, "calibration_examples", examples, "exclude",
                     exclude ? json_pack("{s:s, s:[{s:s, s:s}]}", "format", "idx", "files", "role", "images",
                                         "local", exclude)
                             : json_null());
}

static struct dataset *open_split(const char *path, const char *take, int examples, const char *exclude) {
    struct dataset *d = NULL;
    struct err err = {0};
    const struct tensor_spec input = {.name = "x", .dtype = DTYPE_UINT8, .rank = 3, .dims = {-1, 2, 2}};
    json_t *descriptor = describe(path, take, examples, exclude);
    if (dataset_open(descriptor, 0, &d, &err) != RC_OK || dataset_bind(d, &input, 1, &err) != RC_OK) {
        fail_msg("%s", err.text);
    }
    json_decref(descriptor);
    return d;
}

static uint32_t image(const struct dataset *d, size_t i) {
    uint32_t value;
    dataset_fill(d, 0, i, 1, &value);
    return value;
}

static int holds(const struct dataset *d, uint32_t value) {
    for (size_t i = 0; i < dataset_count(d); i++) {
        if (image(d, i) == value) {
            return 1;
        }
    }
    return 0;
}

static void name_of(uint32_t value, char hex[SHA256_HEX_SIZE]) {
    sha256_of(&value, sizeof(value), hex);
}

/* How many distinct images of `all` have a smaller hash. */
static size_t rank_of(const struct dataset *all, uint32_t value) {
    char name[SHA256_HEX_SIZE], other[SHA256_HEX_SIZE];
    size_t below = 0;
    name_of(value, name);
    for (size_t i = 0; i < dataset_count(all); i++) {
        uint32_t v = image(all, i);
        size_t before = 0;
        while (before < i && image(all, before) != v) {
            before++;
        }
        name_of(v, other);
        below += before == i && strcmp(other, name) < 0;
    }
    return below;
}

static void calibration_takes_the_distinct_examples_of_smallest_hash(void **state) {
    const struct fixture *f = *state;
    struct dataset *all = open_split(f->first, "all", 1, NULL);
    struct dataset *calibration = open_split(f->first, "calibration", 40, NULL);
    assert_int_equal(dataset_count(all), EXAMPLES);
    assert_int_equal(dataset_count(calibration), 40);
    for (size_t i = 0; i < 40; i++) {
        assert_int_equal(rank_of(all, image(calibration, i)), i); /* distinct, smallest, and in this order */
    }
    dataset_free(all);
    dataset_free(calibration);
}

static void eval_is_every_other_example_in_order_and_copies_never_straddle(void **state) {
    const struct fixture *f = *state;
    struct dataset *all = open_split(f->first, "all", 1, NULL);
    struct dataset *calibration = open_split(f->first, "calibration", 40, NULL);
    struct dataset *eval = open_split(f->first, "eval", 40, NULL);
    size_t at = 0, copies = 0;
    for (size_t i = 0; i < EXAMPLES; i++) {
        uint32_t v = image(all, i);
        if (holds(calibration, v)) {
            copies++;
            assert_false(holds(eval, v));
        } else {
            assert_int_equal(image(eval, at), v);
            at++;
        }
    }
    assert_int_equal(dataset_count(eval), at);
    assert_true(copies > 40);
    assert_int_equal(dataset_overlap_dropped(eval), copies - 40);
    assert_int_equal(dataset_count_all(eval), EXAMPLES);
    dataset_free(all);
    dataset_free(calibration);
    dataset_free(eval);
}

static void excluded_examples_are_not_calibrated_with(void **state) {
    const struct fixture *f = *state;
    struct dataset *first = open_split(f->first, "all", 1, NULL);
    struct dataset *second = open_split(f->second, "all", 1, NULL);
    struct dataset *calibration = open_split(f->second, "calibration", EXAMPLES, f->first);
    size_t shared = 0;
    for (size_t i = 0; i < EXAMPLES; i++) {
        uint32_t v = image(second, i);
        int is_shared = holds(first, v);
        shared += (size_t)is_shared;
        assert_int_equal(holds(calibration, v), !is_shared);
    }
    assert_true(shared > 0);
    assert_int_equal(dataset_overlap_dropped(calibration), shared);
    dataset_free(first);
    dataset_free(second);
    dataset_free(calibration);
}

static struct dataset *open_lines(const char *path, const char *take, int examples) {
    struct dataset *d = NULL;
    struct err err = {0};
    json_t *descriptor =
        json_pack("{s:s, s:[{s:s, s:s}], s:{s:s, s:i}}", "format", "text", "files", "role", "text", "local",
                  path, "split", "take", take, "calibration_examples", examples);
    if (dataset_open(descriptor, 0, &d, &err) != RC_OK) {
        fail_msg("%s", err.text);
    }
    json_decref(descriptor);
    return d;
}

static void text_is_cut_by_blocks_and_stays_in_order(void **state) {
    (void)state;
    const char *path = "tests/data/datasets/text.txt";
    struct dataset *all = open_lines(path, "all", 1), *eval = open_lines(path, "eval", 2),
                   *calibration = open_lines(path, "calibration", 2);
    size_t size, eval_size, calibration_size, e = 0, c = 0;
    const char *text = dataset_text(all, &size), *eval_text = dataset_text(eval, &eval_size),
               *calibration_text = dataset_text(calibration, &calibration_size);
    assert_int_equal(size, 18000);
    assert_int_equal(dataset_count(all), 5);
    assert_int_equal(dataset_count(eval), 3);
    assert_int_equal(eval_size + calibration_size, size);
    for (size_t at = 0; at < size; at += 4096) { /* a merge of the two sides gives the text */
        size_t n = size - at < 4096 ? size - at : 4096;
        if (eval_size - e >= n && memcmp(eval_text + e, text + at, n) == 0) {
            e += n;
        } else {
            assert_memory_equal(calibration_text + c, text + at, n);
            c += n;
        }
    }
    assert_int_equal(strlen(eval_text), eval_size);
    dataset_free(all);
    dataset_free(eval);
    dataset_free(calibration);
}

static void text_blocks_keep_characters_whole(void **state) {
    const struct fixture *f = *state;
    char path[160], text[3 * 5000 + 1];
    struct err err;
    for (size_t i = 0; i < 5000; i++) {
        memcpy(text + 3 * i, "\xe2\x82\xac", 3); /* the euro sign; 4096 is no multiple of 3 */
    }
    snprintf(path, sizeof(path), "%s/euro", f->folder);
    assert_int_equal(file_write(path, text, 15000, 0600, &err), RC_OK);
    struct dataset *d = open_lines(path, "calibration", 1);
    size_t size;
    const char *some = dataset_text(d, &size);
    assert_int_equal(size % 3, 0);
    assert_int_equal((unsigned char)some[0], 0xe2);
    dataset_free(d);
}

static const char *models_folder(void) {
    const char *folder = getenv("PARE_MODELS");
    return folder ? folder : "../shared";
}

static void shared_datasets_open_and_split(void **state) {
    (void)state;
    static const struct {
        const char *file;
        size_t examples, width;
        enum dataset_labels labels;
    } sets[] = {{"docs-lm.eval.npz", 700, 128, LABELS_POSITION},
                {"sst2-bert.eval.npz", 6735, 1, LABELS_EXAMPLE}};
    for (size_t i = 0; i < 2; i++) {
        char path[512];
        struct dataset *d = NULL;
        struct err err = {0};
        snprintf(path, sizeof(path), "%s/data/%s", models_folder(), sets[i].file);
        if (access(path, R_OK) != 0) {
            printf("skipped: %s is not here\n", path);
            skip();
        }
        json_t *descriptor =
            json_pack("{s:s, s:[{s:s, s:s}], s:{s:s, s:i}}", "format", "npz", "files", "role", "arrays",
                      "local", path, "split", "take", "eval", "calibration_examples", 100);
        if (dataset_open(descriptor, 0, &d, &err) != RC_OK) {
            fail_msg("%s", err.text);
        }
        json_decref(descriptor);
        assert_int_equal(dataset_count(d) + dataset_overlap_dropped(d) + 100, sets[i].examples);
        assert_int_equal(dataset_labels(d), sets[i].labels);
        assert_int_equal(dataset_label_width(d), sets[i].width);
        dataset_free(d);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(calibration_takes_the_distinct_examples_of_smallest_hash),
        cmocka_unit_test(eval_is_every_other_example_in_order_and_copies_never_straddle),
        cmocka_unit_test(excluded_examples_are_not_calibrated_with),
        cmocka_unit_test(text_is_cut_by_blocks_and_stays_in_order),
        cmocka_unit_test(text_blocks_keep_characters_whole),
        cmocka_unit_test(shared_datasets_open_and_split),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}

/* The cache of fetched blobs: what is there is not fetched, what is old goes first. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/file.h"
#include "core/base/http_client.h"
#include "core/base/sha256.h"
#include "profiler/agent/blob_cache.h"

struct fixture {
    char folder[64];
    struct blob_cache cache;
};

static int set_up(void **state) {
    struct fixture *f = calloc(1, sizeof(*f));
    struct err err;
    strcpy(f->folder, "/tmp/pare-blob-cache-XXXXXX");
    *state = f;
    return f && mkdtemp(f->folder) && blob_cache_open(&f->cache, f->folder, 250, &err) == RC_OK ? 0 : -1;
}

static int tear_down(void **state) {
    struct fixture *f = *state;
    struct err err;
    enum rc rc = file_remove_tree(f->folder, &err);
    free(f);
    return rc == RC_OK ? 0 : -1;
}

/* A blob of 100 bytes, last used `age` seconds after 1970. */
static void put(struct fixture *f, char letter, long age, char hex[SHA256_HEX_SIZE]) {
    char data[100];
    char path[BLOB_CACHE_PATH + 80];
    struct err err;
    const struct timespec times[2] = {{age, 0}, {age, 0}};
    memset(data, letter, sizeof(data));
    sha256_of(data, sizeof(data), hex);
    snprintf(path, sizeof(path), "%s/%s", f->cache.folder, hex);
    assert_int_equal(file_write(path, data, sizeof(data), 0400, &err), RC_OK);
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

static bool is_there(struct fixture *f, const char *hex) {
    char path[BLOB_CACHE_PATH + 80];
    snprintf(path, sizeof(path), "%s/%s", f->cache.folder, hex);
    return access(path, F_OK) == 0;
}

static void the_least_recently_used_goes_first(void **state) {
    struct fixture *f = *state;
    char a[SHA256_HEX_SIZE];
    char b[SHA256_HEX_SIZE];
    char c[SHA256_HEX_SIZE];
    char path[BLOB_CACHE_PATH];
    struct err err;
    put(f, 'a', 1000, a);
    put(f, 'b', 2000, b);
    put(f, 'c', 3000, c);
    /* using the oldest makes it the newest; no client is needed for what is there */
    assert_int_equal(blob_cache_get(&f->cache, NULL, a, path, &err), RC_OK);
    assert_int_equal(blob_cache_trim(&f->cache, &err), RC_OK);
    assert_true(is_there(f, a));
    assert_false(is_there(f, b));
    assert_true(is_there(f, c));
}

static void a_hash_that_is_none_is_refused(void **state) {
    struct fixture *f = *state;
    char path[BLOB_CACHE_PATH];
    struct err err;
    static const char *const bad[] = {"", "../../etc/passwd", "ABCDEF", "0"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(blob_cache_get(&f->cache, NULL, bad[i], path, &err), RC_INPUT);
    }
}

static void a_service_that_is_away_leaves_nothing_behind(void **state) {
    struct fixture *f = *state;
    char path[BLOB_CACHE_PATH];
    char hex[SHA256_HEX_SIZE];
    struct err err;
    struct http_client *client = NULL;
    const struct http_client_opts opts = {.base_url = "http://127.0.0.1:1"};
    assert_int_equal(http_client_new(&opts, &client, &err), RC_OK);
    sha256_of("x", 1, hex);
    assert_int_equal(blob_cache_get(&f->cache, client, hex, path, &err), RC_IO);
    assert_false(is_there(f, hex));
    http_client_free(client);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_least_recently_used_goes_first, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_hash_that_is_none_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_service_that_is_away_leaves_nothing_behind, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

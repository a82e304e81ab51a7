/* Uploads and downloads through the connection's state machine: bounded memory, nothing left behind. */
#include "tests/support/test.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "advisor/jobs/jobs.h"
#include "core/base/file.h"
#include "core/base/log.h"
#include "core/base/sha256.h"
#include "tests/support/conn_harness.h"

#define HOST "Host: localhost\r\n"

enum { CHUNK = EXCHANGE_CHUNK_BYTES, FILE_BYTES = 3 * CHUNK + 17 };

struct fixture {
    char folder[64];
    struct jobs *jobs;
    struct app *app;
    struct harness h;
    char *data; /* FILE_BYTES */
};

/* Sends a file of the folder that the fixture wrote; its name is the last part of the path, its size that of
 * the data. */
static enum rc send_file(struct app *app, const struct http_request *req, struct http_response *res,
                         struct err *err) {
    char path[128];
    (void)app;
    snprintf(path, sizeof(path), "/tmp/%s/file", req->params[0]);
    res->fd = open(path, O_RDONLY | O_CLOEXEC);
    res->kind = ANSWER_FILE;
    res->file_bytes = FILE_BYTES;
    return res->fd >= 0 ? RC_OK : file_error(path, err);
}

static const struct route file_route = {METHOD_GET, "/t/file/{folder}", send_file, ROLES_ANYONE, 0, 0};

static int setup(void **state) {
    struct fixture *f = calloc(1, sizeof(*f));
    struct err err = {0};
    log_set_level(LOG_ERROR);
    snprintf(f->folder, sizeof(f->folder), "/tmp/pare-test-XXXXXX");
    assert_non_null(mkdtemp(f->folder));
    f->data = malloc(FILE_BYTES);
    for (size_t i = 0; i < FILE_BYTES; i++) {
        f->data[i] = (char)((i * 7) ^ (i >> 9));
    }
    struct jobs_opts jobs = {.folder = f->folder};
    assert_int_equal(jobs_open(&jobs, &f->jobs, &err), RC_OK);
    struct app_opts app = {.jobs = f->jobs, .loopback = true, .version = "test"};
    assert_int_equal(app_new(&app, &f->app, &err), RC_OK);
    assert_int_equal(app_add_route(f->app, &file_route, &err), RC_OK);
    harness_open(&f->h, f->app, &conn_default_limits);
    *state = f;
    return 0;
}

static int teardown(void **state) {
    struct fixture *f = *state;
    struct err err;
    harness_end_all(&f->h);
    app_free(f->app);
    jobs_close(f->jobs);
    assert_int_equal(file_remove_tree(f->folder, &err), RC_OK);
    free(f->data);
    free(f);
    return 0;
}

static const char *sent(const struct harness *h) {
    return h->sent.data ? h->sent.data : "";
}

/* Files under `folder`/`name`, without folders. */
static int count_files(const char *folder, const char *name) {
    char path[256];
    int n = 0;
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    DIR *dir = opendir(path);
    for (struct dirent *e; dir && (e = readdir(dir)) != NULL;) {
        n += e->d_type == DT_REG;
    }
    if (dir) {
        closedir(dir);
    }
    return n;
}

static void begin_upload(struct fixture *f) {
    char head[200];
    snprintf(head, sizeof(head), "POST /v1/blobs HTTP/1.1\r\n" HOST "Content-Length: %d\r\n\r\n", FILE_BYTES);
    harness_send(&f->h, head);
    assert_true(harness_work(&f->h)); /* asked whether it may come */
    assert_int_equal(f->h.sent.size, 0);
}

static void an_upload_waits_for_the_disk(void **state) {
    struct fixture *f = *state;
    begin_upload(f);
    assert_int_equal(harness_feed(&f->h, f->data, CHUNK), CHUNK);
    assert_non_null(f->h.step); /* the first chunk is on its way; the second may fill */
    assert_true(conn_wants_input(f->h.conn));
    assert_int_equal(harness_feed(&f->h, f->data + CHUNK, CHUNK), CHUNK);
    assert_false(conn_wants_input(f->h.conn)); /* no third one */
    harness_work(&f->h);
    assert_true(conn_wants_input(f->h.conn));
    assert_int_equal(harness_feed(&f->h, f->data + 2 * CHUNK, FILE_BYTES - 2 * CHUNK),
                     FILE_BYTES - 2 * CHUNK);
    harness_settle(&f->h);
    char hex[SHA256_HEX_SIZE];
    sha256_of(f->data, FILE_BYTES, hex);
    assert_non_null(strstr(sent(&f->h), "HTTP/1.1 201 "));
    assert_non_null(strstr(sent(&f->h), hex));
    assert_int_equal(count_files(f->folder, "uploads"), 0);
}

static void a_client_that_leaves_leaves_nothing(void **state) {
    struct fixture *f = *state;
    begin_upload(f);
    harness_feed(&f->h, f->data, CHUNK + 5);
    assert_int_equal(count_files(f->folder, "uploads"), 1);
    conn_eof(f->h.conn);
    assert_false(f->h.closed); /* a thread still writes */
    harness_work(&f->h);
    assert_true(f->h.closed);
    assert_int_equal(count_files(f->folder, "uploads"), 0);
}

static void a_slow_upload_leaves_nothing(void **state) {
    struct fixture *f = *state;
    begin_upload(f);
    harness_feed(&f->h, f->data, 100);
    harness_wait(&f->h, 31000000000);
    harness_settle(&f->h);
    assert_non_null(strstr(sent(&f->h), "HTTP/1.1 408 "));
    assert_int_equal(count_files(f->folder, "uploads"), 0);
}

static void a_disk_that_fails_is_told(void **state) {
    struct fixture *f = *state;
    begin_upload(f);
    harness_feed(&f->h, f->data, CHUNK);
    struct exchange *x = f->h.step;
    f->h.step = NULL;
    x->rc = err_set(&x->err, RC_IO, "no space left");
    conn_worked(f->h.conn);
    harness_settle(&f->h);
    assert_non_null(strstr(sent(&f->h), "HTTP/1.1 500 "));
    assert_non_null(strstr(sent(&f->h), "no space left"));
    assert_true(f->h.ended);
    assert_int_equal(count_files(f->folder, "uploads"), 0);
}

static void ask_for_file(struct fixture *f, size_t size) {
    char path[128], head[200];
    struct err err = {0};
    snprintf(path, sizeof(path), "%s/file", f->folder);
    assert_int_equal(file_write(path, f->data, size, 0600, &err), RC_OK);
    snprintf(head, sizeof(head), "GET /t/file/%s HTTP/1.1\r\n" HOST "\r\n", f->folder + 5);
    harness_send(&f->h, head);
}

static void a_file_is_sent_piece_by_piece(void **state) {
    struct fixture *f = *state;
    ask_for_file(f, FILE_BYTES);
    harness_work(&f->h);
    size_t head = f->h.sent.size;
    assert_string_equal(sent(&f->h) + head - 4, "\r\n\r\n"); /* the head alone */
    for (int pieces = 1; pieces <= 4; pieces++) {
        assert_true(harness_acknowledge(&f->h));
        assert_true(harness_work(&f->h));
        assert_true(f->h.sent.size - head <= (size_t)pieces * CHUNK);
    }
    harness_settle(&f->h);
    assert_int_equal(f->h.sent.size - head, FILE_BYTES);
    assert_memory_equal(f->h.sent.data + head, f->data, FILE_BYTES);
    assert_false(f->h.ended);
}

static void a_file_that_became_shorter_ends_the_connection(void **state) {
    struct fixture *f = *state;
    ask_for_file(f, CHUNK);
    harness_settle(&f->h);
    assert_true(f->h.closed); /* not the length that was announced, so no next answer may follow */
}

int main(void) {
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(an_upload_waits_for_the_disk),  CASE(a_client_that_leaves_leaves_nothing),
        CASE(a_slow_upload_leaves_nothing),  CASE(a_disk_that_fails_is_told),
        CASE(a_file_is_sent_piece_by_piece), CASE(a_file_that_became_shorter_ends_the_connection),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

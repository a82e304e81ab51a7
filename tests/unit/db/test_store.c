#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>

#include "core/base/asset.h"
#include "db/migrate.h"
#include "db/sql.h"
#include "db/store_answers.h"
#include "db/store_models.h"
#include "tests/unit/db/store_fixture.h"

/* ---- writes ---- */

struct numbered {
    int number;
    bool refuse;
};

static enum rc add_dataset(struct store_tx *tx, void *user, struct err *err) {
    const struct numbered *n = user;
    char id[64];
    bool created;
    snprintf(id, sizeof(id), "dat_%d", n->number);
    struct store_dataset d = {.id = id, .name = "n", .format = "text", .examples = -1};
    enum rc rc = store_dataset_add(tx, &d, NULL, 0, &created, err);
    return rc == RC_OK && n->refuse ? err_set(err, RC_INPUT, "refused on purpose") : rc;
}

static bool has_dataset(struct store *s, int number) {
    struct store_tx *tx;
    struct store_dataset d;
    struct err why;
    char id[64];
    snprintf(id, sizeof(id), "dat_%d", number);
    FINE(store_read_begin(s, &tx, err));
    enum rc rc = store_dataset_get(tx, id, &d, &why);
    store_read_end(tx);
    assert_true(rc == RC_OK || rc == RC_NOT_FOUND);
    return rc == RC_OK;
}

static void failed_write_leaves_nothing_behind(void **state) {
    struct fixture *f = *state;
    assert_int_equal(fixture_write(f, add_dataset, &(struct numbered){1, true}), RC_INPUT);
    assert_false(has_dataset(f->store, 1));
    assert_int_equal(fixture_write(f, add_dataset, &(struct numbered){1, false}), RC_OK);
    assert_true(has_dataset(f->store, 1));
}

enum { THREADS = 8, EACH = 50 };

struct adder {
    struct fixture *f;
    int first;
    bool acknowledged[EACH];
};

static void *add_many(void *user) {
    struct adder *a = user;
    for (int i = 0; i < EACH; i++) { /* every fifth is refused, amid the others of its transaction */
        struct numbered n = {a->first + i, i % 5 == 0};
        enum rc rc = fixture_write(a->f, add_dataset, &n);
        assert_int_equal(rc, n.refuse ? RC_INPUT : RC_OK);
    }
    return NULL;
}

static void writes_of_many_threads_share_transactions_and_keep_apart(void **state) {
    struct fixture *f = *state;
    pthread_t threads[THREADS];
    struct adder adders[THREADS];
    uint64_t before = store_changes(f->store);
    for (int i = 0; i < THREADS; i++) {
        adders[i] = (struct adder){.f = f, .first = i * EACH};
        assert_int_equal(pthread_create(&threads[i], NULL, add_many, &adders[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    for (int i = 0; i < THREADS * EACH; i++) {
        assert_int_equal(has_dataset(f->store, i), i % EACH % 5 != 0);
    }
    assert_true(store_changes(f->store) - before <= THREADS * EACH * 4 / 5);
}

static void write_that_changes_nothing_or_is_refused_wakes_nobody(void **state) {
    struct fixture *f = *state;
    assert_int_equal(fixture_write(f, add_dataset, &(struct numbered){1, false}), RC_OK);
    uint64_t seen = store_changes(f->store);
    assert_int_equal(fixture_write(f, add_dataset, &(struct numbered){1, false}), RC_OK);
    assert_int_equal(store_changes(f->store), seen);
    assert_int_equal(fixture_write(f, add_dataset, &(struct numbered){2, true}), RC_INPUT);
    assert_int_equal(store_changes(f->store), seen);
    assert_int_equal(store_wait_change(f->store, seen, 1), seen);
    assert_int_equal(store_wait_change(f->store, seen - 1, 60000), seen);
}

/* What SQLite does by itself when the disk is full. */
static enum rc give_up_the_transaction(struct store_tx *tx, void *user, struct err *err) {
    (void)user;
    sql_try(tx->sql, "ROLLBACK");
    return err_set(err, RC_IO, "the disk is full");
}

static void *give_up_many(void *user) {
    struct adder *a = user;
    for (int i = 0; i < EACH; i++) {
        assert_int_equal(fixture_write(a->f, give_up_the_transaction, NULL), RC_IO);
    }
    return NULL;
}

/* Numbers whose write was acknowledged. */
static void *add_what_can_be(void *user) {
    struct adder *a = user;
    for (int i = 0; i < EACH; i++) {
        struct numbered n = {a->first + i, false};
        a->acknowledged[i] = fixture_write(a->f, add_dataset, &n) == RC_OK;
    }
    return NULL;
}

static void transaction_that_sqlite_gave_up_is_acknowledged_to_none_of_its_writers(void **state) {
    struct fixture *f = *state;
    pthread_t threads[THREADS];
    struct adder adders[THREADS];
    for (int i = 0; i < THREADS; i++) {
        adders[i] = (struct adder){.f = f, .first = i * EACH};
        assert_int_equal(
            pthread_create(&threads[i], NULL, i == 0 ? give_up_many : add_what_can_be, &adders[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    for (int i = EACH; i < THREADS * EACH; i++) {
        assert_int_equal(has_dataset(f->store, i), adders[i / EACH].acknowledged[i % EACH]);
    }
}

static void count_calls(void *user) {
    atomic_fetch_add((atomic_int *)user, 1);
}

static void change_is_told_after_it_is_there(void **state) {
    struct fixture *f = *state;
    atomic_int calls = 0;
    store_on_change(f->store, count_calls, &calls);
    assert_int_equal(fixture_write(f, add_dataset, &(struct numbered){1, false}), RC_OK);
    assert_int_equal(atomic_load(&calls), 1);
    store_on_change(f->store, NULL, NULL);
}

/* A child writes and tells each acknowledged number through a pipe until it is killed in the middle of its
 * work. */
static void child_writes(struct fixture *f, int fd) {
    struct store *s;
    struct err why;
    if (fixture_open(f, &s, &why) != RC_OK) {
        _exit(1);
    }
    for (int i = 0;; i++) {
        struct numbered n = {i, false};
        if (store_write(s, add_dataset, &n, &why) != RC_OK ||
            write(fd, &i, sizeof(i)) != (ssize_t)sizeof(i)) {
            _exit(1);
        }
    }
}

static void acknowledged_rows_survive_kill_9(void **state) {
    struct fixture *f = *state;
    enum { KILL_AFTER = 200 };
    int fds[2], number, last = -1;
    store_close(f->store);
    f->store = NULL;
    assert_int_equal(pipe(fds), 0);
    pid_t child = fork();
    if (child == 0) {
        close(fds[0]);
        child_writes(f, fds[1]);
    }
    close(fds[1]);
    while (read(fds[0], &number, sizeof(number)) == (ssize_t)sizeof(number)) {
        last = number;
        if (number == KILL_AFTER) {
            kill(child, SIGKILL);
        }
    }
    close(fds[0]);
    waitpid(child, NULL, 0);
    assert_true(last >= KILL_AFTER);
    FINE(fixture_open(f, &f->store, err));
    for (int i = 0; i <= last; i++) {
        assert_true(has_dataset(f->store, i));
    }
}

/* ---- opening ---- */

static void second_opener_is_refused_while_the_first_lives(void **state) {
    struct fixture *f = *state;
    struct store *second;
    struct err why;
    assert_int_equal(fixture_open(f, &second, &why), RC_CONFLICT);
    assert_non_null(strstr(why.text, "another pare serve uses this folder"));
    store_close(f->store);
    FINE(fixture_open(f, &f->store, err));
}

static void set_version(struct fixture *f, const char *text) {
    char path[128];
    struct sql *sql;
    snprintf(path, sizeof(path), "%s/pare.db", f->folder);
    FINE(sql_open(path, SQL_WRITER, &sql, err));
    FINE(sql_text_run(sql, text, err));
    sql_close(sql);
}

static void newer_database_is_refused_with_what_to_do(void **state) {
    struct fixture *f = *state;
    struct err why;
    store_close(f->store);
    f->store = NULL;
    set_version(f, "PRAGMA user_version = 999");
    assert_int_equal(fixture_open(f, &f->store, &why), RC_UNSUPPORTED);
    assert_non_null(strstr(why.text, "999"));
    assert_non_null(strstr(why.text, "newer Pare"));
}

static void file_that_is_no_database_is_refused(void **state) {
    struct fixture *f = *state;
    struct err why;
    char path[128];
    store_close(f->store);
    f->store = NULL;
    snprintf(path, sizeof(path), "%s/pare.db", f->folder);
    FINE(file_write(path, "this is no database, not even a small one", 41, 0600, err));
    assert_int_equal(fixture_open(f, &f->store, &why), RC_UNSUPPORTED);
}

static const char GOOD[] = "CREATE TABLE one (a INTEGER) STRICT;";
static const char SECOND[] = "INSERT INTO one VALUES (7);";
static const char BAD[] = "INSERT INTO one VALUES (8); SELECT nonsense;";

static void migration_that_fails_halfway_leaves_the_version_before_it(void **state) {
    struct fixture *f = *state;
    struct asset assets[] = {{"db/migrations/001_a.sql", GOOD, sizeof(GOOD) - 1},
                             {"web/index.html", "x", 1},
                             {"db/migrations/002_b.sql", BAD, sizeof(BAD) - 1}};
    char path[128];
    struct sql *sql;
    struct err why;
    snprintf(path, sizeof(path), "%s/other.db", f->folder);
    FINE(sql_open(path, SQL_WRITER, &sql, err));
    assert_int_not_equal(migrate_run(sql, assets, 3, &why), RC_OK);
    assert_non_null(strstr(why.text, "002_b.sql"));
    assets[2].data =
        SECOND; /* the repaired one runs on what was left: the first was kept, nothing of the second */
    FINE(migrate_run(sql, assets, 3, err));
    FINE(migrate_run(sql, assets, 3, err));
    FINE(sql_text_run(sql,
                      "CREATE TABLE check_one (n INTEGER CHECK (n = 1)) STRICT;"
                      "INSERT INTO check_one SELECT count(*) FROM one",
                      err));
    sql_close(sql);
}

static void backup_is_a_whole_database_and_never_overwrites(void **state) {
    struct fixture *f = *state;
    char path[128];
    struct err why;
    assert_int_equal(fixture_write(f, add_dataset, &(struct numbered){5, false}), RC_OK);
    snprintf(path, sizeof(path), "%s/copy", f->folder);
    FINE(file_make_folder(path, err));
    snprintf(path, sizeof(path), "%s/copy/pare.db", f->folder);
    FINE(store_backup(f->store, path, err));
    assert_int_equal(store_backup(f->store, path, &why), RC_CONFLICT);
    struct fixture copy = {.now_ms = f->now_ms};
    snprintf(copy.folder, sizeof(copy.folder), "%s/copy", f->folder);
    FINE(fixture_open(&copy, &copy.store, err));
    assert_true(has_dataset(copy.store, 5));
    store_close(copy.store);
}

static void lists_are_paged_from_the_newest(void **state) {
    struct fixture *f = *state;
    struct store_tx *tx;
    struct store_dataset *rows;
    size_t n;
    for (int i = 0; i < 5; i++) {
        assert_int_equal(fixture_write(f, add_dataset, &(struct numbered){i, false}), RC_OK);
    }
    FINE(store_read_begin(f->store, &tx, err));
    FINE(store_datasets_list(tx, &(struct store_page){0, 2}, &rows, &n, err));
    assert_int_equal(n, 2);
    assert_string_equal(rows[0].id, "dat_4");
    FINE(store_datasets_list(tx, &(struct store_page){rows[1].row, 10}, &rows, &n, err));
    assert_int_equal(n, 3);
    assert_string_equal(rows[2].id, "dat_0");
    store_read_end(tx);
}

int main(void) {
#define T(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        T(failed_write_leaves_nothing_behind),
        T(writes_of_many_threads_share_transactions_and_keep_apart),
        T(write_that_changes_nothing_or_is_refused_wakes_nobody),
        T(transaction_that_sqlite_gave_up_is_acknowledged_to_none_of_its_writers),
        T(change_is_told_after_it_is_there),
        T(acknowledged_rows_survive_kill_9),
        T(second_opener_is_refused_while_the_first_lives),
        T(newer_database_is_refused_with_what_to_do),
        T(file_that_is_no_database_is_refused),
        T(migration_that_fails_halfway_leaves_the_version_before_it),
        T(backup_is_a_whole_database_and_never_overwrites),
        T(lists_are_paged_from_the_newest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The planner's own thread beside agents that work at the same time; run under ThreadSanitizer. */
#include <pthread.h>
#include <stdatomic.h>

#include "tests/unit/jobs/jobs_fixture.h"

enum { AGENTS = 3, PATIENCE_MS = 60000 };

struct agent {
    struct fixture *f;
    struct fixture own; /* counters of this thread, same jobs */
    pthread_t thread;
    atomic_bool *stop;
};

static void *agent_main(void *user) {
    struct agent *a = user;
    struct store *s = jobs_store(a->f->jobs);
    while (!atomic_load(a->stop)) {
        uint64_t seen = store_changes(s);
        if (!fixture_work_one(&a->own, a->own.target)) {
            store_wait_change(s, seen, PATIENCE_MS);
        }
    }
    return NULL;
}

static bool ended(struct fixture *f, const char *study) {
    json_t *view = fixture_view(f, study);
    bool open =
        strcmp(text_at(view, "state"), "queued") == 0 || strcmp(text_at(view, "state"), "running") == 0;
    json_decref(view);
    return !open;
}

static void studies_end_with_a_planner_thread_and_several_agents(void **state) {
    struct fixture *f = *state;
    struct agent agents[AGENTS];
    atomic_bool stop = false;
    const char *more = ", \"recipes\": [\"int8:static\", \"int4\"], \"floors\": [\"relative>=0.95\"]";
    json_t *one = fixture_study(f, more), *two = fixture_study(f, more);
    for (int i = 0; i < AGENTS; i++) {
        char name[16];
        snprintf(name, sizeof(name), "agent %d", i);
        agents[i] = (struct agent){.f = f, .own = *f, .stop = &stop};
        fixture_register(f, name, "avx512_vnni", agents[i].own.target);
    }
    FINE(jobs_start(f->jobs, err));
    for (int i = 0; i < AGENTS; i++) {
        assert_int_equal(pthread_create(&agents[i].thread, NULL, agent_main, &agents[i]), 0);
    }
    struct store *s = jobs_store(f->jobs);
    for (;;) {
        uint64_t seen = store_changes(s);
        if (ended(f, id_of(one)) && ended(f, id_of(two))) {
            break;
        }
        store_wait_change(s, seen, PATIENCE_MS);
    }
    atomic_store(&stop, true);
    store_wake(s);
    int evaluated = 0, compressed = 0, profiled = 0;
    for (int i = 0; i < AGENTS; i++) {
        pthread_join(agents[i].thread, NULL);
        evaluated += agents[i].own.evaluated;
        compressed += agents[i].own.compressed;
        profiled += agents[i].own.profiled;
    }
    /* two studies of the same: everything was done once */
    assert_int_equal(compressed, 2);
    assert_int_equal(profiled, 3 * 4); /* two splits at batch 1 and 8, which gains too little for 64 */
    assert_int_equal(evaluated, 3);
    json_t *view = fixture_view(f, id_of(two));
    assert_string_equal(text_at(view, "state"), "done");
    json_decref(view);
    json_decref(one);
    json_decref(two);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test_setup_teardown(
        studies_end_with_a_planner_thread_and_several_agents, fixture_setup, fixture_teardown)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

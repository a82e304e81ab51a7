/* Finding routes, and reading addresses. */
#include "tests/support/test.h"

#include <string.h>

#include "advisor/http/handlers.h"
#include "advisor/http/route.h"

static const struct route routes[] = {
    {METHOD_GET, "/*", handle_dashboard, 0, 0, 0},
    {METHOD_GET, "/v1/models", handle_model_list, 0, 0, 0},
    {METHOD_POST, "/v1/models", handle_model_post, 0, 0, 0},
    {METHOD_GET, "/v1/models/{id}", handle_model_get, 0, 0, 0},
    {METHOD_POST, "/v1/gates/{name}/runs/{run}", handle_gate_run, 0, 0, 0},
};
static const struct route *const list[] = {&routes[0], &routes[1], &routes[2], &routes[3], &routes[4]};
static const struct route_table table = {list, 5};

struct found {
    struct http_request req;
    enum route_found found;
    const struct route *route;
    char allow[ALLOW_SIZE];
};

static struct found find(enum http_method method, const char *path) {
    struct found f = {.req = {.method = method, .path = path, .arena = arena_new(4096)}};
    f.found = route_find(&table, &f.req, &f.route, f.allow);
    return f;
}

static void the_exact_pattern_wins_over_the_open_one(void **state) {
    (void)state;
    struct found f = find(METHOD_GET, "/v1/models");
    assert_int_equal(f.found, ROUTE_FOUND);
    assert_ptr_equal(f.route, &routes[1]);
    arena_free(f.req.arena);
    f = find(METHOD_GET, "/assets/index.js");
    assert_ptr_equal(f.route, &routes[0]);
    arena_free(f.req.arena);
}

static void head_is_answered_by_get(void **state) {
    (void)state;
    struct found f = find(METHOD_HEAD, "/v1/models/mdl_1");
    assert_int_equal(f.found, ROUTE_FOUND);
    assert_string_equal(f.req.params[0], "mdl_1");
    arena_free(f.req.arena);
}

static void parameters_are_whole_segments(void **state) {
    (void)state;
    struct found f = find(METHOD_POST, "/v1/gates/my.gate/runs/7");
    assert_int_equal(f.found, ROUTE_FOUND);
    assert_string_equal(f.req.params[0], "my.gate");
    assert_string_equal(f.req.params[1], "7");
    arena_free(f.req.arena);
    static const char *const others[] = {"/v1/gates//runs/7", "/v1/gates/a/b/runs/7", "/v1/gates/a/runs/",
                                         "/v1/gates/a/runs/7/"};
    for (size_t i = 0; i < 4; i++) {
        f = find(METHOD_POST, others[i]);
        assert_int_equal(f.found, ROUTE_NO_PATH);
        arena_free(f.req.arena);
    }
}

static void a_known_path_lists_its_methods(void **state) {
    (void)state;
    struct found f = find(METHOD_DELETE, "/v1/models");
    assert_int_equal(f.found, ROUTE_NO_METHOD);
    assert_string_equal(f.allow, "GET, HEAD, POST");
    arena_free(f.req.arena);
}

static void the_open_pattern_hides_no_unknown_path_from_other_methods(void **state) {
    (void)state;
    struct found f = find(METHOD_POST, "/v1/unknown");
    assert_int_equal(f.found, ROUTE_NO_PATH);
    arena_free(f.req.arena);
}

/* No two routes of the interface take the same request. */
static void the_interface_has_no_route_twice(void **state) {
    size_t n;
    const struct route *all = routes_all(&n);
    (void)state;
    assert_true(n > 30);
    for (size_t i = 0; i < n; i++) {
        for (size_t k = i + 1; k < n; k++) {
            assert_false(all[i].method == all[k].method && strcmp(all[i].pattern, all[k].pattern) == 0);
        }
    }
}

static void only_uploads_take_large_bodies(void **state) {
    size_t n;
    const struct route *all = routes_all(&n);
    (void)state;
    for (size_t i = 0; i < n; i++) {
        assert_true((all[i].flags & ROUTE_UPLOAD) || all[i].body_max_bytes <= 8u << 20);
        assert_true(all[i].roles != ROLES_ANYONE || all[i].body_max_bytes == 0);
    }
}

/* ---- addresses ---- */

static struct http_request parse(const char *target, enum rc *rc) {
    struct http_request req = {.arena = arena_new(65536)};
    struct err err = {0};
    *rc = http_target_parse(target, &req, &err);
    return req;
}

static void path_and_query_are_decoded(void **state) {
    enum rc rc;
    (void)state;
    struct http_request req = parse("/v1/a%20b+c?x=1%2B1&y=a+b&z&=w&&x=2#part", &rc);
    assert_int_equal(rc, RC_OK);
    assert_string_equal(req.path, "/v1/a b+c");
    assert_string_equal(http_query(&req, "x"), "1+1");
    assert_string_equal(http_query(&req, "y"), "a b");
    assert_string_equal(http_query(&req, "z"), "");
    assert_null(http_query(&req, "w"));
    arena_free(req.arena);
}

static void bad_addresses_are_refused(void **state) {
    static const char *const bad[] = {"",     "x",      "*",       "/%",    "/%1",
                                      "/%zz", "/a%00b", "/?a=%00", "/?%=1", "http://h/"};
    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        enum rc rc;
        struct http_request req = parse(bad[i], &rc);
        assert_int_equal(rc, RC_INPUT);
        arena_free(req.arena);
    }
}

static void numbers_in_the_query_have_bounds(void **state) {
    enum rc rc;
    struct err err;
    int64_t n = 7;
    (void)state;
    struct http_request req = parse("/?a=5&b=x&c=99999999999999999999&d=", &rc);
    assert_int_equal(http_query_int(&req, "none", 1, 10, &n, &err), RC_OK);
    assert_int_equal(n, 7);
    assert_int_equal(http_query_int(&req, "a", 1, 10, &n, &err), RC_OK);
    assert_int_equal(n, 5);
    assert_int_equal(http_query_int(&req, "a", 6, 10, &n, &err), RC_INPUT);
    assert_int_equal(http_query_int(&req, "b", 1, 10, &n, &err), RC_INPUT);
    assert_int_equal(http_query_int(&req, "c", 1, 10, &n, &err), RC_INPUT);
    assert_int_equal(http_query_int(&req, "d", 1, 10, &n, &err), RC_INPUT);
    arena_free(req.arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_exact_pattern_wins_over_the_open_one),
        cmocka_unit_test(head_is_answered_by_get),
        cmocka_unit_test(parameters_are_whole_segments),
        cmocka_unit_test(a_known_path_lists_its_methods),
        cmocka_unit_test(the_open_pattern_hides_no_unknown_path_from_other_methods),
        cmocka_unit_test(the_interface_has_no_route_twice),
        cmocka_unit_test(only_uploads_take_large_bodies),
        cmocka_unit_test(path_and_query_are_decoded),
        cmocka_unit_test(bad_addresses_are_refused),
        cmocka_unit_test(numbers_in_the_query_have_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

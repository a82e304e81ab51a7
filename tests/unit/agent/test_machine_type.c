/* Which fingerprints are one machine type. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/json.h"
#include "profiler/agent/machine_type.h"

static const char BASE[] = "{\"cpu\": {\"model\": \"AMD EPYC\", \"vendor\": \"AuthenticAMD\", \"cores\": 2, "
                           "\"threads\": 2, \"isa\": [\"avx2\", \"avx512f\"],"
                           " \"l1d_bytes\": 32768, \"l2_bytes\": 1048576, \"l3_bytes\": 33554432}, "
                           "\"memory_bytes\": 25000000000, \"kernel\": \"6.1.0\","
                           " \"os\": \"Debian\", \"virtual\": \"kvm\", \"arch\": \"x86_64\"}";

static json_t *base(void) {
    json_t *value = NULL;
    struct err err;
    assert_int_equal(json_parse(BASE, strlen(BASE), &value, &err), RC_OK);
    return value;
}

static void id_of(json_t *fingerprint, char id[IDENT_SIZE]) {
    struct machine_type type;
    struct err err;
    assert_int_equal(machine_type_of(fingerprint, &type, &err), RC_OK);
    memcpy(id, type.id, IDENT_SIZE);
    json_decref(fingerprint);
}

static json_t *cpu(json_t *fingerprint) {
    return json_object_get(fingerprint, "cpu");
}

static void kernel_order_of_sets_and_a_little_memory_do_not_matter(void **state) {
    (void)state;
    char a[IDENT_SIZE];
    char b[IDENT_SIZE];
    json_t *other = base();
    json_object_set_new(other, "kernel", json_string("6.18.0"));
    json_object_set_new(other, "memory_bytes", json_integer(25000100000));
    json_object_set_new(other, "pmu", json_pack("{s:b}", "available", 1));
    json_object_set_new(cpu(other), "isa", json_pack("[s, s]", "avx512f", "avx2"));
    id_of(base(), a);
    id_of(other, b);
    assert_string_equal(a, b);
    assert_true(ident_valid("mt", a));
}

static void what_changes_speed_changes_the_type(void **state) {
    (void)state;
    char a[IDENT_SIZE];
    char b[IDENT_SIZE];
    id_of(base(), a);
    for (int i = 0; i < 6; i++) {
        json_t *other = base();
        switch (i) {
        case 0:
            json_object_set_new(cpu(other), "isa", json_pack("[s, s, s]", "avx2", "avx512f", "avx512_vnni"));
            break;
        case 1:
            json_object_set_new(cpu(other), "cores", json_integer(4));
            break;
        case 2:
            json_object_set_new(cpu(other), "l3_bytes", json_integer(1 << 20));
            break;
        case 3:
            json_object_set_new(other, "memory_bytes", json_integer(50000000000));
            break;
        case 4:
            json_object_set_new(other, "virtual", json_string("none"));
            break;
        default:
            json_object_set_new(cpu(other), "model", json_string("AMD EPYC 2"));
            break;
        }
        id_of(other, b);
        assert_string_not_equal(a, b);
    }
}

static void the_name_is_for_people(void **state) {
    (void)state;
    struct machine_type type;
    struct err err;
    json_t *fingerprint = base();
    assert_int_equal(machine_type_of(fingerprint, &type, &err), RC_OK);
    assert_string_equal(type.name, "AMD EPYC, 2 cores, 23 GiB");
    json_decref(fingerprint);
}

static void what_is_missing_or_wrong_is_named(void **state) {
    (void)state;
    static const struct {
        const char *text, *named;
    } bad[] = {{"{}", "cpu"},
               {"{\"cpu\": []}", "cpu"},
               {"{\"cpu\": {}}", "model"},
               {"{\"cpu\": {\"model\": \"x\"}}", "cores"},
               {"{\"cpu\": {\"model\": \"x\", \"cores\": 0}}", "cores"},
               {"{\"cpu\": {\"model\": \"x\", \"cores\": 1}}", "memory_bytes"},
               {"{\"cpu\": {\"model\": \"x\", \"cores\": 1}, \"memory_bytes\": 1}", "isa"},
               {"{\"cpu\": {\"model\": \"x\", \"cores\": 1, \"isa\": [1]}, \"memory_bytes\": 1}", "isa"}};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct machine_type type;
        struct err err;
        json_t *value = NULL;
        assert_int_equal(json_parse(bad[i].text, strlen(bad[i].text), &value, &err), RC_OK);
        assert_int_equal(machine_type_of(value, &type, &err), RC_INPUT);
        assert_non_null(strstr(err.text, bad[i].named));
        json_decref(value);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kernel_order_of_sets_and_a_little_memory_do_not_matter),
        cmocka_unit_test(what_changes_speed_changes_the_type),
        cmocka_unit_test(the_name_is_for_people),
        cmocka_unit_test(what_is_missing_or_wrong_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

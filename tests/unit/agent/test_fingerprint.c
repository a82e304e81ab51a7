/* The fingerprint of this machine, and its parts that are pure. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "profiler/agent/fingerprint.h"
#include "profiler/agent/machine_type.h"

static void the_hypervisor_is_named_by_its_signature(void **state) {
    (void)state;
    assert_string_equal(fingerprint_virtual(true, "KVMKVMKVM", ""), "kvm");
    assert_string_equal(fingerprint_virtual(true, "VMwareVMware", "Dell"), "vmware");
    assert_string_equal(fingerprint_virtual(true, "Microsoft Hv", ""), "hyperv");
    assert_string_equal(fingerprint_virtual(true, "XenVMMXenVMM", ""), "xen");
    assert_string_equal(fingerprint_virtual(true, "SomethingNew", ""), "vm");
}

static void without_a_signature_dmi_tells(void **state) {
    (void)state;
    assert_string_equal(fingerprint_virtual(false, "", "Amazon EC2 m7g.large"), "kvm");
    assert_string_equal(fingerprint_virtual(false, "", "QEMU Standard PC"), "qemu");
    assert_string_equal(fingerprint_virtual(false, "", "Dell Inc. PowerEdge"), "none");
    assert_string_equal(fingerprint_virtual(true, "", ""), "vm");
}

static void the_name_of_the_system_is_without_quotes(void **state) {
    (void)state;
    char name[64];
    fingerprint_os_name("NAME=x\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nID=debian\n", name,
                        sizeof(name));
    assert_string_equal(name, "Debian GNU/Linux 12 (bookworm)");
    fingerprint_os_name("PRETTY_NAME='Alpine'\n", name, sizeof(name));
    assert_string_equal(name, "Alpine");
    fingerprint_os_name("NOT_PRETTY_NAME=1", name, sizeof(name));
    assert_string_equal(name, "");
    fingerprint_os_name("PRETTY_NAME=", name, sizeof(name));
    assert_string_equal(name, "");
}

static void this_machine_has_a_fingerprint_and_a_type(void **state) {
    (void)state;
    json_t *probe =
        json_pack("{s:{s:b}, s:{s:s}}", "pmu", "available", 0, "runtimes", "onnxruntime", "1.30.0");
    json_t *fingerprint = NULL;
    struct machine_type type;
    struct err err = {0};
    assert_int_equal(fingerprint_take(probe, &fingerprint, &err), RC_OK);
    assert_int_equal(machine_type_of(fingerprint, &type, &err), RC_OK);
    assert_true(json_equal(json_object_get(fingerprint, "pmu"), json_object_get(probe, "pmu")));
    assert_true(json_is_null(json_object_get(fingerprint, "sandbox"))); /* the probe said nothing */
    json_t *cpu = json_object_get(fingerprint, "cpu");
    assert_true(json_integer_value(json_object_get(cpu, "threads")) >=
                json_integer_value(json_object_get(cpu, "cores")));
    json_decref(fingerprint);
    json_decref(probe);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_hypervisor_is_named_by_its_signature),
        cmocka_unit_test(without_a_signature_dmi_tells),
        cmocka_unit_test(the_name_of_the_system_is_without_quotes),
        cmocka_unit_test(this_machine_has_a_fingerprint_and_a_type),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

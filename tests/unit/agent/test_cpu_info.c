/* What /proc/cpuinfo of different machines tells. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/container.h"
#include "profiler/agent/cpu_info.h"

static const char EPYC[] =
    "processor\t: 0\nvendor_id\t: AuthenticAMD\ncpu family\t: 25\nmodel\t\t: 17\n"
    "model name\t: AMD EPYC 9R14\nflags\t\t: fpu vme avx fma f16c avx2 avx512f avx512bw avx512vl hypervisor "
    "avx512_bf16 avx512_vnni\n\nprocessor\t: 1\nmodel name\t: another\n";
static const char SAPPHIRE_RAPIDS[] =
    "vendor_id\t: GenuineIntel\nmodel name\t: Intel(R) Xeon(R) Platinum 8488C\n"
    "flags\t\t: avx avx2 avx_vnni avx512f avx512_vnni avx512_fp16 amx_bf16 amx_tile amx_int8\n";
static const char GRAVITON[] =
    "processor\t: 0\nBogoMIPS\t: 2100.00\nFeatures\t: fp asimd asimdhp asimddp i8mm bf16 sve\n"
    "CPU implementer\t: 0x41\nCPU architecture: 8\nCPU part\t: 0xd40\n";

static int has(const struct cpu_info *info, const char *name) {
    for (size_t i = 0; i < info->isa_count; i++) {
        if (strcmp(info->isa[i], name) == 0) {
            return 1;
        }
    }
    return 0;
}

static void x86_model_vendor_and_flags_are_of_the_first_processor(void **state) {
    (void)state;
    struct cpu_info info;
    cpu_info_parse(EPYC, &info);
    assert_string_equal(info.model, "AMD EPYC 9R14");
    assert_string_equal(info.vendor, "AuthenticAMD");
    assert_true(has(&info, "avx512_vnni"));
    assert_true(has(&info, "avx512_bf16"));
    assert_false(has(&info, "amx_int8"));
    assert_true(info.hypervisor);
}

static void amx_and_avx_vnni_are_found(void **state) {
    (void)state;
    struct cpu_info info;
    cpu_info_parse(SAPPHIRE_RAPIDS, &info);
    assert_true(has(&info, "amx_int8"));
    assert_true(has(&info, "amx_tile"));
    assert_true(has(&info, "avx_vnni"));
    assert_false(info.hypervisor);
}

static void avx512f_is_not_seen_in_avx512fp16_alone(void **state) {
    (void)state;
    struct cpu_info info;
    cpu_info_parse("model name\t: x\nflags\t\t: avx512_fp16 avx20 navx2\n", &info);
    assert_true(has(&info, "avx512_fp16"));
    assert_false(has(&info, "avx512f"));
    assert_false(has(&info, "avx2"));
    assert_false(has(&info, "avx"));
}

static void arm_gets_a_model_from_its_numbers(void **state) {
    (void)state;
    struct cpu_info info;
    cpu_info_parse(GRAVITON, &info);
    assert_string_equal(info.model, "implementer 0x41 part 0xd40");
    assert_string_equal(info.vendor, "0x41");
    assert_true(has(&info, "asimddp"));
    assert_true(has(&info, "i8mm"));
    assert_true(has(&info, "sve"));
}

static void an_empty_or_odd_text_gives_nothing(void **state) {
    (void)state;
    static const char *const texts[] = {"",           "\n\n",          ":",
                                        "model name", "model name\t:", "flags\t\t:\nmodel name :\n"};
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        struct cpu_info info;
        cpu_info_parse(texts[i], &info);
        assert_string_equal(info.model, "");
        assert_int_equal(info.isa_count, 0);
    }
}

static void a_long_model_name_is_cut(void **state) {
    (void)state;
    char text[600] = "model name\t: ";
    memset(text + strlen(text), 'x', 500);
    struct cpu_info info;
    cpu_info_parse(text, &info);
    assert_int_equal(strlen(info.model), CPU_INFO_TEXT - 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(x86_model_vendor_and_flags_are_of_the_first_processor),
        cmocka_unit_test(amx_and_avx_vnni_are_found),
        cmocka_unit_test(avx512f_is_not_seen_in_avx512fp16_alone),
        cmocka_unit_test(arm_gets_a_model_from_its_numbers),
        cmocka_unit_test(an_empty_or_odd_text_gives_nothing),
        cmocka_unit_test(a_long_model_name_is_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

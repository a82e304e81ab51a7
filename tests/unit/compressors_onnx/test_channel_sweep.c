/* The same as test_channel_random.c on many more graphs. */
#include "tests/unit/compressors_onnx/channel_random.h"

static void removing_zero_channels_of_many_random_graphs_changes_nothing(void **state) {
    (void)state;
    random_prove_seeds(1000, 1500);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(removing_zero_channels_of_many_random_graphs_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

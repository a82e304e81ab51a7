/* Structured pruning on random graphs (channel_random.h): a few hundred, quickly. */
#include "compressors/onnx/prune_channels.h"
#include "tests/unit/compressors_onnx/channel_random.h"

static void removing_zero_channels_of_random_graphs_changes_nothing(void **state) {
    (void)state;
    random_prove_seeds(0, 400);
}

/* The whole technique: chooses, cuts, compares and fits again, or refuses and says because of what. */
static void prune_random(uint32_t seed, struct dataset *d, size_t *pruned) {
    static const char *const recipes[] = {"prune:channels,round=1", "prune:channels,round=1,score=energy",
                                          "prune:channels,round=1,score=l1,scope=model",
                                          "prune:channels,round=1,score=loss"};
    struct random_graph r;
    struct record record;
    struct err err = {.text = ""};
    double moved = 0;
    random_make(&r, seed, RANDOM_INPUT_IMAGE);
    struct graph *g = random_parse(&r, seed);
    struct channel_scene s = {.g = g};
    struct model_bytes before = scene_pack(&s);
    enum rc rc = int8_apply(prune_channels_compress, recipes[seed % 4], g, d, 1, &record, &err);
    if (rc == RC_OK) {
        struct model_bytes after = scene_pack(&s);
        if (model_compare(&before, &after, d, 4, &moved, &err) || !isfinite(moved)) {
            fail_msg("seed %u: the outputs move by %g: %s", seed, moved, err.text);
        }
        free((void *)after.data);
        (*pruned)++;
    } else if (rc != RC_UNSUPPORTED || !*err.text) {
        fail_msg("seed %u, %s: %s", seed, recipes[seed % 4], err.text);
    }
    free((void *)before.data);
    record_release(&record);
    graph_free(g);
}

static void random_graphs_are_pruned_or_refused(void **state) {
    enum { SEEDS = 130 };
    const bool alone = getenv("PARE_GRAPH_SEED") != NULL;
    const uint32_t first = random_setting("PARE_GRAPH_SEED", 0);
    const uint32_t count = alone ? 1 : random_setting("PARE_GRAPH_COUNT", SEEDS);
    struct dataset *d = noise_dataset();
    size_t pruned = 0;
    (void)state;
    for (uint32_t seed = first; seed < first + count; seed++) {
        prune_random(seed, d, &pruned);
    }
    print_message("%zu of %u pruned\n", pruned, count);
    assert_true(alone || pruned > count / 2);
    dataset_free(d);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(removing_zero_channels_of_random_graphs_changes_nothing),
        cmocka_unit_test(random_graphs_are_pruned_or_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

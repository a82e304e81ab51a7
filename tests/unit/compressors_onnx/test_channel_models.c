/* Structured pruning of the reference models: exact on each, with random channels. */
#include "tests/unit/compressors_onnx/channel_fixture.h"

enum { PATH_SIZE = 1024 };

static const char *const models[] = {"fmnist-resnet-thin", "fmnist-resnet", "fmnist-vgg", "sst2-bert",
                                     "docs-lm"};

static bool find_model(const char *name, char path[PATH_SIZE]) {
    const char *folder = getenv("PARE_MODELS");
    snprintf(path, PATH_SIZE, "%s/models/%s.onnx", folder ? folder : "../shared", name);
    if (access(path, R_OK) == 0) {
        return true;
    }
    print_message("skipped: %s is not there\n", path);
    return false;
}

static struct graph *load(const void *user) {
    const struct compress_file file = {"model.onnx", user};
    struct graph *g = NULL;
    struct err err = {0};
    if (graph_load(&file, 1, "model.onnx", &g, &err)) {
        fail_msg("%s", err.text);
    }
    (void)graph_close_initializers(g);
    return g;
}

static void removing_zero_channels_of_reference_models_changes_nothing(void **state) {
    char path[PATH_SIZE];
    (void)state;
    for (size_t i = 0; i < sizeof(models) / sizeof(models[0]); i++) {
        if (find_model(models[i], path)) {
            prove_exact(load, path, models[i], 1, true);
        }
    }
}

/* Units a family, hidden units and heads among them; and what keeps the rest whole. */
static void transformers_lose_hidden_units_and_heads(void **state) {
    char path[PATH_SIZE];
    (void)state;
    static const struct {
        const char *name, *label, *node, *why;
        uint32_t hidden, heads;
    } expected[] = {
        {"sst2-bert", "node_MatMul_60", "LayerNormalization node_layer_norm", "even zeros count", 1024, 4},
        {"docs-lm", "/MatMul_5", "ReduceMean /ReduceMean", "zero is not neutral", 768, 2},
    };
    for (size_t i = 0; i < 2; i++) {
        struct channel_scene s;
        size_t hidden = 0, heads = 0;
        if (!find_model(expected[i].name, path)) {
            continue;
        }
        scene_open(&s, load(path));
        for (size_t f = 0; f < s.groups->family_count; f++) {
            const struct channel_family *family = &s.groups->families[f];
            hidden += family->count == expected[i].hidden && family->stride == 1;
            heads += family->count == expected[i].heads && family->stride == 64;
        }
        assert_int_equal(hidden, heads); /* one each a layer */
        assert_int_equal(hidden + heads, s.groups->family_count);
        assert_true(heads >= 3);
        assert_true(scene_refuses(&s, expected[i].label, expected[i].node, expected[i].why));
        scene_close(&s);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(removing_zero_channels_of_reference_models_changes_nothing),
        cmocka_unit_test(transformers_lose_hidden_units_and_heads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

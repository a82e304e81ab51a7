/* The headers of real models, where they are at hand (PARE_MODELS). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/formats/format_detect.h"
#include "core/formats/gguf_header.h"
#include "core/formats/onnx_header.h"

static void path_of(const char *file, char path[512]) {
    const char *folder = getenv("PARE_MODELS");
    snprintf(path, 512, "%s/models/%s", folder ? folder : "../shared", file);
    if (access(path, R_OK) != 0) {
        printf("skipped: %s is not here\n", path);
        skip();
    }
}

static void onnx_models_describe_themselves(void **state) {
    (void)state;
    static const struct {
        const char *file, *input, *output;
        size_t inputs;
        uint64_t min_parameters, max_parameters;
    } models[] = {
        {"fmnist-resnet.onnx", "image", "logits", 1, 600000, 800000},
        {"fmnist-resnet-thin.onnx", "image", "logits", 1, 15000, 25000},
        {"sst2-bert.onnx", "input_ids", "logits", 2, 5000000, 5500000},
        {"docs-lm.onnx", "input_ids", "logits", 1, 3000000, 5000000},
    };
    for (size_t i = 0; i < sizeof(models) / sizeof(*models); i++) {
        char path[512];
        struct onnx_header *h = NULL;
        struct err err = {0};
        enum model_family family;
        path_of(models[i].file, path);
        if (onnx_header_read(path, &h, &err) != RC_OK || format_detect(path, &family, &err) != RC_OK) {
            fail_msg("%s: %s", path, err.text);
        }
        printf("%s: %llu parameters, opset %lld\n", models[i].file, (unsigned long long)h->parameters,
               (long long)h->opset);
        assert_int_equal(family, FAMILY_ONNX);
        assert_int_equal(h->n_inputs, models[i].inputs);
        assert_string_equal(h->inputs[0].name, models[i].input);
        assert_string_equal(h->outputs[0].name, models[i].output);
        assert_int_equal(h->inputs[0].dims[0], -1);
        assert_in_range(h->parameters, models[i].min_parameters, models[i].max_parameters);
        assert_true(h->initializer_bytes < h->file_bytes);
        onnx_header_free(h);
    }
}

static void gguf_model_describes_itself(void **state) {
    (void)state;
    char path[512];
    struct gguf_header *h = NULL;
    struct err err = {0};
    uint64_t layers = 0;
    path_of("docs-llama-27m.f16.gguf", path);
    if (gguf_header_read(path, &h, &err) != RC_OK) {
        fail_msg("%s: %s", path, err.text);
    }
    assert_string_equal(gguf_header_string(h, "general.architecture"), "llama");
    assert_true(gguf_header_uint(h, "llama.block_count", &layers) && layers == 8);
    assert_in_range(gguf_header_parameters(h), 25000000, 29000000);
    const struct gguf_tensor *last = gguf_header_tensor(h, gguf_header_tensor_count(h) - 1);
    assert_in_range(last->offset + last->bytes, gguf_header_file_bytes(h) - 64, gguf_header_file_bytes(h));
    gguf_header_free(h);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(onnx_models_describe_themselves),
        cmocka_unit_test(gguf_model_describes_itself),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

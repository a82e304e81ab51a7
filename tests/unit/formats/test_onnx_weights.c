/* Which weights a node reads: on the example model, and on every cut of it. */
#include "tests/support/test.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/file.h"
#include "core/formats/onnx_header.h"
#include "core/formats/onnx_weights.h"

static const char example[] = "examples/fashion-mnist/fmnist-resnet.onnx";

static void nodes_know_their_weights(void **state) {
    (void)state;
    struct onnx_weights *w = NULL;
    struct onnx_header *h = NULL;
    assert_int_equal(onnx_weights_read(example, &w, NULL), RC_OK);
    assert_int_equal(onnx_header_read(example, &h, NULL), RC_OK);
    assert_int_equal(onnx_weights_bytes(w), h->initializer_bytes);
    const struct onnx_node_weights *conv = onnx_weights_find(w, "/1/a/a.0/Conv");
    assert_non_null(conv);
    assert_string_equal(conv->op, "Conv");
    assert_int_equal(conv->elements, 32 * 32 * 3 * 3);
    assert_int_equal(conv->first_dim, 32);
    assert_true(conv->bytes >= 32 * 32 * 3 * 3 * 4);
    assert_null(onnx_weights_find(w, "/1/a/a.0/Con"));
    assert_null(onnx_weights_find(w, ""));
    onnx_header_free(h);
    onnx_weights_free(w);
}

static void a_model_cut_anywhere_is_refused_or_has_no_more_than_is_there(void **state) {
    (void)state;
    char *data = NULL;
    size_t size = 0;
    assert_int_equal(file_read(example, 1 << 24, &data, &size, NULL), RC_OK);
    size_t refused = 0;
    for (size_t cut = 0; cut < size; cut += cut < 4096 ? 1 : 65537) {
        struct onnx_weights *w = NULL;
        char *copy = malloc(cut + 1); /* of its own, so that a sanitizer sees reads past it */
        memcpy(copy, data, cut);
        enum rc rc = onnx_weights_parse(copy, cut, &w, NULL);
        refused += rc == RC_INPUT;
        assert_true(rc == RC_OK || rc == RC_INPUT);
        onnx_weights_free(rc == RC_OK ? w : NULL);
        free(copy);
    }
    assert_true(refused > 4000);
    free(data);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nodes_know_their_weights),
        cmocka_unit_test(a_model_cut_anywhere_is_refused_or_has_no_more_than_is_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

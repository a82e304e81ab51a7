/* Well-formed files: what is read is what was written (tests/data/make.py). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/file.h"
#include "core/formats/format_detect.h"
#include "core/formats/gguf_header.h"
#include "core/formats/idx.h"
#include "core/formats/npz.h"
#include "core/formats/onnx_header.h"

static void npz_gives_arrays_by_name(void **state) {
    (void)state;
    struct npz *z;
    struct err err;
    void *data;
    assert_int_equal(npz_open("tests/data/datasets/image.npz", NULL, &z, &err), RC_OK);
    assert_int_equal(npz_count(z), 2);
    const struct npz_array *image = npz_find(z, "image"), *labels = npz_find(z, "labels");
    assert_non_null(image);
    assert_non_null(labels);
    assert_null(npz_find(z, "image.npy"));
    assert_int_equal(image->header.dtype, DTYPE_UINT8);
    assert_int_equal(image->header.rank, 3);
    assert_int_equal(image->header.dims[2], 3);
    assert_int_equal(labels->header.dtype, DTYPE_INT64);
    assert_int_equal(npz_read(z, image, &data, &err), RC_OK);
    for (uint8_t i = 0; i < 18; i++) {
        assert_int_equal(((uint8_t *)data)[i], i);
    }
    free(data);
    assert_int_equal(npz_read(z, labels, &data, &err), RC_OK);
    assert_int_equal(((int64_t *)data)[0], 1);
    free(data);
    npz_close(z);
}

static void npz_limits_hold(void **state) {
    (void)state;
    const struct npz_limits few = {.max_arrays = 1}, small = {.max_bytes = 100};
    struct npz *z;
    struct err err;
    assert_int_equal(npz_open("tests/data/datasets/image.npz", &few, &z, &err), RC_TOO_LARGE);
    assert_int_equal(npz_open("tests/data/datasets/image.npz", &small, &z, &err), RC_TOO_LARGE);
}

static void idx_reads_plain_and_gzip_in_this_byte_order(void **state) {
    (void)state;
    struct idx images, labels, numbers;
    struct err err;
    assert_int_equal(idx_read("tests/data/datasets/images-idx3.gz", 0, &images, &err), RC_OK);
    assert_int_equal(idx_read("tests/data/datasets/labels-idx1", 0, &labels, &err), RC_OK);
    assert_int_equal(idx_read("tests/fuzz/formats/idx/float", 0, &numbers, &err), RC_OK);
    assert_int_equal(images.rank, 3);
    assert_int_equal(images.bytes, 18);
    assert_int_equal(((uint8_t *)images.data)[17], 17);
    assert_int_equal(((uint8_t *)labels.data)[0], 1);
    assert_true(((float *)numbers.data)[0] > 0.49f && ((float *)numbers.data)[0] < 0.51f);
    assert_int_equal(idx_check_pair(&images, &labels, &err), RC_OK);
    assert_int_equal(idx_check_pair(&labels, &images, &err), RC_INPUT);
    assert_non_null(strstr(err.text, "swapped"));
    assert_int_equal(idx_check_pair(&images, &numbers, &err), RC_INPUT);
    idx_release(&images);
    idx_release(&labels);
    idx_release(&numbers);
}

static void idx_limit_holds_for_claims(void **state) {
    (void)state;
    struct idx x;
    struct err err;
    assert_int_equal(idx_read("tests/data/datasets/images-idx3.gz", 17, &x, &err), RC_TOO_LARGE);
}

static void gguf_header_gives_metadata_and_tensors(void **state) {
    (void)state;
    struct gguf_header *h;
    struct err err;
    uint64_t n = 0;
    double x = 0;
    assert_int_equal(gguf_header_read("tests/data/models/good.gguf", &h, &err), RC_OK);
    assert_string_equal(gguf_header_string(h, "general.architecture"), "llama");
    assert_true(gguf_header_uint(h, "llama.block_count", &n) && n == 2);
    assert_true(gguf_header_number(h, "llama.rope.freq_base", &x) && x > 9999 && x < 10001);
    assert_true(gguf_header_number(h, "general.offset", &x) && x < -2.9 && x > -3.1);
    assert_false(gguf_header_uint(h, "general.offset", &n));
    assert_true(gguf_header_array_count(h, "tokenizer.ggml.tokens", &n) && n == 2);
    assert_null(gguf_header_string(h, "llama.block_count"));
    assert_int_equal(gguf_header_tensor_count(h), 2);
    const struct gguf_tensor *t = gguf_header_tensor(h, 0);
    assert_string_equal(t->name, "token_embd.weight");
    assert_string_equal(t->type_name, "Q8_0");
    assert_int_equal(t->elements, 64);
    assert_int_equal(t->bytes, 68);
    assert_int_equal(gguf_header_parameters(h), 68);
    gguf_header_free(h);
}

static void gguf_types_have_their_bits(void **state) {
    (void)state;
    assert_true(gguf_type_bits(12) > 4.49 && gguf_type_bits(12) < 4.51);
    assert_true(gguf_type_bits_by_name("q8_0") > 8.49 && gguf_type_bits_by_name("q8_0") < 8.51);
    assert_true(gguf_type_bits(4) < 0.1 && gguf_type_bits_by_name("Q9_9") < 0.1);
}

static void onnx_header_describes_the_model(void **state) {
    (void)state;
    struct onnx_header *h;
    struct err err;
    assert_int_equal(onnx_header_read("tests/data/models/good.onnx", &h, &err), RC_OK);
    assert_int_equal(h->ir_version, 8);
    assert_int_equal(h->opset, 17);
    assert_string_equal(h->producer, "maker 1.2");
    assert_int_equal(h->n_nodes, 1);
    assert_int_equal(h->parameters, 12);
    assert_int_equal(h->initializer_bytes, 48);
    assert_int_equal(h->float32_bytes, 48);
    assert_int_equal(h->n_inputs, 1);
    assert_string_equal(h->inputs[0].name, "x");
    assert_int_equal(h->inputs[0].dtype, DTYPE_FLOAT32);
    assert_int_equal(h->inputs[0].rank, 2);
    assert_int_equal(h->inputs[0].dims[0], -1);
    assert_int_equal(h->inputs[0].dims[1], 4);
    assert_string_equal(h->outputs[0].name, "y");
    assert_int_equal(h->n_externals, 0);
    onnx_header_free(h);
}

static void onnx_header_lists_external_files(void **state) {
    (void)state;
    struct onnx_header *h;
    struct err err;
    assert_int_equal(onnx_header_read("tests/data/models/external.onnx", &h, &err), RC_OK);
    assert_int_equal(h->n_externals, 1);
    assert_string_equal(h->externals[0].location, "weights.bin");
    assert_int_equal(h->externals[0].end, 112);
    onnx_header_free(h);
}

static void onnx_header_leaves_initializers_out_of_the_inputs(void **state) {
    (void)state;
    struct onnx_header *h;
    struct err err;
    assert_int_equal(onnx_header_read("tests/data/models/old.onnx", &h, &err), RC_OK);
    assert_int_equal(h->ir_version, 3);
    assert_int_equal(h->n_inputs, 1);
    assert_string_equal(h->inputs[0].name, "x");
    assert_int_equal(h->parameters, 12);
    onnx_header_free(h);
}

static void families_are_told_by_content(void **state) {
    (void)state;
    enum model_family family;
    struct err err;
    assert_int_equal(format_detect("tests/data/models/good.onnx", &family, &err), RC_OK);
    assert_int_equal(family, FAMILY_ONNX);
    assert_int_equal(format_detect("tests/data/models/good.gguf", &family, &err), RC_OK);
    assert_int_equal(family, FAMILY_GGUF);
}

/* Every prefix of a model is refused: truncation never passes. */
static void no_prefix_of_a_model_passes(void **state) {
    (void)state;
    struct err err;
    const char *const paths[] = {"tests/data/models/good.onnx", "tests/data/models/good.gguf"};
    for (size_t i = 0; i < 2; i++) {
        char *data;
        size_t size;
        assert_int_equal(file_read(paths[i], 1 << 20, &data, &size, &err), RC_OK);
        for (size_t cut = 0; cut < size; cut++) {
            struct onnx_header *onnx = NULL;
            struct gguf_header *gguf = NULL;
            char *copy = malloc(cut + 1); /* its own block, so that a sanitizer sees a read past its end */
            memcpy(copy, data, cut);
            enum rc rc = i == 0 ? onnx_header_parse(copy, cut, &onnx, &err)
                                : gguf_header_parse(copy, cut, cut, &gguf, &err);
            /* what follows an ONNX graph may be left out: those bytes are fields of their own */
            assert_true(rc != RC_OK || (i == 0 && onnx->n_nodes == 1));
            onnx_header_free(onnx);
            gguf_header_free(gguf);
            free(copy);
        }
        free(data);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(npz_gives_arrays_by_name),
        cmocka_unit_test(npz_limits_hold),
        cmocka_unit_test(idx_reads_plain_and_gzip_in_this_byte_order),
        cmocka_unit_test(idx_limit_holds_for_claims),
        cmocka_unit_test(gguf_header_gives_metadata_and_tensors),
        cmocka_unit_test(gguf_types_have_their_bits),
        cmocka_unit_test(onnx_header_describes_the_model),
        cmocka_unit_test(onnx_header_lists_external_files),
        cmocka_unit_test(onnx_header_leaves_initializers_out_of_the_inputs),
        cmocka_unit_test(families_are_told_by_content),
        cmocka_unit_test(no_prefix_of_a_model_passes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

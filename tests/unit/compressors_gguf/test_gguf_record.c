#include "tests/support/test.h"

#include <string.h>

#include "compressors/gguf/gguf_record.h"
#include "core/base/buf.h"
#include "core/base/container.h"
#include "core/formats/gguf_header.h"
#include "core/recipes/record.h"
#include "runtimes/llama_quantizer.h"

/* ggml's numbers */
enum { F32 = 0, F16 = 1, Q5_0 = 6, Q8_0 = 8, Q4_K = 12 };

struct tensor {
    const char *name;
    uint64_t columns, rows; /* rows 0: a vector */
    uint32_t type;
};

static void put(struct buf *b, const void *data, size_t size) {
    struct err err;
    assert_int_equal(buf_add(b, data, size, &err), RC_OK);
}

static void put_u32(struct buf *b, uint32_t x) {
    put(b, &x, sizeof x);
}

static void put_u64(struct buf *b, uint64_t x) {
    put(b, &x, sizeof x);
}

static uint64_t bytes_of(const struct tensor *t) {
    uint64_t elements = t->columns * (t->rows ? t->rows : 1);
    switch (t->type) {
    case F32:
        return elements * 4;
    case F16:
        return elements * 2;
    case Q5_0:
        return elements / 32 * 22;
    case Q8_0:
        return elements / 32 * 34;
    default:
        return elements / 256 * 144; /* Q4_K */
    }
}

/* A GGUF header (version 3) with these tensors, one after another. All their sizes are multiples of the
 * alignment. */
static struct gguf_header *header(const struct tensor *tensors, size_t count) {
    struct buf b;
    uint64_t offset = 0;
    buf_init(&b, 1 << 16);
    put(&b, "GGUF", 4);
    put_u32(&b, 3);
    put_u64(&b, count);
    put_u64(&b, 0);
    for (size_t i = 0; i < count; i++) {
        put_u64(&b, strlen(tensors[i].name));
        put(&b, tensors[i].name, strlen(tensors[i].name));
        put_u32(&b, tensors[i].rows ? 2 : 1);
        put_u64(&b, tensors[i].columns);
        if (tensors[i].rows) {
            put_u64(&b, tensors[i].rows);
        }
        put_u32(&b, tensors[i].type);
        put_u64(&b, offset);
        offset += bytes_of(&tensors[i]);
    }
    struct gguf_header *h = NULL;
    struct err err = {.text = ""};
    if (gguf_header_parse(b.data, b.size, b.size + 31 + offset, &h, &err)) {
        fail_msg("%s", err.text);
    }
    buf_free(&b);
    return h;
}

static const struct tensor model[] = {
    {"token_embd.weight", 192, 64, F16},   {"blk.0.attn_norm.weight", 192, 0, F32},
    {"blk.0.attn_q.weight", 192, 64, F16}, {"blk.0.ffn_down.weight", 512, 64, F16},
    {"blk.0.attn_q.bias", 192, 0, F32},
};
static const struct tensor made[] = {
    /* in another order, as a writer may choose */
    {"blk.0.attn_q.bias", 192, 0, F32},       {"blk.0.attn_norm.weight", 192, 0, F32},
    {"blk.0.attn_q.weight", 192, 64, Q5_0},   {"token_embd.weight", 192, 64, Q8_0},
    {"blk.0.ffn_down.weight", 512, 64, Q4_K},
};

static void record(const struct tensor *after, size_t count, const char *level, enum rc expected,
                   struct record *r) {
    struct gguf_header *a = header(model, ARRAY_SIZE(model)), *b = header(after, count);
    struct err err;
    record_init(r);
    const struct llama_quantizer_opts how = {.level = level};
    assert_int_equal(gguf_record_changes(r, a, b, &how, &err), expected);
    gguf_header_free(a);
    gguf_header_free(b);
}

static void changes_and_reasons_are_recorded(void **state) {
    (void)state;
    struct record r;
    record(made, ARRAY_SIZE(made), "Q4_K_M", RC_OK, &r);
    assert_int_equal(r.changed.count, 3);
    assert_string_equal(r.changed.entries[0].tensor, "blk.0.attn_q.weight");
    assert_string_equal(r.changed.entries[0].text, "F16 to Q5_0");
    assert_int_equal(r.left_alone.count, 2);
    assert_non_null(strstr(r.left_alone.entries[0].text, "F32: vectors stay"));
    assert_non_null(strstr(r.left_alone.entries[1].text, "F32: norms stay"));
    record_release(&r);
}

static void a_width_that_forces_another_type_is_noted(void **state) {
    (void)state;
    struct record r;
    record(made, ARRAY_SIZE(made), "Q4_K_M", RC_OK, &r);
    assert_int_equal(r.notes.count, 2); /* 192 to Q5_0, 192 to Q8_0; 512 fills the blocks */
    assert_non_null(strstr(r.notes.entries[0].text, "rows of 192 weights do not fill the blocks of 256"));
    assert_non_null(strstr(r.notes.entries[0].text, "Q5_0"));
    record_release(&r);
}

static void levels_of_small_blocks_fit_every_width(void **state) {
    static const char *const levels[] = {"Q8_0", "Q4_0", "IQ4_NL", "BF16"};
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(levels); i++) {
        struct record r;
        record(made, ARRAY_SIZE(made), levels[i], RC_OK, &r);
        assert_int_equal(r.notes.count, 0);
        record_release(&r);
    }
}

static void a_type_that_was_asked_for_is_not_noted(void **state) {
    const struct llama_quantizer_opts how = {.level = "IQ4_XS", .embed = "Q8_0"};
    struct gguf_header *a = header(model, ARRAY_SIZE(model)), *b = header(made, ARRAY_SIZE(made));
    struct record r;
    struct err err;
    (void)state;
    record_init(&r);
    assert_int_equal(gguf_record_changes(&r, a, b, &how, &err), RC_OK);
    assert_int_equal(r.notes.count, 1);
    assert_non_null(strstr(r.notes.entries[0].text, "IQ4_XS"));
    assert_non_null(strstr(r.notes.entries[0].text, "Q5_0"));
    record_release(&r);
    gguf_header_free(a);
    gguf_header_free(b);
}

static void an_unknown_tensor_is_an_error(void **state) {
    (void)state;
    const struct tensor other[] = {{"blk.7.attn_q.weight", 192, 64, Q8_0}};
    struct record r;
    record(other, 1, "Q8_0", RC_INTERNAL, &r);
    record_release(&r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(changes_and_reasons_are_recorded),
        cmocka_unit_test(a_width_that_forces_another_type_is_noted),
        cmocka_unit_test(levels_of_small_blocks_fit_every_width),
        cmocka_unit_test(a_type_that_was_asked_for_is_not_noted),
        cmocka_unit_test(an_unknown_tensor_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

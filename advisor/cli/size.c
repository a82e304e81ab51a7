/* size.c -- `pare size`: what a model file holds, and how many bytes each level would leave; nothing is sent
 * or run. */
#include <stdio.h>
#include <string.h>

#include "advisor/cli/answer_print.h"
#include "advisor/cli/options.h"
#include "advisor/cli/table.h"
#include "advisor/cli/verbs.h"
#include "core/formats/format_detect.h"
#include "core/formats/gguf_header.h"
#include "core/formats/onnx_header.h"

static enum rc add_level(struct table *t, const char *level, double bytes, const char *how, struct err *err) {
    char text[FIGURE_SIZE];
    figure_bytes(bytes, text);
    const char *cells[] = {level, text, how};
    return table_add(t, cells, err);
}

static enum rc size_onnx(const char *file, struct table *t, struct err *err) {
    static const struct {
        const char *level;
        double bytes_per_weight;
    } levels[] = {{"fp16", 2}, {"int8:static", 1}, {"int4", 0.5 + 4.0 / 32 + 0.5 / 32}};
    struct onnx_header *h = NULL;
    enum rc rc = onnx_header_read(file, &h, err);
    if (rc != RC_OK) {
        return rc;
    }
    fprintf(stderr, "ONNX, opset %lld, %zu nodes, %llu parameters\n", (long long)h->opset, h->n_nodes,
            (unsigned long long)h->parameters);
    double rest = (double)h->initializer_bytes - (double)h->float32_bytes;
    rc = add_level(t, "as it is", (double)h->initializer_bytes, "measured", err);
    for (size_t i = 0; rc == RC_OK && i < sizeof(levels) / sizeof(levels[0]); i++) {
        rc = add_level(t, levels[i].level, rest + (double)h->float32_bytes / 4 * levels[i].bytes_per_weight,
                       "predicted: every weight", err);
    }
    onnx_header_free(h);
    return rc;
}

/* Weights with two dimensions are quantized; the others stay. */
static double gguf_bytes_at(const struct gguf_header *h, double bits) {
    double bytes = 0;
    for (size_t i = 0; i < gguf_header_tensor_count(h); i++) {
        const struct gguf_tensor *tensor = gguf_header_tensor(h, i);
        bytes += tensor->rank >= 2 ? (double)tensor->elements * bits / 8 : (double)tensor->bytes;
    }
    return bytes;
}

static enum rc size_gguf(const char *file, struct table *t, struct err *err) {
    static const char *const levels[] = {"Q8_0", "Q5_K", "Q4_K", "Q3_K", "Q2_K"};
    struct gguf_header *h = NULL;
    enum rc rc = gguf_header_read(file, &h, err);
    if (rc != RC_OK) {
        return rc;
    }
    const char *architecture = gguf_header_string(h, "general.architecture");
    fprintf(stderr, "GGUF version %u, %s, %zu tensors, %llu parameters\n", gguf_header_version(h),
            architecture ? architecture : "?", gguf_header_tensor_count(h),
            (unsigned long long)gguf_header_parameters(h));
    rc = add_level(t, "as it is", (double)gguf_header_file_bytes(h), "measured", err);
    for (size_t i = 0; rc == RC_OK && i < sizeof(levels) / sizeof(levels[0]); i++) {
        rc = add_level(t, levels[i], gguf_bytes_at(h, gguf_type_bits_by_name(levels[i])),
                       "predicted: every matrix at this width", err);
    }
    gguf_header_free(h);
    return rc;
}

int verb_size(int argc, char **argv) {
    static const char *const headers[] = {"level", ">weights", "provenance"};
    const char *output_name = NULL;
    struct option_list operands = {0};
    const struct option_spec specs[] = {{.name = "output",
                                         .letter = 'o',
                                         .kind = OPTION_TEXT,
                                         .argument = "FORMAT",
                                         .help = "table (default), csv or md",
                                         .value = &output_name}};
    const struct options options = {
        .verb = "size",
        .summary = "what a model file holds and what each level would leave of it; nothing is sent or run",
        .operands = "MODEL",
        .min_operands = 1,
        .max_operands = 1,
        .specs = specs,
        .count = 1,
        .examples = "  pare size model.onnx\n",
    };
    struct err err;
    enum output output = OUTPUT_TABLE;
    enum model_family family;
    struct table *t = NULL;
    int code = options_parse(&options, argc, argv, &operands);
    if (code != OPTIONS_GO_ON) {
        return code;
    }
    enum rc rc = output_name ? output_parse(output_name, &output, &err) : RC_OK;
    if (rc == RC_OK) {
        rc = format_detect(operands.items[0], &family, &err);
    }
    if (rc == RC_OK && !(t = table_new(headers, 3))) {
        rc = err_memory(&err);
    }
    if (rc == RC_OK) {
        rc = family == FAMILY_ONNX ? size_onnx(operands.items[0], t, &err)
                                   : size_gguf(operands.items[0], t, &err);
    }
    if (rc == RC_OK) {
        table_print(t, output, stdout);
    } else if (!strstr(err.text, operands.items[0])) {
        err_prefix(&err, "%s", operands.items[0]);
    }
    table_free(t);
    return rc == RC_OK ? EXIT_FINE : verb_fail("size", &err);
}

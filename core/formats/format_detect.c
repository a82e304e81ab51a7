#include "core/formats/format_detect.h"

#include <stdbool.h>
#include <string.h>

#include "core/base/container.h"
#include "core/formats/gguf_header.h"
#include "core/formats/mapped_file.h"
#include "core/formats/onnx_header.h"

enum { LOOK_BYTES = 512 };

#define MAGIC(at, bytes, what)                                                                               \
    { at, sizeof(bytes) - 1, bytes, what }
static const struct magic {
    size_t at, size;
    const char *bytes;
    const char *what;
} magics[] = {
    MAGIC(0, "GGUF", "a GGUF model"),
    MAGIC(0, "\x93NUMPY", "a single NumPy array (.npy)"),
    MAGIC(0, "\x1f\x8b", "a gzip file"),
    MAGIC(0, "\x89HDF", "an HDF5 file (Keras?)"),
    MAGIC(4, "TFL3", "a TensorFlow Lite model"),
    MAGIC(0, "lmgg", "a GGML file, older than GGUF"),
    MAGIC(0, "tjgg", "a GGML file, older than GGUF"),
    MAGIC(0, "\x80\x02", "a Python pickle (an old PyTorch file?)"),
    MAGIC(0, "\x80\x04", "a Python pickle"),
    MAGIC(0, "\x80\x05", "a Python pickle"),
    MAGIC(0, "BZh", "a bzip2 file"),
    MAGIC(0,
          "\xfd"
          "7zXZ",
          "an xz file"),
    MAGIC(0, "\x28\xb5\x2f\xfd", "a zstd file"),
    MAGIC(257, "ustar", "a tar archive"),
    MAGIC(0,
          "\x7f"
          "ELF",
          "a program"),
    MAGIC(0, "%PDF", "a PDF document"),
    MAGIC(0, "\x89PNG", "a PNG image"),
    MAGIC(0, "\xff\xd8\xff", "a JPEG image"),
    MAGIC(0, "SQLite format 3", "an SQLite database"),
    MAGIC(0, "version https://git-lfs", "a Git LFS pointer (run git lfs pull)"),
    MAGIC(0, "<!DOCTYPE", "a web page (a failed download?)"),
    MAGIC(0, "<!doctype", "a web page (a failed download?)"),
    MAGIC(0, "<html", "a web page (a failed download?)"),
};

static bool holds(const void *data, size_t size, const char *text) {
    return memmem(data, size, text, strlen(text)) != NULL;
}

/* A zip's first entry tells an .npz from torch.save's archive. */
static const char *guess_zip(const void *data, size_t size) {
    size_t look = size < 128 ? size : 128;
    if (holds(data, look, ".npy")) {
        return "a NumPy archive (.npz)";
    }
    if (holds(data, look, "/data.pkl")) {
        return "a PyTorch file (export it with torch.onnx.export)";
    }
    return "a zip archive";
}

/* safetensors: the length of a JSON header (u64), then that header. */
static bool is_safetensors(const uint8_t *p, size_t size) {
    return size > 10 && p[8] == '{' && p[9] == '"' && p[5] == 0 && p[6] == 0 && p[7] == 0;
}

static bool is_text(const uint8_t *p, size_t size) {
    for (size_t i = 0; i < size; i++) {
        if (p[i] == 0x7f || (p[i] < 0x20 && p[i] != '\n' && p[i] != '\r' && p[i] != '\t')) {
            return false;
        }
    }
    return size >= 4;
}

static const char *guess_rest(const uint8_t *p, size_t size) {
    if (is_safetensors(p, size)) {
        return "a safetensors file";
    }
    size_t look = size < LOOK_BYTES ? size : LOOK_BYTES;
    if (is_text(p, look)) {
        return p[0] == '{' || p[0] == '[' ? "JSON" : "a text";
    }
    for (size_t i = 0; i < look; i++) {
        if (p[i] != 0) {
            return NULL;
        }
    }
    return "a file of zeros (a failed download?)";
}

const char *format_guess(const void *data, size_t size) {
    const uint8_t *p = data;
    if (size == 0) {
        return "an empty file";
    }
    if (size >= 4 && memcmp(p, "PK\3\4", 4) == 0) {
        return guess_zip(p, size);
    }
    for (size_t i = 0; i < ARRAY_SIZE(magics); i++) {
        const struct magic *m = &magics[i];
        if (size >= m->at + m->size && memcmp(p + m->at, m->bytes, m->size) == 0) {
            return m->what;
        }
    }
    return guess_rest(p, size);
}

static enum rc detect(const struct mapped_file *m, enum model_family *ret, struct err *err) {
    struct gguf_header *gguf;
    struct onnx_header *onnx;
    if (m->size == 0) {
        return err_set(err, RC_INPUT, "the file is empty: a model is an ONNX or a GGUF file");
    }
    if (m->size >= 4 && memcmp(m->data, "GGUF", 4) == 0) {
        enum rc rc = gguf_header_parse(m->data, m->size, m->size, &gguf, err);
        if (rc == RC_OK) {
            gguf_header_free(gguf);
            *ret = FAMILY_GGUF;
        }
        return rc;
    }
    enum rc rc = onnx_header_parse(m->data, m->size, &onnx, err);
    if (rc == RC_OK) {
        onnx_header_free(onnx);
        *ret = FAMILY_ONNX;
    }
    return rc;
}

enum rc format_detect(const char *path, enum model_family *ret, struct err *err) {
    struct mapped_file m;
    enum rc rc = mapped_file_open(path, &m, err);
    if (rc == RC_OK) {
        rc = detect(&m, ret, err);
        mapped_file_close(&m);
    }
    return rc;
}

/* format_detect.h -- which family a model file belongs to, by its content and never by its name. */
#pragma once

#include <stddef.h>

#include "core/base/err.h"
#include "core/base/model_family.h"

/* FAMILY_ONNX or FAMILY_GGUF, after the header was read and checked (truncation too).
 * RC_INPUT with a text that says what the file is instead: empty, a zip archive, an .npz, a PyTorch pickle,
 * safetensors, HDF5, TensorFlow Lite, a web page, text, a Git LFS pointer, ... RC_IO, RC_NOT_FOUND: it cannot
 * be read. */
MUST_USE enum rc format_detect(const char *path, enum model_family *ret, struct err *err);

/* What the first bytes look like, for error texts: "a zip archive"; NULL when unknown. Never fails. */
const char *format_guess(const void *data, size_t size);

/* gguf_record.h -- what quantization did to each tensor of a GGUF file, from the headers before and after. */
#pragma once

#include "core/base/err.h"

struct gguf_header;          /* core/formats/gguf_header.h */
struct llama_quantizer_opts; /* runtimes/llama_quantizer.h */
struct record;               /* core/recipes/record.h */

/* Adds every tensor of `after` to the record: changed with both types, or left alone with its type and the
 * reason. A note says which widths (rows that do not fill the K types' blocks of 256 weights) forced another,
 * larger type than the level of `how` stands for. RC_INTERNAL when `after` has a tensor that `before` has
 * not. */
MUST_USE enum rc gguf_record_changes(struct record *record, const struct gguf_header *before,
                                     const struct gguf_header *after, const struct llama_quantizer_opts *how,
                                     struct err *err);

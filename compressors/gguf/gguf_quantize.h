/* gguf_quantize.h -- GGUF levels (Q8_0, Q5_K_M, Q4_K_M, Q3_K_M, Q2_K) by libllama, with an importance matrix
 * from the calibration text. */
#pragma once

#include "compressors/compressor.h"

/* The compress_fn of every GGUF level: the level is the name of the step's descriptor. Reads job->input,
 * writes job->output. With job->calibration (text) the importance matrix is computed from its first 200
 * chunks; without, Q8_0 alone is unchanged and the others are made without one, which a note says. Record:
 * matrices changed with their resulting type, the rest left alone with the reason, a note when a width forces
 * another type than the level's. */
enum rc gguf_quantize_compress(struct compress_job *job, const struct recipe_step *step, struct err *err);

/* gguf_quantize.h -- GGUF levels (Q8_0 to IQ1_S, and 16-bit floats) by libllama, with an importance matrix
 * from the calibration text. */
#pragma once

#include "compressors/compressor.h"

/* The compress_fn of every GGUF level: the level is the name of the step's descriptor. Reads job->input,
 * writes job->output. Flag `imatrix`, and levels that need it: an importance matrix is computed from the
 * first 200 chunks of job->calibration (RC_INPUT unless that is a text). RC_UNSUPPORTED for a model that is
 * quantized already. Record: matrices changed with their resulting type, the rest left alone with the reason,
 * a note when a width forces another type than the level's. */
enum rc gguf_quantize_compress(struct compress_job *job, const struct recipe_step *step, struct err *err);

/* mixed.h -- the technique mixed: every layer gets the width that the target allows. */
#pragma once

#include "compressors/compressor.h"
#include "core/base/err.h"

/* compress_fn of "mixed". Options: target=accuracy|size|latency with drop=POINTS, mib=N or speedup=N;
 * least=size|latency (with target=accuracy); act=u8|s8. Puts another graph in the place of job->graph.
 * RC_UNSUPPORTED when no layer can have fewer bits, or the target cannot be reached: the text says what can.
 * RC_INPUT without calibration examples. */
MUST_USE enum rc mixed_compress(struct compress_job *job, const struct recipe_step *step, struct err *err);

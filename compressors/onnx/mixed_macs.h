/* mixed_macs.h -- how many multiplications each layer does. */
#pragma once

#include "compressors/onnx/mixed_model.h"
#include "core/base/err.h"

/* Fills in `macs` of every layer, from the sizes of its products' outputs in a run of the model. */
MUST_USE enum rc mixed_macs_count(struct mixed_model *m, struct err *err);

/* mixed_four.h -- all products of a model in 4 bits, rounded once (GPTQ), and layers taken from there one by
 * one: a choice of widths costs no rounding. */
#pragma once

#include "compressors/onnx/mixed_model.h"
#include "core/base/err.h"

/* Fills m->four from m->plain, and tells `record` which weights 4 bits hold. NULL in m->four where there are
 * none. Only layers that compute with their 4 bits: what could only be stored is left. */
MUST_USE enum rc mixed_four_open(struct mixed_model *m, struct record *record, struct err *err);

/* Gives every node of g, a copy of the plain model, that reads the weights of a layer with MIXED_INT4 its 4
 * bits. */
MUST_USE enum rc mixed_four_write(const struct mixed_model *m, const enum mixed_width *widths,
                                  struct graph *g, struct record *record, struct err *err);

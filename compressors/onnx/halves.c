#include "compressors/onnx/halves.h"

#include "compressors/onnx/round_loops.h"

VECTOR_LOOPS void halves_of_floats(const float *values, size_t count, uint16_t *halves) {
    round_halves(values, count, halves);
}

VECTOR_LOOPS size_t halves_of_floats_finite(const float *values, size_t count, uint16_t *halves) {
    return round_halves_finite(values, count, halves);
}

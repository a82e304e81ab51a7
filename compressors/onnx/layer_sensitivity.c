#include "compressors/onnx/layer_sensitivity.h"

#include "compressors/onnx/output_change.h"

enum { EXAMPLES = 16 }; /* a rank among layers needs few */

enum rc layer_sensitivity(struct compress_job *job, const char *was, size_t was_size,
                          const struct graph_node *n, const struct weights *w, enum weight_rows_order order,
                          const struct weight_rows *rows, float *changed, double *change, struct err *err) {
    struct weight_rows other = *rows;
    other.values = changed;
    enum rc rc = weight_rows_store(job->graph, n, w, order, &other, err);
    rc = rc != RC_OK ? rc : output_change(job, was, was_size, EXAMPLES, change, err);
    struct err ignored;
    enum rc back = weight_rows_store(job->graph, n, w, order, rows, rc == RC_OK ? err : &ignored);
    return rc != RC_OK ? rc : back;
}

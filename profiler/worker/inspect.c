/* inspect.c -- does the dataset fit the model? Opens both, runs one example, and tells what can be measured,
 * before anything costs time. */
#include <stdlib.h>

#include "core/formats/gguf_header.h"
#include "core/formats/onnx_header.h"
#include "profiler/worker/feeds.h"
#include "profiler/worker/metrics.h"
#include "profiler/worker/opened_model.h"
#include "profiler/worker/worker_job.h"
#include "runtimes/llama_lm.h"
#include "runtimes/llama_score.h"

struct inspection {
    struct worker_job *job;
    struct dataset *dataset, *calibration; /* NULL for none */
    struct onnxruntime *runtime;
    struct opened_model model;
};

static enum rc open_datasets(struct inspection *in, struct err *err) {
    const struct job_spec *spec = in->job->spec;
    enum rc rc = RC_OK;
    if (spec->dataset) {
        rc = dataset_open(spec->dataset, spec->limits.memory_bytes / 3, &in->dataset, err);
    }
    if (rc == RC_OK && spec->calibration) {
        rc = dataset_open(spec->calibration, spec->limits.memory_bytes / 3, &in->calibration, err);
        if (rc != RC_OK) {
            err_prefix(err, "the calibration set");
        }
    }
    return rc;
}

static json_t *specs_json(const struct tensor_spec *specs, size_t count) {
    json_t *array = json_array();
    for (size_t i = 0; i < count; i++) {
        json_t *shape = json_array();
        for (size_t k = 0; k < specs[i].rank; k++) {
            json_array_append_new(shape, specs[i].dims[k] < 0 ? json_null() : json_integer(specs[i].dims[k]));
        }
        json_array_append_new(array, json_pack("{s:s, s:s, s:o}", "name", specs[i].name, "dtype",
                                               dtype_name(specs[i].dtype), "shape", shape));
    }
    return array;
}

static const char *labels_text(const struct dataset *d) {
    enum dataset_labels labels = d ? dataset_labels(d) : LABELS_NONE;
    switch (labels) {
    case LABELS_EXAMPLE:
        return "example";
    case LABELS_POSITION:
        return "position";
    case LABELS_TARGET:
        return "target";
    case LABELS_NONE:
        break;
    }
    return "none";
}

static json_t *names_json(const char *const *names) {
    json_t *array = json_array();
    for (; *names; names++) {
        json_array_append_new(array, json_string(*names));
    }
    return array;
}

/* The keys that do not depend on the model's family. */
static enum rc report(struct inspection *in, size_t classes, const char *const *metrics, const char *runtime,
                      struct err *err) {
    const struct job_spec *spec = in->job->spec;
    size_t dropped = (in->dataset ? dataset_overlap_dropped(in->dataset) : 0) +
                     (in->calibration ? dataset_overlap_dropped(in->calibration) : 0);
    json_t *part =
        json_pack("{s:s, s:I, s:I, s:I, s:I, s:s, s:o, s:I, s:s}", "family",
                  model_family_name(spec->model.family), "bytes", (json_int_t)spec->model.bytes, "examples",
                  (json_int_t)(in->dataset ? dataset_count(in->dataset) : 0), "calibration_examples",
                  (json_int_t)(in->calibration ? dataset_count(in->calibration) : 0), "overlap_dropped",
                  (json_int_t)dropped, "labels", labels_text(in->dataset), "metrics", names_json(metrics),
                  "classes", (json_int_t)classes, "runtime", runtime);
    return json_object_update_new(in->job->result, part) == 0 ? RC_OK : err_memory(err);
}

/* --- ONNX --- */

/* Runs the dataset's first example (a fixed batch: as many), and checks labels against the answer. *classes
 * of the output. */
static enum rc run_example(struct inspection *in, size_t *classes, const char *names[METRICS_MAX + 1],
                           struct err *err) {
    struct feeds feeds = {0};
    struct onnxruntime_result *result = NULL;
    struct metrics metrics = {0};
    struct logits logits;
    float *room = NULL;
    size_t room_size = 0;
    size_t output = 0;
    size_t batch = 0;
    bool unlabelled = dataset_labels(in->dataset) == LABELS_NONE;
    enum rc rc = opened_model_fixed_batch(&in->model, &batch, err);
    if (rc != RC_OK || (rc = logits_choose(in->model.outputs, in->model.n_outputs, &output, err)) != RC_OK) {
        return rc;
    }
    batch = batch > 0 ? batch : 1;
    if ((rc = feeds_init(&feeds, in->dataset, in->model.n_inputs, batch, err)) != RC_OK) {
        return rc;
    }
    feeds_fill(&feeds, 0, batch < dataset_count(in->dataset) ? batch : dataset_count(in->dataset));
    if ((rc = onnxruntime_run(in->model.session, feeds.tensors, &result, err)) != RC_OK ||
        (rc = logits_view(onnxruntime_result_output(result, output), batch, &room, &room_size, &logits,
                          err)) != RC_OK ||
        (rc = metrics_init(&metrics, in->dataset, logits.positions, logits.classes, unlabelled, err)) !=
            RC_OK) {
        goto out;
    }
    *classes = logits.classes;
    metrics_names(dataset_labels(in->dataset), logits.classes, unlabelled, names);

out:
    metrics_release(&metrics);
    free(room);
    onnxruntime_result_free(result);
    feeds_release(&feeds);
    return rc;
}

static enum rc header_facts(struct inspection *in, struct err *err) {
    struct onnx_header *header = NULL;
    enum rc rc = onnx_header_read(in->job->spec->model.main_local, &header, err);
    if (rc != RC_OK) {
        return rc;
    }
    json_t *part =
        json_pack("{s:I, s:I, s:o, s:o}", "opset", (json_int_t)header->opset, "parameters",
                  (json_int_t)header->parameters, "inputs", specs_json(in->model.inputs, in->model.n_inputs),
                  "outputs", specs_json(in->model.outputs, in->model.n_outputs));
    onnx_header_free(header);
    return json_object_update_new(in->job->result, part) == 0 ? RC_OK : err_memory(err);
}

static enum rc inspect_onnx(struct inspection *in, struct err *err) {
    const struct onnxruntime_session_opts opts = {.threads = job_spec_threads(in->job->spec)};
    const char *names[METRICS_MAX + 1] = {NULL};
    size_t classes = 0;
    enum rc rc = onnxruntime_new(NULL, &in->runtime, err);
    if (rc != RC_OK ||
        (rc = opened_model_open(in->runtime, &in->job->spec->model, &opts, &in->model, err)) != RC_OK ||
        (rc = header_facts(in, err)) != RC_OK) {
        return rc;
    }
    lines_progress(in->job->lines, 0.3, "the model is loaded");
    if ((rc = open_datasets(in, err)) != RC_OK) {
        return rc;
    }
    lines_progress(in->job->lines, 0.8, "the data is read");
    if (in->dataset) {
        if ((rc = dataset_bind(in->dataset, in->model.inputs, in->model.n_inputs, err)) != RC_OK ||
            (rc = run_example(in, &classes, names, err)) != RC_OK) {
            return rc;
        }
    }
    if (in->calibration &&
        (rc = dataset_bind(in->calibration, in->model.inputs, in->model.n_inputs, err)) != RC_OK) {
        return err_prefix(err, "the calibration set");
    }
    return report(in, classes, names, onnxruntime_version(), err);
}

/* --- GGUF --- */

static enum rc check_text(const struct dataset *d, const char *whose, struct err *err) {
    size_t size = 0;
    if (d && !dataset_text(d, &size)) {
        return err_set(err, RC_INPUT,
                       "%s: a GGUF model reads text, and this dataset is none: give format \"text\"", whose);
    }
    return RC_OK;
}

/* Scores the first chunk of the text. */
static enum rc score_chunk(struct inspection *in, struct llama_lm *lm, struct err *err) {
    const struct llama_score_opts opts = {.max_chunks = 1};
    struct llama_scores scores = {0};
    size_t size = 0;
    const char *text = dataset_text(in->dataset, &size);
    enum rc rc = llama_score_text(lm, NULL, text, size, &opts, &scores, err);
    llama_scores_free(&scores);
    return rc;
}

static enum rc describe(struct inspection *in, const struct llama_lm *lm, struct err *err) {
    static const char *const metrics[] = {"ppl", "kld", "agreement", NULL};
    struct llama_lm_info info;
    llama_lm_describe(lm, &info);
    json_t *part =
        json_pack("{s:s, s:s, s:I, s:I, s:I, s:[], s:[]}", "architecture", info.architecture, "description",
                  info.description, "parameters", (json_int_t)info.parameters, "context",
                  (json_int_t)info.trained_context, "layers", (json_int_t)info.layers, "inputs", "outputs");
    if (json_object_update_new(in->job->result, part) != 0) {
        return err_memory(err);
    }
    return report(in, info.vocabulary, metrics, llama_lm_version(), err);
}

static enum rc inspect_gguf(struct inspection *in, struct err *err) {
    struct llama_lm *lm = NULL;
    struct gguf_header *header = NULL;
    const struct llama_lm_opts opts = {.threads = job_spec_threads(in->job->spec)};
    enum rc rc = gguf_header_read(in->job->spec->model.main_local, &header, err);
    gguf_header_free(header);
    if (rc != RC_OK || (rc = open_datasets(in, err)) != RC_OK ||
        (rc = check_text(in->dataset, "the dataset", err)) != RC_OK ||
        (rc = check_text(in->calibration, "the calibration set", err)) != RC_OK ||
        (rc = llama_lm_load(in->job->spec->model.main_local, &opts, &lm, err)) != RC_OK) {
        return rc;
    }
    lines_progress(in->job->lines, 0.8, "the model is loaded");
    if (in->dataset) {
        rc = score_chunk(in, lm, err);
    }
    if (rc == RC_OK) {
        rc = describe(in, lm, err);
    }
    llama_lm_free(lm);
    return rc;
}

enum rc inspect_run(struct worker_job *job, struct err *err) {
    struct inspection in = {.job = job};
    enum rc rc = job->spec->model.family == FAMILY_GGUF ? inspect_gguf(&in, err) : inspect_onnx(&in, err);
    dataset_free(in.dataset);
    dataset_free(in.calibration);
    opened_model_close(&in.model);
    onnxruntime_free(in.runtime);
    return rc;
}

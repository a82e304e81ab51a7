/* compress.c -- makes a variant: runs a recipe on the job's model and tells what changed. */
#include <stdlib.h>
#include <unistd.h>

#include "compressors/compressor.h"
#include "core/base/json.h"
#include "core/data/dataset.h"
#include "core/recipes/recipe.h"
#include "profiler/worker/worker_job.h"

static json_t *entries(const struct record_list *list, const char *key) {
    json_t *array = json_array();
    for (size_t i = 0; i < list->count; i++) {
        json_array_append_new(
            array, json_pack("{s:s, s:s}", "tensor", list->entries[i].tensor, key, list->entries[i].text));
    }
    return array;
}

static json_t *texts(const struct record_list *list) {
    json_t *array = json_array();
    for (size_t i = 0; i < list->count; i++) {
        json_array_append_new(array, json_string(list->entries[i].text));
    }
    return array;
}

static enum rc report(struct worker_job *job, const struct compress_result *made, struct err *err) {
    const struct record *record = &made->record;
    for (size_t i = 0; i < made->path_count; i++) {
        if (json_array_append_new(job->files, json_pack("{s:s}", "path", made->paths[i])) != 0) {
            return err_memory(err);
        }
    }
    json_t *result =
        json_pack("{s:I, s:f, s:b, s:o, s:o, s:o, s:o}", "bytes", (json_int_t)made->bytes, "seconds",
                  made->seconds, "storage_only", record->storage_only, "changed",
                  entries(&record->changed, "how"), "left_alone", entries(&record->left_alone, "why"),
                  "notes", texts(&record->notes), "slow_because", texts(&record->slow));
    return json_object_update_new(job->result, result) == 0 ? RC_OK : err_memory(err);
}

static enum rc run(struct worker_job *job, const struct recipe *recipe, struct dataset *calibration,
                   struct err *err) {
    const struct job_model *model = &job->spec->model;
    struct compress_file *files = calloc(model->file_count, sizeof(files[0]));
    struct compress_result made;
    char *folder = getcwd(NULL, 0);
    if (!files || !folder) {
        free(files);
        free(folder);
        return err_memory(err);
    }
    for (size_t i = 0; i < model->file_count; i++) {
        files[i] = (struct compress_file){model->files[i].path, model->files[i].local};
    }
    const struct compress_request request = {.recipe = recipe,
                                             .files = files,
                                             .file_count = model->file_count,
                                             .main_path = model->main_path,
                                             .out_folder = folder,
                                             .calibration = calibration,
                                             .threads = job_spec_threads(job->spec),
                                             .on_progress = lines_progress,
                                             .user = job->lines};
    enum rc rc = compressors_run(&request, &made, err);
    free(files);
    free(folder);
    if (rc == RC_OK) {
        rc = report(job, &made, err);
        compress_result_release(&made);
    }
    return rc;
}

enum rc compress_run(struct worker_job *job, struct err *err) {
    const char *text = NULL;
    struct recipe recipe;
    struct dataset *calibration = NULL;
    enum rc rc = json_get_string(job->spec->root, "recipe", &text, err);
    if (rc != RC_OK || (rc = recipe_parse(text, job->spec->model.family, &recipe, err)) != RC_OK) {
        return rc;
    }
    if (job->spec->calibration && (recipe_needs(&recipe) & NEEDS_CALIBRATION)) {
        rc = dataset_open(job->spec->calibration, job->spec->limits.memory_bytes / 2, &calibration, err);
        if (rc != RC_OK) {
            return err_prefix(err, "calibration");
        }
    }
    rc = run(job, &recipe, calibration, err);
    dataset_free(calibration);
    return rc;
}

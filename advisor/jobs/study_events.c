#include "advisor/jobs/study_events.h"

#include <jansson.h>
#include <stdbool.h>
#include <string.h>

#include "advisor/jobs/stored_json.h"
#include "db/store_studies.h"

/* `data` is taken over. */
static enum rc add(struct store_tx *tx, const char *study, const char *kind, json_t *data, struct err *err) {
    const char *text;
    enum rc rc = stored_tx_text(tx, data, &text, err);
    return rc == RC_OK ? store_event_add(tx, study, kind, text, err) : rc;
}

enum rc study_events_state(struct store_tx *tx, const char *study, const char *state,
                           const char *recommendation, const char *error_code, const char *error_text,
                           struct err *err) {
    bool final = strcmp(state, "queued") != 0 && strcmp(state, "running") != 0;
    json_t *error =
        error_code ? json_pack("{s:s, s:s?}", "code", error_code, "text", error_text) : json_null();
    enum rc rc = add(
        tx, study, "state",
        json_pack("{s:s, s:s?, s:o}", "state", state, "recommendation", recommendation, "error", error), err);
    return rc == RC_OK && final ? store_events_trim(tx, study, err) : rc;
}

enum rc study_events_progress(struct store_tx *tx, const struct store_job *j, double fraction,
                              const char *text, struct err *err) {
    const char **studies;
    size_t n;
    enum rc rc = store_job_studies(tx, j->id, &studies, &n, err);
    for (size_t i = 0; rc == RC_OK && i < n; i++) {
        struct store_study s;
        rc = store_study_get(tx, studies[i], &s, err);
        if (rc == RC_OK) {
            rc = add(tx, studies[i], "progress",
                     json_pack("{s:s, s:s, s:s, s:f, s:s, s:I, s:I}", "job", j->id, "kind", j->kind, "recipe",
                               j->label, "fraction", fraction, "text", text ? text : "", "done",
                               (json_int_t)s.done, "total", (json_int_t)s.total),
                     err);
        }
    }
    return rc;
}

enum rc study_events_step(struct store_tx *tx, const struct store_job *j, const char *state, const char *text,
                          struct err *err) {
    const char **studies;
    size_t n;
    enum rc rc = store_job_studies(tx, j->id, &studies, &n, err);
    for (size_t i = 0; rc == RC_OK && i < n; i++) {
        rc = add(tx, studies[i], "step",
                 json_pack("{s:s, s:s, s:s, s:s, s:s}", "job", j->id, "kind", j->kind, "recipe", j->label,
                           "state", state, "text", text),
                 err);
    }
    return rc;
}

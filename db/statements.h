/* statements.h -- every SQL statement of the store, named: X(name, text). Prepared at open, so that a typo
 * fails at start. */
#pragma once

#define MODEL_COLUMNS         "id, name, family, main, bytes, created_ms, rowid"
#define DATASET_COLUMNS       "id, name, format, input, labels, preprocess_json, bytes, examples, created_ms, rowid"
#define VARIANT_COLUMNS       "id, model, recipe, calibration, state, error, main, result_json, bytes, created_ms"
#define CONFIGURATION_COLUMNS "id, variant, machine_type, instances, threads, batch, created_ms"
#define EVALUATION_COLUMNS    "id, variant, dataset, split_json, primary_name, result_json, examples, created_ms"
#define STUDY_COLUMNS                                                                                        \
    "id, state, model, dataset, calibration, request_json, plan_json, recommendation, error_code, "          \
    "error_text, done, total, created_ms, finished_ms, rowid"
#define JOB_COLUMNS                                                                                          \
    "j.id, j.key, j.kind, j.state, j.priority, j.machine_type, j.label, j.spec_json, j.subject_json, "       \
    "j.token, j.lease_until_ms, j.crashes, j.target, j.fraction, j.text, j.result_json, j.error_code, "      \
    "j.error_text, j.log, j.created_ms, j.finished_ms"
#define COMPARISON_COLUMNS                                                                                   \
    "id, key, state, machine_type, request_json, spec_json, verdict, result_json, error_code, error_text, "  \
    "created_ms, finished_ms"
#define MACHINE_TYPE_SELECT                                                                                  \
    "SELECT m.id, m.name, m.fingerprint_json, m.instance_type, p.usd_per_hour, p.source, p.as_of, "          \
    "m.created_ms FROM machine_types m LEFT JOIN prices p ON p.id = "                                        \
    "(SELECT max(id) FROM prices WHERE machine_type = m.id) "

#define STATEMENTS(X)                                                                                        \
    X(BLOB_ADD, "INSERT INTO blobs (sha256, bytes, created_ms) VALUES (?1, ?2, ?3) "                         \
                "ON CONFLICT (sha256) DO UPDATE SET created_ms = excluded.created_ms")                       \
    X(BLOB_BYTES, "SELECT bytes FROM blobs WHERE sha256 = ?1")                                               \
    X(BLOBS_UNUSED, "SELECT sha256 FROM blobs b WHERE created_ms < ?1 "                                      \
                    "AND NOT EXISTS (SELECT 1 FROM model_files WHERE sha256 = b.sha256) "                    \
                    "AND NOT EXISTS (SELECT 1 FROM dataset_files WHERE sha256 = b.sha256) "                  \
                    "AND NOT EXISTS (SELECT 1 FROM variant_files WHERE sha256 = b.sha256) "                  \
                    "AND NOT EXISTS (SELECT 1 FROM example_scores WHERE sha256 = b.sha256) "                 \
                    "AND NOT EXISTS (SELECT 1 FROM profile_samples WHERE sha256 = b.sha256) "                \
                    "AND NOT EXISTS (SELECT 1 FROM comparison_samples WHERE sha256 = b.sha256) "             \
                    "AND NOT EXISTS (SELECT 1 FROM comparison_files WHERE sha256 = b.sha256)")               \
    X(BLOB_DELETE, "DELETE FROM blobs WHERE sha256 = ?1")                                                    \
    X(MODEL_ADD, "INSERT INTO models (id, name, family, main, bytes, created_ms) "                           \
                 "VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (id) DO NOTHING")                              \
    X(MODEL_FILE_ADD, "INSERT INTO model_files (model, position, path, sha256, bytes) "                      \
                      "VALUES (?1, ?2, ?3, ?4, ?5)")                                                         \
    X(MODEL_GET, "SELECT " MODEL_COLUMNS " FROM models WHERE id = ?1")                                       \
    X(MODEL_BY_NAME, "SELECT " MODEL_COLUMNS " FROM models WHERE name = ?1 ORDER BY rowid DESC LIMIT 1")     \
    X(MODEL_FILES, "SELECT path, sha256, bytes FROM model_files WHERE model = ?1 ORDER BY position")         \
    X(MODELS_LIST, "SELECT " MODEL_COLUMNS " FROM models WHERE ?1 = 0 OR rowid < ?1 "                        \
                   "ORDER BY rowid DESC LIMIT ?2")                                                           \
    X(MODEL_USES, "SELECT count(*) FROM studies WHERE model = ?1")                                           \
    X(MODEL_DELETE, "DELETE FROM models WHERE id = ?1")                                                      \
    X(DATASET_ADD,                                                                                           \
      "INSERT INTO datasets (id, name, format, input, labels, preprocess_json, bytes, examples, "            \
      "created_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT (id) DO NOTHING")                 \
    X(DATASET_FILE_ADD, "INSERT INTO dataset_files (dataset, position, path, role, sha256, bytes) "          \
                        "VALUES (?1, ?2, ?3, ?4, ?5, ?6)")                                                   \
    X(DATASET_GET, "SELECT " DATASET_COLUMNS " FROM datasets WHERE id = ?1")                                 \
    X(DATASET_FILES,                                                                                         \
      "SELECT path, sha256, bytes, role FROM dataset_files WHERE dataset = ?1 ORDER BY position")            \
    X(DATASETS_LIST, "SELECT " DATASET_COLUMNS " FROM datasets WHERE ?1 = 0 OR rowid < ?1 "                  \
                     "ORDER BY rowid DESC LIMIT ?2")                                                         \
    X(DATASET_EXAMPLES, "UPDATE datasets SET examples = ?2 WHERE id = ?1")                                   \
    X(DATASET_USES, "SELECT count(*) FROM studies WHERE dataset = ?1 OR calibration = ?1")                   \
    X(DATASET_DELETE, "DELETE FROM datasets WHERE id = ?1")                                                  \
    X(TARGET_SET_SEEN, "UPDATE targets SET last_seen_ms = ?2 WHERE id = ?1")                                 \
    X(MACHINE_TYPE_ADD, "INSERT INTO machine_types (id, name, fingerprint_json, instance_type, created_ms) " \
                        "VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (id) DO NOTHING")                           \
    X(MACHINE_TYPE_GET, MACHINE_TYPE_SELECT "WHERE m.id = ?1")                                               \
    X(MACHINE_TYPES_LIST, MACHINE_TYPE_SELECT "ORDER BY m.rowid")                                            \
    X(MACHINE_TYPE_SET, "UPDATE machine_types SET name = coalesce(?2, name), "                               \
                        "instance_type = coalesce(?3, instance_type) WHERE id = ?1")                         \
    X(PRICE_SET, "INSERT INTO prices (machine_type, usd_per_hour, source, as_of, created_ms) "               \
                 "VALUES (?1, ?2, ?3, ?4, ?5)")                                                              \
    X(TARGET_PUT,                                                                                            \
      "INSERT INTO targets (id, name, machine_type, fingerprint_json, last_seen_ms, created_ms) "            \
      "VALUES (?1, ?2, ?3, ?4, ?5, ?5) ON CONFLICT (id) DO UPDATE SET "                                      \
      "fingerprint_json = excluded.fingerprint_json, last_seen_ms = excluded.last_seen_ms")                  \
    X(TARGET_SEEN, "UPDATE targets SET last_seen_ms = ?2 WHERE id = ?1 "                                     \
                   "AND abs(last_seen_ms - ?2) > 10000")                                                     \
    X(TARGET_GET, "SELECT id, name, machine_type, fingerprint_json, last_seen_ms, created_ms "               \
                  "FROM targets WHERE id = ?1")                                                              \
    X(TARGETS_LIST, "SELECT id, name, machine_type, fingerprint_json, last_seen_ms, created_ms "             \
                    "FROM targets ORDER BY rowid")                                                           \
    X(VARIANT_ADD, "INSERT INTO variants (id, model, recipe, calibration, state, created_ms) "               \
                   "VALUES (?1, ?2, ?3, ?4, 'pending', ?5) ON CONFLICT (id) DO NOTHING")                     \
    X(VARIANT_GET, "SELECT " VARIANT_COLUMNS " FROM variants WHERE id = ?1")                                 \
    X(VARIANT_FILES, "SELECT path, sha256, bytes FROM variant_files WHERE variant = ?1 ORDER BY position")   \
    X(VARIANT_FILE_ADD, "INSERT INTO variant_files (variant, position, path, sha256, bytes) "                \
                        "VALUES (?1, ?2, ?3, ?4, ?5)")                                                       \
    X(VARIANT_READY, "UPDATE variants SET state = 'ready', main = ?2, bytes = ?3, result_json = ?4, "        \
                     "error = NULL WHERE id = ?1 AND state <> 'ready'")                                      \
    X(VARIANT_FAILED,                                                                                        \
      "UPDATE variants SET state = 'failed', error = ?2 WHERE id = ?1 AND state = 'pending'")                \
    X(VARIANT_PENDING, "UPDATE variants SET state = 'pending', error = NULL "                                \
                       "WHERE id = ?1 AND state = 'failed'")                                                 \
    X(VARIANTS_OF_MODEL, "SELECT " VARIANT_COLUMNS " FROM variants WHERE model = ?1 ORDER BY rowid")         \
    X(CONFIGURATION_ADD,                                                                                     \
      "INSERT INTO configurations (id, variant, machine_type, instances, threads, batch, created_ms) "       \
      "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (id) DO NOTHING")                                     \
    X(CONFIGURATION_GET, "SELECT " CONFIGURATION_COLUMNS " FROM configurations WHERE id = ?1")               \
    X(CONFIGURATIONS_OF_VARIANT,                                                                             \
      "SELECT " CONFIGURATION_COLUMNS " FROM configurations WHERE variant = ?1 ORDER BY rowid")              \
    X(EVALUATION_ADD,                                                                                        \
      "INSERT INTO evaluations (id, variant, dataset, split_json, primary_name, examples, "                  \
      "result_json, created_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT (id) DO NOTHING")        \
    X(EVALUATION_GET, "SELECT " EVALUATION_COLUMNS " FROM evaluations WHERE id = ?1")                        \
    X(EVALUATIONS_OF_VARIANT,                                                                                \
      "SELECT " EVALUATION_COLUMNS " FROM evaluations WHERE variant = ?1 ORDER BY rowid DESC")               \
    X(SCORES_ADD, "INSERT INTO example_scores (evaluation, metric, sha256, row_count, columns) "             \
                  "VALUES (?1, ?2, ?3, ?4, ?5)")                                                             \
    X(SCORES_OF, "SELECT metric, sha256, row_count, columns FROM example_scores WHERE evaluation = ?1")      \
    X(ACCURACY_PUT, "INSERT INTO accuracies (evaluation, baseline, metric, packed) VALUES (?1, ?2, ?3, ?4) " \
                    "ON CONFLICT DO NOTHING")                                                                \
    X(ACCURACIES_OF, "SELECT metric, packed FROM accuracies WHERE evaluation = ?1 AND baseline = ?2 "        \
                     "ORDER BY rowid")                                                                       \
    X(PROFILE_ADD,                                                                                           \
      "INSERT INTO profiles (id, configuration, memory_mib, result_json, created_ms, unstable, "             \
      "instructions, instructions_by) "                                                                      \
      "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT (id) DO NOTHING")                                 \
    X(MEASURED_OF_VARIANT,                                                                                   \
      "SELECT c.id, c.variant, c.machine_type, c.instances, c.threads, c.batch, c.created_ms, p.id, "        \
      "p.memory_mib, p.unstable, p.instructions, p.instructions_by, f.scenario, f.confidence, f.latency, "   \
      "f.per_s, f.low, f.high, f.log_error, "                                                                \
      "f.freedom "                                                                                           \
      "FROM configurations c JOIN profiles p ON p.rowid = "                                                  \
      "(SELECT max(x.rowid) FROM profiles x JOIN profile_samples s ON s.profile = x.id AND s.scenario = ?2 " \
      "WHERE x.configuration = c.id) LEFT JOIN profile_figures f "                                           \
      "ON f.profile = p.id AND f.scenario = ?2 AND abs(f.confidence - ?3) < 1e-9 "                           \
      "WHERE c.variant = ?1 ORDER BY c.rowid")                                                               \
    X(PROFILE_GET, "SELECT id, configuration, result_json, created_ms FROM profiles WHERE id = ?1")          \
    X(PROFILES_OF_CONFIGURATION, "SELECT id, configuration, result_json, created_ms FROM profiles "          \
                                 "WHERE configuration = ?1 ORDER BY rowid DESC")                             \
    X(SAMPLES_ADD, "INSERT INTO profile_samples (profile, scenario, sha256, samples) "                       \
                   "VALUES (?1, ?2, ?3, ?4)")                                                                \
    X(SAMPLES_OF, "SELECT scenario, sha256, samples FROM profile_samples "                                   \
                  "WHERE profile = ?1 AND scenario = ?2")                                                    \
    X(FIGURES_ADD, "INSERT INTO profile_figures (profile, scenario, confidence, latency, per_s, low, high, " \
                   "log_error, freedom) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)")                        \
    X(FIGURES_OF, "SELECT scenario, confidence, latency, per_s, low, high, log_error, freedom "              \
                  "FROM profile_figures WHERE profile = ?1 AND scenario = ?2 "                               \
                  "AND abs(confidence - ?3) < 1e-9")                                                         \
    X(COUNTER_ADD, "INSERT INTO counters (profile, name, value) VALUES (?1, ?2, ?3)")                        \
    X(COUNTERS_OF, "SELECT name, value FROM counters WHERE profile = ?1")                                    \
    X(STUDY_ADD, "INSERT INTO studies (id, state, model, dataset, calibration, request_json, created_ms) "   \
                 "VALUES (?1, 'queued', ?2, ?3, ?4, ?5, ?6)")                                                \
    X(STUDY_GET, "SELECT " STUDY_COLUMNS " FROM studies WHERE id = ?1")                                      \
    X(STUDIES_LIST, "SELECT " STUDY_COLUMNS " FROM studies WHERE ?1 = 0 OR rowid < ?1 "                      \
                    "ORDER BY rowid DESC LIMIT ?2")                                                          \
    X(STUDIES_OPEN, "SELECT " STUDY_COLUMNS " FROM studies WHERE state IN ('queued', 'running') "            \
                    "ORDER BY rowid")                                                                        \
    X(STUDY_START, "UPDATE studies SET state = 'running' WHERE id = ?1 AND state = 'queued'")                \
    X(STUDY_PLAN, "UPDATE studies SET plan_json = ?2 WHERE id = ?1 AND state IN ('queued', 'running')")      \
    X(STUDY_PLAN_MORE, "UPDATE studies SET plan_json = ?2 WHERE id = ?1 AND plan_json IS NOT NULL")          \
    X(STUDY_PROGRESS,                                                                                        \
      "UPDATE studies SET done = ?2, total = ?3 WHERE id = ?1 AND (done <> ?2 OR total <> ?3)")              \
    X(STUDY_END, "UPDATE studies SET state = ?2, recommendation = ?3, error_code = ?4, error_text = ?5, "    \
                 "finished_ms = ?6 WHERE id = ?1 AND state IN ('queued', 'running')")                        \
    X(STUDY_VARIANT_ADD, "INSERT INTO study_variants (study, position, variant) VALUES (?1, ?2, ?3)")        \
    X(STUDY_VARIANTS, "SELECT variant FROM study_variants WHERE study = ?1 ORDER BY position")               \
    X(EVENT_ADD, "INSERT INTO events (study, kind, data_json, created_ms) VALUES (?1, ?2, ?3, ?4)")          \
    X(EVENTS_AFTER, "SELECT seq, kind, data_json FROM events WHERE study = ?1 AND seq > ?2 "                 \
                    "ORDER BY seq LIMIT ?3")                                                                 \
    X(EVENTS_TRIM, "DELETE FROM events WHERE study = ?1 AND kind = 'progress'")                              \
    X(JOB_ADD, "INSERT INTO jobs (id, key, kind, state, priority, machine_type, label, spec_json, "          \
               "subject_json, created_ms) VALUES (?1, ?2, ?3, 'queued', ?4, ?5, ?6, ?7, ?8, ?9) "            \
               "ON CONFLICT (key) DO NOTHING")                                                               \
    X(JOB_AGAIN, "UPDATE jobs SET state = 'queued', token = token + 1, crashes = 0, fraction = 0, "          \
                 "text = NULL, error_code = NULL, error_text = NULL, log = NULL, finished_ms = NULL "        \
                 "WHERE key = ?1 AND state IN ('done', 'failed', 'dead', 'cancelled')")                      \
    X(JOB_GET, "SELECT " JOB_COLUMNS " FROM jobs j WHERE j.id = ?1")                                         \
    X(JOB_BY_KEY, "SELECT " JOB_COLUMNS " FROM jobs j WHERE j.key = ?1")                                     \
    X(JOBS_OF_STUDY, "SELECT " JOB_COLUMNS " FROM jobs j JOIN study_jobs s ON s.job = j.id "                 \
                     "WHERE s.study = ?1 ORDER BY j.rowid")                                                  \
    X(STUDY_JOB_ADD, "INSERT INTO study_jobs (study, job) VALUES (?1, ?2) ON CONFLICT DO NOTHING")           \
    X(JOB_STUDIES, "SELECT s.id FROM study_jobs x JOIN studies s ON s.id = x.study "                         \
                   "WHERE x.job = ?1 AND s.state IN ('queued', 'running') ORDER BY s.rowid")                 \
    X(JOB_NEXT, "SELECT " JOB_COLUMNS " FROM jobs j WHERE j.state = 'queued' AND (j.machine_type IS NULL "   \
                "OR j.machine_type = (SELECT machine_type FROM targets WHERE id = ?1)) "                     \
                "ORDER BY j.priority, j.rowid LIMIT 1")                                                      \
    X(JOB_WAITS,                                                                                             \
      "SELECT count(*) FROM (SELECT 1 FROM jobs j WHERE j.state = 'queued' AND (j.machine_type IS NULL "     \
      "OR j.machine_type = (SELECT machine_type FROM targets WHERE id = ?1)) LIMIT 1)")                      \
    X(JOB_CLAIM, "UPDATE jobs SET state = 'running', token = token + 1, target = ?2, "                       \
                 "lease_until_ms = ?3, fraction = 0, text = NULL, error_code = NULL, error_text = NULL "     \
                 "WHERE id = ?1 AND state = 'queued'")                                                       \
    X(JOB_TAKE, "UPDATE jobs SET state = 'running', token = token + 1, target = ?2, "                        \
                "lease_until_ms = ?3, fraction = 0, text = NULL, error_code = NULL, error_text = NULL "      \
                "WHERE id = ?1 AND state = 'queued'")                                                        \
    X(JOB_HEARTBEAT, "UPDATE jobs SET lease_until_ms = ?3, fraction = ?4, text = ?5 "                        \
                     "WHERE id = ?1 AND token = ?2 AND state = 'running'")                                   \
    X(JOB_FINISH, "UPDATE jobs SET state = 'done', fraction = 1, result_json = ?3, lease_until_ms = NULL, "  \
                  "finished_ms = ?4 WHERE id = ?1 AND token = ?2 AND state = 'running'")                     \
    X(JOB_FAIL,                                                                                              \
      "UPDATE jobs SET state = ?3, crashes = ?4, error_code = ?5, error_text = ?6, log = ?7, "               \
      "lease_until_ms = NULL, finished_ms = ?8 WHERE id = ?1 AND token = ?2 AND state = 'running'")          \
    X(JOBS_EXPIRED, "UPDATE jobs SET state = 'queued', lease_until_ms = NULL, fraction = 0, text = NULL "    \
                    "WHERE state = 'running' AND lease_until_ms < ?1")                                       \
    X(JOBS_LIMIT_LEASES, "UPDATE jobs SET lease_until_ms = ?1 + ?2 "                                         \
                         "WHERE state = 'running' AND lease_until_ms > ?1 + ?2 + ?3")                        \
    X(JOBS_OF_TARGET, "UPDATE jobs SET state = 'queued', lease_until_ms = NULL, fraction = 0, text = NULL "  \
                      "WHERE state = 'running' AND target = ?1")                                             \
    X(JOBS_CANCEL,                                                                                           \
      "UPDATE jobs SET state = 'cancelled', lease_until_ms = NULL, finished_ms = ?2 "                        \
      "WHERE state IN ('queued', 'running') AND id IN (SELECT job FROM study_jobs WHERE study = ?1) "        \
      "AND NOT EXISTS (SELECT 1 FROM study_jobs x JOIN studies s ON s.id = x.study "                         \
      "WHERE x.job = jobs.id AND x.study <> ?1 AND s.state IN ('queued', 'running'))")                       \
    X(JOBS_NEXT_EXPIRY, "SELECT coalesce(min(lease_until_ms), 9223372036854775807) FROM jobs "               \
                        "WHERE state = 'running'")                                                           \
    X(JOB_CANCEL_KEY, "UPDATE jobs SET state = 'cancelled', lease_until_ms = NULL, finished_ms = ?2 "        \
                      "WHERE key = ?1 AND state IN ('queued', 'running')")                                   \
    X(COMPARISON_ADD,                                                                                        \
      "INSERT INTO comparisons (id, key, state, machine_type, request_json, spec_json, created_ms) "         \
      "VALUES (?1, ?2, 'running', ?3, ?4, ?5, ?6)")                                                          \
    X(COMPARISON_FILE_ADD,                                                                                   \
      "INSERT INTO comparison_files (comparison, sha256) VALUES (?1, ?2) ON CONFLICT DO NOTHING")            \
    X(COMPARISON_GET, "SELECT " COMPARISON_COLUMNS " FROM comparisons WHERE id = ?1")                        \
    X(COMPARISON_BY_KEY,                                                                                     \
      "SELECT " COMPARISON_COLUMNS " FROM comparisons WHERE key = ?1 ORDER BY rowid DESC LIMIT 1")           \
    X(COMPARISONS_OF_STATE, "SELECT id FROM comparisons WHERE state = ?1 ORDER BY rowid")                    \
    X(COMPARISON_END, "UPDATE comparisons SET state = ?2, verdict = ?3, result_json = ?4, error_code = ?5, " \
                      "error_text = ?6, finished_ms = ?7 WHERE id = ?1 AND state = 'running'")               \
    X(REPLICATE_ADD,                                                                                         \
      "INSERT INTO comparison_replicates (comparison, number, log_ratio, seconds, stable, result_json, "     \
      "created_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO NOTHING")                              \
    X(REPLICATE_SAMPLES_ADD, "INSERT INTO comparison_samples (comparison, number, side, sha256, samples) "   \
                             "VALUES (?1, ?2, ?3, ?4, ?5)")                                                  \
    X(REPLICATES_OF, "SELECT number, log_ratio, seconds, stable, result_json FROM comparison_replicates "    \
                     "WHERE comparison = ?1 ORDER BY number")                                                \
    X(REPLICATE_SAMPLE, "SELECT side, sha256, samples FROM comparison_samples "                              \
                        "WHERE comparison = ?1 AND number = ?2 AND side = ?3")                               \
    X(RECOMMENDATION_ADD, "INSERT INTO recommendations (id, study, request_json, answer_json, created_ms, "  \
                          "more_rejected_json) VALUES (?1, ?2, ?3, ?4, ?5, ?6)")                             \
    X(RECOMMENDATION_GET, "SELECT id, study, request_json, answer_json, created_ms, more_rejected_json "     \
                          "FROM recommendations WHERE id = ?1")                                              \
    X(BUNDLE_ADD, "INSERT INTO bundles (id, study, public_key, bundle_json, created_ms) "                    \
                  "VALUES (?1, ?2, ?3, ?4, ?5)")                                                             \
    X(BUNDLE_GET, "SELECT id, study, public_key, bundle_json, results_sha256, answer_json, imported_ms "     \
                  "FROM bundles WHERE id = ?1")                                                              \
    X(BUNDLE_IMPORTED, "UPDATE bundles SET results_sha256 = ?2, answer_json = ?3, imported_ms = ?4 "         \
                       "WHERE id = ?1 AND results_sha256 IS NULL")                                           \
    X(GATE_ADD, "INSERT INTO gates (name, created_ms) VALUES (?1, ?2) ON CONFLICT (name) DO NOTHING")        \
    X(GATES_LIST,                                                                                            \
      "SELECT g.name, (SELECT verdict FROM gate_runs WHERE gate = g.name ORDER BY rowid DESC LIMIT 1), "     \
      "(SELECT count(*) FROM gate_runs WHERE gate = g.name), "                                               \
      "(SELECT coalesce(max(created_ms), 0) FROM gate_runs WHERE gate = g.name), g.rowid FROM gates g "      \
      "WHERE ?1 = 0 OR g.rowid < ?1 ORDER BY g.rowid DESC LIMIT ?2")                                         \
    X(GATE_EXISTS, "SELECT count(*) FROM gates WHERE name = ?1")                                             \
    X(GATE_RUN_ADD, "INSERT INTO gate_runs (id, gate, verdict, answer_json, created_ms) "                    \
                    "VALUES (?1, ?2, ?3, ?4, ?5)")                                                           \
    X(GATE_RUNS, "SELECT id, gate, verdict, answer_json, created_ms FROM gate_runs WHERE gate = ?1 "         \
                 "ORDER BY rowid DESC LIMIT ?2")                                                             \
    X(TOKEN_ADD, "INSERT INTO tokens (id, name, role, hash, created_ms) VALUES (?1, ?2, ?3, ?4, ?5)")        \
    X(TOKEN_ROLE, "SELECT role FROM tokens WHERE hash = ?1 AND revoked_ms IS NULL")                          \
    X(TOKEN_REVOKE, "UPDATE tokens SET revoked_ms = ?2 WHERE id = ?1 AND revoked_ms IS NULL")                \
    X(TOKENS_COUNT, "SELECT count(*) FROM tokens WHERE revoked_ms IS NULL")                                  \
    X(TOKENS_LIST, "SELECT id, name, role, created_ms FROM tokens WHERE revoked_ms IS NULL ORDER BY rowid")  \
    X(IDEMPOTENCY_FIND, "SELECT body_sha256, status, answer_json FROM idempotency "                          \
                        "WHERE route = ?1 AND key = ?2 AND created_ms >= ?3")                                \
    X(IDEMPOTENCY_KEEP,                                                                                      \
      "INSERT INTO idempotency (route, key, body_sha256, status, answer_json, created_ms) "                  \
      "VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO NOTHING")                                              \
    X(IDEMPOTENCY_TRIM, "DELETE FROM idempotency WHERE created_ms < ?1")                                     \
    X(COUNTS, "SELECT 'studies', state, count(*) FROM studies GROUP BY state "                               \
              "UNION ALL SELECT 'jobs', state, count(*) FROM jobs GROUP BY state "                           \
              "UNION ALL SELECT 'models', 'all', count(*) FROM models "                                      \
              "UNION ALL SELECT 'datasets', 'all', count(*) FROM datasets "                                  \
              "UNION ALL SELECT 'variants', 'all', count(*) FROM variants "                                  \
              "UNION ALL SELECT 'evaluations', 'all', count(*) FROM evaluations "                            \
              "UNION ALL SELECT 'profiles', 'all', count(*) FROM profiles "                                  \
              "UNION ALL SELECT 'blobs', 'all', count(*) FROM blobs "                                        \
              "UNION ALL SELECT 'blob_bytes', 'all', coalesce(sum(bytes), 0) FROM blobs")

-- The first schema. Times are milliseconds since 1970-01-01 UTC; columns named *_json hold JSON that SQL does not look into.

CREATE TABLE blobs (
    sha256     TEXT PRIMARY KEY CHECK (length(sha256) = 64),
    bytes      INTEGER NOT NULL CHECK (bytes >= 0),
    created_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE models (
    id         TEXT PRIMARY KEY,
    name       TEXT NOT NULL,
    family     TEXT NOT NULL CHECK (family IN ('onnx', 'gguf')),
    main       TEXT NOT NULL,
    bytes      INTEGER NOT NULL,
    created_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX models_by_name ON models (name);

CREATE TABLE model_files (
    model    TEXT NOT NULL REFERENCES models (id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    path     TEXT NOT NULL,
    sha256   TEXT NOT NULL REFERENCES blobs (sha256),
    bytes    INTEGER NOT NULL,
    PRIMARY KEY (model, position)
) STRICT, WITHOUT ROWID;
CREATE INDEX model_files_by_blob ON model_files (sha256);

CREATE TABLE datasets (
    id              TEXT PRIMARY KEY,
    name            TEXT NOT NULL,
    format          TEXT NOT NULL CHECK (format IN ('npz', 'idx', 'text')),
    input           TEXT,
    labels          TEXT,
    preprocess_json TEXT,
    bytes           INTEGER NOT NULL,
    examples        INTEGER,
    created_ms      INTEGER NOT NULL
) STRICT;

CREATE TABLE dataset_files (
    dataset  TEXT NOT NULL REFERENCES datasets (id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    path     TEXT NOT NULL,
    role     TEXT NOT NULL,
    sha256   TEXT NOT NULL REFERENCES blobs (sha256),
    bytes    INTEGER NOT NULL,
    PRIMARY KEY (dataset, position)
) STRICT, WITHOUT ROWID;
CREATE INDEX dataset_files_by_blob ON dataset_files (sha256);

CREATE TABLE machine_types (
    id               TEXT PRIMARY KEY,
    name             TEXT NOT NULL,
    fingerprint_json TEXT NOT NULL,
    instance_type    TEXT,
    created_ms       INTEGER NOT NULL
) STRICT;

-- History of prices; the newest row of a machine type is in force.
CREATE TABLE prices (
    id           INTEGER PRIMARY KEY,
    machine_type TEXT NOT NULL REFERENCES machine_types (id) ON DELETE CASCADE,
    usd_per_hour REAL NOT NULL CHECK (usd_per_hour > 0),
    source       TEXT NOT NULL,
    as_of        TEXT NOT NULL,
    created_ms   INTEGER NOT NULL
) STRICT;
CREATE INDEX prices_by_machine_type ON prices (machine_type, id);

CREATE TABLE targets (
    id               TEXT PRIMARY KEY,
    name             TEXT NOT NULL,
    machine_type     TEXT NOT NULL REFERENCES machine_types (id),
    fingerprint_json TEXT NOT NULL,
    last_seen_ms     INTEGER NOT NULL,
    created_ms       INTEGER NOT NULL,
    UNIQUE (name, machine_type)
) STRICT;

-- A variant is identified by what makes it: model files, canonical recipe, calibration data, version of the steps.
CREATE TABLE variants (
    id          TEXT PRIMARY KEY,
    model       TEXT NOT NULL REFERENCES models (id) ON DELETE CASCADE,
    recipe      TEXT NOT NULL,
    calibration TEXT REFERENCES datasets (id),
    state       TEXT NOT NULL CHECK (state IN ('pending', 'ready', 'failed')),
    error       TEXT,
    main        TEXT,
    bytes       INTEGER,
    result_json TEXT,
    created_ms  INTEGER NOT NULL
) STRICT;
CREATE INDEX variants_by_model ON variants (model);

CREATE TABLE variant_files (
    variant  TEXT NOT NULL REFERENCES variants (id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    path     TEXT NOT NULL,
    sha256   TEXT NOT NULL REFERENCES blobs (sha256),
    bytes    INTEGER NOT NULL,
    PRIMARY KEY (variant, position)
) STRICT, WITHOUT ROWID;
CREATE INDEX variant_files_by_blob ON variant_files (sha256);

CREATE TABLE configurations (
    id           TEXT PRIMARY KEY,
    variant      TEXT NOT NULL REFERENCES variants (id) ON DELETE CASCADE,
    machine_type TEXT NOT NULL REFERENCES machine_types (id),
    instances    INTEGER NOT NULL CHECK (instances > 0),
    threads      INTEGER NOT NULL CHECK (threads > 0),
    batch        INTEGER NOT NULL CHECK (batch > 0),
    created_ms   INTEGER NOT NULL,
    UNIQUE (variant, machine_type, instances, threads, batch)
) STRICT;

-- The id is made from what was evaluated: files, dataset, split, reference.
CREATE TABLE evaluations (
    id           TEXT PRIMARY KEY,
    variant      TEXT NOT NULL REFERENCES variants (id) ON DELETE CASCADE,
    dataset      TEXT NOT NULL REFERENCES datasets (id),
    split_json   TEXT NOT NULL,
    primary_name TEXT NOT NULL,
    examples     INTEGER NOT NULL,
    result_json  TEXT NOT NULL,
    created_ms   INTEGER NOT NULL
) STRICT;
CREATE INDEX evaluations_by_variant ON evaluations (variant, dataset);

CREATE TABLE example_scores (
    evaluation TEXT NOT NULL REFERENCES evaluations (id) ON DELETE CASCADE,
    metric     TEXT NOT NULL,
    sha256     TEXT NOT NULL REFERENCES blobs (sha256),
    row_count  INTEGER NOT NULL,
    columns    INTEGER NOT NULL,
    PRIMARY KEY (evaluation, metric)
) STRICT, WITHOUT ROWID;
CREATE INDEX example_scores_by_blob ON example_scores (sha256);

-- What a floor needs of the scores of an evaluation beside those of a baseline ('' = alone).
CREATE TABLE accuracies (
    evaluation TEXT NOT NULL REFERENCES evaluations (id) ON DELETE CASCADE,
    baseline   TEXT NOT NULL,
    metric     TEXT NOT NULL,
    packed     BLOB NOT NULL,
    PRIMARY KEY (evaluation, baseline, metric)
) STRICT;

CREATE TABLE profiles (
    id            TEXT PRIMARY KEY,
    configuration TEXT NOT NULL REFERENCES configurations (id) ON DELETE CASCADE,
    memory_mib    REAL,
    result_json   TEXT NOT NULL,
    created_ms    INTEGER NOT NULL
) STRICT;
CREATE INDEX profiles_by_configuration ON profiles (configuration);

CREATE TABLE profile_samples (
    profile  TEXT NOT NULL REFERENCES profiles (id) ON DELETE CASCADE,
    scenario TEXT NOT NULL,
    sha256   TEXT NOT NULL REFERENCES blobs (sha256),
    samples  INTEGER NOT NULL,
    PRIMARY KEY (profile, scenario)
) STRICT, WITHOUT ROWID;
CREATE INDEX profile_samples_by_blob ON profile_samples (sha256);

-- What a decision needs of the samples, computed when they arrive: packed latency bounds, throughput with its error.
CREATE TABLE profile_figures (
    profile    TEXT NOT NULL REFERENCES profiles (id) ON DELETE CASCADE,
    scenario   TEXT NOT NULL,
    confidence REAL NOT NULL,
    latency    BLOB NOT NULL,
    per_s      REAL NOT NULL,
    low        REAL NOT NULL,
    high       REAL NOT NULL,
    log_error  REAL NOT NULL,
    freedom    INTEGER NOT NULL,
    PRIMARY KEY (profile, scenario, confidence)
) STRICT, WITHOUT ROWID;

CREATE TABLE counters (
    profile TEXT NOT NULL REFERENCES profiles (id) ON DELETE CASCADE,
    name    TEXT NOT NULL,
    value   REAL NOT NULL,
    PRIMARY KEY (profile, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE studies (
    id             TEXT PRIMARY KEY,
    state          TEXT NOT NULL CHECK (state IN ('queued', 'running', 'done', 'failed', 'cancelled')),
    model          TEXT NOT NULL REFERENCES models (id),
    dataset        TEXT NOT NULL REFERENCES datasets (id),
    calibration    TEXT REFERENCES datasets (id),
    request_json   TEXT NOT NULL,
    plan_json      TEXT,
    recommendation TEXT REFERENCES recommendations (id),
    error_code     TEXT,
    error_text     TEXT,
    done           INTEGER NOT NULL DEFAULT 0,
    total          INTEGER NOT NULL DEFAULT 1,
    created_ms     INTEGER NOT NULL,
    finished_ms    INTEGER
) STRICT;
CREATE INDEX studies_by_state ON studies (state);

CREATE TABLE study_variants (
    study    TEXT NOT NULL REFERENCES studies (id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    variant  TEXT NOT NULL REFERENCES variants (id),
    PRIMARY KEY (study, position)
) STRICT, WITHOUT ROWID;

-- Work. `key` is the content of the work, so that nothing is done twice; `token` fences off workers whose lease was lost.
CREATE TABLE jobs (
    id             TEXT PRIMARY KEY,
    key            TEXT NOT NULL UNIQUE,
    kind           TEXT NOT NULL CHECK (kind IN ('inspect', 'compress', 'evaluate', 'profile')),
    state          TEXT NOT NULL CHECK (state IN ('queued', 'running', 'done', 'failed', 'dead', 'cancelled')),
    priority       INTEGER NOT NULL,
    machine_type   TEXT REFERENCES machine_types (id),
    label          TEXT NOT NULL,
    spec_json      TEXT NOT NULL,
    subject_json   TEXT NOT NULL,
    token          INTEGER NOT NULL DEFAULT 0,
    target         TEXT REFERENCES targets (id),
    lease_until_ms INTEGER,
    crashes        INTEGER NOT NULL DEFAULT 0,
    fraction       REAL NOT NULL DEFAULT 0,
    text           TEXT,
    result_json    TEXT,
    error_code     TEXT,
    error_text     TEXT,
    log            TEXT,
    created_ms     INTEGER NOT NULL,
    finished_ms    INTEGER
) STRICT;
CREATE INDEX jobs_by_state ON jobs (state, priority);

CREATE TABLE study_jobs (
    study TEXT NOT NULL REFERENCES studies (id) ON DELETE CASCADE,
    job   TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    PRIMARY KEY (study, job)
) STRICT, WITHOUT ROWID;
CREATE INDEX study_jobs_by_job ON study_jobs (job);

CREATE TABLE events (
    seq        INTEGER PRIMARY KEY AUTOINCREMENT,
    study      TEXT NOT NULL REFERENCES studies (id) ON DELETE CASCADE,
    kind       TEXT NOT NULL CHECK (kind IN ('progress', 'step', 'state')),
    data_json  TEXT NOT NULL,
    created_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX events_by_study ON events (study, seq);

CREATE TABLE recommendations (
    id           TEXT PRIMARY KEY,
    study        TEXT,
    request_json TEXT NOT NULL,
    answer_json  TEXT NOT NULL,
    created_ms   INTEGER NOT NULL
) STRICT;

CREATE TABLE gates (
    name       TEXT PRIMARY KEY,
    created_ms INTEGER NOT NULL
) STRICT;

CREATE TABLE gate_runs (
    id          TEXT PRIMARY KEY,
    gate        TEXT NOT NULL REFERENCES gates (name) ON DELETE CASCADE,
    verdict     TEXT NOT NULL CHECK (verdict IN ('pass', 'fail', 'inconclusive')),
    answer_json TEXT NOT NULL,
    created_ms  INTEGER NOT NULL
) STRICT;
CREATE INDEX gate_runs_by_gate ON gate_runs (gate);

CREATE TABLE tokens (
    id         TEXT PRIMARY KEY,
    name       TEXT NOT NULL,
    role       TEXT NOT NULL CHECK (role IN ('admin', 'user', 'agent')),
    hash       TEXT NOT NULL UNIQUE,
    created_ms INTEGER NOT NULL,
    revoked_ms INTEGER
) STRICT;

CREATE TABLE idempotency (
    route       TEXT NOT NULL,
    key         TEXT NOT NULL,
    body_sha256 TEXT NOT NULL,
    status      INTEGER NOT NULL,
    answer_json TEXT NOT NULL,
    created_ms  INTEGER NOT NULL,
    PRIMARY KEY (route, key)
) STRICT, WITHOUT ROWID;

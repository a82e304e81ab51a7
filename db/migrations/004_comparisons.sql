-- Comparison runs: two models measured in turns, replicate by replicate, until the ratio of their times is decided.

CREATE TABLE comparisons (
    id           TEXT PRIMARY KEY,
    key          TEXT NOT NULL, -- of what is compared: the same question gives the same key
    state        TEXT NOT NULL CHECK (state IN ('running', 'done', 'failed', 'cancelled')),
    machine_type TEXT NOT NULL REFERENCES machine_types (id),
    request_json TEXT NOT NULL,
    spec_json    TEXT NOT NULL, -- of every replicate's job
    verdict      TEXT CHECK (verdict IN ('same', 'slower', 'faster', 'undecided')),
    result_json  TEXT,
    error_code   TEXT,
    error_text   TEXT,
    created_ms   INTEGER NOT NULL,
    finished_ms  INTEGER
) STRICT;
CREATE INDEX comparisons_by_state ON comparisons (state);
CREATE INDEX comparisons_by_key ON comparisons (key);

CREATE TABLE comparison_replicates (
    comparison  TEXT NOT NULL REFERENCES comparisons (id) ON DELETE CASCADE,
    number      INTEGER NOT NULL,
    log_ratio   REAL NOT NULL,
    seconds     REAL NOT NULL,
    stable      INTEGER NOT NULL,
    result_json TEXT NOT NULL,
    created_ms  INTEGER NOT NULL,
    PRIMARY KEY (comparison, number)
) STRICT, WITHOUT ROWID;

CREATE TABLE comparison_samples (
    comparison TEXT NOT NULL REFERENCES comparisons (id) ON DELETE CASCADE,
    number     INTEGER NOT NULL,
    side       TEXT NOT NULL CHECK (side IN ('model', 'reference')),
    sha256     TEXT NOT NULL REFERENCES blobs (sha256),
    samples    INTEGER NOT NULL,
    PRIMARY KEY (comparison, number, side)
) STRICT, WITHOUT ROWID;
CREATE INDEX comparison_samples_by_blob ON comparison_samples (sha256);

-- The files of what a running comparison measures must stay.
CREATE TABLE comparison_files (
    comparison TEXT NOT NULL REFERENCES comparisons (id) ON DELETE CASCADE,
    sha256     TEXT NOT NULL REFERENCES blobs (sha256),
    PRIMARY KEY (comparison, sha256)
) STRICT, WITHOUT ROWID;
CREATE INDEX comparison_files_by_blob ON comparison_files (sha256);

-- jobs gets one more kind, which SQLite can only do by making the table anew.
CREATE TABLE study_jobs_kept AS SELECT study, job FROM study_jobs;
CREATE TABLE jobs_kept AS SELECT * FROM jobs ORDER BY rowid;
DROP TABLE study_jobs;
DROP TABLE jobs;

CREATE TABLE jobs (
    id             TEXT PRIMARY KEY,
    key            TEXT NOT NULL UNIQUE,
    kind           TEXT NOT NULL CHECK (kind IN ('inspect', 'compress', 'evaluate', 'profile', 'compare')),
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
INSERT INTO jobs (id, key, kind, state, priority, machine_type, label, spec_json, subject_json, token, target,
                  lease_until_ms, crashes, fraction, text, result_json, error_code, error_text, log, created_ms,
                  finished_ms)
SELECT id, key, kind, state, priority, machine_type, label, spec_json, subject_json, token, target, lease_until_ms,
       crashes, fraction, text, result_json, error_code, error_text, log, created_ms, finished_ms
FROM jobs_kept ORDER BY rowid;
CREATE INDEX jobs_by_state ON jobs (state, priority);

CREATE TABLE study_jobs (
    study TEXT NOT NULL REFERENCES studies (id) ON DELETE CASCADE,
    job   TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    PRIMARY KEY (study, job)
) STRICT, WITHOUT ROWID;
INSERT INTO study_jobs (study, job) SELECT study, job FROM study_jobs_kept;
CREATE INDEX study_jobs_by_job ON study_jobs (job);

DROP TABLE jobs_kept;
DROP TABLE study_jobs_kept;

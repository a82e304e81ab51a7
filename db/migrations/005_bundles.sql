-- Work packed for machines that cannot reach the service, and what came back. public_key checks the signature of the results: the
-- secret half of that one-time pair left with the bundle and is kept nowhere else.
CREATE TABLE bundles (
    id             TEXT PRIMARY KEY,
    study          TEXT NOT NULL REFERENCES studies (id) ON DELETE CASCADE,
    public_key     BLOB NOT NULL CHECK (length(public_key) = 32),
    bundle_json    TEXT NOT NULL,
    results_sha256 TEXT,
    answer_json    TEXT,
    created_ms     INTEGER NOT NULL,
    imported_ms    INTEGER
) STRICT;
CREATE INDEX bundles_by_study ON bundles (study);

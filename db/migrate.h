/* migrate.h -- brings a database to this program's schema: numbered files db/migrations/NNN_*.sql that travel
 * inside the program, each in one transaction that also sets PRAGMA user_version. */
#pragma once

#include <stddef.h>

#include "core/base/asset.h"
#include "core/base/err.h"
#include "db/sql.h"

/* Runs what is missing of the migrations among `assets`. RC_UNSUPPORTED: the database is newer than this
 * program. */
MUST_USE enum rc migrate_run(struct sql *sql, const struct asset *assets, size_t n, struct err *err);

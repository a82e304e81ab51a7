/* log.h -- one key=value line an event on standard error: `ts=... level=info event=job_done job=job_...
 * ms=12`. Used by jobs, http, cli, agent and the programs' main; core, compressors, decide and db return
 * errors instead. */
#pragma once

#include <stdbool.h>

#include "core/base/err.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

/* Events below `level` are not written. Default LOG_INFO. Call before threads start. */
void log_set_level(enum log_level level);

/* False where an event of this level would not be written: for callers whose values cost something. */
bool log_is_written(enum log_level level);

/* `event` is a word; `format` gives further " key=value" pairs, without a newline. Values that hold spaces
 * are quoted by the caller with %s of log_quote. Thread-safe: one write a line. */
void log_event(enum log_level level, const char *event, const char *format, ...) PRINTF_LIKE(3, 4);

/* Writes `text` into out as a quoted value with quotes, backslashes and control bytes escaped; returns out.
 */
const char *log_quote(const char *text, char *out, unsigned out_size);

/* settings_file.h -- settings from files, for what neither an option nor the environment says.
 * A file holds lines NAME=VALUE with the names of the environment variables (PARE_SERVER, PARE_TOKEN, ...),
 * empty lines and comments (#), so that systemd's EnvironmentFile= takes it too. */
#pragma once

#include "core/base/err.h"

/* Reads $PARE_CONFIG, or, where that is not set, $XDG_CONFIG_HOME/pare/pare.conf (~/.config/pare/pare.conf)
 * and then /etc/pare/pare.conf, and sets the variables that are not set yet. Before threads start. A missing
 * file is an error only for $PARE_CONFIG; RC_USAGE names the line that is not understood. */
MUST_USE enum rc settings_file_load(struct err *err);

/* One file, for tests. RC_NOT_FOUND. */
MUST_USE enum rc settings_file_read(const char *path, struct err *err);

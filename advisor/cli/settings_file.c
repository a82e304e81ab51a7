#include "advisor/cli/settings_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/file.h"

enum { FILE_BYTES_MAX = 64 * 1024, PATH_BYTES = 4096 };

/* Without the white space around it. */
static char *trim(char *text) {
    text += strspn(text, " \t\r");
    for (size_t n = strlen(text); n > 0 && strchr(" \t\r", text[n - 1]); n--) {
        text[n - 1] = '\0';
    }
    return text;
}

/* "value" and 'value' lose their quotes. */
static char *unquote(char *text) {
    size_t n = strlen(text);
    if (n >= 2 && (text[0] == '"' || text[0] == '\'') && text[n - 1] == text[0]) {
        text[n - 1] = '\0';
        text++;
    }
    return text;
}

static enum rc take_line(const char *path, int number, char *line, struct err *err) {
    line = trim(line);
    if (*line == '\0' || *line == '#') {
        return RC_OK;
    }
    char *equals = strchr(line, '=');
    size_t size = strspn(line, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");
    if (!equals || strncmp(line, "PARE_", 5) != 0 || line + size + strspn(line + size, " \t") != equals) {
        return err_set(err, RC_USAGE,
                       "%s, line %d is not understood; a line looks like PARE_SERVER=http://127.0.0.1:7878",
                       path, number);
    }
    line[size] = '\0';
    return setenv(line, unquote(trim(equals + 1)), 0) == 0 ? RC_OK : err_memory(err);
}

enum rc settings_file_read(const char *path, struct err *err) {
    char *text;
    size_t size;
    int number = 0;
    enum rc rc = file_read(path, FILE_BYTES_MAX, &text, &size, err);
    if (rc != RC_OK) {
        return rc;
    }
    for (char *line = text, *next; rc == RC_OK && line; line = next) {
        next = strchr(line, '\n');
        if (next) {
            *next++ = '\0';
        }
        rc = take_line(path, ++number, line, err);
    }
    free(text);
    return rc;
}

static enum rc read_if_there(const char *path, struct err *err) {
    enum rc rc = settings_file_read(path, err);
    return rc == RC_NOT_FOUND ? RC_OK : rc;
}

enum rc settings_file_load(struct err *err) {
    char path[PATH_BYTES];
    const char *chosen = getenv("PARE_CONFIG"), *base = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
    enum rc rc = RC_OK;
    if (chosen && *chosen) { /* copied: what is read sets the environment, which may move */
        int size = snprintf(path, sizeof(path), "%s", chosen);
        return size < (int)sizeof(path) ? settings_file_read(path, err)
                                        : err_set(err, RC_USAGE, "the path in PARE_CONFIG is too long");
    }
    if (base && *base) {
        snprintf(path, sizeof(path), "%s/pare/pare.conf", base);
        rc = read_if_there(path, err);
    } else if (home && *home) {
        snprintf(path, sizeof(path), "%s/.config/pare/pare.conf", home);
        rc = read_if_there(path, err);
    }
    return rc == RC_OK ? read_if_there("/etc/pare/pare.conf", err) : rc;
}

#include "core/base/scenario_name.h"

#include <string.h>

#include "core/base/nearest.h"

static const char *const NAMES[SCENARIO_COUNT + 1] = {[SCENARIO_SINGLE_STREAM] = "single-stream",
                                                      [SCENARIO_MULTI_STREAM] = "multi-stream",
                                                      [SCENARIO_SERVER] = "server",
                                                      [SCENARIO_OFFLINE] = "offline"};

const char *scenario_name(enum scenario_kind kind) {
    return NAMES[kind];
}

enum rc scenario_parse(const char *name, enum scenario_kind *ret, struct err *err) {
    for (int i = 0; i < SCENARIO_COUNT; i++) {
        if (strcmp(name, NAMES[i]) == 0) {
            *ret = (enum scenario_kind)i;
            return RC_OK;
        }
    }
    const char *near = nearest_name(name, NAMES);
    return near ? err_set(err, RC_INPUT, "there is no scenario \"%.40s\"; did you mean \"%s\"?", name, near)
                : err_set(
                      err, RC_INPUT,
                      "there is no scenario \"%.40s\"; there are single-stream multi-stream server offline",
                      name);
}

/* probe.c -- see probe.h. */
#include "profiler/worker/probe.h"

#include <string.h>
#include <sys/utsname.h>

#include "runtimes/llama_lm.h"
#include "runtimes/onnxruntime.h"

/* "onnxruntime 1.30.0" -> "1.30.0" */
static const char *version_only(const char *text) {
    const char *space = strchr(text, ' ');
    return space ? space + 1 : text;
}

json_t *probe_json(const struct sandbox_report *sandbox, const struct counters *counters) {
    struct utsname machine;
    json_t *runtimes = json_pack("{s:s}", "onnxruntime", version_only(onnxruntime_version()));
    if (llama_lm_available()) {
        json_object_set_new(runtimes, "llama", json_string(version_only(llama_lm_version())));
    }
    return json_pack("{s:o, s:o, s:o, s:s}", "sandbox", sandbox_report_json(sandbox), "pmu",
                     counters_state(counters), "runtimes", runtimes, "arch",
                     uname(&machine) == 0 ? machine.machine : "unknown");
}

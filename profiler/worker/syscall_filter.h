/* syscall_filter.h -- the last step of the sandbox: seccomp with a list of what the runtimes need. */
#pragma once

#include "core/base/err.h"

/* From here on this process can compute, start threads and use files that Landlock lets it open. Everything
 * else fails with EPERM: sockets, new programs and processes, ptrace, mount, new namespaces, keys, bpf,
 * perf_event_open, module loading. RC_INTERNAL when the kernel refuses the filter. */
MUST_USE enum rc syscall_filter_apply(struct err *err);

/* fingerprint.h -- what this machine is (docs/protocol.md, "Fingerprint"): CPU and caches by hwloc,
 * instruction sets, memory, system, and what a worker finds (sandbox, counters, runtimes). */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "core/base/err.h"

/* `probe` is the result of `pare-worker --probe`; borrowed. The caller owns *ret. RC_INTERNAL when hwloc or
 * /proc do not answer. */
MUST_USE enum rc fingerprint_take(const json_t *probe, json_t **ret, struct err *err);

/* The name of the virtualisation ("kvm", "vmware", "hyperv", "xen", "qemu", "virtualbox", "vm" for an unknown
 * one, "none"), from the hypervisor's signature (x86: CPUID leaf 0x40000000; "" where there is none) and the
 * DMI texts of vendor and product. `guest`: the hypervisor flag of the CPU. */
const char *fingerprint_virtual(bool guest, const char *signature, const char *dmi);

/* PRETTY_NAME of the text of /etc/os-release without its quotes; "" when it is not there. `out` [out_size].
 */
void fingerprint_os_name(const char *text, char *out, unsigned out_size);

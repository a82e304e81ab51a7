/* fingerprint.c -- see fingerprint.h. */
#include "profiler/agent/fingerprint.h"

#include <hwloc.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include "core/base/container.h"
#include "core/base/file.h"
#include "profiler/agent/cpu_info.h"

enum { SMALL_FILE = 1 << 16 };

const char *fingerprint_virtual(bool guest, const char *signature, const char *dmi) {
    static const struct {
        const char *mark, *name;
    } known[] = {
        {"KVMKVMKVM", "kvm"},
        {"VMwareVMware", "vmware"},
        {"Microsoft Hv", "hyperv"},
        {"XenVMMXenVMM", "xen"},
        {"TCGTCGTCGTCG", "qemu"},
        {"VBoxVBoxVBox", "virtualbox"},
        {"Amazon EC2", "kvm"},
        {"Google Compute Engine", "kvm"},
        {"KVM", "kvm"},
        {"VMware", "vmware"},
        {"VirtualBox", "virtualbox"},
        {"Microsoft Corporation Virtual", "hyperv"},
        {"Xen", "xen"},
        {"QEMU", "qemu"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
        if (strstr(signature, known[i].mark) || strstr(dmi, known[i].mark)) {
            return guest || signature[0] == '\0' ? known[i].name : "none";
        }
    }
    return guest ? "vm" : "none";
}

void fingerprint_os_name(const char *text, char *out, unsigned out_size) {
    static const char key[] = "PRETTY_NAME=";
    const char *found = strncmp(text, key, sizeof(key) - 1) == 0 ? text : strstr(text, "\nPRETTY_NAME=");
    out[0] = '\0';
    if (found) {
        found = strchr(found, '=') + 1;
        found += strspn(found, "\"'");
        snprintf(out, out_size, "%.*s", (int)strcspn(found, "\"'\n"), found);
    }
}

/* The text of a small kernel file with its last newline cut, or an empty one; free() it. */
static char *small_text(const char *path) {
    struct err err;
    char *text = NULL;
    size_t size = 0;
    if (file_read_kernel(path, SMALL_FILE, &text, &size, &err) != RC_OK) {
        return strdup("");
    }
    if (size > 0 && text[size - 1] == '\n') {
        text[size - 1] = '\0';
    }
    return text;
}

/* The twelve letters that a hypervisor shows its guest. */
static void hypervisor_signature(bool guest, char signature[13]) {
    signature[0] = '\0';
#if defined(__x86_64__)
    if (guest) {
        unsigned words[4] = {0};
        __cpuid(0x40000000, words[0], words[1], words[2], words[3]);
        memcpy(signature, &words[1], 12);
        signature[12] = '\0';
    }
#else
    (void)guest;
#endif
}

static const char *virtual_name(bool guest) {
    char signature[13];
    char dmi[512] = "";
    char *vendor = small_text("/sys/class/dmi/id/sys_vendor");
    char *product = small_text("/sys/class/dmi/id/product_name");
    hypervisor_signature(guest, signature);
    snprintf(dmi, sizeof(dmi), "%.200s %.200s", vendor ? vendor : "", product ? product : "");
    free(vendor);
    free(product);
    return fingerprint_virtual(guest, signature, dmi);
}

static json_int_t cache_bytes(hwloc_topology_t topology, hwloc_obj_type_t type) {
    hwloc_obj_t cache = hwloc_get_obj_by_type(topology, type, 0);
    return cache ? (json_int_t)cache->attr->cache.size : 0;
}

static json_int_t count_of(hwloc_topology_t topology, hwloc_obj_type_t type) {
    int count = hwloc_get_nbobjs_by_type(topology, type);
    return count > 0 ? count : 0;
}

static json_t *isa_json(const struct cpu_info *cpu) {
    json_t *array = json_array();
    for (size_t i = 0; i < cpu->isa_count; i++) {
        json_array_append_new(array, json_string(cpu->isa[i]));
    }
    return array;
}

static json_t *cpu_json(hwloc_topology_t topology, const struct cpu_info *cpu) {
    json_int_t threads = count_of(topology, HWLOC_OBJ_PU);
    json_int_t cores = count_of(topology, HWLOC_OBJ_CORE);
    return json_pack(
        "{s:s, s:s, s:I, s:I, s:o, s:I, s:I, s:I}", "model", cpu->model[0] ? cpu->model : "unknown", "vendor",
        cpu->vendor, "cores", cores > 0 ? cores : threads, "threads", threads, "isa", isa_json(cpu),
        "l1d_bytes", cache_bytes(topology, HWLOC_OBJ_L1CACHE), "l2_bytes",
        cache_bytes(topology, HWLOC_OBJ_L2CACHE), "l3_bytes", cache_bytes(topology, HWLOC_OBJ_L3CACHE));
}

/* What the kernel manages. hwloc sums its NUMA nodes, which leaves out memory that was added to a guest
 * later. */
static json_int_t memory_bytes(hwloc_topology_t topology) {
    long pages = sysconf(_SC_PHYS_PAGES), page_bytes = sysconf(_SC_PAGESIZE);
    return pages > 0 && page_bytes > 0 ? (json_int_t)pages * page_bytes
                                       : (json_int_t)hwloc_get_root_obj(topology)->total_memory;
}

static json_t *system_json(hwloc_topology_t topology, const struct cpu_info *cpu) {
    struct utsname name;
    char os[160] = "";
    char *release = small_text("/etc/os-release");
    fingerprint_os_name(release ? release : "", os, sizeof(os));
    free(release);
    bool known = uname(&name) == 0;
    return json_pack("{s:o, s:I, s:s, s:s, s:s, s:s}", "cpu", cpu_json(topology, cpu), "memory_bytes",
                     memory_bytes(topology), "kernel", known ? name.release : "", "os", os, "virtual",
                     virtual_name(cpu->hypervisor), "arch", known ? name.machine : "");
}

enum rc fingerprint_take(const json_t *probe, json_t **ret, struct err *err) {
    static const char *const from_probe[] = {"pmu", "runtimes", "sandbox"};
    hwloc_topology_t topology;
    struct cpu_info cpu;
    if (hwloc_topology_init(&topology) != 0) {
        return err_set(err, RC_INTERNAL, "hwloc does not start");
    }
    if (hwloc_topology_load(topology) != 0) {
        hwloc_topology_destroy(topology);
        return err_set(err, RC_INTERNAL, "hwloc finds no topology of this machine");
    }
    char *text = small_text("/proc/cpuinfo");
    cpu_info_parse(text ? text : "", &cpu);
    free(text);
    json_t *fingerprint = system_json(topology, &cpu);
    hwloc_topology_destroy(topology);
    for (size_t i = 0; i < ARRAY_SIZE(from_probe); i++) {
        json_t *value = json_object_get(probe, from_probe[i]);
        if (fingerprint && json_object_set(fingerprint, from_probe[i], value ? value : json_null()) != 0) {
            json_decref(fingerprint);
            fingerprint = NULL;
        }
    }
    if (!fingerprint) {
        return err_memory(err);
    }
    *ret = fingerprint;
    return RC_OK;
}

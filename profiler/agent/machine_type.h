/* machine_type.h -- which machines share figures: the identity of a machine type, from a target's
 * fingerprint. */
#pragma once

#include <jansson.h>

#include "core/base/err.h"
#include "core/base/ident.h"

enum { MACHINE_TYPE_NAME_SIZE = 160 };

struct machine_type {
    char id[IDENT_SIZE];               /* "mt_" and a hash */
    char name[MACHINE_TYPE_NAME_SIZE]; /* for people: "AMD EPYC, 2 cores, 23 GiB" */
};

/* The machine type of a fingerprint (docs/protocol.md): the hash of CPU model, instruction sets (in any
 * order), cores and threads, caches, memory rounded to GiB, architecture and virtualisation. What differs
 * between two boots of the same machine (kernel, runtimes, PMU) is not part of it. RC_INPUT names the field
 * that is missing or of a wrong type. */
MUST_USE enum rc machine_type_of(const json_t *fingerprint, struct machine_type *ret, struct err *err);

/* namespaces.h -- user, network and IPC namespaces of the worker's own: no network devices but a loopback
 * that is down, no shared memory of others. */
#pragma once

#include <stdbool.h>

/* Moves this process (it must have one thread only) into new namespaces with its user and group mapped to
 * themselves. True when all were granted; false leaves the process where it was, with the reason in `why`. */
bool namespaces_enter(char *why, unsigned why_size);

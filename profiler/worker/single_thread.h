/* single_thread.h -- a process that is to enter a user namespace must have one thread, but linear algebra
 * libraries start a pool of threads while they are loaded. */
#pragma once

/* Returns at once in a process with one thread. Otherwise starts the program anew, with the environment that
 * tells such libraries to wait; returns when that was tried before, or failed: the sandbox then does without
 * namespaces and says so. */
void single_thread_ensure(char **argv);

/*
 * Runs the part that must not stop half-way in a process of its own: when the command is killed,
 * that process still brings the rules to an end, all or none.
 */
#ifndef WEFT_SIDECAR_CAPTURE_COMMIT_H
#define WEFT_SIDECAR_CAPTURE_COMMIT_H

#include "sidecar/capture/trouble.h"

/* Returns 0 or ERR_* with t; runs in the other process, so that nothing else it writes is seen
 * here. */
typedef int commit_fn(void *arg, struct trouble *t);

/*
 * Calls fn(arg) in a child in a session of its own and waits for it. Returns what fn returned, with
 * its t; ERR_IO where the child could not be made or was killed.
 */
int commit_run(commit_fn *fn, void *arg, struct trouble *t);

/*
 * One capture at a time per network namespace: an abstract socket that the commit's process holds
 * too, and that goes with the last of them. Returns a descriptor to close, or ERR_EXISTS after
 * timeout_ms, or ERR_IO.
 */
int commit_lock(unsigned timeout_ms);

#endif

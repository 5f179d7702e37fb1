/*
 * Proof that the rules work: a connection through the chains of each direction and family, whose
 * original destination is read at the sidecar's listeners.
 */
#ifndef WEFT_SIDECAR_CAPTURE_PROBE_H
#define WEFT_SIDECAR_CAPTURE_PROBE_H

#include "lib/base/log.h"
#include "sidecar/capture/backend.h"

/*
 * Listens on the sidecar's two ports for a moment, or looks at who does (a sidecar that runs
 * already), calls a documentation address (RFC 5737, RFC 3849) and is called from one, over a pair
 * of virtual interfaces that is gone afterwards. 0, or ERR_* with t: which direction and family did
 * not work, and what happened instead.
 */
int probe_run(const struct rules_by_family *rules, struct log *log, struct trouble *t);

#endif

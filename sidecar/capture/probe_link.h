/*
 * A pair of virtual interfaces in this namespace, for the length of the probe: what is sent on the
 * one arrives on the other as if from outside. Needs NET_ADMIN and the veth module, no route and no
 * second namespace.
 */
#ifndef WEFT_SIDECAR_CAPTURE_PROBE_LINK_H
#define WEFT_SIDECAR_CAPTURE_PROBE_LINK_H

#include "lib/net/addr.h"

#define PROBE_LINK_IN "weft-probe0"  /* has the addresses; frames arrive here */
#define PROBE_LINK_OUT "weft-probe1" /* frames are sent here */

/*
 * Makes the pair and takes both up; what an earlier, killed probe left is removed first. Writes the
 * index of PROBE_LINK_OUT and the hardware address of PROBE_LINK_IN. 0 or ERR_* (ERR_INVAL: no veth
 * in this kernel).
 */
int probe_link_make(int *index_out, uint8_t mac_in[6]);
/* Gives PROBE_LINK_IN the address, and a route to the peer and nothing else. */
int probe_link_addr(const struct addr *local, const struct addr *peer);
/* Removes the pair with all that hangs on it; nothing where it is not there. */
int probe_link_remove(void);

#endif

/*
 * TCP segments in Ethernet frames, as a stranger on the network would send them. Pure; for the
 * probe of the inbound chain.
 */
#ifndef WEFT_SIDECAR_CAPTURE_PROBE_FRAME_H
#define WEFT_SIDECAR_CAPTURE_PROBE_FRAME_H

#include "lib/net/addr.h"

enum { FRAME_FIN = 1, FRAME_SYN = 2, FRAME_RST = 4, FRAME_ACK = 16 };
#define FRAME_MAX 96

/* A segment without data. src and dst carry the ports and are of one family. */
struct frame_tcp {
	struct addr src, dst;
	uint32_t seq, ack;
	uint8_t flags;
};

/* Writes the frame, to the hardware address, with both checksums (RFC 9293 section 3.1). Returns
 * its length. */
size_t frame_build(const struct frame_tcp *t, const uint8_t mac[6], uint8_t dst[FRAME_MAX]);
/* Reads a frame; false where it is no TCP segment over plain IPv4 or IPv6. */
bool frame_parse(const uint8_t *p, size_t n, struct frame_tcp *t);

#endif

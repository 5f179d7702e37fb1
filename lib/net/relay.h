/*
 * Symmetric byte relay between two ios: one half per direction, both the same code. Backpressure:
 * nothing is read that cannot be written; half-close passes through; buffers grow with the traffic
 * and are given back when idle. Used for raw TCP, WebSocket and tunnels.
 */
#ifndef WEFT_NET_RELAY_H
#define WEFT_NET_RELAY_H

#include "lib/net/io.h"

struct relay;

/* Bytes that passed, and how it went; valid until the relay goes. */
struct relay_facts {
	uint64_t a_to_b, b_to_a;
	uint64_t first_byte_a_ns, first_byte_b_ns; /* loop time at which the first byte of that side
						      arrived; 0: none */
	int err; /* 0: both sides ended in order; else ERR_* of the side that failed */
	bool err_from_b;
};

/* Exactly once; both ios are closed by then. */
typedef void relay_end_fn(void *arg, const struct relay_facts *facts);

struct relay_config {
	size_t high_water; /* most bytes buffered per direction; 0: 256 KiB. Starts at 4 KiB reads
			      and grows */
	uint64_t idle_timeout_ns; /* no byte either way; 0: none */
	uint64_t half_close_ns;   /* after one side ended and nothing moves; 0: none */
};

/*
 * Takes both ios. a_first and b_first (may be NULL; on pool) are bytes already read from a and b;
 * moved out. Ends by calling end once, after which the relay frees itself at the end of the turn.
 */
struct relay *relay_start(struct io *a, struct io *b, struct buf_pool *pool,
	const struct relay_config *cfg, struct buf *a_first, struct buf *b_first, relay_end_fn *end,
	void *arg);
/* Resets both sides now (drain deadline, policy change); end is called with err from inside the
 * turn, deferred. */
void relay_abort(struct relay *r, int err);
const struct relay_facts *relay_facts(const struct relay *r);

#endif

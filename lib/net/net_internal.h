/*
 * What the two networks share: the kernel's (net_sock.c, net_sock_listen.c) and the simulated one
 * (net_sim.c) each embed these structs first and fill in the functions. listen.c and dial.c do what
 * is the same for both. Included by lib/net alone.
 */
#ifndef WEFT_NET_NET_INTERNAL_H
#define WEFT_NET_NET_INTERNAL_H

#include "lib/net/listen.h"

#define NET_MAGIC 0x6e65745fu
#define LISTENER_MAGIC 0x6c697374u
#define DIAL_MAGIC 0x6469616cu

#define LISTEN_BACKLOG 1024
#define LISTEN_ACCEPTS_PER_TURN 64
#define DIAL_TIMEOUT_NS (10 * NS_PER_S)

/* How one kind of network does it. Static storage. */
struct net_ops {
	/* Makes the object, not listening yet to errors of others: 0 and *out, or ERR_* and err. */
	int (*listen)(struct net *net, const struct listen_config *cfg, struct listener **out,
		char *err, size_t size);
	/* Makes the object and starts to connect; what goes wrong at once goes to dial_finish. */
	struct dial *(*dial)(struct net *net, const struct dial_config *cfg);
	void (*free)(struct net *net);
};

/* Owned by whoever called net_new or net_new_sim; borrows loop, pool and log. */
struct net {
	struct obj_head obj;
	const struct net_ops *ops;
	struct loop *loop;
	struct buf_pool *pool;
	struct log *log;
};

struct listener_ops {
	/* Called when paused has changed. */
	void (*pause)(struct listener *l);
	/* Stops everything and frees the whole object at the end of the turn. */
	void (*close)(struct listener *l);
};

/* Owned by whoever opened it, freed by listener_close; owns its path. */
struct listener {
	struct obj_head obj;
	const struct listener_ops *ops;
	struct net *net;
	listen_accept_fn *fn;
	void *arg;
	struct addr addr;
	char *unix_path; /* NULL: addr */
	int accepts_per_turn;
	uint64_t starved;
	bool paused, closed;
};

struct dial_ops {
	/* Stops what is under way and lets go of it; the object stays. Idempotent. */
	void (*stop)(struct dial *d);
};

/* Owned by itself until done was called or it is cancelled; borrowed by its user meanwhile; owns
 * its path. */
struct dial {
	struct obj_head obj;
	const struct dial_ops *ops;
	struct net *net;
	struct dial_config cfg;
	char *unix_path; /* NULL: cfg.to */
	dial_done_fn *done;
	void *arg;
	struct loop_timer timeout;
	struct loop_task report; /* calls done, never from inside of dial_start */
	struct io *io;           /* the result until it is reported */
	int err;
	bool finished; /* the result is known */
	bool reported;
};

void net_init(struct net *net, const struct net_ops *ops, struct loop *loop, struct buf_pool *pool,
	struct log *log);
/* Fills in what the config says, with the defaults. */
void listener_init(struct listener *l, const struct listener_ops *ops, struct net *net,
	const struct listen_config *cfg);
/* Hands a new connection to the user, who may close the listener meanwhile. */
void listener_deliver(struct listener *l, struct io *io);
/* For mem_free at the end of the turn, path included. */
void listener_destroy(struct listener *l);
/* "127.0.0.1:15006" or the path. */
const char *listener_name(const struct listener *l, char dst[ADDR_TEXT]);
/* Writes "NAME: TEXT" to err and returns e. */
int listener_error(const struct listener *l, int e, const char *text, char *err, size_t size);

void dial_init(struct dial *d, const struct dial_ops *ops, struct net *net,
	const struct dial_config *cfg);
/* The result: an io, or NULL and an ERR_*. Reported later in this turn. */
void dial_finish(struct dial *d, struct io *io, int err);

/* net_sock_listen.c, for the table in net_sock.c. */
int sock_listen(struct net *net, const struct listen_config *cfg, struct listener **out, char *err,
	size_t size);

#endif

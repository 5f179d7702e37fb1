/*
 * Listening sockets: bounded accepts per turn, a reserve descriptor against EMFILE, pause and
 * resume. The env hands them out (struct net) so that a whole mesh runs in memory in tests.
 */
#ifndef WEFT_NET_LISTEN_H
#define WEFT_NET_LISTEN_H

#include <stdbool.h>

#include "lib/net/addr.h"
#include "lib/net/io.h"

struct log;
struct net;
struct listener;
struct dial;

/* The io is the user's from now on. */
typedef void listen_accept_fn(void *arg, struct io *io);

struct listen_config {
	struct addr addr;      /* port 0: the kernel chooses, see listener_addr */
	int backlog;           /* 0: 1024 */
	int accepts_per_turn;  /* 0: 64 */
	bool reuse_port;       /* false for the first bind, so that a taken port is an error */
	bool v6_only;          /* set for IPv6 wildcard listeners that have an IPv4 sister */
	bool transparent;      /* IP_TRANSPARENT, for TPROXY */
	const char *unix_path; /* not NULL: a Unix socket instead of addr */
	unsigned unix_mode;    /* of its file; 0: 0600 */
};

/* error text for people is written to err (size bytes): "127.0.0.1:15006: address already in use".
 * 0 or ERR_*; */
int listener_open(struct net *net, const struct listen_config *cfg, listen_accept_fn *fn, void *arg,
	struct listener **out, char *err, size_t size);
struct addr listener_addr(const struct listener *l);
void listener_pause(struct listener *l);
void listener_resume(struct listener *l);
/* Accepts refused or put off because descriptors ran out: for a second connections wait in the
 * kernel's queue, then they are refused with RST until there are descriptors again. */
uint64_t listener_starved(const struct listener *l);
void listener_close(struct listener **l);

/* io is NULL on failure and err an ERR_*. Never called from inside dial_start. */
typedef void dial_done_fn(void *arg, struct io *io, int err);

struct dial_config {
	struct addr to;
	const char *unix_path; /* not NULL: a Unix socket instead of to; copied */
	struct addr from;      /* source address to bind, ADDR_NONE for any; port 0 */
	uint64_t timeout_ns;   /* 0: 10 s */
	int user_timeout_ms;   /* TCP_USER_TIMEOUT; 0: system default */
	uint32_t mark;         /* SO_MARK; 0: none */
};

/* Starts a connection; done is called exactly once unless cancelled. Never fails at once. */
struct dial *dial_start(struct net *net, const struct dial_config *cfg, dial_done_fn *done,
	void *arg);
/* No call to done after it. Nulls the pointer; safe on NULL. */
void dial_cancel(struct dial **d);

/* Where listeners and connections come from: the kernel, or memory. Owned by main or the test. */
struct net *net_new(struct loop *loop, struct buf_pool *pool, struct log *log);
/* All in memory on a simulated loop: dial reaches listeners opened on the same struct net;
 * addresses are taken as given. */
struct net *net_new_sim(struct loop *loop, struct buf_pool *pool, size_t pipe_capacity);
void net_free(struct net **net);
struct loop *net_loop(const struct net *net);
struct buf_pool *net_pool(const struct net *net);

#endif

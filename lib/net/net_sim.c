/*
 * The simulated network: listeners found by address, connections in memory, failures and redirects
 * by rule. Owns its rules; owned by the test, on whose simulated loop everything happens.
 */
#include "lib/net/net_sim.h"

#include "lib/base/alloc.h"
#include "lib/net/io_internal.h"
#include "lib/net/net_internal.h"

#define SIM_FIRST_PORT 32768

enum sim_rule_kind { SIM_FAIL, SIM_REDIRECT_OUT, SIM_REDIRECT_IN };

/* Owned by the network. */
struct sim_rule {
	struct list_node node;
	enum sim_rule_kind kind;
	struct addr key;
	struct addr listener;
	int err;
};

/* Owned by the test; owns the rules, borrows listeners from those who opened them. */
struct sim_net {
	struct net net;
	size_t capacity;
	uint16_t next_port;
	struct list listeners, rules, dropped;
};

/* A connection that is established and waits to be accepted. Owned by the listener. */
struct sim_waiting {
	struct list_node node;
	struct io *io;
};

/* Owned as struct listener is; owns what waits. */
struct sim_listener {
	struct listener l;
	struct list_node node;
	struct loop_task accept;
	struct list waiting;
	int n_waiting, backlog;
	bool v6_only;
};

/* Owned as struct dial is. */
struct sim_dial {
	struct dial dial;
	struct loop_task connect;
	struct list_node node; /* its packets were dropped */
};

static const struct net_ops sim_net_ops;

static struct sim_net *net_of(struct net *net)
{
	ASSERT(net->ops == &sim_net_ops);
	return CONTAINER_OF(net, struct sim_net, net);
}

static struct sim_listener *listener_of(struct listener *l)
{
	return CONTAINER_OF(l, struct sim_listener, l);
}

static uint16_t next_port(struct sim_net *sim)
{
	if (sim->next_port < SIM_FIRST_PORT)
		sim->next_port = SIM_FIRST_PORT;
	return sim->next_port++;
}

/* --- listeners --- */

static void on_accept(void *arg)
{
	struct sim_listener *s = arg;

	for (int i = 0; i < s->l.accepts_per_turn && !s->l.paused && !s->l.closed; i++) {
		struct list_node *n = list_pop(&s->waiting);
		if (n == NULL)
			return;
		struct sim_waiting *w = CONTAINER_OF(n, struct sim_waiting, node);
		struct io *io = w->io;
		mem_free(w);
		s->n_waiting--;
		listener_deliver(&s->l, io);
	}
	if (!s->l.paused && !list_empty(&s->waiting))
		loop_next_turn(&s->accept);
}

static void sim_listener_pause(struct listener *l)
{
	struct sim_listener *s = listener_of(l);

	if (!l->paused && !list_empty(&s->waiting))
		loop_defer(&s->accept);
}

static void listener_burn(void *ptr)
{
	listener_destroy(&((struct sim_listener *)ptr)->l);
}

static void sim_listener_close(struct listener *l)
{
	struct sim_listener *s = listener_of(l);
	struct list_node *n;

	list_remove(&s->node);
	loop_task_cancel(&s->accept);
	while ((n = list_pop(&s->waiting)) != NULL) {
		struct sim_waiting *w = CONTAINER_OF(n, struct sim_waiting, node);
		io_close(&w->io, true);
		mem_free(w);
	}
	loop_defer_free(l->net->loop, s, listener_burn);
}

static const struct listener_ops sim_listener_ops = {
	.pause = sim_listener_pause,
	.close = sim_listener_close,
};

/* A wildcard listener answers for every address of its family, an IPv6 one for IPv4 too. */
static bool listens_on(const struct sim_listener *s, const struct addr *to)
{
	const struct addr *own = &s->l.addr;

	if (s->l.unix_path != NULL || own->port != to->port)
		return false;
	if (!addr_is_any(own))
		return addr_eq_ip(own, to);
	return own->family == to->family || (own->family == ADDR_V6 && !s->v6_only);
}

static struct sim_listener *find_listener(const struct sim_net *sim, const struct addr *to)
{
	struct sim_listener *wild = NULL;

	LIST_EACH(&sim->listeners, n)
	{
		struct sim_listener *s = CONTAINER_OF(n, struct sim_listener, node);
		if (!listens_on(s, to))
			continue;
		if (!addr_is_any(&s->l.addr))
			return s;
		wild = s;
	}
	return wild;
}

static struct sim_listener *find_unix(const struct sim_net *sim, const char *path)
{
	LIST_EACH(&sim->listeners, n)
	{
		struct sim_listener *s = CONTAINER_OF(n, struct sim_listener, node);
		if (s->l.unix_path != NULL && str_eq(str_from(s->l.unix_path), str_from(path)))
			return s;
	}
	return NULL;
}

static bool same_place(const struct listener *a, const struct listener *b)
{
	if (a->unix_path != NULL || b->unix_path != NULL)
		return a->unix_path != NULL && b->unix_path != NULL &&
			str_eq(str_from(a->unix_path), str_from(b->unix_path));
	return addr_eq(&a->addr, &b->addr);
}

static bool is_taken(const struct sim_net *sim, const struct listener *l)
{
	LIST_EACH(&sim->listeners, n)
	{
		if (same_place(&CONTAINER_OF(n, struct sim_listener, node)->l, l))
			return true;
	}
	return false;
}

static int sim_listen(struct net *net, const struct listen_config *cfg, struct listener **out,
	char *err, size_t size)
{
	struct sim_net *sim = net_of(net);
	struct sim_listener *s = MEM_NEW(struct sim_listener);

	listener_init(&s->l, &sim_listener_ops, net, cfg);
	if (s->l.addr.port == 0)
		s->l.addr.port = next_port(sim);
	if (is_taken(sim, &s->l) && !cfg->reuse_port) {
		int e = listener_error(&s->l, ERR_EXISTS, "address already in use", err, size);
		listener_destroy(&s->l);
		return e;
	}
	s->v6_only = cfg->v6_only;
	s->backlog = cfg->backlog > 0 ? cfg->backlog : LISTEN_BACKLOG;
	list_init(&s->waiting);
	loop_task_init(&s->accept, net->loop, on_accept, s);
	list_append(&sim->listeners, &s->node);
	*out = &s->l;
	return 0;
}

/* --- rules --- */

static bool rule_matches(const struct sim_rule *r, enum sim_rule_kind kind, const struct addr *a)
{
	return r->kind == kind && addr_eq_ip(&r->key, a) &&
		(r->key.port == 0 || r->key.port == a->port);
}

static const struct sim_rule *find_rule(const struct sim_net *sim, enum sim_rule_kind kind,
	const struct addr *a)
{
	LIST_EACH(&sim->rules, n)
	{
		const struct sim_rule *r = CONTAINER_OF(n, struct sim_rule, node);
		if (rule_matches(r, kind, a))
			return r;
	}
	return NULL;
}

/* Replaces the rule for exactly this key; a template of NULL only removes. */
static void set_rule(struct sim_net *sim, enum sim_rule_kind kind, const struct addr *key,
	const struct sim_rule *template)
{
	LIST_EACH(&sim->rules, n)
	{
		struct sim_rule *r = CONTAINER_OF(n, struct sim_rule, node);
		if (r->kind == kind && addr_eq(&r->key, key)) {
			list_remove(&r->node);
			mem_free(r);
		}
	}
	if (template == NULL)
		return;
	struct sim_rule *r = MEM_NEW(struct sim_rule);
	*r = *template;
	r->kind = kind;
	r->key = *key;
	list_append(&sim->rules, &r->node);
}

void net_sim_fail(struct net *net, const struct addr *to, int err)
{
	struct sim_rule rule = {.err = err};

	set_rule(net_of(net), SIM_FAIL, to, err != 0 ? &rule : NULL);
}

static void set_redirect(struct net *net, enum sim_rule_kind kind, const struct addr *ip,
	const struct addr *listener)
{
	struct addr key = addr_with_port(ip, 0);
	struct sim_rule rule = {0};

	if (listener != NULL)
		rule.listener = *listener;
	set_rule(net_of(net), kind, &key, listener != NULL ? &rule : NULL);
}

void net_sim_redirect(struct net *net, const struct addr *from_ip,
	const struct addr *outbound_listener)
{
	set_redirect(net, SIM_REDIRECT_OUT, from_ip, outbound_listener);
}

void net_sim_redirect_in(struct net *net, const struct addr *to_ip,
	const struct addr *inbound_listener)
{
	set_redirect(net, SIM_REDIRECT_IN, to_ip, inbound_listener);
}

int net_sim_orig_dst(const struct io *io, struct addr *out)
{
	return io_mem_orig_dst(io, out) ? 0 : ERR_NOTFOUND;
}

/* --- dials --- */

/* Where a dial arrives. */
struct sim_route {
	struct addr at; /* the listener's address, as the accepted end sees it */
	int err;
};

/* A listener that was opened on a wildcard is reached at some address all the same. */
static struct addr redirect_target(const struct sim_rule *r, const struct addr *ip)
{
	return addr_is_any(&r->listener) ? addr_with_port(ip, r->listener.port) : r->listener;
}

/* The order in which a packet meets the rules: the dialler's own pod, the network, the other pod.
 */
static struct sim_route find_route(const struct sim_net *sim, const struct dial_config *cfg)
{
	const struct addr *to = &cfg->to, *from = &cfg->from;
	bool elsewhere = !addr_eq_ip(from, to);
	const struct sim_rule *r;

	r = find_rule(sim, SIM_REDIRECT_OUT, from);
	if (r != NULL && cfg->mark == 0 && elsewhere && !addr_is_loopback(to))
		return (struct sim_route){.at = redirect_target(r, from)};
	r = find_rule(sim, SIM_FAIL, to);
	if (r != NULL)
		return (struct sim_route){.err = r->err};
	r = find_rule(sim, SIM_REDIRECT_IN, to);
	if (r != NULL && elsewhere)
		return (struct sim_route){.at = redirect_target(r, to)};
	return (struct sim_route){.at = *to};
}

/* Addresses for documentation (RFC 5737, RFC 3849) stand for a dialler that named none. */
static struct addr source_of(struct sim_net *sim, const struct dial_config *cfg)
{
	struct addr from = cfg->from;

	if (from.family == ADDR_NONE && cfg->to.family == ADDR_V4)
		from = (struct addr){.family = ADDR_V4, .bytes = {192, 0, 2, 1}};
	else if (from.family == ADDR_NONE)
		from = (struct addr){.family = ADDR_V6, .bytes = {0x20, 1, 0x0d, 0xb8, [15] = 1}};
	if (from.port == 0)
		from.port = next_port(sim);
	return from;
}

static void establish(struct sim_dial *d, struct sim_listener *s, const struct addr *at)
{
	struct sim_net *sim = net_of(d->dial.net);
	struct addr from = source_of(sim, &d->dial.cfg), to = d->dial.cfg.to;
	struct sim_waiting *w = MEM_NEW(struct sim_waiting);
	struct io *ends[2];

	io_mem_pair(sim->net.loop, sim->net.pool, sim->capacity, &from, &to, ends);
	io_mem_set_local(ends[1], at);
	io_mem_set_orig_dst(ends[1], &to);
	w->io = ends[1];
	list_append(&s->waiting, &w->node);
	s->n_waiting++;
	if (!s->l.paused)
		loop_defer(&s->accept);
	dial_finish(&d->dial, ends[0], 0);
}

/* A full queue drops the dial's packets, as a kernel does: it succeeds never or times out. */
static void on_connect(void *arg)
{
	struct sim_dial *d = arg;
	struct sim_net *sim = net_of(d->dial.net);
	const char *path = d->dial.unix_path;
	struct sim_route route = find_route(sim, &d->dial.cfg);
	struct sim_listener *s =
		path != NULL ? find_unix(sim, path) : find_listener(sim, &route.at);

	if (path != NULL && s == NULL)
		dial_finish(&d->dial, NULL, ERR_NOTFOUND);
	else if (path == NULL && d->dial.cfg.to.family == ADDR_NONE)
		dial_finish(&d->dial, NULL, ERR_INVAL);
	else if (route.err != 0 && route.err != ERR_TIMEOUT)
		dial_finish(&d->dial, NULL, route.err);
	else if (route.err == 0 && s == NULL)
		dial_finish(&d->dial, NULL, ERR_REFUSED);
	else if (route.err == 0 && s->n_waiting < s->backlog)
		establish(d, s, &route.at);
	else
		list_append(&sim->dropped, &d->node);
}

void net_sim_retransmit(struct net *net)
{
	LIST_EACH(&net_of(net)->dropped, n)
	{
		list_remove(n);
		loop_defer(&CONTAINER_OF(n, struct sim_dial, node)->connect);
	}
}

static void sim_dial_stop(struct dial *d)
{
	list_remove(&CONTAINER_OF(d, struct sim_dial, dial)->node);
	loop_task_cancel(&CONTAINER_OF(d, struct sim_dial, dial)->connect);
}

static const struct dial_ops sim_dial_ops = {.stop = sim_dial_stop};

static struct dial *sim_dial(struct net *net, const struct dial_config *cfg)
{
	struct sim_dial *d = MEM_NEW(struct sim_dial);

	dial_init(&d->dial, &sim_dial_ops, net, cfg);
	list_node_init(&d->node);
	loop_task_init(&d->connect, net->loop, on_connect, d);
	loop_defer(&d->connect);
	return &d->dial;
}

/* --- life --- */

static void sim_net_free(struct net *net)
{
	struct sim_net *sim = net_of(net);
	struct list_node *n;

	ASSERT(list_empty(&sim->listeners));
	while ((n = list_pop(&sim->rules)) != NULL)
		mem_free(CONTAINER_OF(n, struct sim_rule, node));
	mem_free(sim);
}

static const struct net_ops sim_net_ops = {
	.listen = sim_listen,
	.dial = sim_dial,
	.free = sim_net_free,
};

struct net *net_new_sim(struct loop *loop, struct buf_pool *pool, size_t pipe_capacity)
{
	struct sim_net *sim = MEM_NEW(struct sim_net);

	net_init(&sim->net, &sim_net_ops, loop, pool, NULL);
	sim->capacity = pipe_capacity;
	sim->next_port = SIM_FIRST_PORT;
	list_init(&sim->listeners);
	list_init(&sim->rules);
	list_init(&sim->dropped);
	return &sim->net;
}

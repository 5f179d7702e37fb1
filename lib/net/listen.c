/*
 * What holds for every network and every listener: names, defaults, pause and resume, error texts.
 * Owns nothing itself; called by whoever opens listeners, and by both implementations.
 */
#include "lib/net/listen.h"

#include <stdio.h>

#include "lib/base/alloc.h"
#include "lib/net/net_internal.h"

static struct listener *listener_check(struct listener *l)
{
	return OBJ_CAST(struct listener, LISTENER_MAGIC, l);
}

void net_init(struct net *net, const struct net_ops *ops, struct loop *loop, struct buf_pool *pool,
	struct log *log)
{
	net->obj.magic = NET_MAGIC;
	net->ops = ops;
	net->loop = loop;
	net->pool = pool;
	net->log = log;
}

void net_free(struct net **net)
{
	struct net *n = *net;

	if (n == NULL)
		return;
	*net = NULL;
	OBJ_CAST(struct net, NET_MAGIC, n);
	n->ops->free(n);
}

struct loop *net_loop(const struct net *net)
{
	return net->loop;
}

struct buf_pool *net_pool(const struct net *net)
{
	return net->pool;
}

void listener_init(struct listener *l, const struct listener_ops *ops, struct net *net,
	const struct listen_config *cfg)
{
	l->obj.magic = LISTENER_MAGIC;
	l->ops = ops;
	l->net = net;
	l->addr = cfg->addr;
	l->unix_path = cfg->unix_path != NULL ? mem_strdup(cfg->unix_path) : NULL;
	l->accepts_per_turn =
		cfg->accepts_per_turn > 0 ? cfg->accepts_per_turn : LISTEN_ACCEPTS_PER_TURN;
}

void listener_destroy(struct listener *l)
{
	mem_free(l->unix_path);
	mem_free(l);
}

const char *listener_name(const struct listener *l, char dst[ADDR_TEXT])
{
	return l->unix_path != NULL ? l->unix_path : addr_format(&l->addr, dst);
}

int listener_error(const struct listener *l, int e, const char *text, char *err, size_t size)
{
	char name[ADDR_TEXT];

	snprintf(err, size, "%s: %s", listener_name(l, name), text);
	return e;
}

void listener_deliver(struct listener *l, struct io *io)
{
	l->fn(l->arg, io);
}

int listener_open(struct net *net, const struct listen_config *cfg, listen_accept_fn *fn, void *arg,
	struct listener **out, char *err, size_t size)
{
	struct listener *l = NULL;

	*out = NULL;
	if (size > 0)
		err[0] = '\0';
	int e = net->ops->listen(net, cfg, &l, err, size);
	if (e < 0)
		return e;
	l->fn = fn;
	l->arg = arg;
	*out = l;
	return 0;
}

struct addr listener_addr(const struct listener *l)
{
	return l->addr;
}

uint64_t listener_starved(const struct listener *l)
{
	return l->starved;
}

static void set_paused(struct listener *l, bool paused)
{
	if (listener_check(l)->paused == paused)
		return;
	l->paused = paused;
	l->ops->pause(l);
}

void listener_pause(struct listener *l)
{
	set_paused(l, true);
}

void listener_resume(struct listener *l)
{
	set_paused(l, false);
}

void listener_close(struct listener **l)
{
	struct listener *one = *l;

	if (one == NULL)
		return;
	*l = NULL;
	listener_check(one)->closed = true;
	one->ops->close(one);
}

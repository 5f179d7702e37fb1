/*
 * What holds for every dial: its deadline, and that its result is reported exactly once and never
 * from inside of dial_start. A dial owns itself until then; called by whoever connects, and by both
 * networks.
 */
#include "lib/base/alloc.h"
#include "lib/net/net_internal.h"

static struct dial *dial_check(void *p)
{
	return OBJ_CAST(struct dial, DIAL_MAGIC, p);
}

static void on_timeout(void *arg)
{
	dial_finish(dial_check(arg), NULL, ERR_TIMEOUT);
}

static void dial_burn(void *ptr)
{
	struct dial *d = dial_check(ptr);

	d->obj.magic = 0;
	mem_free(d->unix_path);
	mem_free(d);
}

/* The object lives until the end of the turn, so that a late dial_cancel from within done is
 * harmless. */
static void on_report(void *arg)
{
	struct dial *d = dial_check(arg);
	struct io *io = d->io;

	d->io = NULL;
	d->reported = true;
	loop_defer_free(d->net->loop, d, dial_burn);
	d->done(d->arg, io, d->err);
}

void dial_init(struct dial *d, const struct dial_ops *ops, struct net *net,
	const struct dial_config *cfg)
{
	d->obj.magic = DIAL_MAGIC;
	d->ops = ops;
	d->net = net;
	d->cfg = *cfg;
	d->unix_path = cfg->unix_path != NULL ? mem_strdup(cfg->unix_path) : NULL;
	d->cfg.unix_path = NULL;
	loop_timer_init(&d->timeout, net->loop, on_timeout, d);
	loop_task_init(&d->report, net->loop, on_report, d);
	loop_timer_start(&d->timeout, cfg->timeout_ns != 0 ? cfg->timeout_ns : DIAL_TIMEOUT_NS);
}

void dial_finish(struct dial *d, struct io *io, int err)
{
	ASSERT(!d->finished);
	d->finished = true;
	d->io = io;
	d->err = err;
	loop_timer_stop(&d->timeout);
	d->ops->stop(d);
	loop_defer(&d->report);
}

struct dial *dial_start(struct net *net, const struct dial_config *cfg, dial_done_fn *done,
	void *arg)
{
	struct dial *d = net->ops->dial(net, cfg);

	d->done = done;
	d->arg = arg;
	return d;
}

void dial_cancel(struct dial **dial)
{
	struct dial *d = *dial;

	if (d == NULL)
		return;
	*dial = NULL;
	if (dial_check(d)->reported)
		return;
	d->reported = true;
	loop_timer_stop(&d->timeout);
	loop_task_cancel(&d->report);
	d->ops->stop(d);
	io_close(&d->io, true);
	loop_defer_free(d->net->loop, d, dial_burn);
}

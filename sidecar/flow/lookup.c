/*
 * Destinations that the snapshot does not have: asked for once, and their connections wait in a
 * bounded queue for an answer, a new snapshot, or the end of their time (rule 1: what nobody
 * answers for is never guessed). Owns the queue and the count of what is in use, both in struct
 * flow; called by outbound.c and request.c.
 */
#include "lib/base/log.h"
#include "sidecar/flow/find.h"

/* -- what is in use
 * ------------------------------------------------------------------------------------------
 */

static void lookup_use(struct conn *c)
{
	struct map *uses = c->flow->uses;
	struct addr ip = addr_with_port(&c->orig, 0);
	uintptr_t n = (uintptr_t)map_get(uses, addr_key(&ip));
	if (c->flow->lookup.ask == NULL)
		return;
	map_put(uses, addr_key(&ip), (void *)(n + 1));
	c->used = true;
}

void lookup_unuse(struct conn *c)
{
	struct map *uses = c->flow->uses;
	struct addr ip = addr_with_port(&c->orig, 0);
	if (!c->used)
		return;
	c->used = false;
	uintptr_t n = (uintptr_t)map_get(uses, addr_key(&ip));
	ASSERT(n > 0);
	if (n > 1)
		map_put(uses, addr_key(&ip), (void *)(n - 1));
	else
		map_remove(uses, addr_key(&ip));
}

bool flow_uses(const struct flow *f, const struct addr *ip)
{
	struct addr key = addr_with_port(ip, 0);
	return map_get(f->uses, addr_key(&key)) != NULL;
}

/* -- what is known
 * -------------------------------------------------------------------------------------------
 */

bool lookup_find(struct conn *c, const struct snapshot *s, struct dest *out)
{
	const struct lookup *l = &c->flow->lookup;
	struct addr ip = addr_with_port(&c->orig, 0);
	dest_find(s, &c->orig, false, out);
	if (l->ask == NULL)
		return false;
	if (out->service != NULL || out->pod != NULL)
		l->touch(l->arg, &ip);
	if (out->kind != DEST_REFUSED || out->reason != MESH_DISCOVERY)
		return false;
	switch (l->ask(l->arg, &ip)) {
	case LOOKUP_UNKNOWN:
		if (c->unknown == NULL) /* else it says why nobody waits any more */
			c->unknown = "it is being asked for";
		return true;
	case LOOKUP_NOT_MESHED:
		dest_find(s, &c->orig, true, out);
		return false;
	case LOOKUP_REFUSED:
		break;
	}
	c->unknown = "the control plane is not there to be asked, or no more may be asked for";
	return false;
}

bool lookup_still_nobody(const struct conn *c)
{
	const struct lookup *l = &c->flow->lookup;
	struct addr ip = addr_with_port(&c->orig, 0);
	return l->ask == NULL || !snapshot_in_mesh(c->flow->snap, &ip) ||
		l->ask(l->arg, &ip) == LOOKUP_NOT_MESHED;
}

void lookup_source(const struct conn *c)
{
	const struct lookup *l = &c->flow->lookup;
	struct addr ip = addr_with_port(&c->peer_addr, 0);
	if (l->ask != NULL && snapshot_in_mesh(c->flow->snap, &ip))
		(void)l->ask(l->arg, &ip);
}

void lookup_refresh(const struct flow *f, const struct dest *d)
{
	struct addr ip = addr_with_port(&d->addr, 0);
	if (f->lookup.ask != NULL && (d->service != NULL || d->pod != NULL))
		f->lookup.refresh(f->lookup.arg, &ip);
}

/* -- who waits
 * -----------------------------------------------------------------------------------------------
 */

void lookup_leave(struct conn *c)
{
	if (!list_linked(&c->wait_node))
		return;
	list_remove(&c->wait_node);
	c->flow->n_waiting--;
	loop_timer_stop(&c->timer);
	if (c->io != NULL) {
		io_want(c->io, 0);
		io_set_user(c->io, NULL, NULL);
	}
}

/* On with it, whatever c->dest is now. */
static void resume(struct conn *c, const char *result)
{
	struct buf bytes;
	telemetry_lookup(c->flow->telemetry, result);
	lookup_leave(c);
	if (c->has_early) {
		buf_init(&bytes, c->flow->env.http.bufs);
		buf_append(&bytes, &c->early, 1);
		conn_push_back(c, &bytes);
		c->has_early = false;
	}
	outbound_start(c);
}

static void on_timeout(void *arg)
{
	struct conn *c = OBJ_CAST(struct conn, FLOW_CONN_MAGIC, arg);
	c->unknown = "no answer came within lookup-timeout";
	resume(c, "timeout");
}

/*
 * The client goes, or speaks. One byte tells which; the rest stays in the socket, so that who waits
 * holds no buffer. Once it has spoken, its end is noticed when its time is over.
 */
static void on_io(void *arg, unsigned events)
{
	struct conn *c = OBJ_CAST(struct conn, FLOW_CONN_MAGIC, arg);
	struct buf bytes;
	(void)events;
	buf_init(&bytes, c->flow->env.http.bufs);
	ssize_t n = io_read(c->io, &bytes, 1);
	if (n == ERR_AGAIN)
		return;
	if (n <= 0) {
		telemetry_lookup(c->flow->telemetry, "gone");
		conn_end(c, n == 0 ? REASON_OK : (int)reason_from_downstream_err((int)n),
			"the client went before its destination was known", false);
		return;
	}
	buf_copy_out(&bytes, 0, &c->early, 1);
	buf_clear(&bytes);
	c->has_early = true;
	io_want(c->io, 0);
}

static void lookup_wait(struct conn *c)
{
	struct flow *f = c->flow;
	if (f->n_waiting >= f->params->lookup_waiting) {
		telemetry_lookup(f->telemetry, "full");
		c->unknown = "lookup-waiting";
		outbound_start(c);
		return;
	}
	conn_set_state(c, CONN_LOOKUP);
	list_append(&f->waiting, &c->wait_node);
	f->n_waiting++;
	loop_timer_init(&c->timer, f->env.http.loop, on_timeout, c);
	loop_timer_start(&c->timer, f->params->lookup_timeout);
	io_set_user(c->io, on_io, c);
	io_want(c->io, IO_READ);
}

void lookup_start(struct conn *c)
{
	lookup_use(c);
	if (lookup_find(c, c->snap, &c->dest)) {
		lookup_wait(c);
		return;
	}
	if (c->unknown != NULL)
		telemetry_lookup(c->flow->telemetry, "refused");
	outbound_start(c);
}

/* -- answers
 * --------------------------------------------------------------------------------------------------
 */

static const char *result_of(const struct dest *d)
{
	if (d->kind == DEST_PASSTHROUGH)
		return "not_meshed";
	return d->kind == DEST_REFUSED && d->reason != MESH_NO_PORT ? "refused" : "found";
}

/* Under the configuration of now. */
static void look_again(struct conn *c)
{
	struct flow *f = c->flow;
	snapshot_unref(&c->snap);
	c->snap = snapshot_ref(f->snap);
	list_append(&f->waiting, &c->wait_node);
	if (!lookup_find(c, c->snap, &c->dest))
		resume(c, result_of(&c->dest));
}

static void on_answer(void *arg)
{
	struct flow *f = arg;
	struct list now;
	list_init(&now);
	list_splice(&now, &f->answered);
	struct list_node *n;
	while ((n = list_first(&now)) != NULL) {
		list_remove(n);
		look_again(CONTAINER_OF(n, struct conn, wait_node));
	}
}

void lookup_again(struct flow *f)
{
	if (f->n_waiting == 0)
		return;
	list_splice(&f->answered, &f->waiting);
	loop_defer(&f->answer);
}

void flow_lookup_done(struct flow *f, const struct addr *ip)
{
	LIST_EACH(&f->waiting, n)
	{
		struct conn *c = CONTAINER_OF(n, struct conn, wait_node);
		if (!addr_eq_ip(&c->orig, ip))
			continue;
		list_remove(n);
		list_append(&f->answered, n);
		loop_defer(&f->answer);
	}
}

/* -- life
 * -----------------------------------------------------------------------------------------------------
 */

static int64_t gauge_waiting(void *arg)
{
	return (int64_t)((struct flow *)arg)->n_waiting;
}

void flow_set_lookup(struct flow *f, const struct lookup *lookup)
{
	f->lookup = *lookup;
}

void lookup_init(struct flow *f, struct metrics *metrics)
{
	list_init(&f->waiting);
	list_init(&f->answered);
	loop_task_init(&f->answer, f->env.http.loop, on_answer, f);
	f->uses = map_new(rng_next(f->env.rng));
	metrics_add_callback(metrics, "weft_lookup_waiting", METRIC_GAUGE,
		"Outbound connections that wait until their destination is known.", gauge_waiting,
		f);
}

void lookup_fini(struct flow *f)
{
	ASSERT(f->n_waiting == 0);
	loop_task_cancel(&f->answer);
	map_free(&f->uses);
}

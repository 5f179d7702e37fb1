/*
 * Runs the TLS handshakes of accepted connections. Owns each until the server has its io, or it
 * failed; called by the gRPC server.
 */
#include "ctrlplane/secure.h"

#include "lib/base/alloc.h"
#include "lib/base/list.h"
#include "lib/base/log.h"
#include "lib/base/obj.h"

#define SECURE_MAGIC 0x73656375u
#define SECURE_CONN_MAGIC 0x73656363u

/* Owned by its control plane. */
struct secure {
	struct obj_head obj;
	struct secure_config cfg;
	struct list conns;
	struct metric_series *good, *bad;
};

/* One connection before it carries HTTP/2; on its secure's list until ready was called. */
struct secure_conn {
	struct obj_head obj;
	struct list_node node;
	struct secure *secure;
	struct tls_handshake *handshake;
	struct addr peer;
	grpc_ready_fn *ready;
	void *ready_arg;
};

static const char *const result_label[] = {"result", NULL};

static const struct metric_def handshakes = {
	.name = "weft_ctrlplane_handshakes_total",
	.kind = METRIC_COUNTER,
	.help = "TLS handshakes of gRPC connections that ended, by result: ok or failed.",
	.labels = result_label,
};

struct secure *secure_new(const struct secure_config *cfg)
{
	static const struct str good = {.p = "ok", .n = 2}, bad = {.p = "failed", .n = 6};
	struct secure *s = MEM_NEW(struct secure);
	struct metric *m = metrics_add(cfg->metrics, &handshakes);
	s->obj.magic = SECURE_MAGIC;
	s->cfg = *cfg;
	list_init(&s->conns);
	s->good = metric_get(m, &good, 1);
	s->bad = metric_get(m, &bad, 1);
	metric_hold(s->good);
	metric_hold(s->bad);
	return s;
}

static void finish(struct secure_conn *c, struct io *io)
{
	struct loop *loop = c->secure->cfg.loop;
	list_remove(&c->node);
	c->obj.magic = 0;
	loop_defer_free(loop, c, mem_free);
	c->ready(c->ready_arg, io);
}

static void on_handshake(void *arg, struct io *io, const struct tls_failure *failure)
{
	struct secure_conn *c = OBJ_CAST(struct secure_conn, SECURE_CONN_MAGIC, arg);
	char peer[ADDR_TEXT];
	c->handshake = NULL;
	metric_add(io != NULL ? c->secure->good : c->secure->bad, 1);
	if (io == NULL)
		log_at(c->secure->cfg.log, LOG_INFO, "tls", "handshake failed",
			LOG_Z("peer", addr_format(&c->peer, peer)), LOG_Z("error", failure->text));
	finish(c, io);
}

void secure_start(void *arg, struct io *io, grpc_ready_fn *ready, void *ready_arg)
{
	struct secure *s = OBJ_CAST(struct secure, SECURE_MAGIC, arg);
	struct secure_conn *c = MEM_NEW(struct secure_conn);
	struct io_info info = {0};
	const struct tls_handshake_config cfg = {
		.ctx = authority_serving(s->cfg.authority), .bufs = s->cfg.bufs};
	io_info(io, &info);
	c->obj.magic = SECURE_CONN_MAGIC;
	c->secure = s;
	c->peer = info.peer;
	c->ready = ready;
	c->ready_arg = ready_arg;
	list_append(&s->conns, &c->node);
	c->handshake = tls_handshake_start(io, &cfg, on_handshake, c);
}

void secure_end(struct secure **sp)
{
	struct secure *s = *sp;
	if (s == NULL)
		return;
	*sp = NULL;
	while (!list_empty(&s->conns)) {
		struct secure_conn *c =
			CONTAINER_OF(list_first(&s->conns), struct secure_conn, node);
		tls_handshake_cancel(&c->handshake);
		finish(c, NULL);
	}
	metric_release(s->good);
	metric_release(s->bad);
	s->obj.magic = 0;
	loop_defer_free(s->cfg.loop, s, mem_free);
}

/*
 * Dial, then handshake, then hand over. Owns the socket or handshake in progress and frees itself
 * after done; used by pool.c and the TCP flows.
 */
#include "sidecar/upstream/connect.h"

#include <stdio.h>

#include "lib/base/alloc.h"

#define CONNECT_MAGIC 0x636e6374u

/* Owned by itself: freed after done or by connect_cancel. References the TLS context. */
struct connect {
	struct obj_head obj;
	const struct connect_env *env;
	struct connect_target target;
	char *id, *uid; /* what target.id and target.uid point to: a cut one would expect somebody
			   else */
	const char *alpn[2];
	connect_done_fn *done;
	void *arg;
	struct dial *dial;
	struct tls_handshake *handshake;
	struct loop_task self_task;
};

static void connect_free(void *p)
{
	struct connect *c = p;
	tls_ctx_unref(&c->target.ctx);
	mem_free(c->id);
	mem_free(c->uid);
	mem_free(c);
}

static void connect_finish(struct connect *c, struct io *io, const struct connect_failure *failure)
{
	connect_done_fn *done = c->done;
	void *arg = c->arg;
	loop_defer_free(net_loop(c->env->net), c, connect_free);
	done(arg, io, failure);
}

static void connect_fail(struct connect *c, enum reason reason, enum cert_verdict verdict,
	const char *what, const char *detail)
{
	char to[ADDR_TEXT];
	struct connect_failure f = {.reason = reason, .verdict = verdict};
	snprintf(f.text, sizeof(f.text), "%s %s: %s", what, addr_format(&c->target.to, to), detail);
	connect_finish(c, NULL, &f);
}

static void on_tls(void *arg, struct io *io, const struct tls_failure *failure)
{
	struct connect *c = OBJ_CAST(struct connect, CONNECT_MAGIC, arg);
	enum cert_verdict v = CERT_GOOD;
	c->handshake = NULL;
	if (io == NULL) {
		connect_fail(c, REASON_TLS_FAILED, failure->verdict, "TLS handshake with",
			failure->text);
		return;
	}
	if (c->env->judge != NULL)
		v = c->env->judge(c->env->judge_arg, tls_io_peer_chain(io), c->target.ctx);
	if (v != CERT_GOOD) {
		io_close(&io, true);
		connect_fail(c, REASON_TLS_FAILED, v, "TLS handshake with", cert_verdict_text(v));
		return;
	}
	connect_finish(c, io, NULL);
}

static void on_dialled(void *arg, struct io *io, int err)
{
	struct connect *c = OBJ_CAST(struct connect, CONNECT_MAGIC, arg);
	c->dial = NULL;
	if (io == NULL) {
		connect_fail(c, err == ERR_TIMEOUT ? REASON_CONNECT_TIMEOUT : REASON_CONNECT_FAILED,
			CERT_GOOD, "connect to", err_text(err));
		return;
	}
	if (c->target.ctx == NULL) {
		connect_finish(c, io, NULL);
		return;
	}
	struct tls_handshake_config cfg = {.ctx = c->target.ctx,
		.bufs = c->env->bufs,
		.expect = {.id = c->target.id, .uid = c->target.uid},
		.alpn = c->alpn,
		.timeout_ns = c->env->tls_timeout_ns};
	c->handshake = tls_handshake_start(io, &cfg, on_tls, c);
}

static void on_self(void *arg)
{
	struct connect *c = OBJ_CAST(struct connect, CONNECT_MAGIC, arg);
	struct io *io = c->env->self(c->env->self_arg, &c->target.to, c->target.alpn);
	if (io != NULL)
		connect_finish(c, io, NULL);
	else
		connect_fail(c, REASON_OVERLOAD, CERT_GOOD, "connect to own",
			"the inbound side takes no more connections");
}

struct connect *connect_start(const struct connect_env *env, const struct connect_target *target,
	connect_done_fn *done, void *arg)
{
	struct connect *c = MEM_NEW(struct connect);
	c->obj.magic = CONNECT_MAGIC;
	c->env = env;
	c->target = *target;
	c->target.ctx = target->ctx != NULL ? tls_ctx_ref(target->ctx) : NULL;
	c->id = mem_strndup(target->id.n > 0 ? target->id.p : "", target->id.n);
	c->uid = mem_strndup(target->uid.n > 0 ? target->uid.p : "", target->uid.n);
	c->target.id = str_from(c->id);
	c->target.uid = str_from(c->uid);
	c->alpn[0] = target->alpn;
	c->done = done;
	c->arg = arg;
	loop_task_init(&c->self_task, net_loop(env->net), on_self, c);
	if (target->self) {
		loop_defer(&c->self_task);
		return c;
	}
	struct dial_config dial = {.to = target->to,
		.from = target->from,
		.timeout_ns = env->connect_timeout_ns,
		.user_timeout_ms = env->user_timeout_ms,
		.mark = env->mark};
	c->dial = dial_start(env->net, &dial, on_dialled, c);
	return c;
}

void connect_cancel(struct connect **cp)
{
	struct connect *c = *cp;
	if (c == NULL)
		return;
	*cp = NULL;
	loop_task_cancel(&c->self_task);
	dial_cancel(&c->dial);
	tls_handshake_cancel(&c->handshake);
	loop_defer_free(net_loop(c->env->net), c, connect_free);
}

bool upstream_retire_in(const struct io *io, uint64_t *ns)
{
	struct io_info info = {0};
	io_info(io, &info);
	int64_t end = info.own_not_after, now = (int64_t)(loop_wall(io->loop) / NS_PER_S);
	if (info.peer_not_after != 0 && (end == 0 || info.peer_not_after < end))
		end = info.peer_not_after;
	if (end == 0)
		return false;
	uint64_t left = end > now ? (uint64_t)(end - now) * NS_PER_S : 0;
	uint64_t margin = left / 2 < RETIRE_MARGIN ? left / 2 : RETIRE_MARGIN;
	*ns = left - margin > CONNECT_LEAST_LIFE ? left - margin : CONNECT_LEAST_LIFE;
	return true;
}

/*
 * The record layer as an io: what codecs and relays see of a TLS connection once its handshake is
 * over. Owns the layer below, the keys of both directions and whatever is half done; holds no
 * buffer while nothing is in flight. Made by handshake.c.
 */
#include "lib/tls/io_tls.h"

#include <stdarg.h>
#include <stdio.h>

#include "lib/base/alloc.h"
#include "lib/base/obj.h"
#include "lib/tls/ctx.h"

static const struct io_ops tls_ops;

static struct tls_io *tls_io(const struct io *io)
{
	ASSERT(io != NULL && io->ops == &tls_ops);
	return OBJ_CAST(struct tls_io, IO_MAGIC, io);
}

/* The TLS layer of a stack; NULL: there is none. */
static struct tls_io *tls_find(const struct io *io)
{
	for (; io != NULL; io = io->below)
		if (io->ops == &tls_ops)
			return tls_io(io);
	return NULL;
}

void tls_io_say(struct tls_io *t, const char *fmt, ...)
{
	char text[128];
	va_list ap;

	if (t->failure != NULL)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	t->failure = mem_strdup(text);
}

void tls_io_fail(struct tls_io *t, int err)
{
	if (t->in_end == 0)
		t->in_end = err;
	if (t->out_end == 0)
		t->out_end = err;
}

/* --- events --- */

/* What the user waits for and can have without the layer below. */
static unsigned ready_events(const struct tls_io *t)
{
	unsigned events = 0;

	if ((t->wanted & IO_READ) != 0 && tls_readable(t))
		events |= IO_READ;
	if ((t->wanted & IO_WRITE) != 0 && t->out_end < 0)
		events |= IO_WRITE;
	return events;
}

void tls_io_interest(struct tls_io *t)
{
	unsigned ready = ready_events(t), below = t->wanted & ~ready;

	if (t->closed)
		return;
	if (buf_len(&t->sealed) > 0)
		below |= IO_WRITE;
	io_want(t->io.below, below);
	/* In the next turn: the user who left something behind had its share of this one. */
	if (ready != 0)
		loop_next_turn(&t->wake);
}

static void deliver(struct tls_io *t, unsigned events)
{
	if (events != 0 && t->io.fn != NULL)
		t->io.fn(t->io.arg, events);
	tls_io_interest(t);
}

static void on_wake(void *arg)
{
	struct tls_io *t = OBJ_CAST(struct tls_io, IO_MAGIC, arg);

	deliver(t, ready_events(t));
}

/* The layer below takes no more bytes. Where the peer said why before it closed, that is the better
 * reason. What has been received comes first: behind the end of the layer below nothing is opened.
 */
static int write_failed(struct tls_io *t, int err)
{
	if (buf_len(&t->plain) == 0)
		tls_open_records(t, &t->plain, RECORD_CONTENT_MAX);
	if (t->in_end == 0 && buf_len(&t->plain) == 0 && tls_receive(t))
		tls_open_records(t, &t->plain, RECORD_CONTENT_MAX);
	if (t->out_end >= 0)
		t->out_end = t->in_end < 0 ? t->in_end : err;
	tls_io_interest(t);
	return t->out_end;
}

static void on_below(void *arg, unsigned events)
{
	struct tls_io *t = OBJ_CAST(struct tls_io, IO_MAGIC, arg);
	unsigned up = events & t->wanted & IO_READ;

	if ((events & IO_WRITE) != 0) {
		int ret = tls_io_flush(t);
		if (ret < 0 && ret != ERR_AGAIN)
			write_failed(t, ret);
		if (buf_len(&t->sealed) == 0)
			up |= t->wanted & IO_WRITE;
	}
	deliver(t, up);
}

/* --- the operations --- */

static ssize_t tls_read(struct io *io, struct buf *in, size_t max)
{
	struct tls_io *t = tls_io(io);
	size_t before = buf_len(in), have = buf_len(&t->plain);

	if (have > 0)
		buf_move(in, &t->plain, have < max ? have : max);
	tls_open_records(t, in, max - (buf_len(in) - before));
	/* At most one read of the layer below, and that only for the sake of the first record. */
	if (buf_len(in) == before && t->in_end == 0 && max > 0 && tls_receive(t))
		tls_open_records(t, in, max);
	if (ready_events(t) != 0)
		loop_next_turn(&t->wake);
	if (buf_len(&t->sealed) > 0)
		tls_io_interest(t);
	if (buf_len(in) > before)
		return (ssize_t)(buf_len(in) - before);
	if (t->in_end != 0)
		return t->in_end > 0 ? 0 : t->in_end;
	return ERR_AGAIN;
}

static ssize_t tls_write(struct io *io, struct buf *out)
{
	struct tls_io *t = tls_io(io);

	if (t->out_end != 0)
		return t->out_end > 0 ? ERR_CLOSED : t->out_end;
	size_t n = t->blocked ? 0 : tls_seal_some(t, out);
	int ret = tls_io_flush(t);
	if (ret < 0 && ret != ERR_AGAIN)
		return write_failed(t, ret);
	if (ret == ERR_AGAIN)
		tls_io_interest(t);
	return n > 0 || buf_len(out) == 0 ? (ssize_t)n : ERR_AGAIN;
}

static int tls_shutdown(struct io *io)
{
	struct tls_io *t = tls_io(io);

	if (t->out_end != 0)
		return t->out_end > 0 ? 0 : t->out_end;
	tls_seal_alert(t, ALERT_LEVEL_WARNING, ALERT_CLOSE_NOTIFY);
	t->out_end = 1;
	int ret = tls_io_flush(t);
	if (ret < 0 && ret != ERR_AGAIN)
		return write_failed(t, ret);
	tls_io_interest(t);
	return 0;
}

static void tls_want(struct io *io, unsigned events)
{
	struct tls_io *t = tls_io(io);

	t->wanted = events;
	tls_io_interest(t);
}

static void tls_info(const struct io *io, struct io_info *info)
{
	const struct tls_io *t = tls_io(io);
	const struct cert_leaf *own = tls_ctx_leaf(t->ctx);

	info->tls = true;
	info->tls_version = STR("TLSv1.3");
	info->cipher = str_from(t->in.suite->name);
	info->alpn = str_from(t->alpn);
	info->sni = str_from(t->sni);
	if (t->peer != NULL) {
		const struct cert_leaf *leaf = cert_chain_leaf(t->peer);
		info->peer_id = leaf->id.id;
		info->peer_uid = leaf->pod_uid;
		info->peer_serial = leaf->serial;
		info->peer_not_after = leaf->not_after;
	}
	if (own != NULL) {
		info->own_id = own->id.id;
		info->own_not_after = own->not_after;
	}
}

static void tls_free(void *ptr)
{
	struct tls_io *t = OBJ_CAST(struct tls_io, IO_MAGIC, ptr);

	record_key_free(&t->in);
	record_key_free(&t->out);
	buf_clear(&t->raw);
	buf_clear(&t->plain);
	buf_clear(&t->sealed);
	cert_chain_unref(&t->peer);
	tls_ctx_unref(&t->ctx);
	mem_free(t->sni);
	mem_free(t->failure);
	mem_free(t);
}

/* --- closing --- */

/* The user is gone; nothing is left to send, or nobody to send it to. */
static void release(struct tls_io *t, bool reset)
{
	loop_timer_stop(&t->linger);
	loop_orphan_done(&t->orphan);
	io_close(&t->io.below, reset);
	loop_defer_free(t->io.loop, t, tls_free);
}

static void on_linger_below(void *arg, unsigned events)
{
	struct tls_io *t = OBJ_CAST(struct tls_io, IO_MAGIC, arg);
	int ret = tls_io_flush(t);

	(void)events;
	if (ret != ERR_AGAIN)
		release(t, ret < 0);
}

static void on_linger_over(void *arg)
{
	release(OBJ_CAST(struct tls_io, IO_MAGIC, arg), true);
}

static void tls_close(struct io *io, bool reset)
{
	struct tls_io *t = tls_io(io);
	int ret = 0;

	if (t->closed)
		return;
	t->closed = true;
	t->wanted = 0;
	loop_task_cancel(&t->wake);
	/* In order unless told otherwise: without close_notify the peer would take it for a
	 * truncation. */
	if (!reset && t->out_end == 0) {
		tls_seal_alert(t, ALERT_LEVEL_WARNING, ALERT_CLOSE_NOTIFY);
		t->out_end = 1;
	}
	if (!reset && t->out_end == 1)
		ret = tls_io_flush(t);
	if (ret != ERR_AGAIN) {
		release(t, reset);
		return;
	}
	/* What write took is owed to the peer, as bytes in a kernel are after close(2). */
	io_set_user(t->io.below, on_linger_below, t);
	io_want(t->io.below, IO_WRITE);
	loop_timer_start(&t->linger, TLS_LINGER_NS);
	loop_adopt(t->io.loop, &t->orphan, on_linger_over, t);
}

static const struct io_ops tls_ops = {
	.name = "tls",
	.read = tls_read,
	.write = tls_write,
	.shutdown = tls_shutdown,
	.want = tls_want,
	.info = tls_info,
	.close = tls_close,
};

/* --- life and facts --- */

struct io *tls_io_new(const struct tls_io_config *cfg)
{
	struct tls_io *t = MEM_NEW(struct tls_io);

	t->io = (struct io){
		.obj = {IO_MAGIC}, .ops = &tls_ops, .below = cfg->below, .loop = cfg->below->loop};
	t->ctx = tls_ctx_ref(cfg->ctx);
	t->peer = cfg->peer != NULL ? cert_chain_ref(cfg->peer) : NULL;
	t->alpn = cfg->alpn;
	t->sni = cfg->sni.n > 0 ? mem_strndup(cfg->sni.p, cfg->sni.n) : NULL;
	record_key_init(&t->in, cfg->suite, cfg->secret_in);
	record_key_init(&t->out, cfg->suite, cfg->secret_out);
	buf_init(&t->raw, cfg->bufs);
	buf_init(&t->plain, cfg->bufs);
	buf_init(&t->sealed, cfg->bufs);
	buf_move_all(&t->raw, cfg->received);
	buf_move_all(&t->sealed, cfg->unsent);
	t->rekey_at = TLS_REKEY_RECORDS;
	t->records_max = TLS_MAX_RECORDS;
	loop_task_init(&t->wake, t->io.loop, on_wake, t);
	loop_timer_init(&t->linger, t->io.loop, on_linger_over, t);
	io_set_user(t->io.below, on_below, t);
	tls_io_interest(t);
	return &t->io;
}

void tls_io_limit(struct io *io, uint64_t rekey, uint64_t max)
{
	struct tls_io *t = tls_io(io);

	t->rekey_at = rekey;
	t->records_max = max;
}

uint64_t tls_io_records(const struct io *io)
{
	const struct tls_io *t = tls_find(io);

	return t != NULL ? t->records : 0;
}

const struct cert_chain *tls_io_peer_chain(const struct io *io)
{
	const struct tls_io *t = tls_find(io);

	return t != NULL ? t->peer : NULL;
}

struct str tls_io_failure(const struct io *io)
{
	const struct tls_io *t = tls_find(io);

	return t != NULL ? str_from(t->failure) : STR_NULL;
}

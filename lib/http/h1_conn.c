/*
 * HTTP/1 codec: its life, its decisions (keep alive, drain, close), and the table by which the gate
 * calls it. Owns struct h1; one exchange at a time, in both roles. RFC 9110, RFC 9112.
 */
#include "lib/base/alloc.h"
#include "lib/http/h1.h"

static void on_patience(void *arg)
{
	struct h1 *h = OBJ_CAST(struct h1, H1_MAGIC, arg);

	http_conn_fail(h->c, REASON_OK, NULL, false);
}

static void h1_init(struct http_conn *c)
{
	struct h1 *h = MEM_NEW(struct h1);

	h->obj.magic = H1_MAGIC;
	h->c = c;
	h->keep_alive = true;
	buf_init(&h->trailers_out, c->env.bufs);
	loop_timer_init(&h->patience, c->env.loop, on_patience, h);
	c->codec_state = h;
}

static void h1_fini(struct http_conn *c)
{
	struct h1 *h = h1_of(c);

	loop_timer_stop(&h->patience);
	buf_clear(&h->trailers_out);
	h->obj.magic = 0;
	mem_free(h);
	c->codec_state = NULL;
}

void h1_detach(struct h1 *h)
{
	h->cur = NULL;
	h->text = (struct h1_text){0};
	h->name = h->ws_key = STR_NULL;
	h->trailers = (struct http_fields){0};
	h->fields = &h->trailers;
}

/* Waits for the rest of a body or for a last request; 0 does not wait. */
static void wait_or_close(struct h1 *h, uint64_t ns)
{
	if (ns == 0)
		http_conn_fail(h->c, REASON_OK, NULL, false);
	else
		loop_timer_start(&h->patience, ns);
}

/*
 * A client takes nothing for granted: bytes behind the response belong to no request of ours, so
 * the connection is not used again.
 */
static bool reusable(const struct h1 *h)
{
	return h->keep_alive &&
		!(h->c->role == HTTP_CLIENT && buf_len(&h->c->in) > 0 && h->phase == H1_WAIT);
}

void h1_settle(struct h1 *h)
{
	struct http_conn *c = h->c;
	struct http_stream *s = h->cur;

	if (s == NULL || s->ended || s->out != PART_DONE || (s->in != PART_DONE && !s->stopped))
		return;
	bool tunnel = s->tunnel;

	http_up_end(s, REASON_OK, NULL);
	h1_detach(h);
	if (tunnel || !reusable(h)) {
		http_conn_fail(c, REASON_OK, NULL, false);
		return;
	}
	if (h->phase == H1_BODY) {
		wait_or_close(h, c->limits.linger_timeout);
	} else {
		h->phase = H1_IDLE;
		if (c->role == HTTP_CLIENT)
			http_up_room(c);
	}
	http_conn_resume_read(c);
}

/* --- the table --- */

static uint32_t h1_room(const struct http_conn *c)
{
	const struct h1 *h = h1_of(c);

	return h->cur == NULL && h->phase == H1_IDLE && h->keep_alive && buf_len(&c->in) == 0 ? 1
											      : 0;
}

static void h1_open(struct http_stream *s)
{
	struct h1 *h = h1_of(s->conn);

	h->cur = s;
	s->id = ++h->last_id;
	h->keep_alive = true;
	h->head_sent = h->refused = h->tunnel_wanted = false;
	h->out = H1_NONE;
}

static void h1_consume(struct http_stream *s, size_t n)
{
	struct http_conn *c = s->conn;
	const struct h1 *h = h1_of(c);
	bool reads = h->phase == H1_BODY || h->phase == H1_TUNNEL;

	(void)n;
	/* In steps of half a window, so that a reader of small pieces does not wake the parser for
	 * each. */
	if (c->read_paused && reads && !s->stopped && s->unconsumed <= c->limits.stream_window / 2)
		http_conn_resume_read(c);
}

static void h1_stop(struct http_stream *s)
{
	http_conn_resume_read(s->conn);
}

static void h1_reset(struct http_stream *s, enum reason reason)
{
	struct http_conn *c = s->conn;
	struct h1 *h = h1_of(c);
	const char *detail = s->detail.n > 0 ? s->detail.p : NULL;

	if (c->role == HTTP_SERVER) {
		bool answered = s->out == PART_HEAD ? h1_refuse(h, reason, detail)
						    : s->out == PART_DONE && !s->tunnel;

		http_conn_fail(c, reason, detail, !answered);
	} else if (h->head_sent) {
		http_conn_fail(c, reason, detail, true);
	} else {
		h1_detach(h);
		http_up_room(c);
	}
}

static void h1_drain(struct http_conn *c)
{
	struct h1 *h = h1_of(c);

	if (h->cur != NULL)
		h->keep_alive = h->keep_alive && c->role == HTTP_SERVER && h->cur->out == PART_HEAD;
	else if (c->role == HTTP_CLIENT)
		http_conn_fail(c, REASON_OK, NULL, false);
	else
		wait_or_close(h, c->limits.drain_grace);
}

static void h1_forget(struct http_stream *s)
{
	struct h1 *h = h1_of(s->conn);

	if (h->cur == s)
		h1_detach(h);
}

static bool h1_always(const struct http_conn *c)
{
	(void)c;
	return true;
}

const struct http_codec http_codec_h1 = {
	.version = HTTP_V1,
	.init = h1_init,
	.fini = h1_fini,
	.on_bytes = h1_on_bytes,
	.flush = h1_flush,
	.room = h1_room,
	.open = h1_open,
	.send_head = h1_send_head,
	.send_body = h1_send_body,
	.send_trailers = h1_send_trailers,
	.consume = h1_consume,
	.stop = h1_stop,
	.reset = h1_reset,
	.drain = h1_drain,
	.forget = h1_forget,
	.can_upgrade = h1_always,
	.settled = h1_always,
};

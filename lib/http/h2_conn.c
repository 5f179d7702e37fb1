/*
 * The HTTP/2 codec, life of a connection: the nghttp2 session and its settings, draining by GOAWAY
 * in two phases, keepalive, the end. Owns struct h2; called by the gate through http_codec_h2.
 * Bytes come in through h2_recv.c and go out through h2_send.c.
 */
#include "lib/base/alloc.h"
#include "lib/http/h2.h"

/* A session that had no stream for so long gives its idle memory back. */
#define TRIM_AFTER NS_PER_S
/* What nghttp2 may hold: for the session, and for each stream that may be open. */
#define MEM_SESSION ((size_t)1024 * 1024)
#define MEM_STREAM ((size_t)16 * 1024)
#define MEM_LAST_WORDS ((size_t)16 * 1024)
/* nghttp2's own limits stand behind ours: they catch what ours does not count. */
#define BACKSTOP_BURST 10000
#define BACKSTOP_RATE 330

/* -- accounting -- */

void h2_doom(struct h2 *h, enum reason reason, uint32_t code, const char *detail)
{
	if (h->doomed)
		return;
	if (reason == REASON_FLOOD && h->c->role == HTTP_CLIENT)
		reason = REASON_UPSTREAM_PROTOCOL;
	h->doomed = true;
	h->reason = reason;
	h->code = code;
	h->detail = detail;
	/* Where the bound was reached, the last words need a little more. */
	h->mem.max += MEM_LAST_WORDS;
	nghttp2_session_terminate_session(h->session, code);
}

void h2_try(struct h2 *h, int rv)
{
	if (rv == NGHTTP2_ERR_NOMEM)
		h2_doom(h, REASON_FLOOD, NGHTTP2_ENHANCE_YOUR_CALM,
			"too much state in one session");
}

void h2_submit_reset(struct h2 *h, int32_t id, uint32_t code)
{
	h2_try(h, nghttp2_submit_rst_stream(h->session, NGHTTP2_FLAG_NONE, id, code));
}

void h2_perish(struct h2 *h)
{
	struct http_conn *c = h->c;

	/* To a peer that takes no bytes there is nothing left to say. */
	if (h->doomed && c->state == HTTP_CONN_OPEN)
		http_conn_fail(c, h->reason, h->detail,
			h->code == NGHTTP2_ENHANCE_YOUR_CALM && c->write_blocked);
}

void h2_act(struct h2 *h, enum h2_act act)
{
	if (h->wary && !h2_abuse_act(&h->abuse, act, loop_now(h->c->env.loop)))
		h2_doom(h, REASON_FLOOD, NGHTTP2_ENHANCE_YOUR_CALM, "too many empty frames");
}

void h2_blame(struct h2 *h)
{
	if (h->wary && h->c->role == HTTP_SERVER &&
		!h2_abuse_reset(&h->abuse, loop_now(h->c->env.loop)))
		h2_doom(h, REASON_FLOOD, NGHTTP2_ENHANCE_YOUR_CALM, "streams are reset too fast");
}

/* -- streams -- */

static uint64_t ping_interval(const struct http_conn *c)
{
	const struct http_limits *l = &c->limits;

	return c->role == HTTP_CLIENT ? l->ping_interval : l->server_ping_interval;
}

struct h2_stream *h2_stream_new(struct h2 *h, struct http_stream *s)
{
	struct h2_stream *hs = ARENA_NEW(&s->arena, struct h2_stream);

	hs->obj.magic = H2_STREAM_MAGIC;
	hs->s = s;
	list_node_init(&hs->ready);
	list_node_init(&hs->due);
	buf_init(&hs->rx, h->c->env.bufs);
	hs->counted = true;
	s->codec = hs;
	h->open++;
	loop_timer_stop(&h->trim);
	if (ping_interval(h->c) > 0 && !loop_timer_running(&h->ping)) {
		h->heard = true;
		loop_timer_start(&h->ping, ping_interval(h->c));
	}
	return hs;
}

struct h2_stream *h2_find(struct h2 *h, int32_t id)
{
	void *p = nghttp2_session_get_stream_user_data(h->session, id);

	return p != NULL ? OBJ_CAST(struct h2_stream, H2_STREAM_MAGIC, p) : NULL;
}

void h2_release(struct h2 *h, struct h2_stream *hs)
{
	if (!hs->counted)
		return;
	hs->counted = false;
	h->open--;
	if (h->c->role == HTTP_CLIENT)
		http_up_room(h->c);
	if (h->open == 0)
		loop_timer_start(&h->trim, TRIM_AFTER);
}

void h2_detach(struct h2 *h, struct h2_stream *hs)
{
	if (hs->s->id != 0 && !hs->closed)
		nghttp2_session_set_stream_user_data(h->session, (int32_t)hs->s->id, NULL);
	hs->closed = true;
	if (h->reading == hs)
		h->reading = NULL;
	list_remove(&hs->ready);
	list_remove(&hs->due);
	buf_clear(&hs->rx);
	h2_release(h, hs);
}

static void h2_open(struct http_stream *s)
{
	h2_stream_new(h2_of(s->conn), s);
}

/* The user has had its on_end; the other side learns that the stream is over, where it does not. */
static void h2_forget(struct http_stream *s)
{
	struct h2 *h = h2_of(s->conn);
	struct h2_stream *hs = h2_stream_of(s);

	if (hs != NULL) {
		if (!hs->closed && s->id != 0)
			h2_submit_reset(h, (int32_t)s->id, reason_info(s->reason)->h2_code);
		h2_detach(h, hs);
		hs->obj.magic = 0;
	}
	s->codec = NULL;
	h2_rest(h);
	h2_recv_resume(h);
}

static uint32_t h2_room(const struct http_conn *c)
{
	struct h2 *h = h2_of(c);
	uint32_t max = nghttp2_session_get_remote_settings(h->session,
		NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);

	if (h->goaway_in || h->doomed || !nghttp2_session_check_request_allowed(h->session))
		return 0;
	if (max > c->limits.max_streams)
		max = c->limits.max_streams;
	return max > h->open ? max - h->open : 0;
}

static bool h2_can_upgrade(const struct http_conn *c)
{
	return nghttp2_session_get_remote_settings(h2_of(c)->session,
		       NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL) == 1;
}

static bool h2_settled(const struct http_conn *c)
{
	return h2_of(c)->settled;
}

/* -- draining -- */

/* No stream will be opened any more. */
static bool h2_is_leaving(const struct h2 *h)
{
	return h->c->draining ||
		(h->c->role == HTTP_CLIENT &&
			nghttp2_session_get_next_stream_id(h->session) > INT32_MAX);
}

/* A client needs no grace: it knows of every request. */
static bool h2_is_over(const struct h2 *h)
{
	const struct http_conn *c = h->c;

	if (c->state != HTTP_CONN_OPEN || c->n_streams > 0 || h->doomed || !h2_is_leaving(h))
		return false;
	return c->role == HTTP_CLIENT || h->goaway_in || h->drain == H2_DRAIN_SAID;
}

static void h2_on_rest(void *arg)
{
	struct h2 *h = OBJ_CAST(struct h2, H2_MAGIC, arg);

	if (h2_is_over(h))
		http_conn_fail(h->c, REASON_OK, NULL, false);
}

void h2_rest(struct h2 *h)
{
	if (h->c->state == HTTP_CONN_OPEN && h2_is_leaving(h))
		loop_defer(&h->rest);
}

/* The second GOAWAY names the last stream that is served (RFC 9113 6.8). */
static void h2_on_grace(void *arg)
{
	struct h2 *h = OBJ_CAST(struct h2, H2_MAGIC, arg);

	if (h->c->state != HTTP_CONN_OPEN || h->doomed)
		return;
	h->drain = H2_DRAIN_FINAL;
	h2_try(h,
		nghttp2_submit_goaway(h->session, NGHTTP2_FLAG_NONE,
			nghttp2_session_get_last_proc_stream_id(h->session), NGHTTP2_NO_ERROR, NULL,
			0));
	http_conn_kick(h->c);
}

static void h2_drain(struct http_conn *c)
{
	struct h2 *h = h2_of(c);

	if (c->role == HTTP_SERVER && h->drain == H2_DRAIN_NONE) {
		h->drain = H2_DRAIN_NOTICE;
		h2_try(h, nghttp2_submit_shutdown_notice(h->session));
		if (c->limits.drain_grace > 0)
			loop_timer_start(&h->grace, c->limits.drain_grace);
		else
			h2_on_grace(h);
	}
	h2_rest(h);
}

/* Streams above its last id were closed by nghttp2 and count as not processed. */
void h2_on_goaway(struct h2 *h)
{
	h->goaway_in = true;
	h->c->draining = true;
	if (h->c->role == HTTP_CLIENT)
		http_up_room(h->c);
	h2_rest(h);
}

void h2_settle(struct h2 *h)
{
	if (!h->settled)
		loop_timer_stop(&h->c->header_timer);
	h->settled = true;
	if (h->c->role == HTTP_CLIENT)
		http_up_room(h->c);
}

/* -- keepalive -- */

/* Runs while there are streams: silence of one interval is questioned, then judged. */
static void h2_on_ping_timer(void *arg)
{
	struct h2 *h = OBJ_CAST(struct h2, H2_MAGIC, arg);
	struct http_conn *c = h->c;

	if (c->state != HTTP_CONN_OPEN || h->open == 0) {
		h->probing = false;
		return;
	}
	if (h->heard) {
		h->heard = h->probing = false;
		loop_timer_start(&h->ping, ping_interval(c));
		return;
	}
	if (h->probing) {
		http_conn_fail(c, c->role == HTTP_CLIENT ? REASON_UPSTREAM_CLOSED : REASON_CLOSED,
			"no answer to PING", true);
		return;
	}
	h->probing = true;
	h2_try(h, nghttp2_submit_ping(h->session, NGHTTP2_FLAG_NONE, NULL));
	http_conn_kick(c);
	loop_timer_start(&h->ping, c->limits.ping_timeout);
}

static void h2_on_trim(void *arg)
{
	h2_mem_trim(&OBJ_CAST(struct h2, H2_MAGIC, arg)->mem);
}

/* -- making and freeing -- */

/* CONTINUATION frames of a header block (RFC 9113 6.10): enough for whatever is to be answered with
 * 431. */
static size_t max_continuations(const struct http_limits *l)
{
	return (H2_FAR_BEYOND * l->header_bytes + 2 * l->target_bytes) / H2_FRAME_MAX + 8;
}

static nghttp2_option *h2_options(const struct h2 *h)
{
	const struct http_limits *l = &h->c->limits;
	nghttp2_option *opt;

	/* Fails only where memory is out. */
	ASSERT(nghttp2_option_new(&opt) == 0);
	nghttp2_option_set_no_auto_window_update(opt, 1);
	nghttp2_option_set_max_outbound_ack(opt, l->control_frames);
	nghttp2_option_set_max_send_header_block_length(opt,
		2 * (l->header_bytes + l->target_bytes) + 16384);
	nghttp2_option_set_max_continuations(opt, max_continuations(l));
	/* A session that many share is not ended by its counters; nor is a client by late answers
	 * to streams that it reset, which nghttp2 counts. */
	bool strict = h->wary && h->c->role == HTTP_SERVER;

	nghttp2_option_set_stream_reset_rate_limit(opt, strict ? BACKSTOP_BURST : UINT64_MAX,
		strict ? BACKSTOP_RATE : UINT64_MAX);
	nghttp2_option_set_glitch_rate_limit(opt, strict ? BACKSTOP_BURST : UINT64_MAX,
		strict ? BACKSTOP_RATE : UINT64_MAX);
	return opt;
}

static void h2_make_session(struct h2 *h)
{
	nghttp2_session_callbacks *cb;
	nghttp2_option *opt = h2_options(h);

	ASSERT(nghttp2_session_callbacks_new(&cb) == 0);
	h2_recv_callbacks(cb);
	h2_send_callbacks(cb);
	int rv = h->c->role == HTTP_SERVER
		? nghttp2_session_server_new3(&h->session, cb, h, opt, &h->mem.vt)
		: nghttp2_session_client_new3(&h->session, cb, h, opt, &h->mem.vt);

	ASSERT(rv == 0);
	nghttp2_session_callbacks_del(cb);
	nghttp2_option_del(opt);
}

static uint32_t clamp_window(size_t n)
{
	return n < NGHTTP2_MAX_WINDOW_SIZE ? (uint32_t)n : NGHTTP2_MAX_WINDOW_SIZE;
}

static void h2_submit_settings(struct h2 *h)
{
	const struct http_limits *l = &h->c->limits;
	bool server = h->c->role == HTTP_SERVER;
	uint32_t list = l->header_bytes < UINT32_MAX ? (uint32_t)l->header_bytes : UINT32_MAX;
	nghttp2_settings_entry iv[] = {
		{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, clamp_window(l->stream_window)},
		{NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, list},
		{NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1},
		{NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, server ? l->max_streams : 0},
		{server ? NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL : NGHTTP2_SETTINGS_ENABLE_PUSH,
			server ? 1 : 0},
	};
	int rv = nghttp2_submit_settings(h->session, NGHTTP2_FLAG_NONE, iv,
		sizeof(iv) / sizeof(iv[0]));

	ASSERT(rv == 0);
	rv = nghttp2_session_set_local_window_size(h->session, NGHTTP2_FLAG_NONE, 0,
		(int32_t)clamp_window(l->conn_window));
	ASSERT(rv == 0);
}

static void h2_init(struct http_conn *c)
{
	struct h2 *h = MEM_NEW(struct h2);

	h->obj.magic = H2_MAGIC;
	h->c = c;
	h->wary = !c->trusted;
	c->codec_state = h;
	h2_mem_init(&h->mem, MEM_SESSION + MEM_STREAM * c->limits.max_streams);
	h2_abuse_init(&h->abuse, &c->limits, loop_now(c->env.loop));
	list_init(&h->ready);
	list_init(&h->due);
	list_init(&h->filling);
	loop_timer_init(&h->grace, c->env.loop, h2_on_grace, h);
	loop_timer_init(&h->ping, c->env.loop, h2_on_ping_timer, h);
	loop_timer_init(&h->trim, c->env.loop, h2_on_trim, h);
	loop_task_init(&h->rest, c->env.loop, h2_on_rest, h);
	h->intake.left = c->role == HTTP_SERVER ? H2_PREFACE_LEN : 0;
	h2_make_session(h);
	h2_submit_settings(h);
	/* Preface and SETTINGS must come in time, as any head. */
	if (c->limits.header_timeout > 0)
		loop_timer_start(&c->header_timer, c->limits.header_timeout);
}

static void h2_fini(struct http_conn *c)
{
	struct h2 *h = h2_of(c);

	loop_timer_stop(&h->grace);
	loop_timer_stop(&h->ping);
	loop_timer_stop(&h->trim);
	loop_task_cancel(&h->rest);
	nghttp2_session_del(h->session);
	ASSERT(h->mem.used == 0);
	h2_mem_trim(&h->mem);
	h->obj.magic = 0;
	mem_free(h);
	c->codec_state = NULL;
}

const struct http_codec http_codec_h2 = {
	.version = HTTP_V2,
	.init = h2_init,
	.fini = h2_fini,
	.on_bytes = h2_on_bytes,
	.flush = h2_flush,
	.room = h2_room,
	.open = h2_open,
	.send_head = h2_send_head,
	.send_body = h2_send_body,
	.send_trailers = h2_send_trailers,
	.consume = h2_consume,
	.stop = h2_stop,
	.reset = h2_reset,
	.drain = h2_drain,
	.forget = h2_forget,
	.can_upgrade = h2_can_upgrade,
	.settled = h2_settled,
};

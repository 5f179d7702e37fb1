/*
 * HTTP/1, the writing side: heads with framing of our own choice, bodies whole or in chunks,
 * trailers, plain error responses. Heads go to c->out at once, bodies in the flush phase; called by
 * the gate through h1_conn.c's table.
 */
#include "lib/http/h1.h"
#include "lib/http/h1_write.h"

/* --- heads of responses --- */

static void write_length(struct h1_writer *w, uint64_t length)
{
	h1_write(w, STR("content-length: "));
	h1_write_u64(w, length);
	h1_write(w, STR("\r\n"));
}

static void send_interim(struct h1 *h, const struct http_head *head)
{
	struct h1_writer w;

	/* RFC 9110 15.2: never to HTTP/1.0. */
	if (h->cur->head_in.version_minor == 0)
		return;
	if (head->status == 100)
		h->continue_sent = true;
	h1_write_begin(&w, &h->c->out);
	h1_write_status_line(&w, head->status);
	h1_write_fields(&w, &head->fields);
	h1_write(&w, STR("\r\n"));
	h1_write_end(&w);
}

static enum h1_framing response_framing(const struct h1 *h, const struct http_head *head, bool end)
{
	const struct http_stream *s = h->cur;

	if (s->tunnel)
		return H1_RAW;
	if (end || http_no_body(s->method, head->status))
		return H1_NONE;
	if (head->length != HTTP_LENGTH_UNKNOWN)
		return H1_LENGTH;
	return s->head_in.version_minor > 0 ? H1_CHUNKED : H1_CLOSE;
}

static void write_response_framing(struct h1 *h, struct h1_writer *w, const struct http_head *head)
{
	uint16_t status = head->status;
	bool silent = status / 100 == 1 || status == 204 || h->out == H1_RAW;

	if (h->out == H1_CHUNKED)
		h1_write(w, STR("transfer-encoding: chunked\r\n"));
	else if (h->out == H1_LENGTH)
		write_length(w, head->length);
	else if (h->out == H1_NONE && !silent && head->length != HTTP_LENGTH_UNKNOWN)
		write_length(w, head->length);
	else if (h->out == H1_NONE && !silent && !http_no_body(h->cur->method, status))
		write_length(w, 0);
}

/* 101 of RFC 9110 7.8; the answer to the key where the other side of the tunnel had none to give
 * (RFC 8441). */
static void write_upgrade(struct h1 *h, struct h1_writer *w, const struct http_head *head)
{
	struct str key = http_fields_get(&h->cur->head_in.fields, STR("sec-websocket-key"));
	char accept[WS_ACCEPT_SIZE];

	h1_write(w, STR("connection: upgrade\r\nupgrade: "));
	h1_write(w, h->cur->protocol);
	h1_write(w, STR("\r\n"));
	if (key.n == 0 || http_fields_has(&head->fields, STR("sec-websocket-accept")))
		return;
	ws_accept_make(key, accept);
	h1_write(w, STR("sec-websocket-accept: "));
	h1_write(w, str_from(accept));
	h1_write(w, STR("\r\n"));
}

/* Whether the connection can serve another request after this response, as far as can be told now.
 */
static bool stays_open(const struct h1 *h)
{
	const struct http_stream *s = h->cur;
	bool waits_for_100 = s->head_in.expect_continue && !h->continue_sent && s->bytes_in == 0;

	if (!h->keep_alive || !s->head_in.keep_alive || h->c->draining || h->out == H1_CLOSE)
		return false;
	if (h->c->eof && buf_len(&h->c->in) == 0)
		return false;
	if (h->tunnel_wanted && s->protocol.n == 0)
		return false; /* CONNECT: what follows may be the tunnel's already */
	/* RFC 9110 10.1.1: its body may come now, or not at all. */
	return s->in == PART_DONE || !waits_for_100;
}

static void write_connection(struct h1 *h, struct h1_writer *w)
{
	if (h->out == H1_RAW)
		return;
	h->keep_alive = stays_open(h);
	if (!h->keep_alive)
		h1_write(w, STR("connection: close\r\n"));
	else if (h->cur->head_in.version_minor == 0)
		h1_write(w, STR("connection: keep-alive\r\n"));
}

static void send_response(struct h1 *h, const struct http_head *head, bool end)
{
	struct http_stream *s = h->cur;
	struct h1_writer w;

	/* A user that answers within on_head is ahead of the reading side. */
	h->tunnel_wanted = s->protocol.n > 0 || str_eq(s->method, STR("CONNECT"));
	h->out = response_framing(h, head, end);
	h1_write_begin(&w, &h->c->out);
	h1_write_status_line(&w, head->status);
	if (s->tunnel && s->protocol.n > 0)
		write_upgrade(h, &w, head);
	write_response_framing(h, &w, head);
	write_connection(h, &w);
	h1_write_fields(&w, &head->fields);
	h1_write(&w, STR("\r\n"));
	h1_write_end(&w);
	h->refused = h->tunnel_wanted && !s->tunnel;
	if (s->tunnel && h->phase == H1_HOLD) {
		h->phase = H1_TUNNEL;
		http_conn_resume_read(h->c);
	}
}

bool h1_refuse(struct h1 *h, enum reason reason, const char *detail)
{
	const struct reason_info *info = reason_info(reason);
	bool head = h->cur != NULL && str_eq(h->cur->head_in.method, STR("HEAD"));
	struct str text = str_from(detail != NULL ? detail : info->text);
	struct h1_writer w;

	if (info->http_status == 0)
		return false;
	h1_write_begin(&w, &h->c->out);
	h1_write_status_line(&w, info->http_status);
	h1_write(&w, STR("content-type: text/plain\r\nconnection: close\r\n"));
	write_length(&w, text.n + 1);
	h1_write(&w, STR("\r\n"));
	if (!head) {
		h1_write(&w, text);
		h1_write(&w, STR("\n"));
	}
	h1_write_end(&w);
	return true;
}

/* --- heads of requests --- */

static bool may_go_out(const struct http_head *head)
{
	if (!http_is_token(head->method) ||
		(head->authority.n > 0 && !http_is_authority(head->authority)))
		return false;
	if (str_eq(head->method, STR("CONNECT")))
		return head->authority.n > 0;
	return http_is_path(head->path) || str_eq(head->path, STR("*"));
}

/* RFC 9110 8.6: where a body is usual its absence is said. */
static bool body_is_usual(struct str method)
{
	return str_eq(method, STR("POST")) || str_eq(method, STR("PUT")) ||
		str_eq(method, STR("PATCH"));
}

static enum h1_framing request_framing(const struct h1 *h, const struct http_head *head, bool end)
{
	if (h->tunnel_wanted)
		return H1_RAW;
	if (end)
		return H1_NONE;
	return head->length != HTTP_LENGTH_UNKNOWN ? H1_LENGTH : H1_CHUNKED;
}

/* A request of HTTP/1.0 may have no host; HTTP/1.1 may not (RFC 9112 3.2), so it goes out as what
 * it is. */
static void write_request_line(struct h1_writer *w, const struct http_head *head)
{
	bool connect = str_eq(head->method, STR("CONNECT"));

	h1_write(w, head->method);
	h1_write(w, STR(" "));
	h1_write(w, connect ? head->authority : head->path);
	if (head->authority.n == 0) {
		h1_write(w, STR(" HTTP/1.0\r\n"));
		return;
	}
	h1_write(w, STR(" HTTP/1.1\r\nhost: "));
	h1_write(w, head->authority);
	h1_write(w, STR("\r\n"));
}

static void write_request_framing(struct h1 *h, struct h1_writer *w, const struct http_head *head)
{
	if (h->out == H1_CHUNKED)
		h1_write(w, STR("transfer-encoding: chunked\r\n"));
	else if (h->out == H1_LENGTH)
		write_length(w, head->length);
	else if (h->out == H1_NONE && body_is_usual(head->method))
		write_length(w, 0);
}

static void write_key(struct h1 *h, struct h1_writer *w, const struct http_head *head)
{
	struct str key = http_fields_get(&head->fields, STR("sec-websocket-key"));
	char made[WS_KEY_SIZE];

	if (key.n == 0) {
		ws_key_make(made);
		key = str_from(made);
		h1_write(w, STR("sec-websocket-key: "));
		h1_write(w, key);
		h1_write(w, STR("\r\n"));
	}
	h->ws_key = arena_str(&h->cur->arena, key);
}

static void write_request_options(struct h1 *h, struct h1_writer *w, const struct http_head *head)
{
	if (head->protocol.n > 0) {
		h1_write(w, STR("connection: upgrade\r\nupgrade: "));
		h1_write(w, head->protocol);
		h1_write(w, STR("\r\n"));
		write_key(h, w, head);
	} else if (head->te_trailers) {
		h1_write(w, STR("connection: te\r\nte: trailers\r\n"));
	}
	if (head->authority.n == 0)
		h->keep_alive = false;
	if (head->expect_continue && head->authority.n > 0)
		h1_write(w, STR("expect: 100-continue\r\n"));
}

static void send_request(struct h1 *h, const struct http_head *head, bool end)
{
	struct h1_writer w;

	if (!may_go_out(head) ||
		(head->authority.n == 0 && !end && head->length == HTTP_LENGTH_UNKNOWN)) {
		stream_reset(h->cur, REASON_INTERNAL);
		return;
	}
	h->head_sent = true;
	h->tunnel_wanted = head->protocol.n > 0 || str_eq(head->method, STR("CONNECT"));
	h->out = request_framing(h, head, end);
	h1_write_begin(&w, &h->c->out);
	write_request_line(&w, head);
	write_request_options(h, &w, head);
	write_request_framing(h, &w, head);
	h1_write_fields(&w, &head->fields);
	h1_write(&w, STR("\r\n"));
	h1_write_end(&w);
}

void h1_send_head(struct http_stream *s, const struct http_head *head, bool end)
{
	struct h1 *h = h1_of(s->conn);

	if (h->c->role == HTTP_CLIENT)
		send_request(h, head, end);
	else if (s->out == PART_HEAD)
		send_interim(h, head);
	else
		send_response(h, head, end);
}

/* --- bodies and trailers --- */

/* The flush phase takes it from s->send. */
void h1_send_body(struct http_stream *s)
{
	(void)s;
}

void h1_send_trailers(struct http_stream *s, const struct http_fields *trailers)
{
	struct h1 *h = h1_of(s->conn);
	struct http_fields copy;
	struct h1_writer w;

	if (h->out != H1_CHUNKED)
		return;
	http_fields_init(&copy, &s->arena);
	for (uint32_t i = 0; i < trailers->n; i++)
		http_fields_add(&copy, trailers->v[i].name, trailers->v[i].value);
	http_check_trailers(&copy);
	h1_write_begin(&w, &h->trailers_out);
	h1_write_fields(&w, &copy);
	h1_write_end(&w);
}

static void encode_body(struct h1 *h, size_t n)
{
	struct buf *out = &h->c->out;

	if (h->out == H1_CHUNKED)
		buf_printf(out, "%zx\r\n", n);
	buf_move(out, &h->cur->send, n);
	if (h->out == H1_CHUNKED)
		buf_append_str(out, STR("\r\n"));
}

static void encode_end(struct h1 *h)
{
	struct buf *out = &h->c->out;

	if (h->out == H1_CHUNKED) {
		buf_append_str(out, STR("0\r\n"));
		buf_move_all(out, &h->trailers_out);
		buf_append_str(out, STR("\r\n"));
	} else if (h->out == H1_RAW) {
		h->c->fin_when_flushed = true;
	}
}

/* What was to go through a tunnel that is not opened: nothing; the request was its head. */
static void end_refused(struct h1 *h)
{
	struct http_stream *s = h->cur;
	struct buf none;

	h->refused = false;
	if (h->c->role == HTTP_CLIENT) {
		s->out_void = true;
		buf_clear(&s->send);
		http_up_sent(s, 0, true);
		return;
	}
	h->phase = H1_WAIT;
	buf_init(&none, h->c->env.bufs);
	http_up_body(s, &none, true);
}

bool h1_flush(struct http_conn *c)
{
	struct h1 *h = h1_of(c);
	struct http_stream *s = h->cur;

	if (s == NULL || s->ended || s->out == PART_HEAD)
		return false;
	if (h->refused)
		end_refused(h);
	bool held = c->role == HTTP_CLIENT && h->tunnel_wanted && !s->tunnel;

	if (!s->ended && !held && s->out != PART_DONE) {
		size_t room = buf_len(&c->out) < H1_WIRE_HIGH ? H1_WIRE_HIGH - buf_len(&c->out) : 0;
		size_t n = buf_len(&s->send) < room ? buf_len(&s->send) : room;

		if (n > 0)
			encode_body(h, n);
		bool done = s->send_end && buf_len(&s->send) == 0;

		if (done)
			encode_end(h);
		if (n > 0 || done)
			http_up_sent(s, n, done);
	}
	h1_settle(h);
	return h->cur == s && !s->ended && !held && buf_len(&s->send) > 0;
}

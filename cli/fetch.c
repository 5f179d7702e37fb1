/*
 * A small HTTP/1 client on lib/http and a loop that lives for one request. Called by the commands
 * that ask a control plane or a sidecar.
 */
#include "cli/fetch.h"

#include <stdio.h>
#include <string.h>

#include "lib/base/alloc.h"
#include "lib/base/log.h"
#include "lib/http/conn.h"
#include "lib/net/listen.h"

#define HOST_MAX 255

/* One request under way; on the stack of fetch. */
struct exchange {
	const struct fetch *what;
	struct http_env env;
	struct net *net;
	struct dial *dial;
	struct http_conn *conn;
	struct buf body;
	struct loop_timer timer;
	char authority[HOST_MAX + 16];
	unsigned status;
	struct addr to[2]; /* the host's addresses; localhost has two */
	size_t n_to, next; /* next to be tried */
	bool over;
	int err;        /* once it is over; 0: status and body are whole */
	char text[128]; /* that goes with err */
};

/* --- ending --- */

static void finish(struct exchange *x, int err, const char *text)
{
	if (x->over)
		return;
	x->over = true;
	x->err = err;
	snprintf(x->text, sizeof(x->text), "%s", text);
	loop_timer_stop(&x->timer);
	dial_cancel(&x->dial);
	if (x->conn != NULL)
		http_conn_end(x->conn, REASON_OK);
	loop_stop(x->env.loop);
}

static void on_timeout(void *arg)
{
	finish(arg, ERR_TIMEOUT, "no answer in time");
}

/* --- the exchange --- */

static void on_head(void *arg, struct http_stream *s, struct http_head *head, bool end)
{
	struct exchange *x = arg;
	(void)s;
	(void)end;
	if (head->status >= 200)
		x->status = head->status;
}

static void on_body(void *arg, struct http_stream *s, struct buf *bytes, bool end)
{
	struct exchange *x = arg;
	size_t n = buf_len(bytes);
	(void)end;
	if (buf_len(&x->body) + n > FETCH_BYTES) {
		finish(x, ERR_LIMIT, "the answer is larger than 32 MiB");
		return;
	}
	buf_move_all(&x->body, bytes);
	stream_consume(s, n);
}

static void on_end(void *arg, struct http_stream *s, enum reason reason)
{
	struct exchange *x = arg;
	struct str detail = stream_detail(s);
	char text[128];
	if (reason == REASON_OK && x->status != 0) {
		finish(x, 0, "");
		return;
	}
	snprintf(text, sizeof(text), "no whole answer came: %.*s",
		(int)(detail.n > 0 ? detail.n : strlen(reason_info(reason)->text)),
		detail.n > 0 ? detail.p : reason_info(reason)->text);
	finish(x, ERR_PROTOCOL, text);
}

static const struct http_stream_events stream_events = {
	.on_head = on_head, .on_body = on_body, .on_end = on_end};

static void on_stream(void *arg, struct http_conn *c, struct http_stream *s)
{
	(void)arg;
	(void)c;
	(void)s;
}

static void on_conn_end(void *arg, struct http_conn *c, enum reason reason)
{
	struct exchange *x = arg;
	(void)c;
	x->conn = NULL;
	finish(x, ERR_RESET, reason_info(reason)->text);
}

static const struct http_conn_events conn_events = {.on_stream = on_stream, .on_end = on_conn_end};

static void ask(struct exchange *x, struct io *io)
{
	struct http_limits limits = http_limits_default();
	struct http_head head;
	x->conn = http_conn_new(&x->env, io, HTTP_CLIENT, HTTP_V1, &limits, false, &conn_events, x);
	struct http_stream *s = http_conn_open(x->conn);
	if (s == NULL) {
		finish(x, ERR_RESET, "the connection ended at once");
		return;
	}
	stream_set_user(s, &stream_events, x);
	http_head_init(&head, HTTP_REQUEST, stream_arena(s));
	head.method = str_from(x->what->method);
	head.scheme = STR("http");
	head.authority = str_from(x->authority);
	head.path = str_from(x->what->target);
	head.length = 0;
	http_fields_add(&head.fields, STR("accept"), STR("application/json"));
	stream_send_head(s, &head, true);
}

/* --- connecting --- */

static void dial_next(struct exchange *x);

static void on_dialled(void *arg, struct io *io, int err)
{
	struct exchange *x = arg;
	x->dial = NULL;
	if (io != NULL)
		ask(x, io);
	else if (x->next < x->n_to)
		dial_next(x);
	else
		finish(x, err, err_text(err));
}

static void dial_next(struct exchange *x)
{
	struct dial_config cfg = {.unix_path = x->what->url == NULL ? x->what->socket : NULL};
	if (x->next < x->n_to)
		cfg.to = x->to[x->next++];
	x->dial = dial_start(x->net, &cfg, on_dialled, x);
}

/* What of the authority names the host: without port and brackets. */
static struct str cut_port(struct str authority, uint64_t *port)
{
	struct str host = authority;
	size_t at = authority.n;
	while (at > 0 && authority.p[at - 1] != ':' && authority.p[at - 1] != ']')
		at--;
	if (at > 0 && authority.p[at - 1] == ':') {
		struct str text = str_sub(authority, at, authority.n);
		host = str_sub(authority, 0, at - 1);
		if (str_to_u64(text, 65535, port) != 0)
			*port = 0;
	}
	if (host.n > 2 && host.p[0] == '[' && host.p[host.n - 1] == ']')
		host = str_sub(host, 1, host.n - 2);
	return host;
}

/* The addresses of "http://HOST:PORT[/]": those that answer to us are on this machine, so that no
 * resolver has to be asked. */
static bool read_url(struct exchange *x)
{
	struct str rest = str_from(x->what->url), host;
	uint64_t port = 80;
	if (str_starts_nocase(rest, STR("http://")))
		rest = str_sub(rest, 7, rest.n);
	if (str_ends(rest, STR("/")))
		rest = str_sub(rest, 0, rest.n - 1);
	if (!http_is_authority(rest) || str_copy(x->authority, sizeof(x->authority), rest) < 0)
		return false;
	host = cut_port(rest, &port);
	bool local = str_eq_nocase(host, STR("localhost"));
	if (port == 0 || addr_parse(local ? STR("127.0.0.1") : host, &x->to[0]) != 0)
		return false;
	x->n_to = 1;
	if (local && addr_parse(STR("::1"), &x->to[1]) == 0)
		x->n_to = 2;
	for (size_t i = 0; i < x->n_to; i++)
		x->to[i].port = (uint16_t)port;
	return true;
}

/* --- the call --- */

static void say(const struct exchange *x, char *err, size_t size)
{
	const struct fetch *f = x->what;
	const char *where = f->url != NULL ? f->url : f->socket;
	if (x->err == ERR_REFUSED || x->err == ERR_UNREACHABLE)
		snprintf(err, size, "%s: %s: is %s running? (%s %s)", where, x->text, f->program,
			f->flag, where);
	else if (x->err == ERR_NOTFOUND && f->url == NULL)
		snprintf(err, size, "%s: no such socket: is %s running? (%s %s)", where, f->program,
			f->flag, where);
	else if (x->err == ERR_DENIED)
		snprintf(err, size, "%s: permission denied: ask as the user that %s runs as", where,
			f->program);
	else
		snprintf(err, size, "%s: %s (%s)", where, x->text, f->flag);
}

static void take_answer(struct exchange *x, struct fetch_answer *out)
{
	out->status = x->status;
	out->n = buf_len(&x->body);
	out->body = mem_alloc(out->n + 1);
	buf_copy_out(&x->body, 0, out->body, out->n);
}

int fetch(const struct fetch *f, struct fetch_answer *out, char *err, size_t size)
{
	struct exchange x = {.what = f};
	*out = (struct fetch_answer){0};
	if (f->url == NULL) {
		snprintf(x.authority, sizeof(x.authority), "localhost");
	} else if (!read_url(&x)) {
		snprintf(err, size,
			"%s=%s: expected http://ADDRESS:PORT, with an IP address or localhost",
			f->flag, f->url);
		return ERR_INVAL;
	}
	x.env.loop = loop_new(NULL);
	x.env.bufs = buf_pool_new(0);
	x.env.arenas = arena_pool_new(4);
	x.net = net_new(x.env.loop, x.env.bufs, NULL);
	buf_init(&x.body, x.env.bufs);
	loop_timer_init(&x.timer, x.env.loop, on_timeout, &x);
	loop_timer_start(&x.timer, f->timeout_ns != 0 ? f->timeout_ns : FETCH_NS);
	dial_next(&x);
	loop_run(x.env.loop);
	if (x.err == 0)
		take_answer(&x, out);
	else
		say(&x, err, size);
	buf_clear(&x.body);
	net_free(&x.net);
	loop_free(&x.env.loop);
	arena_pool_free(&x.env.arenas);
	buf_pool_free(&x.env.bufs);
	return x.err;
}

void fetch_answer_free(struct fetch_answer *a)
{
	mem_free(a->body);
	*a = (struct fetch_answer){0};
}

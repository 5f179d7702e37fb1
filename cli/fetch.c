/*
 * A small HTTP/1 client on lib/http and a loop that lives for one request. Called by the commands
 * that ask a control plane or a sidecar.
 */
#include "cli/fetch.h"

#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

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
	struct addrinfo *found, *next; /* addresses of the host; next to be tried */
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
		finish(x, ERR_LIMIT, "the answer is larger than 64 MiB");
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
	else if (x->next != NULL)
		dial_next(x);
	else
		finish(x, err, err_text(err));
}

static void dial_next(struct exchange *x)
{
	struct dial_config cfg = {.unix_path = x->what->url == NULL ? x->what->socket : NULL};
	if (x->next != NULL) {
		addr_from_sockaddr(x->next->ai_addr, &cfg.to);
		x->next = x->next->ai_next;
	}
	x->dial = dial_start(x->net, &cfg, on_dialled, x);
}

/* Cuts "http://HOST:PORT[/]" into what Host says, and what is looked up. */
static int cut_url(struct exchange *x, char host[HOST_MAX + 1], char port[8], char *err,
	size_t size)
{
	struct str rest = str_from(x->what->url);
	uint64_t number = 80;
	if (str_starts_nocase(rest, STR("http://")))
		rest = str_sub(rest, 7, rest.n);
	if (str_ends(rest, STR("/")))
		rest = str_sub(rest, 0, rest.n - 1);
	struct str name = rest;
	ptrdiff_t colon = -1;
	for (size_t i = rest.n; i > 0 && rest.p[i - 1] != ']' && colon < 0; i--)
		if (rest.p[i - 1] == ':')
			colon = (ptrdiff_t)i - 1;
	bool good =
		http_is_authority(rest) && str_copy(x->authority, sizeof(x->authority), rest) >= 0;
	if (good && colon >= 0) {
		name = str_sub(rest, 0, (size_t)colon);
		good = str_to_u64(str_sub(rest, (size_t)colon + 1, rest.n), 65535, &number) == 0 &&
			number > 0;
	}
	if (name.n > 2 && name.p[0] == '[')
		name = str_sub(name, 1, name.n - 2);
	if (!good || name.n == 0 || str_copy(host, HOST_MAX + 1, name) < 0) {
		snprintf(err, size, "%s=%s: expected http://HOST:PORT", x->what->flag,
			x->what->url);
		return ERR_INVAL;
	}
	snprintf(port, 8, "%u", (unsigned)number);
	return 0;
}

static int resolve(struct exchange *x, char *err, size_t size)
{
	char host[HOST_MAX + 1], port[8];
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
	if (x->what->url == NULL) {
		snprintf(x->authority, sizeof(x->authority), "localhost");
		return 0;
	}
	int e = cut_url(x, host, port, err, size);
	if (e != 0)
		return e;
	int failed = getaddrinfo(host, port, &hints, &x->found);
	if (failed != 0) {
		snprintf(err, size, "%s: %s (%s)", x->what->url, gai_strerror(failed),
			x->what->flag);
		return ERR_NOTFOUND;
	}
	x->next = x->found;
	return 0;
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
	int e = resolve(&x, err, size);
	if (e != 0)
		return e;
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
	if (x.found != NULL)
		freeaddrinfo(x.found);
	return x.err;
}

void fetch_answer_free(struct fetch_answer *a)
{
	mem_free(a->body);
	*a = (struct fetch_answer){0};
}

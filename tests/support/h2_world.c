/*
 * Users of HTTP/2 connections for tests: they record, pour patterned bodies with regard to room,
 * and run scripts. Owned by the test that opened the world.
 */
#include "tests/support/h2_world.h"

#include <stdio.h>
#include <string.h>

#include "lib/base/alloc.h"

#define SETTLE_TURNS 100000

/* -- exchanges -- */

static struct h2_x *x_new(struct h2_side *side)
{
	struct h2_x *x = MEM_NEW(struct h2_x);

	x->side = side;
	x->hold = side->hold;
	x->script = side->script;
	arena_init(&x->arena, NULL);
	list_append(&side->exchanges, &x->node);
	side->streams++;
	return x;
}

static void x_tell(struct h2_x *x, enum h2_event event)
{
	if (x->script != NULL)
		x->script(x, event);
}

static void on_head(void *arg, struct http_stream *s, struct http_head *head, bool end)
{
	struct h2_x *x = arg;

	assert_ptr_equal(x->s, s);
	assert_false(x->ended || x->head_end || x->bodies > 0);
	if (head->kind == HTTP_RESPONSE && head->status / 100 == 1 && head->status != 101) {
		x->interims++;
		x->interim = head->status;
		return;
	}
	assert_int_equal(x->heads, 0);
	x->heads++;
	x->head_end = end;
	http_head_copy(&x->head, head, &x->arena);
	x_tell(x, H2_ON_HEAD);
}

static uint8_t pattern(uint64_t at)
{
	return (uint8_t)(at * 31 + (at >> 8) * 7 + 3);
}

static void on_body(void *arg, struct http_stream *s, struct buf *bytes, bool end)
{
	struct h2_x *x = arg;
	size_t n = buf_len(bytes);

	assert_ptr_equal(x->s, s);
	assert_false(x->ended || x->head_end || x->body_end || x->has_trailers);
	assert_int_equal(x->heads, 1);
	x->bodies++;
	x->body_end = end;
	while (buf_len(bytes) > 0) {
		struct str p = buf_peek(bytes);

		for (size_t i = 0; i < p.n; i++)
			x->sum += (uint64_t)(uint8_t)p.p[i] * (x->got + i + 1);
		x->got += p.n;
		buf_consume(bytes, p.n);
	}
	if (x->hold)
		x->held += n;
	else
		stream_consume(s, n);
	if (x->s != NULL)
		x_tell(x, H2_ON_BODY);
}

uint64_t h2_pattern_sum(uint64_t n)
{
	uint64_t sum = 0;

	for (uint64_t i = 0; i < n; i++)
		sum += (uint64_t)pattern(i) * (i + 1);
	return sum;
}

void h2_release_held(struct h2_x *x)
{
	size_t n = x->held;

	x->held = 0;
	x->hold = false;
	if (x->s != NULL)
		stream_consume(x->s, n);
}

static void on_trailers(void *arg, struct http_stream *s, struct http_fields *trailers)
{
	struct h2_x *x = arg;

	assert_ptr_equal(x->s, s);
	assert_false(x->ended || x->head_end || x->body_end || x->has_trailers);
	x->has_trailers = true;
	http_fields_init(&x->trailers, &x->arena);
	for (uint32_t i = 0; i < trailers->n; i++)
		http_fields_add_copy(&x->trailers, trailers->v[i].name, trailers->v[i].value);
	x_tell(x, H2_ON_TRAILERS);
}

static void x_feed(struct h2_x *x)
{
	while (x->wants_more && x->s != NULL && x->sent < x->to_send) {
		struct buf b;
		uint8_t piece[5000];
		uint64_t left = x->to_send - x->sent;
		size_t n = left < sizeof(piece) ? (size_t)left : sizeof(piece);

		for (size_t i = 0; i < n; i++)
			piece[i] = pattern(x->sent + i);
		buf_init(&b, x->side->w->bufs);
		buf_append(&b, piece, n);
		x->sent += n;
		if (stream_send_body(x->s, &b, x->sent == x->to_send) <= 0)
			return;
	}
}

static void on_writable(void *arg, struct http_stream *s)
{
	struct h2_x *x = arg;

	assert_ptr_equal(x->s, s);
	x->writables++;
	x_feed(x);
	if (x->s != NULL)
		x_tell(x, H2_ON_WRITABLE);
}

static void on_end(void *arg, struct http_stream *s, enum reason reason)
{
	struct h2_x *x = arg;
	struct str d = stream_detail(s);

	assert_ptr_equal(x->s, s);
	assert_false(x->ended);
	x->ended = true;
	x->reason = reason;
	snprintf(x->detail, sizeof(x->detail), "%.*s", STR_ARG(d));
	x_tell(x, H2_ON_END);
	x->s = NULL;
}

static const struct http_stream_events stream_events = {
	on_head, on_body, on_trailers, on_writable, on_end};

/* -- connections -- */

static void on_stream(void *arg, struct http_conn *c, struct http_stream *s)
{
	struct h2_x *x = x_new(arg);

	if (http_conn_streams(c) > x->side->most)
		x->side->most = http_conn_streams(c);
	x->s = s;
	stream_set_user(s, &stream_events, x);
}

static void on_room(void *arg, struct http_conn *c)
{
	struct h2_side *side = arg;

	(void)c;
	side->rooms++;
}

static void on_idle(void *arg, struct http_conn *c)
{
	struct h2_side *side = arg;

	(void)c;
	side->idles++;
}

static void on_conn_end(void *arg, struct http_conn *c, enum reason reason)
{
	struct h2_side *side = arg;
	struct str d = http_conn_detail(c);

	assert_ptr_equal(side->c, c);
	LIST_EACH(&side->exchanges, n)
	assert_true(CONTAINER_OF(n, struct h2_x, node)->ended);
	side->ends++;
	side->reason = reason;
	snprintf(side->detail, sizeof(side->detail), "%.*s", STR_ARG(d));
	side->c = NULL;
}

static const struct http_conn_events conn_events = {on_stream, on_room, on_idle, on_conn_end};

static void side_init(struct h2_side *side, struct h2_world *w)
{
	*side = (struct h2_side){.w = w};
	list_init(&side->exchanges);
}

void h2_world_open(struct h2_world *w)
{
	memset(w, 0, sizeof(*w));
	w->loop = loop_new_sim(1700000000ull * NS_PER_S);
	w->bufs = buf_pool_new(1 << 20);
	w->arenas = arena_pool_new(64);
	w->env = (struct http_env){w->loop, w->bufs, w->arenas};
	w->limits = http_limits_default();
	w->pipe = 256 * 1024;
	side_init(&w->client, w);
	side_init(&w->server, w);
}

int h2_world_setup(void **state)
{
	struct h2_world *w = MEM_NEW(struct h2_world);

	h2_world_open(w);
	*state = w;
	return 0;
}

int h2_world_teardown(void **state)
{
	struct h2_world *w = *state;

	h2_world_close(w);
	mem_free(w);
	return 0;
}

static void world_pipe(struct h2_world *w)
{
	struct addr a = {0}, b = {0};

	io_mem_pair(w->loop, w->bufs, w->pipe, &a, &b, w->io);
}

static void side_start(struct h2_side *side, struct io *io, enum http_role role, bool trusted)
{
	struct h2_world *w = side->w;

	side->c =
		http_conn_new(&w->env, io, role, HTTP_V2, &w->limits, trusted, &conn_events, side);
}

void h2_world_pair(struct h2_world *w, bool trusted)
{
	world_pipe(w);
	side_start(&w->client, w->io[0], HTTP_CLIENT, trusted);
	side_start(&w->server, w->io[1], HTTP_SERVER, trusted);
	w->io[0] = w->io[1] = NULL;
	h2_world_run(w);
}

void h2_world_server(struct h2_world *w, bool trusted)
{
	world_pipe(w);
	side_start(&w->server, w->io[1], HTTP_SERVER, trusted);
	w->io[1] = NULL;
	h2_world_run(w);
}

void h2_world_client(struct h2_world *w, bool trusted)
{
	world_pipe(w);
	side_start(&w->client, w->io[0], HTTP_CLIENT, trusted);
	w->io[0] = NULL;
	h2_world_run(w);
}

void h2_world_run(struct h2_world *w)
{
	assert_true(loop_sim_settle(w->loop, SETTLE_TURNS) < SETTLE_TURNS);
}

static void side_close(struct h2_side *side)
{
	struct list_node *n;

	if (side->c != NULL)
		http_conn_end(side->c, REASON_CLOSED);
	h2_world_run(side->w);
	assert_null(side->c);
	while ((n = list_pop(&side->exchanges)) != NULL) {
		struct h2_x *x = CONTAINER_OF(n, struct h2_x, node);

		assert_true(x->ended);
		arena_clear(&x->arena);
		mem_free(x);
	}
}

void h2_world_close(struct h2_world *w)
{
	side_close(&w->client);
	side_close(&w->server);
	io_close(&w->io[0], false);
	io_close(&w->io[1], false);
	h2_world_run(w);
	loop_free(&w->loop);
	assert_int_equal(buf_pool_used(w->bufs), 0);
	buf_pool_free(&w->bufs);
	arena_pool_free(&w->arenas);
}

/* -- acting -- */

struct http_head h2_request_head(struct arena *a, const char *method, const char *path)
{
	struct http_head h;

	http_head_init(&h, HTTP_REQUEST, a);
	h.method = str_from(method);
	h.scheme = STR("https");
	h.authority = STR("svc.test:8080");
	h.path = str_from(path);
	h.length = HTTP_LENGTH_UNKNOWN;
	return h;
}

struct h2_x *h2_open(struct h2_side *side, const struct http_head *head, bool end,
	h2_script_fn *script)
{
	struct http_stream *s = http_conn_open(side->c);

	if (s == NULL)
		return NULL;
	struct h2_x *x = x_new(side);

	x->s = s;
	x->script = script;
	stream_set_user(s, &stream_events, x);
	stream_send_head(s, head, end);
	return x;
}

struct h2_x *h2_request(struct h2_world *w, const char *method, const char *path, bool end)
{
	struct arena a;

	arena_init(&a, NULL);
	struct http_head h = h2_request_head(&a, method, path);
	struct h2_x *x = h2_open(&w->client, &h, end, NULL);

	arena_clear(&a);
	return x;
}

struct h2_x *h2_nth(struct h2_side *side, unsigned nth)
{
	LIST_EACH(&side->exchanges, n)
	{
		if (nth-- == 0)
			return CONTAINER_OF(n, struct h2_x, node);
	}
	fail_msg("no such exchange");
	return NULL;
}

void h2_respond(struct h2_x *x, uint16_t status, bool end)
{
	struct http_head h;

	http_head_init(&h, HTTP_RESPONSE, &x->arena);
	h.status = status;
	h.length = HTTP_LENGTH_UNKNOWN;
	http_fields_add(&h.fields, STR("x-served"), STR("yes"));
	stream_send_head(x->s, &h, end);
}

void h2_pour(struct h2_x *x, uint64_t n)
{
	x->wants_more = true;
	x->sent = 0;
	x->to_send = n;
	x_feed(x);
}

void h2_send_text(struct h2_x *x, const char *text, bool end)
{
	struct buf b;

	buf_init(&b, x->side->w->bufs);
	buf_append(&b, text, strlen(text));
	stream_send_body(x->s, &b, end);
}

const char *h2_field(const struct http_fields *f, const char *name)
{
	struct str v = http_fields_get(f, str_from(name));

	return v.p != NULL ? arena_strdup(f->arena, v) : NULL;
}

/* -- scripts of servers -- */

static bool request_whole(const struct h2_x *x, enum h2_event event)
{
	return (event == H2_ON_HEAD && x->head_end) || (event == H2_ON_BODY && x->body_end) ||
		event == H2_ON_TRAILERS;
}

void h2_serve_ok(struct h2_x *x, enum h2_event event)
{
	if (request_whole(x, event))
		h2_respond(x, 200, true);
}

void h2_serve_echo(struct h2_x *x, enum h2_event event)
{
	if (!request_whole(x, event))
		return;
	h2_respond(x, 200, x->got == 0);
	if (x->got > 0)
		h2_pour(x, x->got);
}

/*
 * Drives one HTTP/2 connection by commands from a fuzzer, against the rules of the waist: order of
 * events, one end for each stream and for the connection, nothing left behind.
 */
#include "tests/support/h2_fuzz.h"

#include <string.h>

#include "lib/base/obj.h"
#include "lib/net/loop.h"

#define SLOTS 32
#define TURNS 100000

/* One exchange; its slot is used again when it has ended. */
struct slot {
	struct fuzz *f;
	struct http_stream *s;
	size_t held;
	bool head, done, hold;
};

struct fuzz {
	struct loop *loop;
	struct buf_pool *bufs;
	struct arena_pool *arenas;
	struct http_env env;
	struct io *peer;
	struct http_conn *c;
	struct slot slots[SLOTS];
	struct slot spare; /* of streams beyond the slots: reset at once */
	enum http_role role;
	unsigned open;
	bool deaf, hold;
	const uint8_t *data;
	size_t size;
};

/* -- the user ------------------------------------------------------------------------------------
 */

static void on_head(void *arg, struct http_stream *s, struct http_head *head, bool end)
{
	struct slot *x = arg;

	ASSERT(!x->head && !x->done);
	ASSERT(head->fields.n <= 100);
	for (uint32_t i = 0; i < head->fields.n; i++)
		ASSERT(http_is_token(head->fields.v[i].name) &&
			http_is_field_value(head->fields.v[i].value));
	if (head->kind == HTTP_REQUEST)
		ASSERT(head->method.n > 0 && head->authority.n > 0);
	else if (head->status / 100 == 1 && head->status != 101)
		return;
	ASSERT(stream_in_part(s) == (end ? PART_DONE : PART_BODY));
	x->head = true;
	x->done = end;
}

static void on_body(void *arg, struct http_stream *s, struct buf *bytes, bool end)
{
	struct slot *x = arg;

	ASSERT(x->head && !x->done);
	x->held += buf_len(bytes);
	x->done = end;
	if (!x->hold) {
		size_t n = x->held;
		x->held = 0;
		stream_consume(s, n);
	}
}

static void on_trailers(void *arg, struct http_stream *s, struct http_fields *trailers)
{
	struct slot *x = arg;

	(void)s;
	(void)trailers;
	ASSERT(x->head && !x->done);
	x->done = true;
}

static void on_writable(void *arg, struct http_stream *s)
{
	(void)arg;
	(void)s;
}

static void on_end(void *arg, struct http_stream *s, enum reason reason)
{
	struct slot *x = arg;
	struct fuzz *f = x->f;

	ASSERT(x->s == s || x == &f->spare);
	ASSERT(f->open > 0);
	if (f->role == HTTP_CLIENT && reason == REASON_OK && x != &f->spare)
		ASSERT(x->head);
	f->open--;
	memset(x, 0, sizeof(*x));
	x->f = f;
}

static const struct http_stream_events events = {
	on_head, on_body, on_trailers, on_writable, on_end};

static void fuzz_adopt(struct fuzz *f, struct http_stream *s)
{
	struct slot *x = &f->spare;

	for (size_t i = 0; i < SLOTS && x == &f->spare; i++)
		if (f->slots[i].s == NULL)
			x = &f->slots[i];
	f->open++;
	stream_set_user(s, &events, x);
	if (x == &f->spare) {
		x->f = f;
		x->head = x->done = false;
		stream_reset(s, REASON_OVERLOAD);
		return;
	}
	*x = (struct slot){.f = f, .s = s, .hold = f->hold};
}

static void on_stream(void *arg, struct http_conn *c, struct http_stream *s)
{
	(void)c;
	fuzz_adopt(arg, s);
}

static void on_conn_end(void *arg, struct http_conn *c, enum reason reason)
{
	struct fuzz *f = arg;

	(void)reason;
	ASSERT(f->c == c && f->open == 0);
	f->c = NULL;
}

static const struct http_conn_events conn_events = {on_stream, NULL, NULL, on_conn_end};

/* -- the peer ------------------------------------------------------------------------------------
 */

static void fuzz_settle(struct fuzz *f)
{
	struct buf in;

	buf_init(&in, f->bufs);
	for (int i = 0; i < 64; i++) {
		ASSERT(loop_sim_settle(f->loop, TURNS) < TURNS);
		if (f->deaf || io_read(f->peer, &in, 1 << 20) <= 0)
			break;
		buf_clear(&in);
	}
	buf_clear(&in);
}

static void fuzz_write(struct fuzz *f, const void *p, size_t n)
{
	struct buf b;

	buf_init(&b, f->bufs);
	buf_append(&b, p, n);
	for (int i = 0; i < 64 && buf_len(&b) > 0; i++) {
		if (io_write(f->peer, &b) > 0)
			continue;
		fuzz_settle(f);
	}
	buf_clear(&b);
}

static uint8_t fuzz_byte(struct fuzz *f)
{
	if (f->size == 0)
		return 0;
	f->size--;
	return *f->data++;
}

static void fuzz_frame(struct fuzz *f, uint8_t type, uint8_t flags, uint32_t id, size_t n)
{
	uint8_t head[9] = {0, (uint8_t)(n >> 8), (uint8_t)n, type, flags, 0, 0, (uint8_t)(id >> 8),
		(uint8_t)id};
	size_t have = n < f->size ? n : f->size;
	static const uint8_t zeros[16384];

	fuzz_write(f, head, sizeof(head));
	fuzz_write(f, f->data, have);
	fuzz_write(f, zeros, n - have);
	f->data += have;
	f->size -= have;
}

static void fuzz_canned_head(struct fuzz *f, uint8_t flags, uint32_t id)
{
	/* :method GET or POST, :scheme https, :path /, :authority a; or :status 200. */
	static const uint8_t request[] = {0x82, 0x87, 0x84, 0x41, 1, 'a'};
	static const uint8_t response[] = {0x88};
	bool server = f->role == HTTP_SERVER;
	size_t n = server ? sizeof(request) : sizeof(response);
	uint8_t head[9] = {0, 0, (uint8_t)n, 1, (uint8_t)(4 | (flags & 1)), 0, 0,
		(uint8_t)(id >> 8), (uint8_t)id};

	fuzz_write(f, head, sizeof(head));
	fuzz_write(f, server ? request : response, n);
}

/* -- commands ------------------------------------------------------------------------------------
 */

static void act_head(struct fuzz *f, struct slot *x, uint8_t b)
{
	struct arena a;
	struct http_head h;

	arena_init(&a, f->arenas);
	http_head_init(&h, f->role == HTTP_SERVER ? HTTP_RESPONSE : HTTP_REQUEST, &a);
	h.method = b & 16 ? STR("HEAD") : STR("POST");
	h.scheme = STR("http");
	h.authority = STR("a:1");
	h.path = STR("/x");
	h.status = b & 32 ? 103 : (uint16_t)(200 + (b & 7));
	h.length = HTTP_LENGTH_UNKNOWN;
	if (b & 64 && f->role == HTTP_CLIENT) {
		h.method = STR("GET");
		h.protocol = STR("websocket");
	}
	http_fields_add(&h.fields, STR("cookie"), STR("a=b"));
	if (f->role == HTTP_CLIENT && f->c != NULL) {
		struct http_stream *s = http_conn_open(f->c);
		if (s != NULL) {
			fuzz_adopt(f, s);
			if (stream_user(s) != &f->spare)
				stream_send_head(s, &h, (b & 8) != 0);
		}
	} else if (f->role == HTTP_SERVER && x->s != NULL && stream_out_part(x->s) == PART_HEAD) {
		stream_send_head(x->s, &h, (b & 8) != 0);
	}
	arena_clear(&a);
}

static void act_body(struct fuzz *f, struct slot *x, uint8_t b)
{
	static const uint8_t bytes[255 * 97];
	struct buf body;

	if (x->s == NULL || stream_out_part(x->s) != PART_BODY)
		return;
	buf_init(&body, f->bufs);
	buf_append(&body, bytes, (size_t)b * 97);
	stream_send_body(x->s, &body, b % 5 == 0);
}

static void act_trailers(struct fuzz *f, struct slot *x)
{
	struct arena a;
	struct http_fields t;

	if (x->s == NULL || stream_out_part(x->s) != PART_BODY)
		return;
	arena_init(&a, f->arenas);
	http_fields_init(&t, &a);
	http_fields_add(&t, STR("grpc-status"), STR("0"));
	stream_send_trailers(x->s, &t);
	arena_clear(&a);
}

static void act_consume(struct slot *x)
{
	size_t n = x->held;

	x->held = 0;
	if (x->s != NULL)
		stream_consume(x->s, n);
}

static void fuzz_user(struct fuzz *f, uint8_t op, uint8_t b)
{
	struct slot *x = &f->slots[b % SLOTS];

	switch (op) {
	case 0:
		act_head(f, x, fuzz_byte(f));
		break;
	case 1:
		act_body(f, x, fuzz_byte(f));
		break;
	case 2:
		act_trailers(f, x);
		break;
	case 3:
		act_consume(x);
		break;
	case 4:
		if (x->s != NULL)
			stream_stop(x->s);
		break;
	case 5:
		if (x->s != NULL)
			stream_reset(x->s, (enum reason)(1 + b % (REASON_COUNT - 1)));
		break;
	case 6:
		if (f->c != NULL && b > 250)
			http_conn_end(f->c, REASON_TIMEOUT);
		else if (f->c != NULL && b > 200)
			http_conn_drain(f->c);
		break;
	default:
		f->hold = b & 1;
		f->deaf = b & 2;
		loop_sim_advance(f->loop, (b >> 2) * NS_PER_S / 10);
		break;
	}
}

static void fuzz_command(struct fuzz *f)
{
	uint8_t op = fuzz_byte(f), b = fuzz_byte(f);

	if (op & 0x80) {
		fuzz_user(f, op & 7, b);
		return;
	}
	switch (op & 7) {
	case 0:
		fuzz_frame(f, (uint8_t)(op >> 3), fuzz_byte(f), fuzz_byte(f), b);
		break;
	case 1:
		fuzz_write(f, f->data, b < f->size ? b : f->size);
		f->data += b < f->size ? b : f->size;
		f->size -= b < f->size ? b : f->size;
		break;
	case 2:
		fuzz_settle(f);
		break;
	case 3:
		fuzz_canned_head(f, (uint8_t)(op >> 3), b);
		break;
	case 4:
		fuzz_frame(f, 0, (uint8_t)(op >> 3), b, (size_t)fuzz_byte(f) * 37);
		break;
	case 5:
		fuzz_frame(f, op & 8 ? 3 : 8, 0, b, 4);
		break;
	case 6:
		fuzz_frame(f, op & 8 ? 4 : 6, 0, 0, op & 8 ? 6 : 8);
		break;
	default:
		fuzz_frame(f, op & 8 ? 9 : 1, (uint8_t)(op >> 4), b, fuzz_byte(f));
		break;
	}
}

/* -- a run ---------------------------------------------------------------------------------------
 */

static void fuzz_open(struct fuzz *f, uint8_t flags)
{
	struct addr a = {0};
	struct io *ends[2];
	struct http_limits limits = http_limits_default();

	f->loop = loop_new_sim(1700000000ull * NS_PER_S);
	f->bufs = buf_pool_new(1 << 20);
	f->arenas = arena_pool_new(64);
	f->env = (struct http_env){f->loop, f->bufs, f->arenas};
	if (flags & 2) {
		limits.header_bytes = 400;
		limits.header_count = 5;
		limits.trailer_bytes = 100;
		limits.stream_window = 5000;
		limits.conn_window = 70000;
		limits.max_streams = 4;
		limits.reset_burst = 6;
	}
	io_mem_pair(f->loop, f->bufs, flags & 4 ? 50 : 100000, &a, &a, ends);
	f->peer = ends[0];
	f->c = http_conn_new(&f->env, ends[1], f->role, HTTP_V2, &limits, flags & 1, &conn_events,
		f);
	if (flags & 8)
		return;
	static const uint8_t begin[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0"
				       "\0\0\0\4\1\0\0\0\0";
	size_t skip = f->role == HTTP_SERVER ? 0 : 24;

	fuzz_settle(f);
	fuzz_write(f, begin + skip, sizeof(begin) - 1 - skip);
	fuzz_settle(f);
}

static void fuzz_close(struct fuzz *f)
{
	f->deaf = false;
	fuzz_settle(f);
	if (f->c != NULL)
		http_conn_end(f->c, REASON_CLOSED);
	loop_sim_settle(f->loop, TURNS);
	ASSERT(f->c == NULL && f->open == 0);
	io_close(&f->peer, false);
	loop_sim_settle(f->loop, TURNS);
	loop_free(&f->loop);
	ASSERT(buf_pool_used(f->bufs) == 0);
	buf_pool_free(&f->bufs);
	arena_pool_free(&f->arenas);
}

void h2_fuzz_run(enum http_role role, const uint8_t *data, size_t size)
{
	struct fuzz f = {.role = role, .data = data, .size = size};

	fuzz_open(&f, fuzz_byte(&f));
	while (f.size > 0)
		fuzz_command(&f);
	fuzz_close(&f);
}

/*
 * Fuzzes the gRPC server: a client of commands that opens calls of every kind to health, reflection
 * and a service of bytes, and sends messages in any pieces, well made or not, while users finish
 * and drop theirs. Rules: messages come before half-close before the end, each user hears one end,
 * nothing is left behind. Run by libFuzzer.
 */
#include <string.h>

#include "lib/base/obj.h"
#include "lib/grpc/health.h"
#include "lib/grpc/reflection.h"
#include "lib/net/loop.h"

#define USERS 64
#define TURNS 100000
#define PIPE ((size_t)64 * 1024)

struct fuzz;

/* One call; its slot is used again after its end. */
struct user {
	struct fuzz *f;
	struct grpc_call *call; /* NULL: free */
	bool half_closed;
};

struct fuzz {
	struct loop *loop;
	struct buf_pool *bufs;
	struct arena_pool *arenas;
	struct net *net;
	struct grpc_server *server;
	struct grpc_health *health;
	struct grpc_reflection *reflection;
	struct grpc_service service;
	struct io *peer;
	struct user users[USERS];
	uint32_t next_id;
	bool deaf;
	const uint8_t *data;
	size_t size;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t take(struct fuzz *f)
{
	if (f->size == 0)
		return 0;
	f->size--;
	return *f->data++;
}

/* -- the service -- */

static void on_message(void *arg, struct grpc_call *c, struct str bytes)
{
	struct user *u = arg;

	ASSERT(u->call == c && !u->half_closed && bytes.n <= 4096);
	uint8_t b = bytes.n > 0 ? (uint8_t)bytes.p[0] : 0;

	if (b == 1)
		grpc_call_finish(c, GRPC_ABORTED, "%.*s", STR_ARG(bytes));
	else if (b == 2)
		grpc_call_drop(&u->call);
	else
		grpc_call_send_bytes(c, bytes);
}

static void on_half_close(void *arg, struct grpc_call *c)
{
	struct user *u = arg;

	ASSERT(u->call == c && !u->half_closed);
	u->half_closed = true;
	grpc_call_finish(c, GRPC_OK, NULL);
}

static void on_end(void *arg, struct grpc_call *c, const struct grpc_end *end)
{
	struct user *u = arg;

	ASSERT(u->call == c && end->status <= GRPC_STATUS_MAX);
	u->call = NULL;
}

static const struct grpc_call_events events = {
	.on_message = on_message,
	.on_half_close = on_half_close,
	.on_end = on_end,
};

static void start(void *arg, struct grpc_call *c)
{
	struct fuzz *f = arg;

	for (size_t i = 0; i < USERS; i++) {
		if (f->users[i].call != NULL)
			continue;
		f->users[i] = (struct user){.f = f, .call = c};
		grpc_call_set_user(c, &events, &f->users[i]);
		return;
	}
	grpc_call_finish(c, GRPC_RESOURCE_EXHAUSTED, "no more");
}

static const struct grpc_method methods[] = {
	{.name = "One", .start = start, .max_message = 4096},
	{.name = "Many", .start = start, .client_streams = true, .max_message = 4096},
};

/* -- the peer -- */

static void settle(struct fuzz *f)
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

static void put(struct fuzz *f, const void *p, size_t n)
{
	struct buf b;

	buf_init(&b, f->bufs);
	buf_append(&b, p, n);
	for (int i = 0; i < 64 && buf_len(&b) > 0; i++) {
		if (io_write(f->peer, &b) <= 0)
			settle(f);
	}
	buf_clear(&b);
}

static void put_frame_head(struct fuzz *f, uint8_t type, uint8_t flags, uint32_t id, size_t n)
{
	uint8_t head[9] = {0, (uint8_t)(n >> 8), (uint8_t)n, type, flags, 0, 0, (uint8_t)(id >> 8),
		(uint8_t)id};

	put(f, head, sizeof(head));
}

/* A literal field that is not indexed; both parts are short. */
static void add_field(char *dst, size_t *n, const char *name, const char *value)
{
	size_t a = strlen(name), b = strlen(value);

	dst[(*n)++] = 0;
	dst[(*n)++] = (char)a;
	memcpy(dst + *n, name, a);
	*n += a;
	dst[(*n)++] = (char)b;
	memcpy(dst + *n, value, b);
	*n += b;
}

static void put_request(struct fuzz *f, uint8_t k)
{
	static const char *const paths[] = {"/fuzz.Bytes/One", "/fuzz.Bytes/Many",
		"/fuzz.Bytes/None", "/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch",
		"/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
		"/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
		"/fuzz.Bytes/Many"};
	static const char *const timeouts[] = {NULL, "1S", "0n", "123456789S"};
	char block[512];
	size_t n = 0;

	add_field(block, &n, ":method", k == 0xff ? "GET" : "POST");
	add_field(block, &n, ":scheme", "http");
	add_field(block, &n, ":path", paths[k & 7]);
	add_field(block, &n, ":authority", "a");
	add_field(block, &n, "content-type", k >> 5 == 6 ? "text/plain" : "application/grpc");
	if (timeouts[k >> 3 & 3] != NULL)
		add_field(block, &n, "grpc-timeout", timeouts[k >> 3 & 3]);
	put_frame_head(f, 1, 4 | (k >> 5 == 5), f->next_id, n);
	put(f, block, n);
	f->next_id += 2;
}

/* An id of a stream of ours, from the last one back. */
static uint32_t pick_id(const struct fuzz *f, uint8_t b)
{
	uint32_t back = 2 * (uint32_t)(b % 8) + 2;

	return f->next_id > back ? f->next_id - back : 1;
}

static void put_data(struct fuzz *f, uint8_t b, bool prefix)
{
	size_t n = take(f), extra = prefix ? 5 : 0;
	uint8_t head[5] = {0, 0, 0, 0, (uint8_t)n};

	if (n > f->size)
		n = f->size;
	head[4] = (uint8_t)n;
	put_frame_head(f, 0, b >> 7, pick_id(f, b), n + extra);
	put(f, head, extra);
	put(f, f->data, n);
	f->data += n;
	f->size -= n;
}

static void act_as_user(struct fuzz *f, uint8_t b)
{
	struct user *u = &f->users[b % USERS];

	if (u->call == NULL)
		return;
	switch (b >> 6) {
	case 0:
		grpc_call_send_bytes(u->call, str_make("0123456789", b % 11));
		break;
	case 1:
		grpc_call_add_trailer(u->call, STR("x"), STR("y"));
		grpc_call_finish(u->call, (enum grpc_status)(b % (GRPC_STATUS_MAX + 1)), "x");
		break;
	case 2:
		grpc_call_drop(&u->call);
		break;
	default:
		grpc_health_set(f->health, "weft", b & 1);
		break;
	}
}

static void command(struct fuzz *f)
{
	uint8_t op = take(f), b = take(f);

	switch (op & 7) {
	case 0:
		put_request(f, b);
		break;
	case 1:
	case 2:
		put_data(f, b, (op & 7) == 1);
		break;
	case 3:
		put_frame_head(f, 3, 0, pick_id(f, b), 4);
		put(f, "\0\0\0\10", 4);
		break;
	case 4:
		f->deaf = b & 1;
		loop_sim_advance(f->loop, (b >> 1) * NS_PER_S / 4);
		break;
	case 5:
		act_as_user(f, b);
		break;
	case 6:
		put_frame_head(f, 8, 0, b & 1 ? 0 : pick_id(f, b), 4);
		put(f, "\0\0\377\377", 4);
		break;
	default:
		if (b == 0xfe)
			grpc_server_drain(f->server);
		else
			settle(f);
		break;
	}
}

/* -- one input -- */

static void on_dialled(void *arg, struct io *io, int err)
{
	ASSERT(err == 0);
	*(struct io **)arg = io;
}

static void begin(struct fuzz *f)
{
	static const uint8_t hello[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0";
	struct grpc_server_config cfg = {0};
	struct listen_config listen = {
		.addr = {.family = ADDR_V4, .port = 1, .bytes = {127, 0, 0, 1}}};
	struct dial_config dial = {.to = listen.addr};
	char err[64];

	f->loop = loop_new_sim(NS_PER_S);
	f->bufs = buf_pool_new(1 << 20);
	f->arenas = arena_pool_new(64);
	f->net = net_new_sim(f->loop, f->bufs, PIPE);
	struct http_env env = {f->loop, f->bufs, f->arenas};

	f->server = grpc_server_new(&env, f->net, &cfg);
	f->health = grpc_health_new(f->server);
	f->reflection = grpc_reflection_new(f->server);
	f->service = (struct grpc_service){"fuzz.Bytes", methods, 2, f};
	grpc_server_add(f->server, &f->service);
	ASSERT(grpc_server_listen(f->server, &listen, NULL, err, sizeof(err)) == 0);
	dial_start(f->net, &dial, on_dialled, &f->peer);
	ASSERT(loop_sim_settle(f->loop, TURNS) < TURNS && f->peer != NULL);
	f->next_id = 1;
	put(f, hello, sizeof(hello) - 1);
	settle(f);
}

static void finish(struct fuzz *f)
{
	settle(f);
	grpc_server_close(&f->server);
	for (size_t i = 0; i < USERS; i++)
		ASSERT(f->users[i].call == NULL);
	grpc_health_free(&f->health);
	grpc_reflection_free(&f->reflection);
	io_close(&f->peer, false);
	loop_sim_advance(f->loop, 60 * NS_PER_S);
	ASSERT(buf_pool_used(f->bufs) == 0);
	net_free(&f->net);
	loop_free(&f->loop);
	arena_pool_free(&f->arenas);
	buf_pool_free(&f->bufs);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz f = {.data = data, .size = size};

	begin(&f);
	while (f.size > 0)
		command(&f);
	finish(&f);
	return 0;
}

/*
 * Any bytes as responses to the HTTP/1 client, whole and cut at random: no crash, nothing held, and
 * the first exchange ends the same way. Input: what is asked, seed of the cuts, bytes.
 */
#include <stdlib.h>

#include "lib/base/obj.h"
#include "tests/support/http_support.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What came of the first exchange. */
struct outcome {
	enum reason reason;
	uint16_t status;
	unsigned interims;
	uint64_t bytes, sum;
	bool ended, done;
};

static struct exchange *ask(struct http_user *u, unsigned mode)
{
	struct http_head h;
	struct arena arena;
	struct exchange *x;

	switch (mode & 7) {
	case 0:
		return http_user_request(u, "HEAD", "/", NULL, 0, true);
	case 1:
		x = http_user_request(u, "POST", "/", NULL, HTTP_LENGTH_UNKNOWN, false);
		exchange_send(x, STR("body"), (mode & 8) != 0);
		return x;
	case 2:
	case 3:
		arena_init(&arena, u->w->arenas);
		http_head_init(&h, HTTP_REQUEST, &arena);
		h.method = mode & 1 ? STR("CONNECT") : STR("GET");
		h.authority = STR("a:80");
		h.path = mode & 1 ? STR("") : STR("/");
		h.protocol = mode & 1 ? STR("") : STR("websocket");
		http_fields_add(&h.fields, STR("sec-websocket-key"),
			STR("dGhlIHNhbXBsZSBub25jZQ=="));
		x = http_user_open(u, &h, false);
		exchange_send(x, STR("early"), (mode & 8) != 0);
		arena_clear(&arena);
		return x;
	default:
		return http_user_request(u, "GET", "/", NULL, 0, true);
	}
}

static struct outcome run(const uint8_t *data, size_t size, unsigned mode, struct rng *cuts)
{
	struct http_world w;
	struct http_user u;
	struct wire x;
	struct io *ends[2];

	http_world_init(&w);
	http_world_pair(&w, ends);
	wire_init(&x, &w, ends[0]);
	http_user_init(&u, &w);
	u.stop = (mode & 16) != 0;
	http_user_start(&u, ends[1], HTTP_CLIENT, HTTP_V1);
	struct exchange *e = ask(&u, mode);

	http_world_settle(&w);
	wire_send(&x, str_make(data, size), cuts != NULL ? 16 : 0, cuts);
	if (mode & 32)
		wire_shutdown(&x);
	struct outcome o = {e->reason, e->status, e->interims, e->body_bytes, e->body_sum, e->ended,
		e->in_done};

	if (e->ended && u.conn != NULL && http_conn_room(u.conn) > 0)
		http_user_request(&u, "GET", "/", NULL, 0, true);
	wire_fini(&x);
	http_user_fini(&u);
	http_world_fini(&w);
	return o;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rng cuts;

	if (size < 2)
		return 0;
	rng_seed(&cuts, data[1]);
	struct outcome a = run(data + 2, size - 2, data[0], NULL);
	struct outcome b = run(data + 2, size - 2, data[0], &cuts);

	/* A stopped exchange may be over before what is wrong with the rest is seen. */
	if (data[0] & 16)
		return 0;
	ASSERT(a.ended == b.ended && a.done == b.done && a.reason == b.reason);
	ASSERT(a.status == b.status && a.interims == b.interims);
	ASSERT(a.bytes == b.bytes && a.sum == b.sum);
	return 0;
}

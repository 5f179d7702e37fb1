/*
 * Any bytes to the HTTP/1 server, whole and cut at random: no crash, nothing held, the same verdict
 * either way. And what the server took is sent on by our client to another server of ours, which
 * must see that request and no other. Input: mode, seed of the cuts, bytes.
 */
#include <stdlib.h>

#include "lib/base/obj.h"
#include "tests/support/http_support.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What came of one run; owned by it. */
struct outcome {
	char *log, *wire;
};

/* --- sending on --- */

static void forward_body(struct exchange *to, const struct exchange *from)
{
	size_t n = from->body_bytes < sizeof(from->body) ? (size_t)from->body_bytes
							 : sizeof(from->body);

	if (to->stream != NULL)
		exchange_send(to, str_make(from->body, n), true);
}

/* The exchange, seen by the next server; its body only where it was short enough to be kept. */
static void forward(struct exchange *x)
{
	struct http_world w;
	struct http_user client, server;
	struct io *ends[2];
	struct http_head head = *x->head;
	bool tunnel = head.protocol.n > 0 || str_eq(head.method, STR("CONNECT"));

	if (!x->in_done || tunnel || x->body_bytes >= sizeof(x->body))
		return;
	http_world_init(&w);
	http_world_pair(&w, ends);
	http_user_init(&client, &w);
	http_user_init(&server, &w);
	server.reply = REPLY_AT_END;
	http_user_start(&client, ends[0], HTTP_CLIENT, HTTP_V1);
	http_user_start(&server, ends[1], HTTP_SERVER, HTTP_V1);
	/* What was a length may be one that only chunks can carry, and the other way about. */
	if (x->body_bytes > 0 && head.length != HTTP_LENGTH_UNKNOWN)
		ASSERT(head.length == x->body_bytes);
	struct exchange *out = http_user_open(&client, &head, head.length == 0);

	if (head.length != 0)
		forward_body(out, x);
	http_world_settle(&w);
	ASSERT(out->ended && out->reason == REASON_OK && out->status == 200);
	ASSERT(server.n == 1 && server.x[0]->in_done);
	ASSERT(str_eq(server.x[0]->method, x->method));
	ASSERT(server.x[0]->body_sum == x->body_sum);
	http_user_fini(&client);
	http_user_fini(&server);
	http_world_fini(&w);
}

/* --- one run --- */

/*
 * The text that explains a refusal may differ: of two faults it names the one that was seen first.
 * In the log it stands in parentheses, on the wire behind its type.
 */
static void drop_details(struct outcome *o)
{
	char *to = o->log, *end = strstr(o->wire, "content-type: text/plain");
	bool inside = false;

	for (const char *from = o->log; *from != '\0'; from++) {
		inside = (inside && *from != '\n') || strncmp(from, " (", 2) == 0;
		if (!inside)
			*to++ = *from;
	}
	*to = '\0';
	if (end != NULL)
		*end = '\0';
}

static void on_end(struct exchange *x)
{
	if (x->head != NULL && x->user->arg != NULL)
		forward(x);
}

static struct outcome run(const uint8_t *data, size_t size, unsigned mode, struct rng *cuts)
{
	struct http_world w;
	struct http_user u;
	struct wire x;
	struct io *ends[2];
	struct outcome o;

	http_world_init(&w);
	http_world_pair(&w, ends);
	wire_init(&x, &w, ends[0]);
	http_user_init(&u, &w);
	u.reply = REPLY_AT_END;
	u.reply_body = mode & 1 ? "hello" : NULL;
	u.reply_chunked = (mode & 3) == 3;
	u.reply_trailer = (mode & 7) == 7 ? "t" : NULL;
	u.reply_status = mode & 8 ? 101 : 200;
	u.echo = (mode & 8) != 0;
	if (mode & 8)
		u.reply = REPLY_NONE;
	u.stop = (mode & 16) != 0;
	u.on_end = on_end;
	u.arg = cuts == NULL ? &u : NULL;
	http_user_start(&u, ends[1], HTTP_SERVER, HTTP_V1);
	wire_send(&x, str_make(data, size), cuts != NULL ? 16 : 0, cuts);
	if (mode & 32)
		wire_shutdown(&x);
	if (mode & 64)
		loop_sim_advance(w.loop, 1000 * NS_PER_S);
	o.wire = wire_take(&x);
	wire_fini(&x);
	if (u.conn != NULL)
		http_conn_end(u.conn, REASON_INTERNAL);
	http_world_settle(&w);
	o.log = strdup(http_user_log(&u));
	http_user_fini(&u);
	http_world_fini(&w);
	drop_details(&o);
	return o;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rng cuts;

	if (size < 2)
		return 0;
	rng_seed(&cuts, data[1]);
	struct outcome whole = run(data + 2, size - 2, data[0], NULL);
	struct outcome cut = run(data + 2, size - 2, data[0], &cuts);

	ASSERT(strcmp(whole.log, cut.log) == 0);
	ASSERT(strcmp(whole.wire, cut.wire) == 0);
	free(whole.log);
	free(whole.wire);
	free(cut.log);
	free(cut.wire);
	return 0;
}

/*
 * Something breaks at every moment of an exchange: for each kind of exchange and each kind of
 * fault, after one turn of the loop, after two, and so on until it would have been over. Nobody
 * crashes, nothing is left open or counted, no answer that was cut looks whole, no request is
 * counted twice.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/mesh_pair.h"

#define BODY 150000u
#define PARALLEL 3u

/* -- exchanges
 * -----------------------------------------------------------------------------------------------------
 */

/* One run of an exchange, from the application of the client pod to that of the web pod. */
struct run {
	struct pair *p;
	struct mesh_app app;
	struct mesh_raw raw;
	struct http_user u;
	struct wire x;
	bool is_raw;
	unsigned sent;  /* requests */
	unsigned first; /* of them over before the fault may strike */
};

/* Echoes what it can; 101 where a tunnel is asked for. */
static void any_head(struct exchange *x)
{
	struct http_head h;
	http_head_init(&h, HTTP_RESPONSE, stream_arena(x->stream));
	h.status = x->head->protocol.n > 0 ? 101 : 200;
	h.length = HTTP_LENGTH_UNKNOWN;
	if (x->head->expect_continue)
		exchange_interim(x, 100);
	stream_send_head(x->stream, &h, false);
	if (stream_in_part(x->stream) == PART_DONE)
		exchange_send(x, STR("empty"), true);
}

static void app_any(struct http_user *u)
{
	u->echo = true;
	u->on_head = any_head;
}

static void upload(struct run *r, const char *fields)
{
	struct exchange *x = http_user_request(&r->u, "PUT", "/", fields, BODY, false);
	if (x == NULL)
		return;
	r->sent++;
	exchange_source(x, BODY);
}

static void get_http1(struct run *r)
{
	if (http_user_request(&r->u, "GET", "/", NULL, 0, true) != NULL)
		r->sent++;
}

static void put_http(struct run *r)
{
	upload(r, NULL);
}

static void put_parallel(struct run *r)
{
	for (unsigned i = 0; i < PARALLEL; i++)
		upload(r, NULL);
}

static void tunnel(struct run *r)
{
	struct http_head h;
	struct arena arena;
	arena_init(&arena, r->u.w->arenas);
	http_head_init(&h, HTTP_REQUEST, &arena);
	h.method = STR("GET");
	h.scheme = STR("http");
	h.authority = STR("web");
	h.path = STR("/chat");
	h.protocol = STR("websocket");
	h.length = HTTP_LENGTH_UNKNOWN;
	http_fields_add(&h.fields, STR("sec-websocket-version"), STR("13"));
	struct exchange *x = http_user_open(&r->u, &h, false);
	arena_clear(&arena);
	if (x == NULL)
		return;
	r->sent++;
	exchange_source(x, 20000);
}

static void raw_bytes(struct run *r)
{
	static const char bytes[30000] = {1};
	wire_push(&r->x, str_make(bytes, sizeof(bytes)));
}

static void raw_nothing(struct run *r)
{
	(void)r;
}

static const struct exchange_kind {
	const char *name;
	enum http_version version; /* of client and application */
	void (*begin)(struct run *r);
	bool raw;
	const char *banner;
} kinds[] = {
	{"GET over HTTP/1", HTTP_V1, get_http1, false, NULL},
	{"PUT over HTTP/1", HTTP_V1, put_http, false, NULL},
	{"PUTs over HTTP/2", HTTP_V2, put_parallel, false, NULL},
	{"WebSocket over HTTP/1", HTTP_V1, tunnel, false, NULL},
	{"WebSocket over HTTP/2", HTTP_V2, tunnel, false, NULL},
	{"raw bytes", HTTP_V1, raw_bytes, true, NULL},
	{"a banner", HTTP_V1, raw_nothing, true, "220 ready\r\n"},
};
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

/* -- faults
 * -----------------------------------------------------------------------------------------------------
 */

static void client_resets(struct run *r)
{
	if (r->is_raw)
		wire_close(&r->x, true);
	else if (r->u.conn != NULL)
		http_conn_end(r->u.conn, REASON_CANCELLED);
}

static void client_ends(struct run *r)
{
	if (r->is_raw)
		wire_close(&r->x, false);
	else if (r->u.conn != NULL)
		http_conn_end(r->u.conn, REASON_OK);
}

static void client_cancels(struct run *r)
{
	struct exchange *x = r->u.x[r->first];
	if (r->is_raw && r->x.io != NULL)
		io_shutdown(r->x.io);
	else if (x != NULL && x->stream != NULL)
		stream_reset(x->stream, REASON_CANCELLED);
}

static void server_resets(struct run *r)
{
	for (size_t i = 0; i < r->app.n; i++)
		if (r->app.users[i]->conn != NULL)
			http_conn_end(r->app.users[i]->conn, REASON_INTERNAL);
	for (size_t i = 0; i < r->raw.n; i++)
		io_close(&r->raw.wires[i].io, true);
}

static void server_ends(struct run *r)
{
	for (size_t i = 0; i < r->app.n; i++)
		if (r->app.users[i]->conn != NULL)
			http_conn_drain(r->app.users[i]->conn);
	for (size_t i = 0; i < r->raw.n; i++)
		io_close(&r->raw.wires[i].io, false);
}

static void mesh_breaks(struct run *r)
{
	mesh_break_upstreams(r->p->client, ERR_RESET);
}

static void applications_break(struct run *r)
{
	mesh_break_upstreams(r->p->web, ERR_RESET);
}

static void policy_denies(struct run *r)
{
	struct mesh *m = &r->p->m;
	mesh_policy(m, "nobody", MESH_DENY, NULL, 0);
	mesh_apply_leaf(m, r->p->web, m->ca, r->p->web->id, CERT_FLAW_NONE);
	mesh_policies_clear(m);
}

static void leaves_rotate(struct run *r)
{
	struct mesh *m = &r->p->m;
	mesh_apply_leaf(m, r->p->client, m->ca, r->p->client->id, CERT_FLAW_NONE);
	mesh_apply_leaf(m, r->p->web, m->ca, r->p->web->id, CERT_FLAW_NONE);
}

static void server_revoked(struct run *r)
{
	struct mesh *m = &r->p->m;
	char serial[128];
	snprintf(serial, sizeof(serial), "%s", mesh_serial(r->p->web));
	m->revoked[0] = serial;
	m->n_revoked = 1;
	mesh_apply_leaf(m, r->p->client, m->ca, r->p->client->id, CERT_FLAW_NONE);
	m->n_revoked = 0;
}

static void server_drains(struct run *r)
{
	proxy_drain(r->p->web->proxy);
}

static void server_quits(struct run *r)
{
	proxy_quit(r->p->web->proxy);
}

static void client_quits(struct run *r)
{
	proxy_quit(r->p->client->proxy);
}

static const struct fault {
	const char *name;
	void (*strike)(struct run *r);
	bool lossless; /* all that was sent is answered all the same */
	bool fatal;    /* to a sidecar: the next run needs a mesh of its own */
	bool leaves;   /* something changed for good: the configuration is applied again */
} faults[] = {
	{"nothing", NULL, true, false, false},
	{"the client resets", client_resets, false, false, false},
	{"the client ends", client_ends, false, false, false},
	{"the client cancels", client_cancels, false, false, false},
	{"the server resets", server_resets, false, false, false},
	{"the server ends", server_ends, true, false, false},
	{"the mesh breaks", mesh_breaks, false, false, false},
	{"the last hop breaks", applications_break, false, false, false},
	{"a policy denies", policy_denies, false, false, true},
	{"leaves rotate", leaves_rotate, true, false, false},
	{"the server is revoked", server_revoked, false, false, true},
	{"the server drains", server_drains, true, true, false},
	{"the server quits", server_quits, false, true, false},
	{"the client quits", client_quits, false, true, false},
};
#define FAULTS (sizeof(faults) / sizeof(faults[0]))

/* -- one run
 * ------------------------------------------------------------------------------------------------------
 */

/* warm: over connections that carried something before. */
static void run_begin(struct run *r, struct pair *p, const struct exchange_kind *k, bool warm)
{
	memset(r, 0, sizeof(*r));
	r->p = p;
	r->is_raw = k->raw;
	p->m.protocol = WEFT__MESH__V1__PROTOCOL__PROTOCOL_UNSPECIFIED;
	if (k->raw)
		mesh_raw_start(&r->raw, p->web, 8080, k->banner);
	else
		mesh_app_start(&r->app, p->web, 8080, k->version, app_any);
	struct io *io = mesh_dial(&p->m, p->client, mesh_vip(&p->m));
	assert_non_null(io);
	if (k->raw) {
		wire_init(&r->x, &p->m.w, io);
	} else {
		http_user_init(&r->u, &p->m.w);
		http_user_start(&r->u, io, HTTP_CLIENT, k->version);
	}
	if (warm) {
		get_http1(r);
		mesh_settle(&p->m);
		r->first = r->u.n;
		assert_true(r->u.x[0]->ended && r->u.x[0]->reason == REASON_OK);
	}
	k->begin(r);
}

/* A whole answer is the right one, and nothing else looks whole. */
static void check_answers(const struct run *r, const struct fault *f)
{
	for (unsigned i = 0; i < r->u.n; i++) {
		const struct exchange *x = r->u.x[i];
		if (!x->ended)
			fail_msg("request %u is still open", i);
		bool whole = x->in_done && x->status < 400;
		if (whole && x->sent_sum != 0 && x->body_sum != x->sent_sum)
			fail_msg("request %u: a wrong answer looks whole", i);
		if (f->lossless && (!whole || x->reason != REASON_OK))
			mesh_print_log(&r->p->m);
		if (f->lossless && (!whole || x->reason != REASON_OK))
			fail_msg("request %u: status %u, reason %s", i, x->status,
				reason_info((int)x->reason)->name);
	}
}

/* By the access log, for series that are idle expire. */
static void check_counts(const struct run *r)
{
	struct mesh *m = &r->p->m;
	unsigned answered = 0;
	unsigned out = mesh_count_logged(m, "\"msg\":\"request\",\"direction\":\"outbound\"");
	unsigned in = mesh_count_logged(m, "\"msg\":\"request\",\"direction\":\"inbound\"");
	unsigned raw = mesh_count_logged(m, "\"msg\":\"connection\",\"direction\":\"outbound\"");
	for (unsigned i = 0; i < r->u.n; i++)
		answered += r->u.x[i]->status >= 200;
	if (out > r->sent || out < answered)
		fail_msg("%u sent, %u answered, %u counted", r->sent, answered, out);
	if (in > 3 * out)
		fail_msg("%u requests outbound, %u inbound", out, in);
	if (raw > 1 || raw + out > (r->is_raw ? 1 : r->sent))
		fail_msg("%u raw connections counted", raw);
}

static void run_end(struct run *r)
{
	if (r->is_raw) {
		wire_fini(&r->x);
		mesh_raw_stop(&r->raw);
	} else {
		http_user_fini(&r->u);
		mesh_app_stop(&r->app);
	}
}

/* Strikes after that many turns. True where the exchange was over by itself before. */
static bool run_one(struct pair *p, const struct exchange_kind *k, const struct fault *f, bool warm,
	size_t turns)
{
	struct run r;
	buf_clear(&p->m.log_text);
	run_begin(&r, p, k, warm);
	bool over = loop_sim_settle(p->m.w.loop, turns) < turns;
	if (f->strike != NULL)
		f->strike(&r);
	mesh_settle(&p->m);
	mesh_advance(&p->m, NS_PER_S);
	mesh_advance(&p->m, 700 * NS_PER_S);
	check_answers(&r, f);
	check_counts(&r);
	run_end(&r);
	if (f->fatal) {
		mesh_advance(&p->m, 100 * NS_PER_S);
		assert_true(f->strike == client_quits ? p->client->done : p->web->done);
	}
	mesh_assert_idle(&p->m);
	return over;
}

/* A mesh of its own where the one of before is used up. */
static void renew(void **pair)
{
	pair_teardown(pair);
	pair_setup(pair);
}

static void run_all(void **pair, const struct exchange_kind *k, const struct fault *f, bool warm)
{
	bool over = false;
	for (size_t turns = 0; !over && turns < 400; turns += turns < 30 ? 1 : 7) {
		if (turns > 0 && f->fatal)
			renew(pair);
		struct pair *p = *pair;
		if (turns == 0 || f->fatal || f->leaves)
			mesh_apply(&p->m);
		over = run_one(p, k, f, warm, turns) || f->strike == NULL;
	}
}

static void test_fault(void **state)
{
	const struct fault *f = *state;
	void *pair = NULL;
	pair_setup(&pair);
	for (size_t k = 0; k < KINDS; k++) {
		print_message("  %s\n", kinds[k].name);
		run_all(&pair, &kinds[k], f, false);
		renew(&pair);
		if (kinds[k].raw)
			continue;
		run_all(&pair, &kinds[k], f, true);
		renew(&pair);
	}
	pair_teardown(&pair);
}

int main(void)
{
	struct CMUnitTest tests[FAULTS];
	for (size_t i = 0; i < FAULTS; i++)
		tests[i] = (struct CMUnitTest){.name = faults[i].name,
			.test_func = test_fault,
			.initial_state = (void *)(uintptr_t)&faults[i]};
	return cmocka_run_group_tests_name("faults at every moment", tests, NULL, NULL);
}

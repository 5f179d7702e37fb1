/*
 * Everything at once, at random: connections of all kinds to all places come, speak, half-close and
 * go while configurations, leaves, modes and policies change, upstreams break and sidecars drain.
 * Nothing may be left afterwards, and no invariant be broken on the way.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/alloc.h"
#include "lib/base/err.h"
#include "tests/support/mesh_pair.h"

#define ROUNDS 20
#define STEPS 120
#define WIRES 16
#define UPGRADE                                                                          \
	"GET /chat HTTP/1.1\r\nHost: w\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" \
	"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"

/* One round; of the test. */
struct chaos {
	struct pair pair;
	struct mesh_test_pod *other, *outside;
	struct mesh_app app[2];
	struct mesh_raw banner, quiet;
	struct wire wires[WIRES];
	bool open[WIRES];
	unsigned dialled;
	struct rng rng;
	char serial[64];
};

static size_t any(struct chaos *c, size_t n)
{
	return (size_t)rng_below(&c->rng, n);
}

static void turns(struct chaos *c)
{
	(void)loop_sim_settle(c->pair.m.w.loop, any(c, 8));
}

/* -- connections
 * --------------------------------------------------------------------------------------------------
 */

/* Of the client, the web and a pod without sidecar; ports 9090 (speaks first) and 7070 (silent). */
static void step_dial(struct chaos *c)
{
	static const char *const places[] = {"10.96.0.1:80", "10.96.0.1:80", "10.96.0.1:80",
		"10.96.0.1:81", "10.77.0.3:8080", "10.77.0.4:8080", "10.77.0.4:8080",
		"10.77.0.3:9090", "10.77.0.3:9090", "10.77.0.3:7070", "10.77.0.4:8080",
		"10.77.0.2:8080", "10.77.0.2:15006", "10.77.0.9:80", "10.77.0.5:80",
		"192.0.2.7:80"};
	struct mesh_test_pod *from[] = {c->pair.client, c->pair.client, c->pair.web, c->outside};
	size_t i = any(c, WIRES);
	if (c->open[i] || c->dialled++ > 40)
		return;
	struct io *io = mesh_dial(&c->pair.m, from[any(c, 4)],
		places[any(c, sizeof(places) / sizeof(places[0]))]);
	if (io == NULL)
		return;
	wire_init(&c->wires[i], &c->pair.m.w, io);
	c->open[i] = true;
}

static void step_speak(struct chaos *c)
{
	static const char *const words[] = {"GET / HTTP/1.1\r\nHost: w\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: w\r\n\r\n", "GET / HTTP/1.1\r\nHost: w\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: w\r\n\r\nGET /2 HTTP/1.1\r\nHost: w\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: w\r\nContent-Length: 9\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: w\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
		"0\r\n\r\n", "some body", "G", "ET / HTTP/1.0\r\n\r\n", "\1raw bytes",
		"\x16\x03\x01\x02", UPGRADE, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
		"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: w\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"};
	size_t i = any(c, WIRES);
	if (c->open[i] && c->wires[i].err == 0)
		(void)wire_push(&c->wires[i],
			str_from(words[any(c, sizeof(words) / sizeof(words[0]))]));
}

static void step_leave(struct chaos *c)
{
	size_t i = any(c, WIRES);
	if (!c->open[i])
		return;
	if (any(c, 3) == 0 && c->wires[i].err == 0) {
		wire_shutdown(&c->wires[i]);
		return;
	}
	if (any(c, 2) == 0)
		wire_close(&c->wires[i], true);
	wire_fini(&c->wires[i]);
	c->open[i] = false;
}

static void step_deaf(struct chaos *c)
{
	size_t i = any(c, WIRES);
	if (c->open[i] && c->wires[i].err == 0)
		wire_listen(&c->wires[i], any(c, 2) == 0);
}

/* -- changes
 * ------------------------------------------------------------------------------------------------------
 */

static void step_change(struct chaos *c)
{
	static const Weft__Mesh__V1__MtlsMode modes[] = {
		WEFT__MESH__V1__MTLS_MODE__MTLS_MODE_STRICT,
		WEFT__MESH__V1__MTLS_MODE__MTLS_MODE_PERMISSIVE,
		WEFT__MESH__V1__MTLS_MODE__MTLS_MODE_DISABLE};
	static const Weft__Mesh__V1__Protocol protocols[] = {
		WEFT__MESH__V1__PROTOCOL__PROTOCOL_UNSPECIFIED,
		WEFT__MESH__V1__PROTOCOL__PROTOCOL_UNSPECIFIED,
		WEFT__MESH__V1__PROTOCOL__PROTOCOL_HTTP, WEFT__MESH__V1__PROTOCOL__PROTOCOL_TCP,
		WEFT__MESH__V1__PROTOCOL__PROTOCOL_TLS};
	struct mesh *m = &c->pair.m;
	bool odd = any(c, 2) == 0; /* else all is well again, so that much is open next time */
	m->mtls = modes[odd ? any(c, 3) : 0];
	m->protocol = protocols[odd ? any(c, 5) : 0];
	m->round_robin = any(c, 2) == 0;
	c->other->unready = odd && any(c, 4) == 0;
	mesh_policies_clear(m);
	if (odd && any(c, 3) == 0)
		mesh_policy(m, "p", any(c, 2) == 0 ? MESH_ALLOW : MESH_DENY,
			any(c, 2) == 0 ? "*" : "cluster.local/ns/default/sa/client", 0);
	m->n_revoked = 0;
	if (odd && any(c, 4) == 0) {
		snprintf(c->serial, sizeof(c->serial), "%s",
			mesh_serial(any(c, 2) == 0 ? c->pair.web : c->pair.client));
		m->revoked[0] = c->serial;
		m->n_revoked = 1;
	}
	for (size_t i = 0; i < m->n_pods; i++)
		if (m->pods[i].meshed && any(c, 3) != 0)
			mesh_apply_leaf(m, &m->pods[i], m->ca, m->pods[i].id,
				odd && any(c, 8) == 0 ? CERT_FLAW_EXPIRED : CERT_FLAW_NONE);
}

static void step_break(struct chaos *c)
{
	static const int errors[] = {ERR_RESET, ERR_TIMEOUT, ERR_UNREACHABLE};
	(void)mesh_break_upstreams(any(c, 2) == 0 ? c->pair.client : c->pair.web,
		errors[any(c, 3)]);
}

static void step_time(struct chaos *c)
{
	static const uint64_t times[] = {
		NS_PER_MS, 5 * NS_PER_MS, NS_PER_S, 11 * NS_PER_S, 400 * NS_PER_S};
	mesh_advance(&c->pair.m, times[any(c, 5)]);
}

static void step(struct chaos *c)
{
	static void (*const steps[])(struct chaos *c) = {step_dial, step_dial, step_dial, step_dial,
		step_speak, step_speak, step_speak, step_speak, step_speak, step_speak, step_speak,
		step_speak, step_speak, step_leave, step_deaf, step_change, step_break, step_time};
	steps[any(c, sizeof(steps) / sizeof(steps[0]))](c);
	turns(c);
}

/* -- rounds
 * -------------------------------------------------------------------------------------------------------
 */

static void begin(struct chaos *c)
{
	struct mesh *m = &c->pair.m;
	mesh_init(m);
	c->pair.client = mesh_pod(m, "client", true);
	c->pair.web = mesh_pod(m, "web", true);
	c->other = mesh_pod(m, "web-2", true);
	c->outside = mesh_pod(m, "outside", false);
	mesh_app_start(&c->app[0], c->pair.web, 8080, HTTP_V1,
		any(c, 2) == 0 ? app_echo : app_silent);
	mesh_app_start(&c->app[1], c->other, 8080, HTTP_V1, app_hello);
	mesh_raw_start(&c->banner, c->pair.web, 9090, "220 ready\r\n");
	mesh_raw_start(&c->quiet, c->pair.web, 7070, NULL);
	mesh_apply(m);
}

static void finish(struct chaos *c)
{
	struct mesh *m = &c->pair.m;
	if (any(c, 3) == 0)
		proxy_drain(c->pair.web->proxy);
	if (any(c, 3) == 0)
		proxy_drain(c->pair.client->proxy);
	for (int i = 0; i < 10; i++)
		step(c);
	for (size_t i = 0; i < WIRES; i++)
		if (c->open[i])
			wire_fini(&c->wires[i]);
	for (int i = 0; i < 2; i++)
		mesh_app_stop(&c->app[i]);
	mesh_raw_stop(&c->banner);
	mesh_raw_stop(&c->quiet);
	mesh_assert_idle(m);
	mesh_fini(m);
}

static void test_chaos(void **state)
{
	const char *seed = getenv("SEED"), *rounds = getenv("ROUNDS");
	uint64_t first = seed != NULL ? strtoull(seed, NULL, 10) : 1;
	uint64_t n = rounds != NULL ? strtoull(rounds, NULL, 10) : ROUNDS;
	(void)state;
	for (uint64_t i = first; i < first + n; i++) {
		struct chaos *c = MEM_NEW(struct chaos);
		if (rounds != NULL)
			fprintf(stderr, "seed %llu\n", (unsigned long long)i);
		rng_seed(&c->rng, i);
		begin(c);
		for (int k = 0; k < STEPS; k++)
			step(c);
		finish(c);
		mem_free(c);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_chaos)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

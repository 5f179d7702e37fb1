/*
 * Identity.Sign from end to end over gRPC in memory: what an attested pod gets, what everybody else
 * gets, and how often.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "ctrlplane/ca/identity_service.h"
#include "lib/base/alloc.h"
#include "lib/base/err.h"
#include "lib/grpc/channel.h"
#include "tests/support/ca_world.h"
#include "tests/support/worlds.h"
#include "weft/mesh/v1/identity.pb-c.h"

#define WEB_POD                                                                                \
	"---\napiVersion: v1\nkind: Pod\nmetadata: {name: web, namespace: shop, uid: u-web}\n" \
	"spec: {serviceAccountName: web, containers: [{name: app}, {name: weft-sidecar}]}\n"   \
	"status: {podIP: 10.1.0.1}\n"
#define SOURCE WEB_POD POD("other", "10.1.0.2", "{}", "")
#define BURST 3

/* What came of one call. */
struct outcome {
	unsigned ends;
	enum grpc_status status;
	char text[512];
	struct cert_chain *chain;
	char session[64], pod[64], uid[64], ns[64], domain[64];
	int64_t now;
	size_t n_bundles, roots;
};

/* A world with the service, and a channel to it. */
struct fixture {
	struct ca_world w;
	struct buf_pool *bufs;
	struct arena_pool *arenas;
	struct net *net;
	struct http_env env;
	struct addr addr;
	struct grpc_server *server;
	struct identity_service *identity;
	struct grpc_channel *channel;
	struct dial *dial;
	grpc_dialled_fn *dialled;
	void *dialled_arg;
	struct outcome got;
	struct cert_key *key;
};

static void on_dialled(void *arg, struct io *io, int err)
{
	struct fixture *f = arg;
	f->dial = NULL;
	f->dialled(f->dialled_arg, io, err, NULL);
}

static void *dial(void *arg, grpc_dialled_fn *done, void *done_arg)
{
	struct fixture *f = arg;
	const struct dial_config cfg = {.to = f->addr};
	f->dialled = done;
	f->dialled_arg = done_arg;
	f->dial = dial_start(f->net, &cfg, on_dialled, f);
	return f;
}

static void cancel(void *arg, void *handle)
{
	struct fixture *f = arg;
	(void)handle;
	dial_cancel(&f->dial);
}

static void settle(struct fixture *f)
{
	assert_true(loop_sim_settle(f->w.loop, 100000) < 100000);
}

static void serve(struct fixture *f)
{
	const struct grpc_server_config server = {.log = f->w.log};
	const struct listen_config listen = {.addr = f->addr};
	const struct identity_service_config identity = {.loop = f->w.loop,
		.log = f->w.log,
		.attest = f->w.attest,
		.authority = f->w.authority,
		.metrics = f->w.metrics,
		.burst = BURST,
		.per_minute = 60};
	const struct grpc_channel_config channel = {
		.dialler = {dial, cancel, f}, .authority = "localhost"};
	f->server = grpc_server_new(&f->env, f->net, &server);
	f->identity = identity_service_new(f->server, &identity);
	assert_int_equal(grpc_server_listen(f->server, &listen, NULL, f->w.err, sizeof(f->w.err)),
		0);
	f->channel = grpc_channel_new(&f->env, &channel);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	ca_world_open(&f->w);
	f->bufs = buf_pool_new(1 << 20);
	f->arenas = arena_pool_new(16);
	f->env = (struct http_env){.loop = f->w.loop, .bufs = f->bufs, .arenas = f->arenas};
	f->net = net_new_sim(f->w.loop, f->bufs, 1 << 16);
	assert_int_equal(addr_parse(STR("10.255.0.1:15012"), &f->addr), 0);
	f->w.cfg.root_ns = 10 * CA_DAY * NS_PER_S;
	assert_int_equal(ca_world_start(&f->w), 0);
	assert_int_equal(ca_world_attest(&f->w), 0);
	f->key = cert_key_generate();
	serve(f);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	grpc_channel_free(&f->channel);
	settle(f);
	grpc_server_close(&f->server);
	loop_sim_advance(f->w.loop, 10 * NS_PER_S);
	identity_service_free(&f->identity);
	identity_service_free(&f->identity);
	cert_chain_unref(&f->got.chain);
	cert_key_unref(&f->key);
	net_free(&f->net);
	settle(f);
	arena_pool_free(&f->arenas);
	buf_pool_free(&f->bufs);
	ca_world_close(&f->w);
	free(f);
	return 0;
}

/* --- calls --- */

static void take_answer(struct outcome *o, const Weft__Mesh__V1__SignResponse *r)
{
	assert_int_equal(cert_chain_parse(str_make(r->chain.data, r->chain.len), &o->chain), 0);
	snprintf(o->session, sizeof(o->session), "%s", r->session);
	snprintf(o->ns, sizeof(o->ns), "%s", r->pod_namespace);
	snprintf(o->pod, sizeof(o->pod), "%s", r->pod_name);
	snprintf(o->uid, sizeof(o->uid), "%s", r->pod_uid);
	o->now = r->now;
	o->n_bundles = r->n_bundles;
	if (r->n_bundles > 0) {
		snprintf(o->domain, sizeof(o->domain), "%s", r->bundles[0]->trust_domain);
		o->roots = r->bundles[0]->roots.len;
	}
}

static void on_answer(void *arg, const struct grpc_end *end, const ProtobufCMessage *answer)
{
	struct outcome *o = arg;
	o->ends++;
	o->status = end->status;
	snprintf(o->text, sizeof(o->text), "%.*s", STR_ARG(end->message));
	if (answer != NULL)
		take_answer(o, (const Weft__Mesh__V1__SignResponse *)answer);
}

static enum grpc_status ask(struct fixture *f, const char *credential, struct str csr, int64_t now)
{
	Weft__Mesh__V1__SignRequest r = WEFT__MESH__V1__SIGN_REQUEST__INIT;
	char *value = mem_printf("Bearer %s", credential);
	const struct grpc_metadatum auth = {STR("authorization"), str_from(value), true};
	const struct grpc_call_config cfg = {.path = "/weft.mesh.v1.Identity/Sign",
		.metadata = &auth,
		.n_metadata = credential[0] != '\0',
		.timeout_ns = 10 * NS_PER_S};
	r.csr = (ProtobufCBinaryData){.len = csr.n, .data = (uint8_t *)(uintptr_t)csr.p};
	r.now = now;
	cert_chain_unref(&f->got.chain);
	memset(&f->got, 0, sizeof(f->got));
	grpc_channel_unary(f->channel, &cfg, &r.base, &weft__mesh__v1__sign_response__descriptor,
		on_answer, &f->got);
	settle(f);
	assert_int_equal(f->got.ends, 1);
	mem_free(value);
	return f->got.status;
}

/* The CSR asks for more than anybody gets. */
static enum grpc_status sign(struct fixture *f, const char *credential, const struct cert_key *key)
{
	char *csr = cert_csr_build(key, STR("spiffe://cluster.local/ns/weft-system/sa/admin"));
	enum grpc_status status = ask(f, credential, str_from(csr), ca_world_now(&f->w));
	mem_free(csr);
	return status;
}

static void expect(struct fixture *f, enum grpc_status got, enum grpc_status want,
	const char *words)
{
	if (got != want || strstr(f->got.text, words) == NULL)
		fail_msg("%s \"%s\" instead of %s \"%s\"", grpc_status_name(got), f->got.text,
			grpc_status_name(want), words);
}

static void token_for(struct fixture *f, const char *pod, char text[64])
{
	char *token;
	if (attest_create_token(f->w.attest, STR("shop"), str_from(pod), 600 * NS_PER_S, &token,
		    f->w.err, sizeof(f->w.err)) != 0)
		fail_msg("%s", f->w.err);
	snprintf(text, 64, "%s", token);
	mem_free_secret(token, strlen(token));
}

static bool metrics_say(struct fixture *f, const char *line)
{
	struct buf out;
	char text[8192] = "";
	buf_init(&out, f->bufs);
	metrics_render(f->w.metrics, &out);
	buf_copy_out(&out, 0, text, sizeof(text) - 1);
	buf_clear(&out);
	return strstr(text, line) != NULL;
}

/* --- tests --- */

static void test_joins_and_renews(void **state)
{
	struct fixture *f = *state;
	char token[64], session[64];
	ca_world_source(&f->w, SOURCE);
	token_for(f, "web", token);
	expect(f, sign(f, token, f->key), GRPC_OK, "");
	const struct outcome *o = &f->got;
	const struct cert_leaf *leaf = cert_chain_leaf(o->chain);
	assert_true(str_eq(leaf->id.id, STR("spiffe://cluster.local/ns/shop/sa/web")));
	assert_true(str_eq(leaf->pod_uid, STR("u-web")));
	assert_true(cert_chain_matches_key(o->chain, f->key));
	assert_int_equal(ca_world_judge(&f->w, o->chain, authority_roots(f->w.authority)),
		CERT_GOOD);
	assert_string_equal(o->ns, "shop");
	assert_string_equal(o->pod, "web");
	assert_string_equal(o->uid, "u-web");
	assert_string_equal(o->domain, CA_TD);
	assert_int_equal(o->n_bundles, 1);
	assert_int_equal(o->roots, authority_roots(f->w.authority).n);
	assert_int_equal(o->now, CA_START);
	assert_int_equal(strlen(o->session), 47);
	strcpy(session, o->session);
	ca_world_advance(&f->w, CA_DAY * 2);
	struct cert_key *next = cert_key_generate();
	expect(f, sign(f, session, next), GRPC_OK, "");
	assert_string_equal(f->got.session, "");
	assert_true(cert_chain_matches_key(f->got.chain, next));
	assert_int_equal(ca_world_judge(&f->w, f->got.chain, authority_roots(f->w.authority)),
		CERT_GOOD);
	assert_true(metrics_say(f, "weft_ca_issued_total 2\n"));
	assert_false(ca_world_said(&f->w, token + 4));
	assert_false(ca_world_said(&f->w, session + 4));
	cert_key_unref(&next);
}

static void test_the_answer_was_lost(void **state)
{
	struct fixture *f = *state;
	struct cert_key *thief = cert_key_generate();
	char token[64];
	ca_world_source(&f->w, SOURCE);
	token_for(f, "web", token);
	expect(f, sign(f, token, f->key), GRPC_OK, "");
	expect(f, sign(f, token, thief), GRPC_UNAUTHENTICATED, "is spent");
	expect(f, sign(f, token, f->key), GRPC_OK, "");
	assert_int_equal(strlen(f->got.session), 47);
	assert_true(metrics_say(f, "weft_ca_refused_total{reason=\"caller\"} 1\n"));
	cert_key_unref(&thief);
}

static void test_nobody(void **state)
{
	struct fixture *f = *state;
	char token[64];
	expect(f, sign(f, "", f->key), GRPC_UNAVAILABLE, "could not be read completely");
	ca_world_source(&f->w, SOURCE);
	expect(f, sign(f, "", f->key), GRPC_UNAUTHENTICATED, "no credential");
	expect(f, sign(f, "x", f->key), GRPC_UNAUTHENTICATED, "unknown session");
	token_for(f, "web", token);
	ca_world_source(&f->w,
		WEB_POD "---\napiVersion: v1\nkind: Namespace\nmetadata: {name: n}\n");
	expect(f, sign(f, token, f->key), GRPC_OK, "");
	assert_true(metrics_say(f, "weft_ca_issued_total 1\n"));
	assert_true(metrics_say(f, "weft_ca_refused_total{reason=\"caller\"} 2\n"));
	assert_true(metrics_say(f, "weft_ca_refused_total{reason=\"source\"} 1\n"));
}

/* What is wrong with a CSR costs its sender a try, and not the token. */
static void test_bad_requests(void **state)
{
	struct fixture *f = *state;
	char token[64], *big = mem_alloc(9000);
	ca_world_source(&f->w, SOURCE);
	token_for(f, "web", token);
	memset(big, 'x', 9000);
	expect(f, ask(f, token, STR("junk"), 0), GRPC_INVALID_ARGUMENT, "csr: not a PKCS#10");
	char *csr = cert_csr_build(f->key, STR("spiffe://td/a"));
	csr[strlen(csr) / 2] ^= 1;
	assert_int_equal(ask(f, token, str_from(csr), 0), GRPC_INVALID_ARGUMENT);
	mem_free(csr);
	expect(f, ask(f, token, str_make(big, 8500), 0), GRPC_INVALID_ARGUMENT, "csr: larger");
	ca_world_advance(&f->w, 60);
	assert_int_equal(ask(f, token, str_make(big, 0), 0), GRPC_INVALID_ARGUMENT);
	expect(f, sign(f, token, f->key), GRPC_OK, "");
	assert_true(metrics_say(f, "weft_ca_refused_total{reason=\"csr\"} 4\n"));
	mem_free(big);
}

static void test_limit(void **state)
{
	struct fixture *f = *state;
	char web[64], other[64];
	ca_world_source(&f->w, SOURCE);
	token_for(f, "web", web);
	token_for(f, "other", other);
	for (int i = 0; i < BURST; i++)
		expect(f, sign(f, web, f->key), GRPC_OK, "");
	expect(f, sign(f, web, f->key), GRPC_RESOURCE_EXHAUSTED, "the next one in 1000 ms");
	expect(f, sign(f, other, f->key), GRPC_OK, "");
	assert_string_equal(f->got.pod, "other");
	ca_world_advance(&f->w, 1);
	expect(f, sign(f, web, f->key), GRPC_OK, "");
	expect(f, sign(f, web, f->key), GRPC_RESOURCE_EXHAUSTED, "shop/web");
	assert_true(metrics_say(f, "weft_ca_refused_total{reason=\"limit\"} 2\n"));
	assert_true(ca_world_said(&f->w, "too many certificates"));
}

/* Who has found a spent token uses up nothing that its pod needs. */
static void test_limit_of_a_found_token(void **state)
{
	struct fixture *f = *state;
	struct cert_key *other = cert_key_generate();
	char web[64], session[64];
	ca_world_source(&f->w, SOURCE);
	token_for(f, "web", web);
	expect(f, sign(f, web, f->key), GRPC_OK, "");
	snprintf(session, sizeof(session), "%s", f->got.session);
	for (int i = 1; i < BURST; i++)
		expect(f, sign(f, web, other), GRPC_UNAUTHENTICATED, "spent");
	expect(f, sign(f, web, other), GRPC_RESOURCE_EXHAUSTED, "");
	expect(f, sign(f, session, f->key), GRPC_OK, "");
	cert_key_unref(&other);
}

static void test_clocks(void **state)
{
	struct fixture *f = *state;
	char token[64], *csr = cert_csr_build(f->key, STR("spiffe://td/a"));
	ca_world_source(&f->w, SOURCE);
	token_for(f, "web", token);
	expect(f, ask(f, token, str_from(csr), CA_START - 59), GRPC_OK, "");
	assert_false(ca_world_said(&f->w, "clock of a pod"));
	expect(f, ask(f, token, str_from(csr), CA_START + 3600), GRPC_OK, "");
	assert_true(ca_world_said(&f->w, "\"pod_clock\":1800003600"));
	assert_true(ca_world_said(&f->w, "\"our_clock\":1800000000"));
	ca_world_hush(&f->w);
	ca_world_advance(&f->w, 10);
	expect(f, ask(f, token, str_from(csr), INT64_MIN), GRPC_OK, "");
	assert_true(ca_world_said(&f->w, "clock of a pod"));
	mem_free(csr);
}

static void test_an_ended_ca(void **state)
{
	struct fixture *f = *state;
	char token[64];
	ca_world_source(&f->w, SOURCE);
	ca_world_advance(&f->w, 10 * CA_DAY);
	token_for(f, "web", token);
	expect(f, sign(f, token, f->key), GRPC_UNAVAILABLE, "has ended");
	assert_true(metrics_say(f, "weft_ca_refused_total{reason=\"ca\"} 1\n"));
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_joins_and_renews),
		T(test_the_answer_was_lost),
		T(test_nobody),
		T(test_bad_requests),
		T(test_limit),
		T(test_limit_of_a_found_token),
		T(test_clocks),
		T(test_an_ended_ca),
	};
	return cmocka_run_group_tests_name("identity_service", tests, NULL, NULL);
}

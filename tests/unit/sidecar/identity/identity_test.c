/*
 * A pod's identity against a signer that loses answers, refuses credentials, lies and goes away;
 * over gRPC in memory, on a fake clock.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "certs/issue.h"
#include "lib/base/alloc.h"
#include "lib/crypto/crypto.h"
#include "lib/grpc/server.h"
#include "lib/net/net_sim.h"
#include "lib/obs/metric.h"
#include "sidecar/identity/identity.h"
#include "tests/support/http_support.h"
#include "weft/mesh/v1/identity.pb-c.h"

#define WALL 1800000000ll
#define ID "spiffe://cluster.local/ns/default/sa/web"
#define MAX_ASKED 512

/* How the signer behaves. */
enum mode { SIGN, LOSE, SILENT, REFUSE_SESSION, UNAVAILABLE };

/* One request as the signer saw it. */
struct asked {
	char bearer[64];
	uint8_t key[CERT_KEY_HASH];
	uint64_t at;
};

/* A signer and an identity, joined by memory. */
struct world {
	struct http_world w;
	struct net *net;
	struct log *log;
	struct rng rng;
	char *said;
	struct addr addr;
	struct grpc_server *server;
	struct grpc_channel *channel;
	struct dial *dial;
	grpc_dialled_fn *dialled;
	void *dialled_arg;
	struct metrics *metrics;
	struct identity *id;
	struct cert_ca *ca, *next, *signer;
	char token_path[64];
	/* the signer's script */
	enum mode mode;
	int64_t leaf_s, skew_s, backdate_s;
	const char *leaf_id, *uid, *sessions[2], *td;
	bool other_key;
	struct asked asked[MAX_ASKED];
	unsigned n_asked, changes;
};

/* -- the signer
 * ---------------------------------------------------------------------------------------------------
 */

static ProtobufCBinaryData bytes_of(struct str s)
{
	return (ProtobufCBinaryData){.len = s.n, .data = (uint8_t *)(uintptr_t)s.p};
}

static int64_t now_s(const struct world *w)
{
	return (int64_t)(loop_wall(w->w.loop) / NS_PER_S);
}

static void answer(struct world *w, struct grpc_call *c, const struct cert_csr *csr)
{
	Weft__Mesh__V1__SignResponse r = WEFT__MESH__V1__SIGN_RESPONSE__INIT;
	Weft__Mesh__V1__TrustBundle b = WEFT__MESH__V1__TRUST_BUNDLE__INIT, *list[] = {&b};
	struct cert_key *other = cert_key_generate();
	struct cert_chain *chain;
	int64_t now = now_s(w) + w->skew_s;
	struct cert_issue what = {.spiffe_id = str_from(w->leaf_id),
		.pod_uid = str_from(w->uid),
		.not_before = now - w->backdate_s,
		.not_after = now + w->leaf_s};
	assert_int_equal(cert_ca_issue(w->signer, w->other_key ? NULL : csr,
				 w->other_key ? other : NULL, &what, &chain),
		0);
	b.trust_domain = (char *)(uintptr_t)"cluster.local";
	b.roots = bytes_of(cert_chain_der(cert_ca_chain(w->ca)));
	r.chain = bytes_of(cert_chain_der(chain));
	r.bundles = list;
	r.n_bundles = 1;
	r.now = now;
	if (strncmp(w->asked[w->n_asked - 1].bearer, "wtj_", 4) == 0)
		r.session = (char *)(uintptr_t)w->sessions[0];
	grpc_call_send(c, &r.base);
	grpc_call_finish(c, GRPC_OK, NULL);
	cert_chain_unref(&chain);
	cert_key_unref(&other);
}

static void on_message(void *arg, struct grpc_call *c, struct str bytes)
{
	struct world *w = arg;
	struct cert_csr *csr;
	Weft__Mesh__V1__SignRequest *r = (Weft__Mesh__V1__SignRequest *)(void *)
		grpc_unpack(&weft__mesh__v1__sign_request__descriptor, bytes);
	struct asked *a = &w->asked[w->n_asked++];
	assert_true(w->n_asked < MAX_ASKED);
	assert_non_null(r);
	assert_int_equal(r->now, now_s(w));
	assert_int_equal(cert_csr_parse(str_make(r->csr.data, r->csr.len), &csr), 0);
	cert_csr_key_hash(csr, a->key);
	(void)str_copy(a->bearer, sizeof(a->bearer), grpc_call_bearer(c));
	a->at = loop_now(w->w.loop);
	bool session = strncmp(a->bearer, "wts_", 4) == 0;
	switch (w->mode) {
	case SIGN:
	case REFUSE_SESSION:
		if (a->bearer[0] == '\0')
			grpc_call_finish(c, GRPC_UNAUTHENTICATED, "no credential");
		else if (session && w->mode == REFUSE_SESSION)
			grpc_call_finish(c, GRPC_UNAUTHENTICATED, "unknown session");
		else if (strcmp(a->bearer, "wtj_spent") == 0)
			grpc_call_finish(c, GRPC_UNAUTHENTICATED, "the token is spent");
		else
			answer(w, c, csr);
		break;
	case LOSE:
		grpc_channel_reset(w->channel);
		break;
	case SILENT:
		break;
	case UNAVAILABLE:
		grpc_call_finish(c, GRPC_UNAVAILABLE, "the source is not complete yet");
		break;
	}
	cert_csr_free(&csr);
	protobuf_c_message_free_unpacked(&r->base, NULL);
}

static void on_end(void *arg, struct grpc_call *c, const struct grpc_end *end)
{
	(void)arg;
	(void)c;
	(void)end;
}

static void on_sign(void *arg, struct grpc_call *c)
{
	static const struct grpc_call_events events = {.on_message = on_message, .on_end = on_end};
	grpc_call_set_user(c, &events, arg);
}

static void serve(struct world *w)
{
	static const struct grpc_method methods[] = {{.name = "Sign", .start = on_sign}};
	static struct grpc_service service = {
		.name = "weft.mesh.v1.Identity", .methods = methods, .n_methods = 1};
	struct grpc_server_config cfg = {0};
	struct listen_config listen = {.addr = w->addr};
	char err[128];
	service.arg = w;
	w->server = grpc_server_new(&w->w.env, w->net, &cfg);
	grpc_server_add(w->server, &service);
	assert_int_equal(grpc_server_listen(w->server, &listen, NULL, err, sizeof(err)), 0);
}

/* -- the way to it
 * ------------------------------------------------------------------------------------------------
 */

static void on_dialled(void *arg, struct io *io, int err)
{
	struct world *w = arg;
	w->dial = NULL;
	w->dialled(w->dialled_arg, io, err, NULL);
}

static void *dial(void *arg, grpc_dialled_fn *done, void *done_arg)
{
	struct world *w = arg;
	struct dial_config cfg = {.to = w->addr};
	w->dialled = done;
	w->dialled_arg = done_arg;
	w->dial = dial_start(w->net, &cfg, on_dialled, w);
	return w;
}

static void cancel(void *arg, void *handle)
{
	(void)handle;
	dial_cancel(&((struct world *)arg)->dial);
}

/* -- the pod
 * ------------------------------------------------------------------------------------------------------
 */

static void on_line(void *arg, struct str line)
{
	struct world *w = arg;
	char *both = mem_printf("%s%.*s\n", w->said, STR_ARG(line));
	mem_free(w->said);
	w->said = both;
}

static bool said(const struct world *w, const char *text)
{
	return strstr(w->said, text) != NULL;
}

static void on_changed(void *arg)
{
	((struct world *)arg)->changes++;
}

static struct str trust_domain(void *arg)
{
	return str_from(((struct world *)arg)->td);
}

static void put_token(struct world *w, const char *token)
{
	FILE *f = fopen(w->token_path, "w");
	assert_non_null(f);
	fprintf(f, "%s\n", token);
	fclose(f);
}

static struct cert_ca *new_ca(void)
{
	struct cert_ca *ca;
	assert_int_equal(cert_ca_create(STR("cluster.local"), WALL - 86400 * 3, WALL + 86400 * 365,
				 &ca),
		0);
	return ca;
}

static void make_identity(struct world *w)
{
	struct identity_config cfg = {.loop = w->w.loop,
		.log = w->log,
		.rng = &w->rng,
		.channel = w->channel,
		.metrics = w->metrics,
		.token_file = w->token_path,
		.pod_uid = STR("uid-1"),
		.trust_domain = trust_domain,
		.changed = on_changed,
		.arg = w};
	w->id = identity_new(&cfg);
}

static int setup(void **state)
{
	struct world *w = MEM_NEW(struct world);
	struct grpc_channel_config cfg = {.dialler = {dial, cancel, w}, .authority = "ctrl"};
	assert_int_equal(crypto_init(), 0);
	http_world_init(&w->w);
	loop_sim_wall_jump(w->w.loop, WALL * (int64_t)NS_PER_S - (int64_t)loop_wall(w->w.loop));
	w->said = mem_strdup("");
	w->log = log_new_sink(on_line, w, LOG_INFO, LOG_JSON, loop_clock(w->w.loop));
	w->net = net_new_sim(w->w.loop, w->w.bufs, 65536);
	assert_int_equal(addr_parse(STR("10.0.0.1:15012"), &w->addr), 0);
	rng_seed(&w->rng, 3);
	serve(w);
	w->channel = grpc_channel_new(&w->w.env, &cfg);
	w->metrics = metrics_new(100, 1);
	w->ca = w->signer = new_ca();
	w->next = new_ca();
	w->leaf_s = 86400;
	w->backdate_s = 120;
	w->leaf_id = ID;
	w->uid = "uid-1";
	w->td = "cluster.local";
	w->sessions[0] = "wts_one";
	strcpy(w->token_path, "/tmp/weft-identity-test-XXXXXX");
	close(mkstemp(w->token_path));
	put_token(w, "wtj_first");
	make_identity(w);
	*state = w;
	return 0;
}

static void settle(struct world *w)
{
	assert_true(loop_sim_settle(w->w.loop, 100000) < 100000);
}

static void advance(struct world *w, uint64_t ns)
{
	loop_sim_advance(w->w.loop, ns);
	settle(w);
}

static int teardown(void **state)
{
	struct world *w = *state;
	identity_free(&w->id);
	grpc_channel_free(&w->channel);
	grpc_server_close(&w->server);
	advance(w, 60 * NS_PER_S);
	metrics_free(&w->metrics);
	net_free(&w->net);
	log_free(&w->log);
	cert_ca_free(&w->ca);
	cert_ca_free(&w->next);
	http_world_fini(&w->w);
	mem_free(w->said);
	unlink(w->token_path);
	mem_free(w);
	return 0;
}

static void start(struct world *w)
{
	identity_start(w->id);
	advance(w, NS_PER_S);
}

static const char *serial(const struct world *w)
{
	return identity_chain(w->id) != NULL ? cert_chain_leaf(identity_chain(w->id))->serial.p
					     : "none";
}

static bool ready(struct world *w, const char *part)
{
	struct buf reasons;
	char text[2048] = "";
	buf_init(&reasons, w->w.bufs);
	bool yes = identity_ready(w->id, &reasons);
	buf_copy_out(&reasons, 0, text, sizeof(text) - 1);
	buf_clear(&reasons);
	assert_int_equal(yes, text[0] == '\0');
	if (part != NULL && strstr(text, part) == NULL)
		fail_msg("no \"%s\" in \"%s\"", part, text);
	return yes;
}

static bool same_key(const struct world *w, unsigned a, unsigned b)
{
	return memcmp(w->asked[a].key, w->asked[b].key, CERT_KEY_HASH) == 0;
}

static double outcomes(struct world *w, const char *result)
{
	struct buf text;
	char all[16384] = "", want[128];
	buf_init(&text, w->w.bufs);
	metrics_render(w->metrics, &text);
	buf_copy_out(&text, 0, all, sizeof(all) - 1);
	buf_clear(&text);
	snprintf(want, sizeof(want), "weft_identity_renewals_total{result=\"%s\"} ", result);
	const char *at = strstr(all, want);
	return at != NULL ? strtod(at + strlen(want), NULL) : 0;
}

/* -- tests
 * --------------------------------------------------------------------------------------------------------
 */

static void test_first_by_token_then_by_session(void **state)
{
	struct world *w = *state;
	char first[64];
	assert_false(ready(w, "no certificate"));
	start(w);
	assert_true(ready(w, NULL));
	assert_int_equal(w->n_asked, 1);
	assert_string_equal(w->asked[0].bearer, "wtj_first");
	assert_int_equal(w->changes, 1);
	assert_string_equal(identity_session(w->id).p, "wts_one");
	assert_string_equal(identity_credential(w->id).p, "wts_one");
	assert_true(cert_chain_matches_key(identity_chain(w->id), identity_key(w->id)));
	assert_true(said(w, "certificate issued") && said(w, ID) && said(w, serial(w)));
	assert_false(said(w, "wts_one") || said(w, "wtj_first"));
	snprintf(first, sizeof(first), "%s", serial(w));
	/* Not before half of its life, not after seven tenths. */
	advance(w, (86400 / 2 - 2) * NS_PER_S);
	assert_int_equal(w->n_asked, 1);
	advance(w, (86400 / 5 + 2) * NS_PER_S);
	assert_int_equal(w->n_asked, 2);
	assert_string_equal(w->asked[1].bearer, "wts_one");
	assert_false(same_key(w, 0, 1));
	assert_string_not_equal(serial(w), first);
	assert_int_equal(w->changes, 2);
	advance(w, 10 * 86400 * NS_PER_S);
	assert_true(w->n_asked >= 15 && w->n_asked <= 22);
	assert_true(outcomes(w, "issued") == w->n_asked);
}

/* Ten seconds, backdated by two minutes: there is always one that holds. */
static void test_short_leaves(void **state)
{
	struct world *w = *state;
	w->leaf_s = 10;
	start(w);
	for (int i = 0; i < 600; i++) {
		advance(w, 100 * NS_PER_MS);
		assert_true(cert_chain_leaf(identity_chain(w->id))->not_after >= now_s(w) + 2);
	}
	assert_true(w->n_asked >= 9 && w->n_asked <= 14);
}

/* The first key goes on until an answer to it is there: the token is spent for it. */
static void test_lost_answer(void **state)
{
	struct world *w = *state;
	w->mode = LOSE;
	start(w);
	assert_true(w->n_asked >= 2);
	for (unsigned i = 1; i < w->n_asked; i++)
		assert_true(same_key(w, 0, i));
	assert_false(ready(w, "not reached"));
	w->mode = SIGN;
	advance(w, 30 * NS_PER_S);
	assert_true(ready(w, NULL));
	assert_true(same_key(w, 0, w->n_asked - 1));
	assert_true(outcomes(w, "unreachable") >= 2 && outcomes(w, "issued") == 1);
	unsigned before = w->n_asked;
	advance(w, 86400 * NS_PER_S * 7 / 10);
	assert_false(same_key(w, before - 1, w->n_asked - 1));
}

static void test_silent_signer(void **state)
{
	struct world *w = *state;
	w->leaf_s = 20;
	start(w);
	w->mode = SILENT;
	advance(w, 19 * NS_PER_S);
	/* Attempts are cut short as the end comes near, and go on after it. */
	assert_true(w->n_asked >= 3);
	advance(w, 2 * NS_PER_S);
	assert_false(ready(w, "expired"));
	advance(w, 300 * NS_PER_S);
	unsigned before = w->n_asked;
	assert_true(before >= 8);
	w->mode = SIGN;
	advance(w, 41 * NS_PER_S);
	assert_true(ready(w, NULL));
}

/* A session that is known no more: the token of now, read again, in the same attempt. */
static void test_refused_session(void **state)
{
	struct world *w = *state;
	start(w);
	put_token(w, "wtj_second");
	w->sessions[0] = "wts_two";
	w->mode = REFUSE_SESSION;
	advance(w, 86400 * NS_PER_S * 7 / 10);
	assert_int_equal(w->n_asked, 3);
	assert_string_equal(w->asked[1].bearer, "wts_one");
	assert_string_equal(w->asked[2].bearer, "wtj_second");
	assert_true(same_key(w, 1, 2));
	assert_string_equal(identity_session(w->id).p, "wts_two");
	assert_true(ready(w, NULL));
	/* And where that does not hold either, the words say what would help; a new one is found.
	 */
	put_token(w, "wtj_spent");
	for (int i = 0; i < 1500 && !said(w, "the token is spent"); i++)
		advance(w, 60 * NS_PER_S);
	assert_true(said(w, "the token is spent") && said(w, "weft token create"));
	assert_true(said(w, w->token_path));
	assert_true(ready(w, NULL)); /* it still holds */
	put_token(w, "wtj_third");
	advance(w, 30 * NS_PER_S);
	assert_string_equal(w->asked[w->n_asked - 1].bearer, "wtj_third");
	assert_string_equal(w->asked[w->n_asked - 2].bearer, "wts_two");
	assert_true(outcomes(w, "refused") >= 1);
}

static void test_no_token(void **state)
{
	struct world *w = *state;
	unlink(w->token_path);
	start(w);
	assert_true(w->n_asked >= 1);
	assert_string_equal(w->asked[0].bearer, "");
	assert_false(ready(w, "weft token create"));
	assert_false(ready(w, w->token_path));
	put_token(w, "wtj_late");
	identity_kick(w->id);
	advance(w, 250 * NS_PER_MS);
	assert_true(ready(w, NULL));
}

/* Elsewhere the session was refused: the token is used at once, but never in a loop. */
static void test_refused_elsewhere(void **state)
{
	struct world *w = *state;
	start(w);
	put_token(w, "wtj_second");
	w->sessions[0] = "wts_two";
	identity_refused(w->id);
	identity_refused(w->id);
	advance(w, NS_PER_S);
	assert_int_equal(w->n_asked, 2);
	assert_string_equal(w->asked[1].bearer, "wtj_second");
	assert_string_equal(identity_session(w->id).p, "wts_two");
	put_token(w, "wtj_spent");
	for (int i = 0; i < 100; i++) {
		identity_refused(w->id);
		advance(w, NS_PER_S);
	}
	assert_true(w->n_asked > 4 && w->n_asked < 20);
}

static void test_answers_that_do_not_hold(void **state)
{
	struct world *w = *state;
	w->other_key = true;
	start(w);
	assert_false(ready(w, "not for the key"));
	assert_int_equal(identity_session(w->id).n, 0);
	w->other_key = false;
	w->uid = "uid-2";
	advance(w, 30 * NS_PER_S);
	assert_false(ready(w, "uid-2"));
	w->uid = "uid-1";
	w->td = "other.example";
	advance(w, 60 * NS_PER_S);
	assert_false(ready(w, "other.example"));
	w->td = "cluster.local";
	w->signer = w->next; /* no root of it anywhere */
	advance(w, 60 * NS_PER_S);
	assert_false(ready(w, "does not lead to a root"));
	assert_string_equal(identity_session(w->id).p, "wts_one"); /* but the session is ours */
	for (unsigned i = 1; i < w->n_asked; i++)
		assert_true(same_key(w, 0, i));
	w->signer = w->ca;
	advance(w, 60 * NS_PER_S);
	assert_true(ready(w, NULL));
	assert_true(outcomes(w, "rejected") >= 4);
}

/* Our clock is wrong: said with both, once; the renewals go by the signer's. */
static void test_skew(void **state)
{
	struct world *w = *state;
	w->skew_s = 90;
	w->leaf_s = 600;
	start(w);
	assert_true(ready(w, NULL));
	assert_true(said(w, "clocks") && said(w, "2027-01-15T08:00:00") &&
		said(w, "2027-01-15T08:01:30"));
	unsigned n = w->n_asked;
	advance(w, 3600 * NS_PER_S);
	assert_true(w->n_asked - n <= 13);
	const char *first = strstr(w->said, "clocks");
	assert_null(strstr(first + 1, "clocks"));
	/* So wrong that none is ever valid: refused, and tried for ever, not in a storm. */
	w->skew_s = -7200;
	w->backdate_s = 0;
	advance(w, 700 * NS_PER_S);
	assert_false(ready(w, "expired"));
	n = w->n_asked;
	advance(w, 600 * NS_PER_S);
	assert_true(w->n_asked - n >= 20 && w->n_asked - n < 120);
	w->skew_s = 0;
	advance(w, 31 * NS_PER_S);
	assert_true(ready(w, NULL));
}

/* The control plane is away past the end of the leaf: never given up, recovered by itself. */
static void test_expiry_and_recovery(void **state)
{
	struct world *w = *state;
	w->leaf_s = 60;
	start(w);
	net_sim_fail(w->net, &w->addr, ERR_REFUSED);
	grpc_channel_reset(w->channel);
	advance(w, 59 * NS_PER_S);
	assert_true(ready(w, NULL));
	advance(w, 3 * NS_PER_S);
	assert_false(ready(w, "the own certificate has expired"));
	advance(w, 3600 * NS_PER_S);
	assert_int_equal(w->n_asked, 1);
	assert_true(outcomes(w, "unreachable") >= 150 && outcomes(w, "unreachable") < 600);
	net_sim_fail(w->net, &w->addr, 0);
	advance(w, 31 * NS_PER_S);
	assert_true(ready(w, NULL));
	assert_string_equal(w->asked[1].bearer, "wts_one");
}

static void test_new_root(void **state)
{
	struct world *w = *state;
	char both[8192];
	struct str old = cert_chain_der(cert_ca_chain(w->ca)),
		   new = cert_chain_der(cert_ca_chain(w->next));
	start(w);
	identity_roots(w->id, old);
	advance(w, 60 * NS_PER_S);
	memcpy(both, old.p, old.n); /* beside the old one: nothing changes yet */
	memcpy(both + old.n, new.p, new.n);
	identity_roots(w->id, str_make(both, old.n + new.n));
	advance(w, 120 * NS_PER_S);
	assert_int_equal(w->n_asked, 1);
	memcpy(both, new.p, new.n); /* at the front: a new certificate, within a minute */
	memcpy(both + new.n, old.p, old.n);
	w->signer = w->next;
	identity_roots(w->id, str_make(both, old.n + new.n));
	advance(w, 61 * NS_PER_S);
	assert_int_equal(w->n_asked, 2);
	assert_true(ready(w, NULL));
	assert_int_equal(w->changes, 2);
	/* A signer that stays with another root makes no storm. */
	w->signer = w->ca;
	identity_roots(w->id, str_make(both, new.n));
	identity_roots(w->id, str_make(both, old.n + new.n));
	advance(w, 86400 * NS_PER_S * 7 / 10);
	unsigned n = w->n_asked;
	advance(w, 3600 * NS_PER_S);
	assert_true(w->n_asked - n <= 1);
}

static void test_restored(void **state)
{
	struct world *w = *state;
	start(w);
	struct cert_chain *chain = cert_chain_ref(identity_chain(w->id));
	struct cert_key *key = cert_key_ref(identity_key(w->id));
	identity_free(&w->id);
	metrics_free(&w->metrics);
	w->metrics = metrics_new(100, 1);
	advance(w, 3600 * NS_PER_S);
	make_identity(w);
	identity_restore(w->id, chain, key, STR("wts_kept"));
	start(w);
	assert_true(ready(w, NULL));
	assert_int_equal(w->n_asked, 1);
	advance(w, 86400 * NS_PER_S * 7 / 10);
	assert_int_equal(w->n_asked, 2);
	assert_string_equal(w->asked[1].bearer, "wts_kept");
	cert_chain_unref(&chain);
	cert_key_unref(&key);
}

/* The wall clock alone is set: one renewal, and no more. */
static void test_wall_clock_jumps(void **state)
{
	struct world *w = *state;
	start(w);
	advance(w, 3600 * NS_PER_S);
	loop_sim_wall_jump(w->w.loop, (int64_t)(30 * 86400 * NS_PER_S));
	assert_false(ready(w, "expired"));
	w->skew_s = -30 * 86400;
	unsigned n = w->n_asked;
	advance(w, 120 * NS_PER_S);
	assert_true(w->n_asked > n); /* it may have been a sleep */
	assert_false(ready(w, "clocks differ"));
	loop_sim_wall_jump(w->w.loop, -(int64_t)(30 * 86400 * NS_PER_S));
	w->skew_s = 0;
	assert_true(ready(w, NULL));
	n = w->n_asked;
	advance(w, 3600 * NS_PER_S);
	assert_true(w->n_asked - n <= 1);
}

static void test_ends_in_the_middle(void **state)
{
	struct world *w = *state;
	w->mode = SILENT;
	start(w);
	assert_int_equal(w->n_asked, 1);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_first_by_token_then_by_session),
		TEST(test_short_leaves),
		TEST(test_lost_answer),
		TEST(test_silent_signer),
		TEST(test_refused_session),
		TEST(test_no_token),
		TEST(test_refused_elsewhere),
		TEST(test_answers_that_do_not_hold),
		TEST(test_skew),
		TEST(test_expiry_and_recovery),
		TEST(test_new_root),
		TEST(test_restored),
		TEST(test_wall_clock_jumps),
		TEST(test_ends_in_the_middle),
	};
	return cmocka_run_group_tests_name("identity", tests, NULL, NULL);
}

/*
 * Identity.Sign: who calls, how often it may, what key it has, then a leaf. Owns the limit and its
 * counters; made by main, its calls come from the gRPC server.
 */
#include "ctrlplane/ca/identity_service.h"

#include <stdio.h>

#include "ctrlplane/ca/issue_limit.h"
#include "ctrlplane/ca/refusal_log.h"
#include "lib/base/alloc.h"
#include "lib/base/err.h"
#include "weft/mesh/v1/identity.pb-c.h"

#define MAX_MESSAGE (CERT_CSR_BYTES + 1024)
#define MAX_IDENTITIES 65536
#define MAX_SKEW_S 60
#define ERR_TEXT 512

enum refused { REFUSED_CALLER, REFUSED_SOURCE, REFUSED_LIMIT, REFUSED_CSR, REFUSED_CA, REFUSALS };

static const char *const refusal_names[REFUSALS] = {
	[REFUSED_CALLER] = "caller",
	[REFUSED_SOURCE] = "source",
	[REFUSED_LIMIT] = "limit",
	[REFUSED_CSR] = "csr",
	[REFUSED_CA] = "ca",
};

/* Owned by main. */
struct identity_service {
	struct identity_service_config cfg;
	struct grpc_service service;
	struct grpc_method methods[1];
	struct issue_limit *limit;
	struct refusal_log refusals;
	struct metric_series *refused[REFUSALS];
};

/* One request while it is answered; on the stack. */
struct sign {
	struct identity_service *i;
	struct grpc_call *call;
	const Weft__Mesh__V1__SignRequest *request;
	struct attested who;
	struct str session;
	char err[ERR_TEXT];
};

/* --- refusals --- */

/* Attestation has logged its own. */
static void refuse(struct sign *s, enum refused why, enum grpc_status status)
{
	struct identity_service *i = s->i;
	uint64_t silent;
	metric_add(i->refused[why], 1);
	if (why != REFUSED_CALLER && why != REFUSED_SOURCE &&
		refusal_log_take(&i->refusals, loop_now(i->cfg.loop), &silent))
		log_at(i->cfg.log, LOG_WARN, "identity", "refused",
			LOG_Z("cause", refusal_names[why]), LOG_Z("reason", s->err),
			LOG_S("id", s->who.spiffe_id), LOG_S("ns", s->who.ns),
			LOG_S("pod", s->who.pod), LOG_U("not_logged", silent));
	grpc_call_finish(s->call, status, "%s", s->err);
}

static void refuse_caller(struct sign *s, enum grpc_status status)
{
	refuse(s, status == GRPC_UNAVAILABLE ? REFUSED_SOURCE : REFUSED_CALLER, status);
}

/*
 * By pod, so that one that asks without end takes nothing from others of its service account. Join
 * tokens apart: one that is spent is still a token of the pod, and whoever has found it must not
 * keep the pod itself from renewing.
 */
static bool within_limit(struct sign *s)
{
	struct identity_service *i = s->i;
	const struct attested *who = &s->who;
	struct str key = arena_printf(grpc_call_arena(s->call), "%.*s %.*s %.*s%s",
		STR_ARG(who->spiffe_id), STR_ARG(who->pod), STR_ARG(who->uid),
		who->how == ATTEST_JOIN_TOKEN ? " join" : "");
	uint64_t wait;
	if (issue_limit_take(i->limit, key, loop_now(i->cfg.loop), &wait))
		return true;
	snprintf(s->err, sizeof(s->err),
		"too many certificates for pod %.*s/%.*s: the next one in %llu ms",
		STR_ARG(who->ns), STR_ARG(who->pod),
		(unsigned long long)((wait + NS_PER_MS - 1) / NS_PER_MS));
	refuse(s, REFUSED_LIMIT, GRPC_RESOURCE_EXHAUSTED);
	return false;
}

static bool read_csr(struct sign *s, struct cert_csr **out)
{
	const ProtobufCBinaryData *b = &s->request->csr;
	int e = cert_csr_parse(str_make(b->data, b->len), out);
	if (e == 0)
		return true;
	if (e == ERR_LIMIT)
		snprintf(s->err, sizeof(s->err), "csr: larger than %d bytes", CERT_CSR_BYTES);
	else if (e == ERR_VERIFY)
		snprintf(s->err, sizeof(s->err),
			"csr: its self-signature does not hold, or its key is not P-256");
	else
		snprintf(s->err, sizeof(s->err), "csr: not a PKCS#10 request in PEM or DER");
	refuse(s, REFUSED_CSR, GRPC_INVALID_ARGUMENT);
	return false;
}

/* --- the answer --- */

static void compare_clocks(const struct sign *s, int64_t now)
{
	int64_t theirs = s->request->now;
	if (theirs == 0 || (theirs > now - MAX_SKEW_S && theirs < now + MAX_SKEW_S))
		return;
	log_at(s->i->cfg.log, LOG_WARN, "identity", "the clock of a pod differs from ours",
		LOG_S("ns", s->who.ns), LOG_S("pod", s->who.pod), LOG_I("pod_clock", theirs),
		LOG_I("our_clock", now));
}

static ProtobufCBinaryData bytes_of(struct str s)
{
	return (ProtobufCBinaryData){.len = s.n, .data = (uint8_t *)(uintptr_t)s.p};
}

static char *text_of(struct sign *s, struct str text)
{
	return arena_strdup(grpc_call_arena(s->call), text);
}

static void answer(struct sign *s, const struct cert_chain *chain)
{
	Weft__Mesh__V1__SignResponse r = WEFT__MESH__V1__SIGN_RESPONSE__INIT;
	Weft__Mesh__V1__TrustBundle own = WEFT__MESH__V1__TRUST_BUNDLE__INIT, *bundles[] = {&own};
	int64_t now = (int64_t)(loop_wall(s->i->cfg.loop) / NS_PER_S);
	own.trust_domain = text_of(s, cert_chain_leaf(chain)->id.trust_domain);
	own.roots = bytes_of(authority_roots(s->i->cfg.authority));
	r.chain = bytes_of(cert_chain_der(chain));
	r.n_bundles = 1;
	r.bundles = bundles;
	r.now = now;
	r.session = text_of(s, s->session);
	r.pod_namespace = text_of(s, s->who.ns);
	r.pod_name = text_of(s, s->who.pod);
	r.pod_uid = text_of(s, s->who.uid);
	compare_clocks(s, now);
	grpc_call_send(s->call, &r.base);
	mem_wipe(r.session, s->session.n);
	mem_wipe((void *)(uintptr_t)s->session.p, s->session.n);
	grpc_call_finish(s->call, GRPC_OK, NULL);
}

/* The token is spent for this key, and only then is there a leaf. */
static void issue(struct sign *s, const struct cert_csr *csr)
{
	uint8_t key[CERT_KEY_HASH];
	struct cert_chain *chain;
	cert_csr_key_hash(csr, key);
	enum grpc_status status =
		attest_redeem(s->i->cfg.attest, s->call, str_make(key, sizeof(key)),
			grpc_call_arena(s->call), &s->who, &s->session, s->err, sizeof(s->err));
	if (status != GRPC_OK) {
		refuse_caller(s, status);
		return;
	}
	int e = authority_issue(s->i->cfg.authority, csr, s->who.spiffe_id, s->who.uid, &chain,
		s->err, sizeof(s->err));
	if (e != 0) {
		refuse(s, REFUSED_CA,
			e == ERR_EXPIRED ? GRPC_UNAVAILABLE : GRPC_FAILED_PRECONDITION);
		return;
	}
	answer(s, chain);
	cert_chain_unref(&chain);
}

/* Nobody unknown, and nobody over the limit, makes us check a signature. */
static void sign(struct sign *s)
{
	struct cert_csr *csr;
	enum grpc_status status = attest_peek(s->i->cfg.attest, s->call, grpc_call_arena(s->call),
		&s->who, s->err, sizeof(s->err));
	if (status != GRPC_OK) {
		refuse_caller(s, status);
		return;
	}
	if (!within_limit(s) || !read_csr(s, &csr))
		return;
	issue(s, csr);
	cert_csr_free(&csr);
}

static void on_message(void *arg, struct grpc_call *c, struct str bytes)
{
	struct sign s = {.i = arg, .call = c};
	ProtobufCMessage *m = grpc_unpack(&weft__mesh__v1__sign_request__descriptor, bytes);
	if (m == NULL) {
		snprintf(s.err, sizeof(s.err), "malformed weft.mesh.v1.SignRequest");
		refuse(&s, REFUSED_CSR, GRPC_INVALID_ARGUMENT);
		return;
	}
	s.request = (const Weft__Mesh__V1__SignRequest *)m;
	sign(&s);
	protobuf_c_message_free_unpacked(m, NULL);
}

static void on_end(void *arg, struct grpc_call *c, const struct grpc_end *end)
{
	(void)arg, (void)c, (void)end;
}

static const struct grpc_call_events events = {.on_message = on_message, .on_end = on_end};

static void on_sign(void *arg, struct grpc_call *c)
{
	grpc_call_set_user(c, &events, arg);
}

/* --- life --- */

static void add_metrics(struct identity_service *i)
{
	static const char *const labels[] = {"reason", NULL};
	static const struct metric_def refused = {.name = "weft_ca_refused_total",
		.kind = METRIC_COUNTER,
		.help = "Requests for a certificate that were refused.",
		.labels = labels};
	struct metric *m = metrics_add(i->cfg.metrics, &refused);
	for (int k = 0; k < REFUSALS; k++) {
		struct str name = str_from(refusal_names[k]);
		i->refused[k] = metric_get(m, &name, 1);
		metric_hold(i->refused[k]);
	}
}

struct identity_service *identity_service_new(struct grpc_server *s,
	const struct identity_service_config *cfg)
{
	struct identity_service *i = MEM_NEW(struct identity_service);
	i->cfg = *cfg;
	i->methods[0] =
		(struct grpc_method){.name = "Sign", .start = on_sign, .max_message = MAX_MESSAGE};
	i->service = (struct grpc_service){
		.name = "weft.mesh.v1.Identity", .methods = i->methods, .n_methods = 1, .arg = i};
	i->limit = issue_limit_new(cfg->burst, cfg->per_minute, MAX_IDENTITIES);
	add_metrics(i);
	grpc_server_add(s, &i->service);
	return i;
}

void identity_service_free(struct identity_service **ip)
{
	struct identity_service *i = *ip;
	*ip = NULL;
	if (i == NULL)
		return;
	for (int k = 0; k < REFUSALS; k++)
		metric_release(i->refused[k]);
	issue_limit_free(&i->limit);
	loop_defer_free(i->cfg.loop, i, mem_free);
}

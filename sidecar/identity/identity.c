/*
 * Gets and renews the certificate of this pod, for as long as the sidecar lives: one attempt after
 * the other, each a call of Identity.Sign with a CSR. Owns leaf, keys and session; struct live
 * owns it.
 */
#include "sidecar/identity/identity_internal.h"

#include <stdio.h>

#include "certs/issue.h"
#include "lib/base/alloc.h"
#include "sidecar/identity/answer.h"
#include "sidecar/identity/token.h"

#define SKEW_S 60
#define REFUSED_NS (30 * NS_PER_S) /* between new sessions for one refused elsewhere */

static void free_secret(char **s)
{
	if (*s != NULL)
		mem_free_secret(*s, strlen(*s));
	*s = NULL;
}

static void count(struct identity *i, enum outcome outcome)
{
	if (i->outcomes[outcome] != NULL)
		metric_add(i->outcomes[outcome], 1);
}

static void start_attempt(struct identity *i);

/* -- how an attempt ends
 * -----------------------------------------------------------------------------------------
 */

static void plan(struct identity *i, uint64_t in_ns)
{
	loop_timer_at(&i->due, loop_now(i->cfg.loop) + schedule_look(&i->schedule, in_ns));
}

/* Says so at first, when the reason changes, and now and then. */
static void log_failure(struct identity *i, const char *text, uint64_t retry_ns)
{
	unsigned n = i->schedule.failures;
	bool news = strcmp(i->error, text) != 0;
	snprintf(i->error, sizeof(i->error), "%s", text);
	if (!news && (n & (n - 1)) != 0)
		return;
	log_at(i->cfg.log, LOG_WARN, "identity",
		i->chain != NULL ? "certificate not renewed" : "no certificate yet",
		LOG_Z("error", text), LOG_U("attempts", n), LOG_D("retry_ms", retry_ns),
		LOG_T("not_after", i->chain != NULL ? cert_chain_leaf(i->chain)->not_after : 0));
}

static void fail(struct identity *i, enum outcome outcome, const char *text)
{
	int64_t left =
		i->chain != NULL ? cert_chain_leaf(i->chain)->not_after - identity_wall_s(i) : 0;
	uint64_t retry = schedule_failed(&i->schedule, i->cfg.rng, i->cfg.loop, left);
	count(i, outcome);
	log_failure(i, text, retry);
	plan(i, retry);
}

/* The signer's clock beside ours: whoever reads of an expired certificate needs to know both. */
static void compare_clocks(struct identity *i, int64_t theirs)
{
	char own[CLOCK_TEXT], other[CLOCK_TEXT];
	int64_t ours = identity_wall_s(i);
	bool skewed = theirs > 0 && (theirs > ours ? theirs - ours : ours - theirs) > SKEW_S;
	if (skewed && !i->skewed) {
		clock_format((uint64_t)ours * NS_PER_S, own, sizeof(own));
		clock_format((uint64_t)theirs * NS_PER_S, other, sizeof(other));
		log_at(i->cfg.log, LOG_WARN, "identity",
			"the clocks of this pod and of the control plane differ",
			LOG_Z("own_clock", own), LOG_Z("control_plane_clock", other),
			LOG_I("ahead_seconds", ours - theirs));
	}
	i->skewed = skewed;
}

static bool take_session(struct identity *i, const char *session)
{
	if (session[0] == '\0' || (i->session != NULL && strcmp(i->session, session) == 0))
		return false;
	free_secret(&i->session);
	i->session = mem_strdup(session);
	i->distrust_session = false;
	return true;
}

/* A leaf that does not hang from the first root is renewed once for each change of the roots, and
 * not again: whoever signs may hang from another one for good. */
static void follow_roots(struct identity *i)
{
	struct str roots = str_make(i->roots, i->roots_n);
	i->recheck = i->call != NULL;
	if (!i->started || i->chain == NULL || i->call != NULL ||
		answer_hangs_from_first(i->chain, roots))
		return;
	uint64_t wait =
		schedule_soon(&i->schedule, i->cfg.rng, i->cfg.loop, schedule_spread(&i->schedule));
	log_at(i->cfg.log, LOG_INFO, "identity",
		"the first root is another one now; the certificate is renewed",
		LOG_D("renewal_in_ms", wait));
	plan(i, wait);
}

static void log_leaf(struct identity *i, uint64_t renew_ns)
{
	const struct cert_leaf *leaf = cert_chain_leaf(i->chain);
	static const char *const proofs[] = {"session", "token", "socket"};
	log_at(i->cfg.log, LOG_INFO, "identity", "certificate issued",
		LOG_S("identity", leaf->id.id), LOG_S("serial", leaf->serial),
		LOG_T("not_after", leaf->not_after), LOG_S("pod_uid", leaf->pod_uid),
		LOG_Z("proof", proofs[i->proof]), LOG_D("renewal_in_ms", renew_ns));
}

/* Takes chain. */
static void succeed(struct identity *i, struct cert_chain *chain, int64_t signed_at)
{
	cert_chain_unref(&i->chain);
	cert_key_unref(&i->key);
	i->chain = chain;
	i->key = i->asked;
	i->asked = NULL;
	i->error[0] = '\0';
	i->renewals++;
	if (i->proof == PROOF_SESSION)
		i->distrust_session = false;
	uint64_t renew = schedule_issued(&i->schedule, i->cfg.rng, i->cfg.loop,
		cert_chain_leaf(chain), signed_at);
	count(i, ISSUED);
	log_leaf(i, renew);
	plan(i, renew);
	if (i->recheck)
		follow_roots(i);
	i->cfg.changed(i->cfg.arg);
}

static void on_signed(struct identity *i, const Weft__Mesh__V1__SignResponse *a)
{
	struct answer_expect expect = {.key = i->asked,
		.trust_domain = i->cfg.trust_domain(i->cfg.arg),
		.pod_uid = str_from(i->pod_uid),
		.roots = str_make(i->roots, i->roots_n),
		.now = identity_wall_s(i)};
	struct cert_chain *chain;
	char why[256], text[512];
	bool ours;
	int e = answer_check(a, &expect, &chain, &ours, why, sizeof(why));
	compare_clocks(i, a->now);
	bool news = ours && take_session(i, a->session);
	if (e == 0) {
		succeed(i, chain, a->now);
		return;
	}
	snprintf(text, sizeof(text), "the control plane's answer was refused: %s%s", why,
		i->skewed ? " (the clocks differ: see the log)" : "");
	fail(i, REJECTED, text);
	if (news)
		i->cfg.changed(i->cfg.arg);
}

/* The session was refused and there is a token: the same attempt goes on with that. */
static bool falls_back(struct identity *i, const struct grpc_end *end)
{
	if (end->local || end->status != GRPC_UNAUTHENTICATED || i->proof != PROOF_SESSION)
		return false;
	i->distrust_session = true;
	start_attempt(i);
	return true;
}

static void on_refused(struct identity *i, const struct grpc_end *end)
{
	struct str failure = grpc_channel_failure(i->cfg.channel);
	char text[sizeof(i->error)];
	if (end->local) {
		bool more = failure.n > 0 && !str_eq(failure, end->message);
		snprintf(text, sizeof(text), "the control plane was not reached: %.*s%s%.*s%s",
			STR_ARG(end->message), more ? " (" : "", more ? (int)failure.n : 0,
			more ? failure.p : "", more ? ")" : "");
		fail(i, UNREACHABLE, text);
		return;
	}
	/* Other replicas may know the session all the same. */
	if (end->status == GRPC_UNAUTHENTICATED)
		i->distrust_session = false;
	int n = snprintf(text, sizeof(text), "the control plane refused: %s: %.*s",
		grpc_status_name(end->status), STR_ARG(end->message));
	size_t at = n > 0 && (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1;
	if (end->status == GRPC_UNAUTHENTICATED && i->proof == PROOF_TOKEN)
		snprintf(text + at, sizeof(text) - at,
			"; the token in %s does not hold: put a new one of `weft token create "
			"NAMESPACE/POD` there",
			i->token_file);
	else if (end->status == GRPC_UNAUTHENTICATED)
		snprintf(text + at, sizeof(text) - at,
			"; %s: put a token of `weft token create NAMESPACE/POD` there",
			i->token_error);
	fail(i, REFUSED, text);
}

static void on_answer(void *arg, const struct grpc_end *end, const ProtobufCMessage *answer)
{
	struct identity *i = identity_check(arg);
	i->call = NULL;
	if (answer != NULL)
		on_signed(i, (const Weft__Mesh__V1__SignResponse *)(const void *)answer);
	else if (!falls_back(i, end))
		on_refused(i, end);
}

/* -- an attempt
 * ---------------------------------------------------------------------------------------------------
 */

struct str identity_read_token(struct identity *i)
{
	free_secret(&i->token);
	i->token_error[0] = '\0';
	(void)token_read(i->token_file, &i->token, i->token_error, sizeof(i->token_error));
	return str_from(i->token);
}

/* Session first; where there is none, or it was refused, the token of now. Without either only the
 * socket itself can say who calls. */
static struct str choose_proof(struct identity *i)
{
	if (i->session != NULL && !i->distrust_session) {
		i->proof = PROOF_SESSION;
		return str_from(i->session);
	}
	struct str token = identity_read_token(i);
	i->proof = token.n > 0 ? PROOF_TOKEN : PROOF_NONE;
	return token;
}

/* What the CSR asks for is not looked at; but one without any name would be an odd one. */
static char *make_csr(struct identity *i)
{
	char domain[SPIFFE_TD_MAX + 16];
	struct str td = i->cfg.trust_domain(i->cfg.arg);
	if (i->chain != NULL)
		return cert_csr_build(i->asked, cert_chain_leaf(i->chain)->id.id);
	snprintf(domain, sizeof(domain), "spiffe://%.*s",
		td.n > 0 && td.n <= SPIFFE_TD_MAX ? (int)td.n : 8,
		td.n > 0 && td.n <= SPIFFE_TD_MAX ? td.p : "workload");
	return cert_csr_build(i->asked, str_from(domain));
}

static void ask(struct identity *i, struct str credential)
{
	Weft__Mesh__V1__SignRequest request = WEFT__MESH__V1__SIGN_REQUEST__INIT;
	char *csr = make_csr(i), *bearer = mem_printf("Bearer %.*s", STR_ARG(credential));
	struct grpc_metadatum auth = {
		.name = STR("authorization"), .value = str_from(bearer), .secret = true};
	struct grpc_call_config cfg = {.path = "/weft.mesh.v1.Identity/Sign",
		.metadata = &auth,
		.n_metadata = credential.n > 0,
		.timeout_ns = schedule_timeout(i->chain != NULL
				? cert_chain_leaf(i->chain)->not_after - identity_wall_s(i)
				: 0)};
	request.csr = (ProtobufCBinaryData){.len = strlen(csr), .data = (uint8_t *)csr};
	request.now = identity_wall_s(i);
	i->call = grpc_channel_unary(i->cfg.channel, &cfg, &request.base,
		&weft__mesh__v1__sign_response__descriptor, on_answer, i);
	mem_free_secret(bearer, strlen(bearer));
	mem_free(csr);
}

/*
 * A token is spent by the first key that it comes with, and the answer may be lost: the key stays
 * until an answer was accepted. Each certificate after that has a key of its own.
 */
static void start_attempt(struct identity *i)
{
	loop_timer_stop(&i->due);
	if (i->asked == NULL)
		i->asked = cert_key_generate();
	ask(i, choose_proof(i));
}

/* The timer is never set further than the schedule wants to look at the clocks. */
static void on_due(void *arg)
{
	struct identity *i = identity_check(arg);
	uint64_t wait = schedule_due(&i->schedule, i->cfg.rng, i->cfg.loop,
		i->chain != NULL ? cert_chain_leaf(i->chain)->not_after : 0);
	if (wait > 0) {
		plan(i, wait);
		return;
	}
	start_attempt(i);
}

/* -- what others tell
 * ---------------------------------------------------------------------------------------------
 */

void identity_kick(struct identity *i)
{
	if (!i->started || i->call != NULL || i->schedule.failures == 0)
		return;
	plan(i, schedule_soon(&i->schedule, i->cfg.rng, i->cfg.loop, SCHEDULE_KICK_NS));
}

void identity_refused(struct identity *i)
{
	uint64_t now = loop_now(i->cfg.loop);
	bool again = i->refused_at != 0 && now - i->refused_at < REFUSED_NS;
	if (!i->started || i->call != NULL || i->schedule.failures > 0 || again)
		return;
	i->refused_at = now;
	i->distrust_session = true;
	fail(i, REFUSED, "the control plane does not know this pod's session any more");
}

void identity_roots(struct identity *i, struct str roots_der)
{
	if (str_eq(str_make(i->roots, i->roots_n), roots_der))
		return;
	mem_free(i->roots);
	i->roots = mem_alloc(roots_der.n + 1);
	memcpy(i->roots, roots_der.p, roots_der.n);
	i->roots_n = roots_der.n;
	follow_roots(i);
}

/* -- life
 * --------------------------------------------------------------------------------------------------------
 */

static void add_metrics(struct identity *i, struct metrics *m)
{
	static const char *const labels[] = {"result", NULL};
	static const char *const names[OUTCOMES] = {"issued", "refused", "unreachable", "rejected"};
	static const struct metric_def outcomes = {.name = "weft_identity_renewals_total",
		.kind = METRIC_COUNTER,
		.help = "Attempts to get a certificate, by result: issued, refused, unreachable, "
			"rejected (an answer that does not hold).",
		.labels = labels};
	struct metric *family = metrics_add(m, &outcomes);
	for (int k = 0; k < OUTCOMES; k++) {
		struct str name = str_from(names[k]);
		i->outcomes[k] = metric_get(family, &name, 1);
		metric_hold(i->outcomes[k]);
	}
}

struct identity *identity_new(const struct identity_config *cfg)
{
	struct identity *i = MEM_NEW(struct identity);
	i->obj.magic = IDENTITY_MAGIC;
	i->cfg = *cfg;
	i->token_file = mem_strdup(cfg->token_file != NULL ? cfg->token_file : "");
	i->pod_uid = mem_strndup(cfg->pod_uid.n > 0 ? cfg->pod_uid.p : "", cfg->pod_uid.n);
	loop_timer_init(&i->due, cfg->loop, on_due, i);
	if (cfg->metrics != NULL)
		add_metrics(i, cfg->metrics);
	return i;
}

void identity_restore(struct identity *i, struct cert_chain *chain, struct cert_key *key,
	struct str session)
{
	ASSERT(!i->started && i->chain == NULL);
	if (chain != NULL && key != NULL) {
		i->chain = cert_chain_ref(chain);
		i->key = cert_key_ref(key);
	}
	if (session.n > 0)
		i->session = mem_strndup(session.p, session.n);
}

void identity_start(struct identity *i)
{
	uint64_t wait = 0;
	ASSERT(!i->started);
	i->started = true;
	if (i->chain != NULL)
		wait = schedule_restored(&i->schedule, i->cfg.rng, i->cfg.loop,
			cert_chain_leaf(i->chain));
	plan(i, wait);
	if (i->roots != NULL)
		follow_roots(i);
}

static void identity_release(void *p)
{
	struct identity *i = identity_check(p);
	cert_chain_unref(&i->chain);
	cert_key_unref(&i->key);
	cert_key_unref(&i->asked);
	free_secret(&i->session);
	free_secret(&i->token);
	mem_free(i->token_file);
	mem_free(i->pod_uid);
	mem_free(i->roots);
	mem_free(i);
}

void identity_free(struct identity **ip)
{
	struct identity *i = *ip;
	if (i == NULL)
		return;
	*ip = NULL;
	loop_timer_stop(&i->due);
	for (int k = 0; k < OUTCOMES; k++)
		if (i->outcomes[k] != NULL)
			metric_release(i->outcomes[k]);
	grpc_call_drop(&i->call);
	loop_defer_free(i->cfg.loop, i, identity_release);
}

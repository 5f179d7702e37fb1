/*
 * Who calls: a credential or a Unix uid becomes a pod of the source, or a status with its cause.
 * Owns the credentials; made by main, asked by Identity and Discovery.
 */
#include "ctrlplane/ca/attest.h"

#include <stdarg.h>
#include <stdio.h>

#include "ctrlplane/ca/credentials.h"
#include "ctrlplane/ca/refusal_log.h"
#include "lib/base/alloc.h"
#include "lib/base/err.h"

/* An expired token is remembered a while, so that its bearer hears what is wrong with it. */
#define FORGET_S 3600
#define LIFETIME_MAX_NS (30 * 86400 * NS_PER_S)

_Static_assert(ATTEST_KEY_HASH == CERT_KEY_HASH, "a join token is spent for the key of a CSR");

/* Owned by main. */
struct attest {
	struct loop *loop;
	struct log *log;
	struct store *store;
	struct credentials *credentials;
	struct store_listener listener;
	struct refusal_log refusals;
	uint64_t redeemed, refused;
};

/* One question; on the stack. */
struct question {
	struct attest *a;
	const struct grpc_call *call;
	struct arena *arena;
	struct attested *out;
	char *err;
	size_t size;
};

static int64_t now_s(const struct attest *a)
{
	return (int64_t)(loop_wall(a->loop) / NS_PER_S);
}

static void log_refusal(const struct question *q, enum grpc_status status)
{
	struct attest *a = q->a;
	struct io_info info = {0};
	char peer[ADDR_TEXT];
	uint64_t silent;
	a->refused++;
	if (!refusal_log_take(&a->refusals, loop_now(a->loop), &silent))
		return;
	grpc_call_info(q->call, &info);
	log_at(a->log, LOG_WARN, "attest", "refused", LOG_Z("status", grpc_status_name(status)),
		LOG_Z("reason", q->err), LOG_Z("peer", addr_format(&info.peer, peer)),
		LOG_U("not_logged", silent));
}

/* The text may go to the caller: it never has the token in it. */
__attribute__((format(printf, 3, 4))) static enum grpc_status refuse(const struct question *q,
	enum grpc_status status, const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	vsnprintf(q->err, q->size, fmt, args);
	va_end(args);
	log_refusal(q, status);
	return status;
}

/* --- pods --- */

static enum grpc_status answer(const struct question *q, enum attest_how how,
	const struct kube_pod *pod)
{
	char id[SPIFFE_ID_MAX + 1];
	const struct world *w = catalog_world(store_catalog(q->a->store));
	if (compile_identity(w, pod, id, sizeof(id)) != 0)
		return refuse(q, GRPC_PERMISSION_DENIED,
			"pod %.*s/%.*s: its namespace and service account make no SPIFFE ID",
			STR_ARG(pod->meta.ns), STR_ARG(pod->meta.name));
	*q->out = (struct attested){.how = how,
		.ns = arena_str(q->arena, pod->meta.ns),
		.pod = arena_str(q->arena, pod->meta.name),
		.uid = arena_str(q->arena, pod->meta.uid),
		.spiffe_id = arena_str(q->arena, str_from(id))};
	return GRPC_OK;
}

/* The pod that a credential is bound to, as the source has it now. */
static enum grpc_status answer_bound(const struct question *q, const struct credential *one)
{
	const struct kube_pod *pod =
		catalog_pod(store_catalog(q->a->store), str_from(one->ns), str_from(one->pod));
	if (pod == NULL)
		return refuse(q, GRPC_PERMISSION_DENIED,
			"pod %s/%s is not a meshed pod of the source (any more)", one->ns,
			one->pod);
	if (!str_eq(pod->meta.uid, str_from(one->uid)))
		return refuse(q, GRPC_PERMISSION_DENIED,
			"pod %s/%s has another UID now: the credential was for an earlier pod",
			one->ns, one->pod);
	enum grpc_status status = answer(q, one->session ? ATTEST_SESSION : ATTEST_JOIN_TOKEN, pod);
	if (status == GRPC_OK && !one->session &&
		!str_eq(q->out->spiffe_id, str_from(one->spiffe_id)))
		return refuse(q, GRPC_PERMISSION_DENIED,
			"pod %s/%s has another service account now: the join token was for %s",
			one->ns, one->pod, one->spiffe_id);
	return status;
}

static enum grpc_status by_session(const struct question *q, struct str bearer)
{
	const struct credential *one = credential_has_form(bearer, CREDENTIAL_SESSION)
		? credentials_find(q->a->credentials, bearer)
		: NULL;
	if (one == NULL || !one->session)
		return refuse(q, GRPC_UNAUTHENTICATED, "unknown session credential");
	return answer_bound(q, one);
}

static enum grpc_status by_unix_uid(const struct question *q, uint32_t uid)
{
	const struct kube_pod *pod = catalog_pod_by_unix_uid(store_catalog(q->a->store), uid);
	if (pod == NULL)
		return refuse(q, GRPC_UNAUTHENTICATED,
			"Unix user %u is not that of exactly one meshed pod (annotation "
			"mesh.weft.dev/unix-uid)",
			uid);
	return answer(q, ATTEST_UNIX_UID, pod);
}

static enum grpc_status by_anything_but_join(const struct question *q, struct str bearer)
{
	struct io_info info = {0};
	if (bearer.n > 0)
		return by_session(q, bearer);
	if (http_fields_has(grpc_call_metadata(q->call), STR("authorization")))
		return refuse(q, GRPC_UNAUTHENTICATED,
			"malformed authorization: expected one \"Bearer CREDENTIAL\"");
	grpc_call_info(q->call, &info);
	if (info.unix_uid_known)
		return by_unix_uid(q, info.unix_uid);
	return refuse(q, GRPC_UNAUTHENTICATED,
		"no credential: send \"authorization: Bearer CREDENTIAL\"");
}

static enum grpc_status not_complete(const struct question *q)
{
	return refuse(q, GRPC_UNAVAILABLE,
		"the source could not be read completely yet, so nobody is known");
}

enum grpc_status attest_call(struct attest *a, const struct grpc_call *c, struct arena *arena,
	struct attested *out, char *err, size_t size)
{
	const struct question q = {a, c, arena, out, err, size};
	struct str bearer = grpc_call_bearer(c);
	if (store_catalog(a->store) == NULL)
		return not_complete(&q);
	if (credential_has_form(bearer, CREDENTIAL_JOIN))
		return refuse(&q, GRPC_UNAUTHENTICATED,
			"a join token is for Identity.Sign alone, which gives a session credential");
	return by_anything_but_join(&q, bearer);
}

/* --- join tokens --- */

/* The token and its pod; key NULL: whether it is spent is not asked. */
static enum grpc_status judge_token(const struct question *q, struct str bearer, const uint8_t *key,
	struct credential **out)
{
	struct credential *one = credentials_find(q->a->credentials, bearer);
	int64_t now = now_s(q->a);
	if (one == NULL || one->session)
		return refuse(q, GRPC_UNAUTHENTICATED,
			"unknown join token: never made here, or long expired");
	if (one->spent_at == 0 && now >= one->expires_at)
		return refuse(q, GRPC_UNAUTHENTICATED, "the join token of pod %s/%s has expired",
			one->ns, one->pod);
	if (one->spent_at != 0 && key != NULL && !crypto_equal(one->key, key, CERT_KEY_HASH))
		return refuse(q, GRPC_UNAUTHENTICATED,
			"the join token of pod %s/%s is spent: another key came with it before",
			one->ns, one->pod);
	if (one->spent_at != 0 && now - one->spent_at >= ATTEST_AGAIN_S)
		return refuse(q, GRPC_UNAUTHENTICATED, "the join token of pod %s/%s is spent",
			one->ns, one->pod);
	*out = one;
	return answer_bound(q, one);
}

/* The session that is given for it. On disk, or nothing has changed. */
static enum grpc_status spend(const struct question *q, struct credential *token,
	const uint8_t *key, struct str *session)
{
	struct credentials *all = q->a->credentials;
	struct credential *oldest = credentials_oldest(all, q->out->ns, q->out->pod);
	int64_t spent_before = token->spent_at;
	char text[CREDENTIAL_SIZE], why[256];
	struct credential *fresh = credentials_add(all, true, q->out->ns, q->out->pod, q->out->uid,
		q->out->spiffe_id, text);
	if (fresh == NULL)
		return refuse(q, GRPC_UNAVAILABLE, "too many sessions: %d",
			CREDENTIALS_SESSIONS_MAX);
	if (oldest != NULL)
		oldest->going = true;
	if (spent_before == 0) {
		token->spent_at = now_s(q->a);
		memcpy(token->key, key, CERT_KEY_HASH);
	}
	if (credentials_save(all, why, sizeof(why)) == 0) {
		if (oldest != NULL)
			credentials_remove(all, oldest);
		*session = arena_str(q->arena, str_from(text));
		mem_wipe(text, sizeof(text));
		return GRPC_OK;
	}
	if (oldest != NULL)
		oldest->going = false;
	token->spent_at = spent_before;
	credentials_remove(all, fresh);
	mem_wipe(text, sizeof(text));
	return refuse(q, GRPC_UNAVAILABLE, "the token cannot be put down as spent: %s", why);
}

enum grpc_status attest_peek(struct attest *a, const struct grpc_call *c, struct arena *arena,
	struct attested *out, char *err, size_t size)
{
	const struct question q = {a, c, arena, out, err, size};
	struct str bearer = grpc_call_bearer(c);
	struct credential *token;
	if (store_catalog(a->store) == NULL)
		return not_complete(&q);
	if (credential_has_form(bearer, CREDENTIAL_JOIN))
		return judge_token(&q, bearer, NULL, &token);
	return by_anything_but_join(&q, bearer);
}

enum grpc_status attest_redeem(struct attest *a, const struct grpc_call *c, struct str key_hash,
	struct arena *arena, struct attested *out, struct str *session, char *err, size_t size)
{
	const struct question q = {a, c, arena, out, err, size};
	struct str bearer = grpc_call_bearer(c);
	const uint8_t *key = (const uint8_t *)key_hash.p;
	struct credential *token;
	*session = STR_NULL;
	if (store_catalog(a->store) == NULL)
		return not_complete(&q);
	if (!credential_has_form(bearer, CREDENTIAL_JOIN))
		return by_anything_but_join(&q, bearer);
	ASSERT(key_hash.n == CERT_KEY_HASH);
	enum grpc_status status = judge_token(&q, bearer, key, &token);
	if (status != GRPC_OK)
		return status;
	status = spend(&q, token, key, session);
	if (status != GRPC_OK)
		return status;
	a->redeemed++;
	log_at(a->log, LOG_INFO, "attest", "a join token was redeemed", LOG_S("ns", out->ns),
		LOG_S("pod", out->pod), LOG_S("pod_uid", out->uid), LOG_S("id", out->spiffe_id));
	return GRPC_OK;
}

/* --- making and forgetting --- */

static int no_token(const struct store *s, struct str ns, struct str pod, char *err, size_t size)
{
	if (store_catalog(s) == NULL) {
		snprintf(err, size, "the source could not be read completely yet");
		return ERR_AGAIN;
	}
	snprintf(err, size,
		"%.*s/%.*s: no meshed pod of that name in the source (its spec has a container "
		"weft-sidecar, it is not on the host's network and has not finished)",
		STR_ARG(ns), STR_ARG(pod));
	return ERR_NOTFOUND;
}

/* 0 with the pod and its identity, or why there is no token for it. */
static int judge_pod(const struct attest *a, struct str ns, struct str pod,
	const struct kube_pod **out, char id[SPIFFE_ID_MAX + 1], char *err, size_t size)
{
	struct catalog *catalog = store_catalog(a->store);
	const struct kube_pod *found = catalog != NULL ? catalog_pod(catalog, ns, pod) : NULL;
	if (found == NULL)
		return no_token(a->store, ns, pod, err, size);
	*out = found;
	if (compile_identity(catalog_world(catalog), found, id, SPIFFE_ID_MAX + 1) == 0 &&
		(found->meta.uid.n == 0 || cert_uid_valid(found->meta.uid)))
		return 0;
	snprintf(err, size, "%.*s/%.*s: its namespace, service account and UID make no identity",
		STR_ARG(ns), STR_ARG(pod));
	return ERR_INVAL;
}

/* It will never be taken again, and nobody needs to be told why. */
static bool is_over(const struct credential *one, int64_t now)
{
	int64_t last = one->spent_at != 0 && one->spent_at + ATTEST_AGAIN_S > one->expires_at
		? one->spent_at + ATTEST_AGAIN_S
		: one->expires_at;
	return !one->session && now >= last + FORGET_S;
}

static void forget_old(struct attest *a)
{
	int64_t now = now_s(a);
	LIST_EACH(&a->credentials->joins, node)
	{
		struct credential *one = CONTAINER_OF(node, struct credential, node);
		if (is_over(one, now))
			credentials_remove(a->credentials, one);
	}
}

int attest_create_token(struct attest *a, struct str ns, struct str pod, uint64_t lifetime_ns,
	char **token, char *err, size_t size)
{
	const struct kube_pod *found;
	char id[SPIFFE_ID_MAX + 1], text[CREDENTIAL_SIZE];
	if (lifetime_ns < NS_PER_S || lifetime_ns > LIFETIME_MAX_NS) {
		snprintf(err, size, "a join token lives for 1 second to 30 days");
		return ERR_INVAL;
	}
	int e = judge_pod(a, ns, pod, &found, id, err, size);
	if (e != 0)
		return e;
	forget_old(a);
	struct credential *one = credentials_add(a->credentials, false, found->meta.ns,
		found->meta.name, found->meta.uid, str_from(id), text);
	if (one == NULL) {
		snprintf(err, size, "%d join tokens are about already", CREDENTIALS_JOIN_MAX);
		return ERR_LIMIT;
	}
	one->expires_at = now_s(a) + (int64_t)(lifetime_ns / NS_PER_S);
	e = credentials_save(a->credentials, err, size);
	if (e == 0) {
		*token = mem_strdup(text);
		log_at(a->log, LOG_INFO, "attest", "a join token was made", LOG_S("ns", ns),
			LOG_S("pod", pod), LOG_Z("id", id), LOG_T("expires_at", one->expires_at));
	} else {
		credentials_remove(a->credentials, one);
	}
	mem_wipe(text, sizeof(text));
	return e;
}

/* The catalog is of a source that was read completely: who is not in it was deleted. */
static bool is_gone(const struct world *w, const struct credential *one)
{
	const struct kube_pod *pod = world_pod(w, str_from(one->ns), str_from(one->pod));
	return pod == NULL || !str_eq(pod->meta.uid, str_from(one->uid));
}

static size_t drop_gone(struct attest *a, const struct world *w, const struct list *l)
{
	size_t n = 0;
	LIST_EACH(l, node)
	{
		struct credential *one = CONTAINER_OF(node, struct credential, node);
		if (!is_gone(w, one))
			continue;
		credentials_remove(a->credentials, one);
		n++;
	}
	return n;
}

static void on_store(void *arg)
{
	struct attest *a = arg;
	char err[256] = "";
	struct catalog *catalog = store_catalog(a->store);
	if (catalog == NULL)
		return;
	const struct world *w = catalog_world(catalog);
	size_t joins = drop_gone(a, w, &a->credentials->joins);
	size_t sessions = drop_gone(a, w, &a->credentials->sessions);
	if (joins + sessions == 0)
		return;
	/* A failure does no harm: after a restart the same are dropped again. */
	if (credentials_save(a->credentials, err, sizeof(err)) != 0)
		log_at(a->log, LOG_ERROR, "attest", "the tokens could not be written",
			LOG_Z("error", err));
	log_at(a->log, LOG_INFO, "attest", "credentials of pods that are gone were dropped",
		LOG_U("join_tokens", joins), LOG_U("sessions", sessions));
}

/* --- life --- */

int attest_new(struct loop *loop, struct log *log, struct store *store, const char *file,
	struct attest **out, char *err, size_t size)
{
	struct credentials *credentials;
	int e = credentials_open(file, &credentials, err, size);
	if (e != 0)
		return e;
	struct attest *a = MEM_NEW(struct attest);
	a->loop = loop;
	a->log = log;
	a->store = store;
	a->credentials = credentials;
	a->listener.fn = on_store;
	a->listener.arg = a;
	store_listen(store, &a->listener);
	on_store(a);
	*out = a;
	return 0;
}

void attest_free(struct attest **ap)
{
	struct attest *a = *ap;
	*ap = NULL;
	if (a == NULL)
		return;
	store_unlisten(&a->listener);
	credentials_close(&a->credentials);
	loop_defer_free(a->loop, a, mem_free);
}

void attest_describe(const struct attest *a, struct json *j)
{
	size_t waiting = 0;
	int64_t now = now_s(a);
	LIST_EACH(&a->credentials->joins, node)
	{
		const struct credential *one = CONTAINER_OF(node, struct credential, node);
		waiting += one->spent_at == 0 && now < one->expires_at;
	}
	json_key_u64(j, "join_tokens", waiting);
	json_key_u64(j, "sessions", a->credentials->n_sessions);
	json_key_u64(j, "redeemed", a->redeemed);
	json_key_u64(j, "refused", a->refused);
}

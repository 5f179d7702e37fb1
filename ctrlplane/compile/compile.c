/*
 * Puts the state of one pod together: which resources it must have and which it may use. Pure,
 * owns nothing; called once per pod and reading of the source.
 */
#include "ctrlplane/compile/compile.h"

#include <stdio.h>

#include "ctrlplane/compile/emit.h"
#include "lib/base/err.h"

int compile_identity(const struct world *w, const struct kube_pod *pod, char *dst, size_t size)
{
	return spiffe_format(dst, size, world_trust_domain(w), pod->meta.ns, pod->service_account);
}

/* -- what stands in the way ---------------------------------------------------------------------
 */

static const char *why_not(const struct kube_pod *pod)
{
	if (!pod->meshed)
		return "has no container named " SIDECAR_CONTAINER ": it is not meshed";
	if (pod->host_network)
		return "is on the host's network: its traffic is not captured, so it cannot be "
		       "meshed";
	if (pod->finished)
		return "has finished";
	if (pod->n_addrs == 0)
		return "has no address of its own: see its status.podIP, and the warnings";
	return NULL;
}

int compile_pod(const struct world *w, struct str ns, struct str name, const struct kube_pod **out,
	char *err, size_t size)
{
	char id[SPIFFE_ID_MAX + 1];
	const struct kube_pod *pod = *out = world_pod(w, ns, name);
	if (pod == NULL) {
		snprintf(err, size, "Pod %.*s/%.*s: not found in what was read", STR_ARG(ns),
			STR_ARG(name));
		return ERR_NOTFOUND;
	}
	const char *why = why_not(pod);
	if (why == NULL && compile_identity(w, pod, id, sizeof(id)) != 0)
		why = "its namespace and service account make no SPIFFE ID";
	if (why == NULL)
		return 0;
	snprintf(err, size, "%.*s:%u: Pod %.*s/%.*s: %s", STR_ARG(pod->meta.file), pod->meta.line,
		STR_ARG(ns), STR_ARG(name), why);
	return ERR_INVAL;
}

static int check(const struct world *w, const struct compile_in *in, const struct kube_pod **out,
	char *err, size_t size)
{
	int failed = compile_pod(w, in->ns, in->pod, out, err, size);
	if (failed != 0)
		return failed;
	for (size_t i = 0; i < in->n_bundles; i++)
		if (str_eq(in->bundles[i].trust_domain, world_trust_domain(w)))
			return 0;
	snprintf(err, size, "no bundle of the mesh's own trust domain, %.*s",
		STR_ARG(world_trust_domain(w)));
	return ERR_INVAL;
}

/* -- the state -------------------------------------------------------------------------------- */

static void put_required(struct emitter *e, const struct compile_in *in, const struct kube_pod *pod,
	Weft__Mesh__V1__State *st)
{
	const struct world *w = e->w;
	size_t room = 3 + in->n_bundles + w->authz.n;
	st->required = arena_alloc(e->a, room * sizeof(*st->required));
	st->required[st->n_required++] = emit_workload(e, pod);
	st->required[st->n_required++] = emit_mesh(e);
	for (size_t i = 0; i < in->n_bundles; i++)
		st->required[st->n_required++] = emit_bundle(e, &in->bundles[i]);
	for (size_t i = 0; i < w->authz.n; i++) {
		const struct authz *policy = w->authz.v[i];
		if (scope_selects(&policy->scope, pod))
			st->required[st->n_required++] = emit_policy(e, policy);
	}
	st->required[st->n_required++] = emit_revocations(e, in->revoked, in->n_revoked);
}

static void put_used(struct emitter *e, Weft__Mesh__V1__State *st)
{
	const struct world *w = e->w;
	st->used = arena_alloc(e->a, (w->services.n + w->pods.n) * sizeof(*st->used));
	for (size_t i = 0; i < w->services.n; i++)
		st->used[st->n_used++] = emit_service(e, w->services.v[i]);
	for (size_t i = 0; i < w->pods.n; i++)
		if (pod_is_callable(w->pods.v[i]))
			st->used[st->n_used++] = emit_pod(e, w->pods.v[i]);
}

int compile_state(const struct world *w, const struct compile_in *in, struct arena *a,
	Weft__Mesh__V1__State **out, char *err, size_t size)
{
	const struct kube_pod *pod;
	struct emitter e = {.w = w, .a = a};
	*out = NULL;
	int failed = check(w, in, &pod, err, size);
	if (failed != 0)
		return failed;
	Weft__Mesh__V1__State *st = ARENA_NEW(a, Weft__Mesh__V1__State);
	weft__mesh__v1__state__init(st);
	st->format = COMPILE_STATE_FORMAT;
	st->trust_domain = arena_strdup(a, world_trust_domain(w));
	st->pod_uid = arena_strdup(a, pod->meta.uid);
	st->written_at = in->now;
	put_required(&e, in, pod, st);
	put_used(&e, st);
	*out = st;
	return 0;
}

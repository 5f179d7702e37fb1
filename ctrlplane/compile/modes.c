/*
 * Which PeerAuthentication holds for a pod and its ports: the narrowest scope first, within one
 * scope the oldest, and STRICT where nothing is said or what was said is broken. Called by
 * world_join.
 */
#include "ctrlplane/compile/world_internal.h"

#define STRICT WEFT__MESH__V1__MTLS_MODE__MTLS_MODE_STRICT
#define UNSET WEFT__MESH__V1__MTLS_MODE__MTLS_MODE_UNSPECIFIED

enum scope_kind { SCOPE_MESH, SCOPE_NAMESPACE, SCOPE_WORKLOAD, SCOPES };

/* What holds for one pod. */
struct chosen {
	struct peer_auth *of[SCOPES];
	bool broken;
};

static bool is_older(const struct peer_auth *a, const struct peer_auth *b)
{
	int c = str_order(a->meta.created, b->meta.created);
	return c != 0 ? c < 0 : object_order(&a->meta, &b->meta) < 0;
}

static void shadow(struct world *w, struct peer_auth *loser, const struct peer_auth *winner)
{
	if (loser->shadowed)
		return;
	loser->shadowed = true;
	world_tell(w, PROBLEM_WARNING, &loser->meta, "",
		"%.*s is of the same scope and older (or first by name): it holds in this one's place",
		STR_ARG(object_title(&w->arena, &winner->meta)));
}

static void consider(struct world *w, struct chosen *c, enum scope_kind kind, struct peer_auth *pa)
{
	struct peer_auth *now = c->of[kind];
	if (pa->broken) {
		c->broken = true;
		return;
	}
	if (now == NULL || is_older(pa, now)) {
		c->of[kind] = pa;
		if (now != NULL)
			shadow(w, now, pa);
	} else {
		shadow(w, pa, now);
	}
}

/* A selector in the root namespace means the pods there; without one, every pod of the mesh. */
static void consider_namespace(struct world *w, struct chosen *c, struct str ns,
	const struct kube_pod *pod)
{
	size_t from, to;
	bool root = str_eq(ns, STR(ROOT_NAMESPACE)), own = str_eq(ns, pod->meta.ns);
	list_range(&w->peer_auths, ns, &from, &to);
	for (; from < to; from++) {
		struct peer_auth *pa = w->peer_auths.v[from];
		if (pa->scope.selector.n == 0)
			consider(w, c, root ? SCOPE_MESH : SCOPE_NAMESPACE, pa);
		else if (own && labels_match(&pa->scope.selector, &pod->meta.labels))
			consider(w, c, SCOPE_WORKLOAD, pa);
	}
}

static void join_mode(struct world *w, struct kube_pod *pod)
{
	struct chosen c = {.broken = false};
	consider_namespace(w, &c, pod->meta.ns, pod);
	if (!str_eq(pod->meta.ns, STR(ROOT_NAMESPACE)))
		consider_namespace(w, &c, STR(ROOT_NAMESPACE), pod);
	pod->mtls = STRICT;
	if (c.broken)
		return;
	for (int kind = SCOPE_MESH; kind < SCOPES; kind++)
		if (c.of[kind] != NULL && c.of[kind]->mode != UNSET)
			pod->mtls = c.of[kind]->mode;
	pod->peer_auth = c.of[SCOPE_WORKLOAD];
}

Weft__Mesh__V1__MtlsMode namespace_mode(struct world *w, struct str ns)
{
	struct kube_pod nobody = {.meta.ns = ns};
	join_mode(w, &nobody);
	return nobody.mtls;
}

void join_modes(struct world *w)
{
	for (size_t i = 0; i < w->pods.n; i++)
		join_mode(w, w->pods.v[i]);
}

Weft__Mesh__V1__MtlsMode pod_port_mode(const struct kube_pod *pod, uint16_t port)
{
	const struct peer_auth *pa = pod->peer_auth;
	for (size_t i = 0; pa != NULL && i < pa->n_ports; i++)
		if (pa->ports[i].port == port && pa->ports[i].mode != UNSET)
			return pa->ports[i].mode;
	return pod->mtls;
}

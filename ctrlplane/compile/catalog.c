/*
 * Resources on demand: compiled when first asked for, kept with their bytes until the catalog goes.
 * Owns its share of the world, copies of bundles and serials, and the caches. Called by the store,
 * which makes it, and by push and attestation, which read.
 */
#include "ctrlplane/compile/catalog.h"

#include <stdio.h>

#include "ctrlplane/compile/catalog_internal.h"
#include "ctrlplane/compile/emit.h"
#include "lib/base/alloc.h"
#include "lib/base/err.h"

/* Names that callers ask by come from the source alone, and so do the keys of both maps. */
#define MAP_SEED 0

/* -- life ------------------------------------------------------------------------------------- */

static void copy_bundles(struct catalog *c, const struct compile_bundle *bundles, size_t n)
{
	struct compile_bundle *all = arena_alloc(&c->arena, n * sizeof(*all));
	struct str *names = arena_alloc(&c->arena, n * sizeof(*names));
	for (size_t i = 0; i < n; i++) {
		all[i].trust_domain = arena_str(&c->arena, bundles[i].trust_domain);
		all[i].roots = arena_str(&c->arena, bundles[i].roots);
		names[i] =
			arena_printf(&c->arena, "TrustBundle/%.*s", STR_ARG(all[i].trust_domain));
	}
	c->bundles = all;
	c->bundle_names = names;
	c->n_bundles = n;
}

struct catalog *catalog_new(struct world *w, const struct compile_bundle *bundles, size_t n_bundles,
	const struct str *revoked, size_t n_revoked)
{
	struct catalog *c = MEM_NEW(struct catalog);
	c->refs = 1;
	c->w = w;
	arena_init(&c->arena, NULL);
	copy_bundles(c, bundles, n_bundles);
	c->revoked = arena_alloc(&c->arena, n_revoked * sizeof(*c->revoked));
	for (size_t i = 0; i < n_revoked; i++)
		c->revoked[c->n_revoked++] = arena_str(&c->arena, revoked[i]);
	c->compiled = map_new(MAP_SEED);
	c->required = map_new(MAP_SEED);
	return c;
}

struct catalog *catalog_ref(struct catalog *c)
{
	c->refs++;
	return c;
}

void catalog_unref(struct catalog **cp)
{
	struct catalog *c = *cp;
	*cp = NULL;
	if (c == NULL || --c->refs > 0)
		return;
	map_free(&c->compiled);
	map_free(&c->required);
	world_free(&c->w);
	arena_clear(&c->arena);
	mem_free(c);
}

const struct world *catalog_world(const struct catalog *c)
{
	return c->w;
}

/* -- resources -------------------------------------------------------------------------------- */

static Weft__Mesh__V1__Resource *emit_named_bundle(struct catalog *c, struct emitter *e,
	struct str domain)
{
	for (size_t i = 0; i < c->n_bundles; i++)
		if (str_eq(c->bundles[i].trust_domain, domain))
			return emit_bundle(e, &c->bundles[i]);
	return NULL;
}

/* Objects of a namespace. */
static Weft__Mesh__V1__Resource *emit_object(struct catalog *c, struct emitter *e, struct str kind,
	struct str ns, struct str name)
{
	char err[512];
	const struct kube_pod *pod;
	if (str_eq(kind, STR("Service"))) {
		const struct kube_service *svc = world_service(c->w, ns, name);
		return svc != NULL ? emit_service(e, svc) : NULL;
	}
	if (str_eq(kind, STR("Pod"))) {
		pod = world_pod(c->w, ns, name);
		return pod != NULL && pod_is_callable(pod) ? emit_pod(e, pod) : NULL;
	}
	if (str_eq(kind, STR("AuthorizationPolicy"))) {
		const struct authz *policy = list_find(&c->w->authz, ns, name);
		return policy != NULL ? emit_policy(e, policy) : NULL;
	}
	if (str_eq(kind, STR("Workload")) &&
		compile_pod(c->w, ns, name, &pod, err, sizeof(err)) == 0)
		return emit_workload(e, pod);
	return NULL;
}

static Weft__Mesh__V1__Resource *emit_named(struct catalog *c, struct str name)
{
	struct emitter e = {.w = c->w, .a = &c->arena};
	struct str rest = name, kind, ns;
	if (str_eq(name, STR("Mesh")))
		return emit_mesh(&e);
	if (str_eq(name, STR("Revocations")))
		return emit_revocations(&e, c->revoked, c->n_revoked);
	if (!str_split(&rest, '/', &kind) || rest.p == NULL)
		return NULL;
	if (str_eq(kind, STR("TrustBundle")))
		return emit_named_bundle(c, &e, rest);
	if (!str_split(&rest, '/', &ns) || rest.p == NULL)
		return NULL;
	return emit_object(c, &e, kind, ns, rest);
}

const struct compiled *catalog_resource(struct catalog *c, struct str name)
{
	struct compiled *out = map_get(c->compiled, name);
	if (out != NULL)
		return out;
	const Weft__Mesh__V1__Resource *r = emit_named(c, name);
	if (r == NULL)
		return NULL;
	out = ARENA_NEW(&c->arena, struct compiled);
	size_t n = weft__mesh__v1__resource__get_packed_size(r);
	uint8_t *packed = arena_alloc(&c->arena, n);
	weft__mesh__v1__resource__pack(r, packed);
	*out = (struct compiled){.name = str_from(r->name),
		.hash = str_make(r->hash.data, r->hash.len),
		.packed = str_make(packed, n),
		.resource = r};
	map_put(c->compiled, name, out);
	return out;
}

const struct compiled *catalog_object(struct catalog *c, const char *kind, struct str ns,
	struct str name)
{
	char text[OBJECT_KEY_MAX];
	int n = snprintf(text, sizeof(text), "%s/%.*s/%.*s", kind, STR_ARG(ns), STR_ARG(name));
	return (size_t)n < sizeof(text) ? catalog_resource(c, str_make(text, (size_t)n)) : NULL;
}

static const struct claim *find_claim(const struct catalog *c, const struct addr *ip)
{
	struct addr key = addr_with_port(ip, 0);
	return map_get(c->w->owners, addr_key(&key));
}

bool catalog_contested(const struct catalog *c, const struct addr *ip)
{
	const struct claim *claim = find_claim(c, ip);
	return claim != NULL && claim->contested;
}

const struct compiled *catalog_by_address(struct catalog *c, const struct addr *ip)
{
	const struct claim *claim = find_claim(c, ip);
	if (claim == NULL || claim->contested)
		return NULL;
	bool service = str_eq(claim->by->kind, STR("Service"));
	return catalog_object(c, service ? "Service" : "Pod", claim->by->ns, claim->by->name);
}

/* -- pods ------------------------------------------------------------------------------------- */

/* The policies of one namespace that select the pod, by name. */
static void add_policies(struct catalog *c, struct str ns, const struct kube_pod *pod,
	struct str *out, size_t *n)
{
	size_t from, to;
	list_range(&c->w->authz, ns, &from, &to);
	for (; from < to; from++) {
		const struct authz *policy = c->w->authz.v[from];
		if (scope_selects(&policy->scope, pod))
			out[(*n)++] = arena_printf(&c->arena, "AuthorizationPolicy/%.*s/%.*s",
				STR_ARG(policy->meta.ns), STR_ARG(policy->meta.name));
	}
}

static size_t count_policies(const struct catalog *c, struct str ns)
{
	size_t from, to;
	list_range(&c->w->authz, ns, &from, &to);
	return to - from;
}

static struct catalog_required *make_required(struct catalog *c, const struct kube_pod *pod)
{
	struct catalog_required *r = ARENA_NEW(&c->arena, struct catalog_required);
	bool root = str_eq(pod->meta.ns, STR(ROOT_NAMESPACE));
	size_t room = count_policies(c, pod->meta.ns) +
		(root ? 0 : count_policies(c, STR(ROOT_NAMESPACE)));
	struct str *policies = arena_alloc(&c->arena, room * sizeof(*policies));
	add_policies(c, pod->meta.ns, pod, policies, &r->n_policies);
	if (!root)
		add_policies(c, STR(ROOT_NAMESPACE), pod, policies, &r->n_policies);
	r->policies = policies;
	r->workload = arena_printf(&c->arena, "Workload/%.*s/%.*s", STR_ARG(pod->meta.ns),
		STR_ARG(pod->meta.name));
	r->mesh = STR("Mesh");
	r->revocations = STR("Revocations");
	r->bundles = c->bundle_names;
	r->n_bundles = c->n_bundles;
	return r;
}

int catalog_required(struct catalog *c, struct str ns, struct str name,
	const struct catalog_required **out, char *err, size_t size)
{
	const struct kube_pod *pod;
	int failed = compile_pod(c->w, ns, name, &pod, err, size);
	*out = NULL;
	if (failed != 0)
		return failed;
	struct str key = str_make(&pod, sizeof(pod)); /* one address, as long as the world lives */
	struct catalog_required *r = map_get(c->required, key);
	if (r == NULL) {
		r = make_required(c, pod);
		map_put(c->required, key, r);
	}
	*out = r;
	return 0;
}

const struct kube_pod *catalog_pod(const struct catalog *c, struct str ns, struct str name)
{
	const struct kube_pod *pod = world_pod(c->w, ns, name);
	return pod != NULL && pod->meshed && !pod->host_network && !pod->finished ? pod : NULL;
}

const struct kube_pod *catalog_pod_by_unix_uid(const struct catalog *c, uint32_t uid)
{
	const struct kube_pod *pod = map_get(c->w->unix_uids, str_make(&uid, sizeof(uid)));
	return pod != NULL ? catalog_pod(c, pod->meta.ns, pod->meta.name) : NULL;
}

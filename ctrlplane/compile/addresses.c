/*
 * UIDs of pods that state none, and who has which address: what two claim belongs to neither.
 * Called by world_join before all else, as identity and endpoints rest on it.
 */
#include "ctrlplane/compile/world_internal.h"
#include "lib/crypto/crypto.h"

/* -- names ------------------------------------------------------------------------------------ */

/* A denial in the place of a policy that was defined again has its name, but must be a resource of
 * its own. '~' is in no name. */
void join_names(struct world *w)
{
	size_t again = 1;
	for (size_t i = 1; i < w->authz.n; i++) {
		const struct authz *before = w->authz.v[i - again]; /* the first of them */
		struct authz *policy = w->authz.v[i];
		if (object_order(&before->meta, &policy->meta) != 0) {
			again = 1;
			continue;
		}
		struct str name =
			arena_printf(&w->arena, "%.*s~%zu", STR_ARG(policy->meta.name), ++again);
		policy->meta.name = name;
		policy->policy.name = arena_strdup(&w->arena, name);
	}
	object_list_sort(&w->authz);
}

/* -- UIDs ------------------------------------------------------------------------------------- */

/*
 * Manifests that never were in a cluster have no UIDs: they get one that depends on namespace, name
 * and service account alone, in the form of RFC 9562 version 8. The account is part of it since a
 * pod never changes its own: a manifest that does is another pod, and what the one before still
 * holds (a session credential) does not get it the other identity.
 */
static struct str derive_uid(struct arena *a, const struct kube_pod *pod)
{
	uint8_t h[SHA256_SIZE];
	char hex[2 * SHA256_SIZE + 1];
	struct str seed = arena_printf(a, "mesh.weft.dev Pod %.*s/%.*s %.*s", STR_ARG(pod->meta.ns),
		STR_ARG(pod->meta.name), STR_ARG(pod->service_account));
	crypto_sha256(seed.p, seed.n, h);
	h[6] = (uint8_t)(0x80 | (h[6] & 0x0f));
	h[8] = (uint8_t)(0x80 | (h[8] & 0x3f));
	crypto_hex(h, 16, hex);
	return arena_printf(a, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12, hex + 16,
		hex + 20);
}

void join_uids(struct world *w)
{
	for (size_t i = 0; i < w->pods.n; i++) {
		struct kube_pod *pod = w->pods.v[i];
		if (pod->meta.uid.n == 0)
			pod->meta.uid = derive_uid(&w->arena, pod);
	}
}

/* Two pods with one user could each be the other, so neither may be it. */
void join_unix_uids(struct world *w)
{
	struct map *first = map_new(0);
	for (size_t i = 0; i < w->pods.n; i++) {
		struct kube_pod *pod = w->pods.v[i];
		struct str key = str_make(&pod->unix_uid, sizeof(pod->unix_uid));
		if (!pod->has_unix_uid || pod->finished)
			continue;
		const struct kube_pod *before = map_get(first, key);
		if (before == NULL) {
			map_put(first, key, pod);
			map_put(w->unix_uids, key, pod);
			continue;
		}
		(void)map_remove(w->unix_uids, key);
		world_tell(w, PROBLEM_WARNING, &pod->meta, "metadata.annotations",
			UNIX_UID_ANNOTATION " %u is that of %.*s too, so it is neither's",
			pod->unix_uid, STR_ARG(object_title(&w->arena, &before->meta)));
	}
	map_free(&first);
}

/* -- addresses -------------------------------------------------------------------------------- */

static void claim(struct world *w, const struct addr *a, const struct object_meta *by)
{
	char text[ADDR_TEXT];
	struct claim *c = map_get(w->owners, addr_key(a));
	if (c == NULL) {
		c = ARENA_NEW(&w->arena, struct claim);
		c->by = by;
		map_put(w->owners, addr_key(a), c);
		return;
	}
	if (by->kept && !c->by->kept)
		return; /* what is there now outweighs what was there */
	c->contested = true;
	world_tell(w, PROBLEM_WARNING, by, "",
		"%s is claimed by %.*s too, so it belongs to neither", addr_format_ip(a, text),
		STR_ARG(object_title(&w->arena, c->by)));
}

/* Keeps the addresses that are the object's alone (or, with unclaimed, that nobody claims). */
static size_t keep_own(const struct world *w, const struct object_meta *m, bool unclaimed,
	struct addr *addrs, size_t n)
{
	size_t kept = 0;
	for (size_t i = 0; i < n; i++) {
		const struct claim *c = map_get(w->owners, addr_key(&addrs[i]));
		bool own = c != NULL && c->by == m && !c->contested;
		if (unclaimed ? c == NULL : own)
			addrs[kept++] = addrs[i];
	}
	return kept;
}

static bool in_ranges(const struct world *w, const struct addr *a)
{
	for (size_t i = 0; i < w->config.mesh.n_mesh_ranges; i++) {
		const Weft__Mesh__V1__IpBlock *block = w->config.mesh.mesh_ranges[i];
		struct cidr c = {.prefix = (uint8_t)block->prefix};
		c.base.family = block->address.len == 4 ? ADDR_V4 : ADDR_V6;
		memcpy(c.base.bytes, block->address.data, block->address.len);
		if (cidr_contains(&c, a))
			return true;
	}
	return false;
}

/* Sidecars ask about addresses inside the ranges alone: one outside may be called in plaintext. */
static void check_ranges(struct world *w, const struct object_meta *m, const struct addr *addrs,
	size_t n)
{
	char text[ADDR_TEXT];
	for (size_t i = 0; i < n; i++)
		if (!in_ranges(w, &addrs[i]))
			world_tell(w, PROBLEM_WARNING, m, "",
				"%s is in none of the mesh's ranges: add it to "
				"MeshConfig.spec.meshRanges",
				addr_format_ip(&addrs[i], text));
}

static void claim_all(struct world *w, bool kept)
{
	for (size_t i = 0; i < w->pods.n; i++) {
		struct kube_pod *pod = w->pods.v[i];
		if (pod->finished)
			pod->n_addrs = 0;
		for (size_t k = 0; k < pod->n_addrs && !pod->host_network; k++)
			if (pod->meta.kept == kept)
				claim(w, &pod->addrs[k], &pod->meta);
	}
	for (size_t i = 0; i < w->services.n; i++) {
		struct kube_service *svc = w->services.v[i];
		for (size_t k = 0; k < svc->n_vips; k++)
			if (svc->meta.kept == kept)
				claim(w, &svc->vips[k], &svc->meta);
	}
}

/* Of objects that were refused: not theirs, but not free for the taking either, as calls there
 * would leave the mesh. */
static void claim_doubtful(struct world *w)
{
	for (size_t i = 0; i < w->doubtful.n; i++) {
		const struct addr *a = w->doubtful.v[i];
		if (map_get(w->owners, addr_key(a)) != NULL)
			continue;
		struct claim *c = ARENA_NEW(&w->arena, struct claim);
		c->contested = true;
		map_put(w->owners, addr_key(a), c);
	}
}

/* A pod on the host's network has the node's addresses: it may be called there, as an endpoint
 * without identity, but only while no pod says that the address is its own. */
void join_addresses(struct world *w)
{
	claim_all(w, false);
	claim_all(w, true);
	claim_doubtful(w);
	for (size_t i = 0; i < w->pods.n; i++) {
		struct kube_pod *pod = w->pods.v[i];
		pod->n_addrs = keep_own(w, &pod->meta, pod->host_network, pod->addrs, pod->n_addrs);
		if (!pod->host_network)
			check_ranges(w, &pod->meta, pod->addrs, pod->n_addrs);
	}
	for (size_t i = 0; i < w->services.n; i++) {
		struct kube_service *svc = w->services.v[i];
		svc->n_vips = keep_own(w, &svc->meta, false, svc->vips, svc->n_vips);
		check_ranges(w, &svc->meta, svc->vips, svc->n_vips);
	}
}

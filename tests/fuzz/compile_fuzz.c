/*
 * Any bytes as manifests: whatever is in them, a pod that compiles gets a state that its sidecar
 * takes, and compiling again gives the same bytes. A NUL ends one reading of the source and begins
 * the next, which remembers what was good; \1 ends a file.
 */
#include <stdio.h>
#include <stdlib.h>

#include "certs/issue.h"
#include "ctrlplane/compile/catalog.h"
#include "ctrlplane/compile/world_internal.h"
#include "lib/base/alloc.h"
#include "lib/base/obj.h"
#include "lib/crypto/crypto.h"
#include "sidecar/snapshot/state.h"

#define NOW 1800000000ll
#define PODS 4     /* of a world that are compiled */
#define FILES 3    /* of a reading */
#define READINGS 3 /* of an input */

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* An identity that does for every pod: who it is for is judged by peers. */
static struct {
	struct cert_ca *ca;
	struct cert_chain *chain;
	void *key;
	size_t key_n;
} identity;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc, (void)argv;
	const struct cert_issue what = {.spiffe_id = STR("spiffe://cluster.local/ns/a/sa/b"),
		.not_before = NOW - 1,
		.not_after = NOW + 1};
	ASSERT(crypto_init() == 0);
	ASSERT(cert_ca_create(STR("cluster.local"), NOW - 1, NOW + 1, &identity.ca) == 0);
	struct cert_key *key = cert_key_generate();
	ASSERT(cert_ca_issue(identity.ca, NULL, key, &what, &identity.chain) == 0);
	identity.key = cert_key_der(key, &identity.key_n);
	cert_key_unref(&key);
	return 0;
}

/* The bytes of a pod's state; NULL where it does not compile. mem_free. */
static uint8_t *compile(const struct world *w, const struct kube_pod *pod, size_t *n,
	struct str *uid)
{
	char err[512];
	struct arena a;
	Weft__Mesh__V1__State *st;
	const struct compile_bundle bundle = {
		world_trust_domain(w), cert_chain_der(cert_ca_chain(identity.ca))};
	const struct compile_in in = {.ns = pod->meta.ns,
		.pod = pod->meta.name,
		.now = NOW,
		.bundles = &bundle,
		.n_bundles = 1};
	uint8_t *bytes = NULL;
	arena_init(&a, NULL);
	if (compile_state(w, &in, &a, &st, err, sizeof(err)) == 0) {
		struct str chain = cert_chain_der(identity.chain);
		st->chain.data = (uint8_t *)arena_str(&a, chain).p;
		st->chain.len = chain.n;
		st->key.data = identity.key;
		st->key.len = identity.key_n;
		bytes = state_encode(st, n);
		*uid = pod->meta.uid;
	} else {
		ASSERT(err[0] != '\0');
	}
	arena_clear(&a);
	return bytes;
}

static void check(const struct world *w, const struct kube_pod *pod)
{
	char err[512];
	size_t n, m;
	struct snapshot *snapshot;
	struct state_expect expect = {.trust_domain = world_trust_domain(w), .now = NOW};
	uint8_t *bytes = compile(w, pod, &n, &expect.pod_uid);
	if (bytes == NULL)
		return;
	uint8_t *again = compile(w, pod, &m, &expect.pod_uid);
	ASSERT(n == m && memcmp(bytes, again, n) == 0);
	/* The bundle is one of cluster.local, and of no other domain. */
	if (str_eq(expect.trust_domain, STR("cluster.local"))) {
		if (state_parse("s", str_make(bytes, n), &expect, 0, &snapshot, err, sizeof(err)) !=
			0) {
			fprintf(stderr, "%s\n", err);
			abort();
		}
		snapshot_unref(&snapshot);
	}
	mem_free(bytes);
	mem_free(again);
}

static void check_problems(const struct world *w)
{
	const struct problems *l = world_problems(w);
	for (const struct problem *p = l->first; p != NULL; p = p->next)
		ASSERT(problem_text(l, p).n > 0);
}

/* Bytes of one reading: its files one after the other. */
static struct world *read_source(struct good *g, struct str bytes)
{
	char name[16];
	struct str file;
	struct world *w = world_new();
	if (g != NULL)
		world_remember(w, g);
	for (unsigned i = 0; i < FILES && str_split(&bytes, '\1', &file); i++) {
		snprintf(name, sizeof(name), "f%u.yaml", i);
		world_add(w, name, file);
	}
	world_join(w);
	return w;
}

/* A policy that is there in some form has one in force: its own, an earlier one, or a denial. */
static void check_policies(const struct world *w)
{
	struct map_entry *at = NULL;
	void *value;
	while (map_next(w->seen, &at, NULL, &value)) {
		const struct object_meta *m = value;
		if (str_eq(m->kind, STR("AuthorizationPolicy")))
			ASSERT(list_find(&w->authz, m->ns, m->name) != NULL);
	}
}

/* Whatever is required can be had. */
static void check_catalog(struct world *w)
{
	char err[512];
	const struct catalog_required *r;
	const struct compile_bundle bundle = {world_trust_domain(w), STR("roots")};
	struct catalog *c = catalog_new(world_ref(w), &bundle, 1, NULL, 0);
	for (size_t i = 0; i < w->pods.n && i < PODS; i++) {
		const struct kube_pod *pod = w->pods.v[i];
		for (size_t k = 0; k < pod->n_addrs; k++)
			(void)catalog_by_address(c, &pod->addrs[k]);
		(void)catalog_by_name(c, pod->meta.name);
		if (catalog_required(c, pod->meta.ns, pod->meta.name, &r, err, sizeof(err)) != 0)
			continue;
		ASSERT(catalog_resource(c, r->workload) != NULL);
		for (size_t k = 0; k < r->n_policies; k++)
			ASSERT(catalog_resource(c, r->policies[k]) != NULL);
	}
	for (size_t i = 0; i < w->services.n; i++) {
		const struct kube_service *svc = w->services.v[i];
		for (size_t k = 0; k < svc->n_vips; k++)
			ASSERT(catalog_by_address(c, &svc->vips[k]) != NULL);
	}
	catalog_unref(&c);
}

static void check_world(struct world *w)
{
	check_problems(w);
	check_policies(w);
	check_catalog(w);
	for (size_t i = 0; i < w->pods.n && i < PODS; i++)
		check(w, w->pods.v[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str all = str_make(data, size), bytes;
	struct good *g = good_new();
	for (unsigned i = 0; i < READINGS && str_split(&all, '\0', &bytes); i++) {
		struct world *fresh = read_source(NULL, bytes);
		struct world *w = read_source(g, bytes), *again = read_source(g, bytes);
		ASSERT(memcmp(world_digest(w), world_digest(again), SHA256_SIZE) == 0);
		ASSERT(world_complete(w) == world_complete(again));
		check_world(fresh);
		check_world(w);
		world_free(&fresh);
		world_free(&w);
		world_free(&again);
	}
	good_free(&g);
	return 0;
}

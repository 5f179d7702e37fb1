/*
 * Any bytes as manifests: whatever is in them, a pod that compiles gets a state that its sidecar
 * takes, and compiling again gives the same bytes.
 */
#include <stdio.h>
#include <stdlib.h>

#include "certs/issue.h"
#include "ctrlplane/compile/compile.h"
#include "ctrlplane/compile/world_internal.h"
#include "lib/base/alloc.h"
#include "lib/base/obj.h"
#include "lib/crypto/crypto.h"
#include "sidecar/snapshot/state.h"

#define NOW 1800000000ll
#define PODS 4 /* of a world that are compiled */

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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct world *w = world_new();
	world_add(w, "f.yaml", str_make(data, size));
	world_join(w);
	const struct problems *l = world_problems(w);
	for (const struct problem *p = l->first; p != NULL; p = p->next)
		ASSERT(problem_text(l, p).n > 0);
	for (size_t i = 0; i < w->pods.n && i < PODS; i++)
		check(w, w->pods.v[i]);
	world_free(&w);
	return 0;
}

/*
 * Worlds for tests of the compiler. The test owns what it gets.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "certs/issue.h"
#include "lib/base/alloc.h"
#include "tests/support/worlds.h"

struct world *worlds_of(const char *yaml)
{
	struct world *w = world_new();
	world_add(w, "f.yaml", str_from(yaml));
	world_join(w);
	return w;
}

char *worlds_said(const struct world *w)
{
	const struct problems *l = world_problems(w);
	char *all = mem_strdup("");
	for (const struct problem *p = l->first; p != NULL; p = p->next) {
		struct str line = problem_text(l, p);
		char *longer = mem_printf("%s%.*s\n", all, STR_ARG(line));
		mem_free(all);
		all = longer;
	}
	return all;
}

void worlds_expect(const struct world *w, const char *said)
{
	char *all = worlds_said(w);
	assert_string_equal(all, said);
	mem_free(all);
}

Weft__Mesh__V1__State *worlds_state(const struct world *w, const char *pod, struct arena *a)
{
	char err[512];
	Weft__Mesh__V1__State *st;
	const struct compile_bundle bundle = {world_trust_domain(w), STR("roots")};
	const struct compile_in in = {.ns = STR("shop"),
		.pod = str_from(pod),
		.now = WORLDS_NOW,
		.bundles = &bundle,
		.n_bundles = 1};
	if (compile_state(w, &in, a, &st, err, sizeof(err)) != 0)
		fail_msg("%s", err);
	return st;
}

const Weft__Mesh__V1__Resource *worlds_resource(const Weft__Mesh__V1__State *st, const char *name)
{
	for (size_t i = 0; i < st->n_required; i++)
		if (strcmp(st->required[i]->name, name) == 0)
			return st->required[i];
	for (size_t i = 0; i < st->n_used; i++)
		if (strcmp(st->used[i]->name, name) == 0)
			return st->used[i];
	return NULL;
}

static void put(ProtobufCBinaryData *out, struct arena *a, struct str bytes)
{
	out->data = (uint8_t *)arena_str(a, bytes).p;
	out->len = bytes.n;
}

static const Weft__Mesh__V1__Workload *own_workload(const Weft__Mesh__V1__State *st)
{
	for (size_t i = 0; i < st->n_required; i++)
		if (st->required[i]->kind_case == WEFT__MESH__V1__RESOURCE__KIND_WORKLOAD)
			return st->required[i]->workload;
	fail_msg("no workload in the state");
	return NULL;
}

static void put_key(Weft__Mesh__V1__State *st, struct arena *a, const struct cert_key *key)
{
	size_t n;
	void *der = cert_key_der(key, &n);
	put(&st->key, a, str_make(der, n));
	mem_free_secret(der, n);
}

void worlds_identify(Weft__Mesh__V1__State *st, struct arena *a, int64_t not_after)
{
	char id[SPIFFE_ID_MAX + 1];
	struct cert_ca *ca;
	struct cert_chain *chain;
	const Weft__Mesh__V1__Workload *own = own_workload(st);
	struct str domain = str_from(st->trust_domain);
	int64_t not_before = WORLDS_NOW - 86400;
	assert_int_equal(spiffe_format(id, sizeof(id), domain, str_from(own->namespace_),
				 str_from(own->service_account)),
		0);
	assert_int_equal(cert_ca_create(domain, not_before, WORLDS_NOW + 864000, &ca), 0);
	struct cert_key *key = cert_key_generate();
	const struct cert_issue what = {.spiffe_id = str_from(id),
		.pod_uid = str_from(st->pod_uid),
		.not_before = not_before,
		.not_after = not_after};
	assert_int_equal(cert_ca_issue(ca, NULL, key, &what, &chain), 0);
	put(&st->chain, a, cert_chain_der(chain));
	put_key(st, a, key);
	for (size_t i = 0; i < st->n_required; i++)
		if (st->required[i]->kind_case == WEFT__MESH__V1__RESOURCE__KIND_TRUST_BUNDLE)
			put(&st->required[i]->trust_bundle->roots, a,
				cert_chain_der(cert_ca_chain(ca)));
	cert_chain_unref(&chain);
	cert_key_unref(&key);
	cert_ca_free(&ca);
}

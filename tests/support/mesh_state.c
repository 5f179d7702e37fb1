/*
 * Puts together what the pods of a test mesh know: the state of each as the control plane would
 * compile it, with a leaf of its own. Used by the tests in tests/mem through mesh_support.h.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/alloc.h"
#include "sidecar/snapshot/build.h"
#include "sidecar/snapshot/state.h"
#include "tests/support/mesh_support.h"

#define MAX_RES 64

/* Everything that a state points to, in one arena. */
struct draft {
	struct arena a;
	Weft__Mesh__V1__Resource *res[MAX_RES];
	size_t n;
};

static ProtobufCBinaryData addr_bytes(struct arena *a, const char *text)
{
	struct addr addr;
	assert_int_equal(addr_parse(str_from(text), &addr), 0);
	size_t n = addr.family == ADDR_V4 ? 4 : 16;
	struct str s = arena_str(a, str_make(addr.bytes, n));
	return (ProtobufCBinaryData){.len = n, .data = (uint8_t *)(uintptr_t)s.p};
}

static Weft__Mesh__V1__Resource *add(struct draft *d, const char *name,
	Weft__Mesh__V1__Resource__KindCase kind)
{
	Weft__Mesh__V1__Resource *r = arena_alloc(&d->a, sizeof(*r));
	weft__mesh__v1__resource__init(r);
	assert_true(d->n < MAX_RES);
	r->name = arena_strdup(&d->a, str_from(name));
	r->kind_case = kind;
	d->res[d->n++] = r;
	return r;
}

static Weft__Mesh__V1__WorkloadPort **one_port(struct draft *d, const struct mesh *m, uint32_t port)
{
	Weft__Mesh__V1__WorkloadPort *wp = arena_alloc(&d->a, sizeof(*wp));
	Weft__Mesh__V1__WorkloadPort **list = arena_alloc(&d->a, sizeof(*list));
	weft__mesh__v1__workload_port__init(wp);
	wp->port = port;
	wp->protocol = m->protocol;
	wp->mtls_mode = m->port_mtls != 0 ? m->port_mtls : m->mtls;
	list[0] = wp;
	return list;
}

static Weft__Mesh__V1__Endpoint *draft_endpoint(struct draft *d, const struct mesh *m,
	const struct mesh_test_pod *p)
{
	Weft__Mesh__V1__Endpoint *e = arena_alloc(&d->a, sizeof(*e));
	weft__mesh__v1__endpoint__init(e);
	e->n_addresses = 1;
	e->addresses = arena_alloc(&d->a, sizeof(*e->addresses));
	e->addresses[0] = addr_bytes(&d->a, p->ip);
	e->uid = (char *)(uintptr_t)p->uid;
	e->meshed = p->meshed;
	e->spiffe_id = p->meshed ? (char *)(uintptr_t)p->id : e->spiffe_id;
	e->namespace_ = (char *)(uintptr_t)"default";
	e->name = e->workload = (char *)(uintptr_t)p->name;
	e->ready = !p->unready;
	e->n_ports = 1;
	e->ports = one_port(d, m, m->target);
	e->mtls_mode = m->mtls;
	if (!p->meshed && m->not_meshed_flag)
		e->ports[0]->mtls_mode = e->mtls_mode =
			WEFT__MESH__V1__MTLS_MODE__MTLS_MODE_DISABLE;
	return e;
}

static void draft_service(struct draft *d, const struct mesh *m)
{
	Weft__Mesh__V1__Service *s = arena_alloc(&d->a, sizeof(*s));
	Weft__Mesh__V1__ServicePort *sp = arena_alloc(&d->a, sizeof(*sp));
	weft__mesh__v1__service__init(s);
	weft__mesh__v1__service_port__init(sp);
	s->namespace_ = (char *)(uintptr_t)"default";
	s->name = (char *)(uintptr_t)"web";
	s->n_addresses = s->n_ports = 1;
	s->addresses = arena_alloc(&d->a, sizeof(*s->addresses));
	s->addresses[0] = addr_bytes(&d->a, m->v6 ? "fd00:96::1" : "10.96.0.1");
	s->ports = arena_alloc(&d->a, sizeof(*s->ports));
	s->ports[0] = sp;
	sp->port = m->port;
	sp->protocol = m->protocol;
	s->load_balancer = m->round_robin ? WEFT__MESH__V1__LOAD_BALANCER__LOAD_BALANCER_ROUND_ROBIN
					  : WEFT__MESH__V1__LOAD_BALANCER__LOAD_BALANCER_P2C;
	s->endpoints = arena_alloc(&d->a, MESH_PODS * sizeof(*s->endpoints));
	for (size_t i = 0; i < m->n_pods; i++)
		if (strncmp(m->pods[i].name, "web", 3) == 0 && !m->pods[i].hidden)
			s->endpoints[s->n_endpoints++] = draft_endpoint(d, m, &m->pods[i]);
	add(d, "service/default/web", WEFT__MESH__V1__RESOURCE__KIND_SERVICE)->service = s;
}

static void draft_workload(struct draft *d, const struct mesh *m, const struct mesh_test_pod *p)
{
	Weft__Mesh__V1__Workload *w = arena_alloc(&d->a, sizeof(*w));
	weft__mesh__v1__workload__init(w);
	w->namespace_ = (char *)(uintptr_t)"default";
	w->name = w->service_account = w->workload = w->service = (char *)(uintptr_t)p->name;
	w->uid = (char *)(uintptr_t)p->uid;
	w->n_addresses = 1;
	w->addresses = arena_alloc(&d->a, sizeof(*w->addresses));
	w->addresses[0] = addr_bytes(&d->a, p->ip);
	w->n_ports = 1;
	w->ports = one_port(d, m, m->target);
	w->mtls_mode = m->mtls;
	add(d, "workload", WEFT__MESH__V1__RESOURCE__KIND_WORKLOAD)->workload = w;
}

static void draft_mesh(struct draft *d, const struct mesh *m)
{
	Weft__Mesh__V1__Mesh *mesh = arena_alloc(&d->a, sizeof(*mesh));
	Weft__Mesh__V1__IpBlock *block = arena_alloc(&d->a, sizeof(*block));
	weft__mesh__v1__mesh__init(mesh);
	weft__mesh__v1__ip_block__init(block);
	mesh->trust_domain = (char *)(uintptr_t)"cluster.local";
	block->address = addr_bytes(&d->a, m->v6 ? "fd00::" : "10.0.0.0");
	block->prefix = 8;
	mesh->n_mesh_ranges = 1;
	mesh->mesh_ranges = arena_alloc(&d->a, sizeof(*mesh->mesh_ranges));
	mesh->mesh_ranges[0] = block;
	if (m->registry_only)
		mesh->outbound_traffic_policy =
			WEFT__MESH__V1__OUTBOUND_TRAFFIC_POLICY__OUTBOUND_TRAFFIC_POLICY_REGISTRY_ONLY;
	add(d, "mesh", WEFT__MESH__V1__RESOURCE__KIND_MESH)->mesh = mesh;
}

/* Roots of one trust domain; second may be NULL. */
static void draft_bundle(struct draft *d, const char *td, const struct cert_ca *first,
	const struct cert_ca *second)
{
	const struct cert_ca *const cas[2] = {first, second};
	Weft__Mesh__V1__TrustBundle *b = arena_alloc(&d->a, sizeof(*b));
	uint8_t *roots = arena_alloc(&d->a, 2 * CERT_CHAIN_BYTES);
	weft__mesh__v1__trust_bundle__init(b);
	b->trust_domain = (char *)(uintptr_t)td;
	b->roots.data = roots;
	for (size_t i = 0; i < 2 && cas[i] != NULL; i++) {
		struct str der = cert_chain_der(cert_ca_chain(cas[i]));
		memcpy(roots + b->roots.len, der.p, der.n);
		b->roots.len += der.n;
	}
	add(d, td, WEFT__MESH__V1__RESOURCE__KIND_TRUST_BUNDLE)->trust_bundle = b;
}

static void draft_revocations(struct draft *d, const struct mesh *m)
{
	Weft__Mesh__V1__Revocations *r = arena_alloc(&d->a, sizeof(*r));
	weft__mesh__v1__revocations__init(r);
	r->n_serials = m->n_revoked;
	r->serials = (char **)(uintptr_t)m->revoked;
	add(d, "Revocations", WEFT__MESH__V1__RESOURCE__KIND_REVOCATIONS)->revocations = r;
}

static void draft_all(struct draft *d, const struct mesh *m, const struct mesh_test_pod *p)
{
	draft_workload(d, m, p);
	draft_mesh(d, m);
	draft_bundle(d, "cluster.local", m->ca, m->old_ca);
	if (m->trust_other)
		draft_bundle(d, "other.example", m->other_ca, NULL);
	draft_revocations(d, m);
	if (!m->hide_service)
		draft_service(d, m);
	for (size_t i = 0; i < m->n_policies; i++)
		add(d, m->policies[i]->name, WEFT__MESH__V1__RESOURCE__KIND_AUTHORIZATION_POLICY)
			->authorization_policy = m->policies[i];
	for (size_t i = 0; i < m->n_pods; i++) {
		if (m->pods[i].hidden)
			continue;
		Weft__Mesh__V1__Pod *pod = arena_alloc(&d->a, sizeof(*pod));
		weft__mesh__v1__pod__init(pod);
		pod->endpoint = draft_endpoint(d, m, &m->pods[i]);
		add(d, m->pods[i].name, WEFT__MESH__V1__RESOURCE__KIND_POD)->pod = pod;
	}
}

/* A state of the pod's, its leaf signed by ca; free with state_done. */
struct made {
	struct draft d;
	Weft__Mesh__V1__State st;
	struct cert_key *key;
	struct cert_chain *chain;
};

static void issue_leaf(struct made *out, struct cert_ca *ca, const struct cert_issue *what)
{
	out->key = what->flaw == CERT_FLAW_OTHER_CURVE ? cert_key_generate_p384()
						       : cert_key_generate();
	assert_int_equal(cert_ca_issue(ca, NULL, out->key, what, &out->chain), 0);
}

static void state_make(struct made *out, struct mesh *m, struct mesh_test_pod *p,
	struct cert_ca *ca, const char *id, enum cert_flaw flaw)
{
	int64_t now = (int64_t)(loop_wall(m->w.loop) / NS_PER_S);
	struct cert_issue what = {.spiffe_id = str_from(id),
		.pod_uid = str_from(p->uid),
		.not_before = now - 600,
		.not_after = now + (m->leaf_seconds != 0 ? m->leaf_seconds : 86400),
		.flaw = flaw};
	size_t key_n;
	*out = (struct made){.st = WEFT__MESH__V1__STATE__INIT};
	arena_init(&out->d.a, NULL);
	if (m->keep_leaves && p->leaf != NULL && flaw == CERT_FLAW_NONE) {
		out->key = cert_key_ref(p->leaf_key);
		out->chain = cert_chain_ref(p->leaf);
	} else {
		issue_leaf(out, ca, &what);
		cert_chain_unref(&p->leaf);
		cert_key_unref(&p->leaf_key);
		p->leaf = cert_chain_ref(out->chain);
		p->leaf_key = cert_key_ref(out->key);
	}
	draft_all(&out->d, m, p);
	void *key_der = cert_key_der(out->key, &key_n);
	struct str der = cert_chain_der(out->chain);
	out->st.format = STATE_FORMAT;
	out->st.trust_domain = (char *)(uintptr_t)"cluster.local";
	out->st.pod_uid = p->uid;
	out->st.written_at = now - m->state_age;
	out->st.chain = (ProtobufCBinaryData){.len = der.n, .data = (uint8_t *)(uintptr_t)der.p};
	out->st.key = (ProtobufCBinaryData){.len = key_n, .data = key_der};
	out->st.n_required = out->d.n;
	out->st.required = out->d.res;
}

static void state_done(struct made *made)
{
	mem_free_secret(made->st.key.data, made->st.key.len);
	cert_chain_unref(&made->chain);
	cert_key_unref(&made->key);
	arena_clear(&made->d.a);
}

void mesh_apply_leaf(struct mesh *m, struct mesh_test_pod *p, struct cert_ca *ca, const char *id,
	enum cert_flaw flaw)
{
	struct made made;
	struct snapshot *snap;
	char err[512];
	state_make(&made, m, p, ca, id, flaw);
	if (snapshot_build(&made.st, 1, &snap, err, sizeof(err)) != 0)
		fail_msg("snapshot_build: %s", err);
	if (p->proxy == NULL)
		mesh_start_proxy(p);
	if (proxy_set_snapshot(p->proxy, snap, err, sizeof(err)) != 0)
		fail_msg("proxy_set_snapshot: %s", err);
	snapshot_unref(&snap);
	state_done(&made);
}

void mesh_apply_one(struct mesh *m, struct mesh_test_pod *p)
{
	mesh_apply_leaf(m, p, m->ca, p->id, CERT_FLAW_NONE);
	mesh_settle(m);
}

void mesh_apply(struct mesh *m)
{
	for (size_t i = 0; i < m->n_pods; i++)
		if (m->pods[i].meshed)
			mesh_apply_leaf(m, &m->pods[i], m->ca, m->pods[i].id, CERT_FLAW_NONE);
	mesh_settle(m);
}

void mesh_save_state(struct mesh *m, struct mesh_test_pod *p, const char *path)
{
	struct made made;
	char err[512];
	state_make(&made, m, p, m->ca, p->id, CERT_FLAW_NONE);
	if (state_save(path, &made.st, err, sizeof(err)) != 0)
		fail_msg("state_save: %s", err);
	state_done(&made);
}

const char *mesh_serial(const struct mesh_test_pod *p)
{
	return cert_chain_leaf(proxy_flow(p->proxy)->snap->chain)->serial.p;
}

/*
 * Joined objects as protobuf resources. Pure; what it makes is in the emitter's arena or borrowed
 * from the world. Called by compile.c for each resource of a state.
 */
#include "ctrlplane/compile/emit.h"

#include <stdlib.h>

#include "lib/crypto/crypto.h"

#define RESOURCE Weft__Mesh__V1__Resource
#define ENDPOINT Weft__Mesh__V1__Endpoint
#define PORT Weft__Mesh__V1__WorkloadPort

static char *text(struct emitter *e, struct str s)
{
	return arena_strdup(e->a, s);
}

/* Names the resource and takes its hash; its content is set already. */
static RESOURCE *seal(struct emitter *e, RESOURCE *r, struct str name)
{
	struct arena scratch;
	arena_init(&scratch, NULL);
	size_t n = weft__mesh__v1__resource__get_packed_size(r);
	uint8_t *packed = arena_alloc(&scratch, n), *hash = arena_alloc(e->a, SHA256_SIZE);
	weft__mesh__v1__resource__pack(r, packed);
	crypto_sha256(packed, n, hash);
	arena_clear(&scratch);
	r->hash.len = SHA256_SIZE;
	r->hash.data = hash;
	r->name = text(e, name);
	return r;
}

static RESOURCE *resource(struct emitter *e, Weft__Mesh__V1__Resource__KindCase kind)
{
	RESOURCE *r = ARENA_NEW(e->a, RESOURCE);
	weft__mesh__v1__resource__init(r);
	r->kind_case = kind;
	return r;
}

static struct str name_of(struct emitter *e, const char *kind, const struct object_meta *m)
{
	return arena_printf(e->a, "%s/%.*s/%.*s", kind, STR_ARG(m->ns), STR_ARG(m->name));
}

/* -- pieces ----------------------------------------------------------------------------------- */

static void put_addresses(struct emitter *e, const struct addr *addrs, size_t n_addrs, size_t *n,
	ProtobufCBinaryData **out)
{
	*n = n_addrs;
	*out = arena_alloc(e->a, n_addrs * sizeof(**out));
	for (size_t i = 0; i < n_addrs; i++) {
		size_t len = addrs[i].family == ADDR_V4 ? 4 : 16;
		(*out)[i].len = len;
		(*out)[i].data = (uint8_t *)text(e, str_make(addrs[i].bytes, len));
	}
}

static PORT *put_port(struct emitter *e, uint16_t port, Weft__Mesh__V1__Protocol protocol,
	Weft__Mesh__V1__MtlsMode mtls)
{
	PORT *p = ARENA_NEW(e->a, PORT);
	weft__mesh__v1__workload_port__init(p);
	p->port = port;
	p->protocol = protocol;
	p->mtls_mode = mtls;
	return p;
}

static void put_facts(struct emitter *e, const struct kube_pod *pod, size_t *n, PORT ***out)
{
	*n = pod->n_facts;
	*out = arena_alloc(e->a, pod->n_facts * sizeof(PORT *));
	for (size_t i = 0; i < pod->n_facts; i++) {
		const struct port_facts *f = &pod->facts[i];
		(*out)[i] = put_port(e, f->port, f->protocol, f->mtls);
	}
}

/* The name that a pod shares with its replicas: a ReplicaSet's without the hash that the Deployment
 * gave it. */
static struct str owner_name(const struct kube_pod *pod)
{
	struct str owner = pod->meta.owner;
	struct str hash = labels_get(&pod->meta.labels, "pod-template-hash");
	if (hash.n > 0 && owner.n > hash.n + 1 && str_ends(owner, hash) &&
		owner.p[owner.n - hash.n - 1] == '-')
		return str_sub(owner, 0, owner.n - hash.n - 1);
	return owner;
}

static struct str first_label(const struct kube_pod *pod, const char *a, const char *b)
{
	struct str s = labels_get(&pod->meta.labels, a);
	return s.n > 0 ? s : labels_get(&pod->meta.labels, b);
}

struct str pod_workload_name(const struct kube_pod *pod)
{
	struct str s = first_label(pod, "app", "app.kubernetes.io/name");
	if (s.n == 0)
		s = owner_name(pod);
	return s.n > 0 ? s : pod->meta.name;
}

struct str pod_service_name(const struct kube_pod *pod)
{
	struct str s = labels_get(&pod->meta.labels, "mesh.weft.dev/canonical-name");
	if (s.n == 0)
		s = first_label(pod, "app.kubernetes.io/name", "app");
	return s.n > 0 ? s : pod_workload_name(pod);
}

/* Without its ports. */
static ENDPOINT *put_endpoint(struct emitter *e, const struct kube_pod *pod)
{
	char id[SPIFFE_ID_MAX + 1];
	ENDPOINT *ep = ARENA_NEW(e->a, ENDPOINT);
	weft__mesh__v1__endpoint__init(ep);
	put_addresses(e, pod->addrs, pod->n_addrs, &ep->n_addresses, &ep->addresses);
	ep->uid = text(e, pod->meta.uid);
	ep->meshed = pod->meshed && !pod->host_network;
	if (ep->meshed && compile_identity(e->w, pod, id, sizeof(id)) == 0)
		ep->spiffe_id = text(e, str_from(id));
	ep->mtls_mode = pod->mtls;
	ep->namespace_ = text(e, pod->meta.ns);
	ep->name = text(e, pod->meta.name);
	ep->workload = text(e, pod_workload_name(pod));
	ep->ready = pod->ready;
	return ep;
}

/* -- resources -------------------------------------------------------------------------------- */

RESOURCE *emit_workload(struct emitter *e, const struct kube_pod *pod)
{
	RESOURCE *r = resource(e, WEFT__MESH__V1__RESOURCE__KIND_WORKLOAD);
	Weft__Mesh__V1__Workload *w = ARENA_NEW(e->a, Weft__Mesh__V1__Workload);
	weft__mesh__v1__workload__init(w);
	w->namespace_ = text(e, pod->meta.ns);
	w->name = text(e, pod->meta.name);
	w->uid = text(e, pod->meta.uid);
	w->service_account = text(e, pod->service_account);
	w->workload = text(e, pod_workload_name(pod));
	w->service = text(e, pod_service_name(pod));
	put_addresses(e, pod->addrs, pod->n_addrs, &w->n_addresses, &w->addresses);
	put_facts(e, pod, &w->n_ports, &w->ports);
	w->mtls_mode = pod->mtls;
	r->workload = w;
	return seal(e, r, name_of(e, "Workload", &pod->meta));
}

RESOURCE *emit_mesh(struct emitter *e)
{
	RESOURCE *r = resource(e, WEFT__MESH__V1__RESOURCE__KIND_MESH);
	r->mesh = ARENA_NEW(e->a, Weft__Mesh__V1__Mesh);
	*r->mesh = e->w->config.mesh;
	return seal(e, r, STR("Mesh"));
}

RESOURCE *emit_bundle(struct emitter *e, const struct compile_bundle *b)
{
	RESOURCE *r = resource(e, WEFT__MESH__V1__RESOURCE__KIND_TRUST_BUNDLE);
	Weft__Mesh__V1__TrustBundle *t = ARENA_NEW(e->a, Weft__Mesh__V1__TrustBundle);
	weft__mesh__v1__trust_bundle__init(t);
	t->trust_domain = text(e, b->trust_domain);
	t->roots.len = b->roots.n;
	t->roots.data = (uint8_t *)text(e, b->roots);
	r->trust_bundle = t;
	return seal(e, r, arena_printf(e->a, "TrustBundle/%.*s", STR_ARG(b->trust_domain)));
}

static int order_serials(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

RESOURCE *emit_revocations(struct emitter *e, const struct str *serials, size_t n)
{
	RESOURCE *r = resource(e, WEFT__MESH__V1__RESOURCE__KIND_REVOCATIONS);
	Weft__Mesh__V1__Revocations *list = ARENA_NEW(e->a, Weft__Mesh__V1__Revocations);
	weft__mesh__v1__revocations__init(list);
	list->serials = arena_alloc(e->a, n * sizeof(*list->serials));
	for (size_t i = 0; i < n; i++)
		list->serials[list->n_serials++] = text(e, serials[i]);
	if (n > 1)
		qsort(list->serials, n, sizeof(*list->serials), order_serials);
	r->revocations = list;
	return seal(e, r, STR("Revocations"));
}

RESOURCE *emit_policy(struct emitter *e, const struct authz *policy)
{
	RESOURCE *r = resource(e, WEFT__MESH__V1__RESOURCE__KIND_AUTHORIZATION_POLICY);
	r->authorization_policy = ARENA_NEW(e->a, Weft__Mesh__V1__AuthorizationPolicy);
	*r->authorization_policy = policy->policy;
	return seal(e, r, name_of(e, "AuthorizationPolicy", &policy->meta));
}

static void put_service_ports(struct emitter *e, const struct kube_service *svc,
	Weft__Mesh__V1__Service *out)
{
	out->ports = arena_alloc(e->a, svc->n_ports * sizeof(*out->ports));
	for (size_t i = 0; i < svc->n_ports; i++) {
		Weft__Mesh__V1__ServicePort *p = ARENA_NEW(e->a, Weft__Mesh__V1__ServicePort);
		weft__mesh__v1__service_port__init(p);
		p->port = svc->ports[i].port;
		p->name = text(e, svc->ports[i].name);
		p->protocol = svc->ports[i].protocol;
		out->ports[out->n_ports++] = p;
	}
}

/* An address without a pod: nobody whose identity could be asked for. */
static ENDPOINT *put_stranger(struct emitter *e, const struct kube_service *svc,
	const struct service_endpoint *from)
{
	ENDPOINT *ep = ARENA_NEW(e->a, ENDPOINT);
	weft__mesh__v1__endpoint__init(ep);
	ep->mtls_mode = from->mtls;
	ep->namespace_ = text(e, svc->meta.ns);
	ep->name = text(e, from->name);
	return ep;
}

static ENDPOINT *put_service_endpoint(struct emitter *e, const struct kube_service *svc,
	const struct service_endpoint *from)
{
	const struct kube_pod *pod = from->pod;
	ENDPOINT *ep = pod != NULL ? put_endpoint(e, pod) : put_stranger(e, svc, from);
	put_addresses(e, from->addrs, from->n_addrs, &ep->n_addresses, &ep->addresses);
	ep->ready = from->ready || svc->publish_not_ready;
	ep->ports = arena_alloc(e->a, svc->n_ports * sizeof(PORT *));
	for (size_t i = 0; i < svc->n_ports; i++) {
		uint16_t target = from->targets[i];
		ep->ports[ep->n_ports++] = put_port(e, target, svc->ports[i].protocol,
			pod != NULL ? pod_port_mode(pod, target) : from->mtls);
	}
	return ep;
}

RESOURCE *emit_service(struct emitter *e, const struct kube_service *svc)
{
	RESOURCE *r = resource(e, WEFT__MESH__V1__RESOURCE__KIND_SERVICE);
	Weft__Mesh__V1__Service *s = ARENA_NEW(e->a, Weft__Mesh__V1__Service);
	weft__mesh__v1__service__init(s);
	s->namespace_ = text(e, svc->meta.ns);
	s->name = text(e, svc->meta.name);
	put_addresses(e, svc->vips, svc->n_vips, &s->n_addresses, &s->addresses);
	put_service_ports(e, svc, s);
	if (svc->traffic != NULL)
		s->load_balancer = svc->traffic->balancer;
	s->endpoints = arena_alloc(e->a, svc->n_endpoints * sizeof(ENDPOINT *));
	for (size_t i = 0; i < svc->n_endpoints; i++)
		s->endpoints[s->n_endpoints++] = put_service_endpoint(e, svc, &svc->endpoints[i]);
	r->service = s;
	return seal(e, r, name_of(e, "Service", &svc->meta));
}

RESOURCE *emit_pod(struct emitter *e, const struct kube_pod *pod)
{
	RESOURCE *r = resource(e, WEFT__MESH__V1__RESOURCE__KIND_POD);
	Weft__Mesh__V1__Pod *p = ARENA_NEW(e->a, Weft__Mesh__V1__Pod);
	weft__mesh__v1__pod__init(p);
	p->endpoint = put_endpoint(e, pod);
	put_facts(e, pod, &p->endpoint->n_ports, &p->endpoint->ports);
	p->service = text(e, pod->service);
	r->pod = p;
	return seal(e, r, name_of(e, "Pod", &pod->meta));
}

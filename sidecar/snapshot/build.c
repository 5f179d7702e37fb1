/*
 * Builds a snapshot from a State message: validates every resource, then joins them (own pod,
 * identity, indexes). Refuses the whole where one thing does not hold; the caller keeps what it
 * had.
 */
#include "sidecar/snapshot/build.h"

#include <stdio.h>

#include "lib/base/alloc.h"
#include "lib/base/err.h"
#include "sidecar/snapshot/build_internal.h"

/* -- values
 * ---------------------------------------------------------------------------------------------------
 */

int build_fail(struct build *b, const char *field, const char *text)
{
	b->fault->resource = b->resource;
	snprintf(b->fault->field, sizeof(b->fault->field), "%s", field);
	snprintf(b->fault->reason, sizeof(b->fault->reason), "%s", text);
	return ERR_INVAL;
}

struct str build_str(struct build *b, const char *z)
{
	return arena_str(&b->s->arena, str_from(z));
}

int build_addr(struct build *b, const char *field, const ProtobufCBinaryData *bytes,
	struct addr *out)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
	memset(out, 0, sizeof(*out));
	if (bytes->len != 4 && bytes->len != 16)
		return build_fail(b, field, "an address has 4 or 16 bytes");
	/* The kernel takes ::ffff:127.0.0.1 for 127.0.0.1, whatever we compare it with. */
	if (bytes->len == 16 && memcmp(bytes->data, mapped, sizeof(mapped)) == 0)
		return build_fail(b, field, "an IPv4 address has 4 bytes");
	out->family = bytes->len == 4 ? ADDR_V4 : ADDR_V6;
	memcpy(out->bytes, bytes->data, bytes->len);
	return 0;
}

int build_unicast(struct build *b, const char *field, const ProtobufCBinaryData *bytes,
	struct addr *out)
{
	int e = build_addr(b, field, bytes, out);
	if (e != 0)
		return e;
	if (addr_is_loopback(out) || addr_is_link_local(out) || addr_is_multicast(out) ||
		addr_is_any(out))
		return build_fail(b, field, "loopback, link-local, multicast and any are nobody's");
	return 0;
}

int build_cidrs(struct build *b, const char *field, size_t n, Weft__Mesh__V1__IpBlock *const *in,
	struct cidrs *out)
{
	out->n = n;
	out->v = arena_zalloc(&b->s->arena, n * sizeof(*out->v));
	for (size_t i = 0; i < n; i++) {
		int e = build_addr(b, field, &in[i]->address, &out->v[i].base);
		if (e != 0)
			return e;
		if (in[i]->prefix > (out->v[i].base.family == ADDR_V4 ? 32 : 128))
			return build_fail(b, field, "prefix length out of range");
		out->v[i].prefix = (uint8_t)in[i]->prefix;
	}
	return 0;
}

int build_protocol(struct build *b, Weft__Mesh__V1__Protocol in, enum mesh_protocol *out)
{
	static const enum mesh_protocol table[] = {MESH_PROTO_SNIFF, MESH_PROTO_HTTP,
		MESH_PROTO_HTTP2, MESH_PROTO_TCP, MESH_PROTO_TLS};
	if ((unsigned)in >= sizeof(table) / sizeof(table[0]))
		return build_fail(b, "protocol", "unknown value");
	*out = table[in];
	return 0;
}

int build_mtls(struct build *b, Weft__Mesh__V1__MtlsMode in, enum mesh_mtls fallback,
	enum mesh_mtls *out)
{
	const enum mesh_mtls table[] = {fallback, MTLS_STRICT, MTLS_PERMISSIVE, MTLS_DISABLE};
	if ((unsigned)in >= sizeof(table) / sizeof(table[0]))
		return build_fail(b, "mtls_mode", "unknown value");
	*out = table[in];
	return 0;
}

int build_ports(struct build *b, size_t n, Weft__Mesh__V1__WorkloadPort *const *in,
	enum mesh_mtls mode, bool zero_ok, struct mesh_port **out)
{
	int e = 0;
	*out = arena_zalloc(&b->s->arena, n * sizeof(**out));
	for (size_t i = 0; i < n && e == 0; i++) {
		struct mesh_port *p = &(*out)[i];
		if (in[i]->port > 65535 || (in[i]->port == 0 && !zero_ok))
			return build_fail(b, "ports.port", "not a port");
		p->port = (uint16_t)in[i]->port;
		e = build_protocol(b, in[i]->protocol, &p->protocol);
		if (e == 0)
			e = build_mtls(b, in[i]->mtls_mode, mode, &p->mtls);
	}
	return e;
}

/* -- resources
 * ------------------------------------------------------------------------------------------------
 */

static int build_mesh(struct build *b, const Weft__Mesh__V1__Mesh *in)
{
	if (!str_eq(str_from(in->trust_domain), b->s->trust_domain))
		return build_fail(b, "trust_domain", "differs from the state's");
	b->s->outbound = in->outbound_traffic_policy ==
			WEFT__MESH__V1__OUTBOUND_TRAFFIC_POLICY__OUTBOUND_TRAFFIC_POLICY_ALLOW_ANY
		? OUTBOUND_ALLOW_ANY
		: OUTBOUND_REGISTRY_ONLY;
	return build_cidrs(b, "mesh_ranges", in->n_mesh_ranges, in->mesh_ranges,
		&b->s->mesh_ranges);
}

static int build_bundle(struct build *b, const Weft__Mesh__V1__TrustBundle *in)
{
	int e = cert_bundle_add(b->s->bundle, str_from(in->trust_domain),
		str_make(in->roots.data, in->roots.len));
	return e == 0 ? 0 : build_fail(b, "roots", err_text(e));
}

/* As leaves have it (struct cert_leaf). */
static bool is_serial(struct str s)
{
	if (s.n == 0 || s.n % 2 != 0 || (s.n > 2 && str_starts(s, STR("00"))))
		return false;
	for (size_t i = 0; i < s.n; i++)
		if ((s.p[i] < '0' || s.p[i] > '9') && (s.p[i] < 'a' || s.p[i] > 'f'))
			return false;
	return true;
}

static int build_revocations(struct build *b, const Weft__Mesh__V1__Revocations *in)
{
	for (size_t i = 0; i < in->n_serials; i++) {
		struct str serial = str_from(in->serials[i]);
		if (!is_serial(serial))
			return build_fail(b, "serials",
				"a serial is lower-case hex of whole bytes, without leading zeros: "
				"written otherwise it would revoke nothing");
		map_put(b->s->revoked, serial, b->s);
	}
	return 0;
}

/* What must be there exactly once, as seen so far. */
struct seen {
	unsigned workload, mesh, bundle, revocations;
};

static int build_one(struct build *b, const Weft__Mesh__V1__Resource *r, struct seen *seen)
{
	struct snapshot *s = b->s;
	b->resource = r->name;
	switch (r->kind_case) {
	case WEFT__MESH__V1__RESOURCE__KIND_WORKLOAD:
		if (seen->workload++ > 0)
			return build_fail(b, "kind", "a second own workload");
		return build_workload(b, r->workload);
	case WEFT__MESH__V1__RESOURCE__KIND_SERVICE:
		return build_service(b, r->service, &s->services[s->n_services++]);
	case WEFT__MESH__V1__RESOURCE__KIND_POD:
		return build_pod(b, r->pod, &s->pods[s->n_pods++]);
	case WEFT__MESH__V1__RESOURCE__KIND_AUTHORIZATION_POLICY:
		return build_policy(b, r->authorization_policy, &s->policies[s->n_policies++]);
	case WEFT__MESH__V1__RESOURCE__KIND_MESH:
		if (seen->mesh++ > 0)
			return build_fail(b, "kind", "a second mesh configuration");
		return build_mesh(b, r->mesh);
	case WEFT__MESH__V1__RESOURCE__KIND_TRUST_BUNDLE:
		seen->bundle++;
		return build_bundle(b, r->trust_bundle);
	case WEFT__MESH__V1__RESOURCE__KIND_REVOCATIONS:
		if (seen->revocations++ > 0)
			return build_fail(b, "kind", "a second list of revocations");
		return build_revocations(b, r->revocations);
	case WEFT__MESH__V1__RESOURCE__KIND__NOT_SET:
	case _WEFT__MESH__V1__RESOURCE__KIND__CASE_IS_INT_SIZE:
		break;
	}
	return build_fail(b, "kind", "unknown kind of resource");
}

static size_t count_kind(const Weft__Mesh__V1__State *st, Weft__Mesh__V1__Resource__KindCase kind)
{
	size_t n = 0;
	for (size_t i = 0; i < st->n_required; i++)
		n += st->required[i]->kind_case == kind;
	for (size_t i = 0; i < st->n_used; i++)
		n += st->used[i]->kind_case == kind;
	return n;
}

static int make_room(struct build *b, const Weft__Mesh__V1__State *st)
{
	struct snapshot *s = b->s;
	size_t services = count_kind(st, WEFT__MESH__V1__RESOURCE__KIND_SERVICE);
	size_t pods = count_kind(st, WEFT__MESH__V1__RESOURCE__KIND_POD);
	size_t policies = count_kind(st, WEFT__MESH__V1__RESOURCE__KIND_AUTHORIZATION_POLICY);
	b->resource = "(all)";
	if (services > SNAPSHOT_MAX_SERVICES || pods > SNAPSHOT_MAX_PODS ||
		policies > SNAPSHOT_MAX_POLICIES) {
		(void)build_fail(b, "resources", "more than this version takes");
		return ERR_LIMIT;
	}
	s->services = arena_zalloc(&s->arena, services * sizeof(*s->services));
	s->pods = arena_zalloc(&s->arena, pods * sizeof(*s->pods));
	s->policies = arena_zalloc(&s->arena, policies * sizeof(*s->policies));
	return 0;
}

static int build_all(struct build *b, const Weft__Mesh__V1__State *st)
{
	struct seen seen = {0};
	int e = make_room(b, st);
	for (size_t i = 0; i < st->n_required && e == 0; i++)
		e = build_one(b, st->required[i], &seen);
	for (size_t i = 0; i < st->n_used && e == 0; i++)
		e = build_one(b, st->used[i], &seen);
	if (e != 0)
		return e;
	build_rules(b, st);
	b->resource = "(required)";
	if (seen.workload == 0)
		return build_fail(b, "workload", "the pod's own record is missing");
	if (seen.mesh == 0)
		return build_fail(b, "mesh", "the mesh configuration is missing");
	if (seen.bundle == 0 || !cert_bundle_has(b->s->bundle, b->s->trust_domain))
		return build_fail(b, "trust_bundle",
			"the bundle of the own trust domain is missing");
	if (seen.revocations == 0)
		return build_fail(b, "revocations",
			"the list is missing; an empty one says that none is revoked");
	return 0;
}

/* -- joins
 * ----------------------------------------------------------------------------------------------------
 */

/* Identity: what we can prove to have. Whether it is that of the workload's own record is for those
 * who are called with it to judge. */
static int join_identity(struct build *b, const Weft__Mesh__V1__State *st)
{
	struct snapshot *s = b->s;
	b->resource = "(identity)";
	if (cert_chain_parse(str_make(st->chain.data, st->chain.len), &s->chain) != 0)
		return build_fail(b, "chain", "cannot be parsed");
	if (cert_key_parse(str_make(st->key.data, st->key.len), &s->key) != 0)
		return build_fail(b, "key", "cannot be parsed");
	if (!cert_chain_matches_key(s->chain, s->key))
		return build_fail(b, "key", "does not belong to the leaf");
	return 0;
}

static void mark_self(struct snapshot *s, struct mesh_endpoint *ep)
{
	ep->self = ep->uid.n > 0 && str_eq(ep->uid, s->self.uid);
}

/* What two claim is nobody's until one of them gives it up: their new versions may come one after
 * the other. */
static void index_add(struct snapshot *s, struct map *index, struct map *disputed,
	const struct addr *a, void *value)
{
	struct str key = addr_key(a);
	if (a->family == ADDR_NONE || map_get(disputed, key) != NULL)
		return;
	void *other = map_put(index, key, value);
	if (other == NULL || other == value)
		return;
	map_remove(index, key);
	map_put(disputed, key, s);
}

static void join_services(struct snapshot *s, uint64_t seed)
{
	struct map *disputed = map_new(seed);
	s->by_vip = map_new(seed);
	for (size_t i = 0; i < s->n_services; i++) {
		struct mesh_service *svc = &s->services[i];
		for (size_t j = 0; j < svc->n_vips; j++)
			index_add(s, s->by_vip, disputed, &svc->vips[j], svc);
		for (size_t j = 0; j < svc->n_endpoints; j++)
			mark_self(s, &svc->endpoints[j]);
	}
	s->n_disputed += map_count(disputed);
	map_free(&disputed);
}

static void join_pods(struct snapshot *s, uint64_t seed)
{
	struct map *disputed = map_new(seed);
	s->by_pod = map_new(seed);
	for (size_t i = 0; i < s->n_pods; i++) {
		struct mesh_pod *pod = &s->pods[i];
		mark_self(s, &pod->endpoint);
		index_add(s, s->by_pod, disputed, &pod->endpoint.v4, pod);
		index_add(s, s->by_pod, disputed, &pod->endpoint.v6, pod);
	}
	s->n_disputed += map_count(disputed);
	map_free(&disputed);
}

static struct snapshot *snapshot_new(uint64_t seed)
{
	struct snapshot *s = MEM_NEW(struct snapshot);
	s->refs = 1;
	arena_init(&s->arena, NULL);
	s->bundle = cert_bundle_new();
	s->revoked = map_new(seed);
	return s;
}

int snapshot_try(const Weft__Mesh__V1__State *state, uint64_t seed, struct snapshot **out,
	struct snapshot_fault *fault)
{
	struct snapshot *s = snapshot_new(seed);
	struct build b = {.s = s, .resource = "(state)", .fault = fault};
	s->trust_domain = build_str(&b, state->trust_domain);
	s->position = build_str(&b, state->position);
	s->written_at = state->written_at;
	int e = spiffe_td_valid(s->trust_domain)
		? 0
		: build_fail(&b, "trust_domain", "not a trust domain");
	if (e == 0 && s->written_at < 0) /* and no difference of times overflows */
		e = build_fail(&b, "written_at", "before the epoch");
	if (e == 0)
		e = build_all(&b, state);
	if (e == 0 && out != NULL)
		e = join_identity(&b, state);
	if (e == 0) {
		join_services(s, seed);
		join_pods(s, seed);
	}
	if (e != 0 || out == NULL)
		snapshot_unref(&s);
	if (out != NULL)
		*out = s;
	return e;
}

int snapshot_build(const Weft__Mesh__V1__State *state, uint64_t seed, struct snapshot **out,
	char *err, size_t size)
{
	struct snapshot_fault f;
	int e = snapshot_try(state, seed, out, &f);
	if (e != 0)
		snprintf(err, size, "resource %s: %s: %s", f.resource, f.field, f.reason);
	return e;
}

int snapshot_check_resource(const char *trust_domain, const Weft__Mesh__V1__Resource *resource,
	struct snapshot_fault *fault)
{
	struct snapshot *s = snapshot_new(0);
	struct build b = {.s = s, .fault = fault};
	struct seen seen = {0};
	Weft__Mesh__V1__Resource *one = (Weft__Mesh__V1__Resource *)(uintptr_t)resource;
	const Weft__Mesh__V1__State st = {.n_used = 1, .used = &one};
	s->trust_domain = build_str(&b, trust_domain);
	int e = make_room(&b, &st);
	if (e == 0)
		e = build_one(&b, resource, &seen);
	snapshot_unref(&s);
	return e;
}

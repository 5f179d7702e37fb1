/*
 * States as JSON, for `weft show-state -o json` and for comparing what was compiled. Writes to the
 * caller's buffer; nothing is owned.
 */
#include "cli/state_json.h"

#include <stdio.h>

#include "lib/net/addr.h"
#include "lib/crypto/crypto.h"

/* -- words ------------------------------------------------------------------------------------ */

const char *state_mode_text(Weft__Mesh__V1__MtlsMode mode)
{
	static const char *const words[] = {"UNSPECIFIED", "STRICT", "PERMISSIVE", "DISABLE"};
	return (unsigned)mode < sizeof(words) / sizeof(words[0]) ? words[mode] : "?";
}

const char *state_protocol_text(Weft__Mesh__V1__Protocol protocol)
{
	static const char *const words[] = {"UNSPECIFIED", "HTTP", "HTTP2", "TCP", "TLS"};
	return (unsigned)protocol < sizeof(words) / sizeof(words[0]) ? words[protocol] : "?";
}

static bool to_addr(const ProtobufCBinaryData *bytes, struct addr *out)
{
	*out = (struct addr){0};
	if (bytes->len != 4 && bytes->len != 16)
		return false;
	out->family = bytes->len == 4 ? ADDR_V4 : ADDR_V6;
	memcpy(out->bytes, bytes->data, bytes->len);
	return true;
}

const char *state_address_text(const ProtobufCBinaryData *bytes, char *dst)
{
	struct addr a;
	if (to_addr(bytes, &a))
		return addr_format_ip(&a, dst);
	snprintf(dst, ADDR_TEXT, "?");
	return dst;
}

/* -- pieces ----------------------------------------------------------------------------------- */

static void key_text(struct json *j, const char *key, const char *text)
{
	json_key_str(j, key, str_from(text));
}

static void key_addresses(struct json *j, const char *key, const ProtobufCBinaryData *list,
	size_t n)
{
	char text[ADDR_TEXT];
	json_key(j, key);
	json_array(j);
	for (size_t i = 0; i < n; i++)
		json_str(j, str_from(state_address_text(&list[i], text)));
	json_array_end(j);
}

static void key_blocks(struct json *j, const char *key, Weft__Mesh__V1__IpBlock *const *list,
	size_t n)
{
	char ip[ADDR_TEXT], text[ADDR_TEXT + 16];
	json_key(j, key);
	json_array(j);
	for (size_t i = 0; i < n; i++) {
		snprintf(text, sizeof(text), "%s/%u", state_address_text(&list[i]->address, ip),
			list[i]->prefix);
		json_str(j, str_from(text));
	}
	json_array_end(j);
}

static void key_ports(struct json *j, Weft__Mesh__V1__WorkloadPort *const *list, size_t n)
{
	json_key(j, "ports");
	json_array(j);
	for (size_t i = 0; i < n; i++) {
		json_object(j);
		json_key_u64(j, "port", list[i]->port);
		key_text(j, "protocol", state_protocol_text(list[i]->protocol));
		key_text(j, "mtlsMode", state_mode_text(list[i]->mtls_mode));
		json_object_end(j);
	}
	json_array_end(j);
}

static void put_endpoint(struct json *j, const Weft__Mesh__V1__Endpoint *ep)
{
	json_object(j);
	key_text(j, "namespace", ep->namespace_);
	key_text(j, "name", ep->name);
	key_addresses(j, "addresses", ep->addresses, ep->n_addresses);
	key_text(j, "uid", ep->uid);
	json_key_bool(j, "meshed", ep->meshed);
	key_text(j, "spiffeId", ep->spiffe_id);
	key_text(j, "mtlsMode", state_mode_text(ep->mtls_mode));
	key_text(j, "workload", ep->workload);
	json_key_bool(j, "ready", ep->ready);
	key_ports(j, ep->ports, ep->n_ports);
	json_object_end(j);
}

/* -- policies --------------------------------------------------------------------------------- */

/* As in the manifest: "a", "a*", "*a", "*". Fields that are not set are left out. */
static void key_matches(struct json *j, const char *key, Weft__Mesh__V1__StringMatch *const *list,
	size_t n)
{
	char text[1024];
	if (n == 0)
		return;
	json_key(j, key);
	json_array(j);
	for (size_t i = 0; i < n; i++) {
		Weft__Mesh__V1__StringMatch__Kind kind = list[i]->kind;
		bool before = kind == WEFT__MESH__V1__STRING_MATCH__KIND__SUFFIX ||
			kind == WEFT__MESH__V1__STRING_MATCH__KIND__PRESENT;
		bool after = kind == WEFT__MESH__V1__STRING_MATCH__KIND__PREFIX;
		snprintf(text, sizeof(text), "%s%s%s", before ? "*" : "", list[i]->value,
			after ? "*" : "");
		json_str(j, str_from(text));
	}
	json_array_end(j);
}

static void put_source(struct json *j, const Weft__Mesh__V1__AuthorizationPolicy__Source *s)
{
	json_object(j);
	key_matches(j, "principals", s->principals, s->n_principals);
	key_matches(j, "notPrincipals", s->not_principals, s->n_not_principals);
	key_matches(j, "namespaces", s->namespaces, s->n_namespaces);
	key_matches(j, "notNamespaces", s->not_namespaces, s->n_not_namespaces);
	key_matches(j, "serviceAccounts", s->service_accounts, s->n_service_accounts);
	key_matches(j, "notServiceAccounts", s->not_service_accounts, s->n_not_service_accounts);
	if (s->n_ip_blocks > 0)
		key_blocks(j, "ipBlocks", s->ip_blocks, s->n_ip_blocks);
	if (s->n_not_ip_blocks > 0)
		key_blocks(j, "notIpBlocks", s->not_ip_blocks, s->n_not_ip_blocks);
	json_object_end(j);
}

static void key_numbers(struct json *j, const char *key, const uint32_t *list, size_t n)
{
	if (n == 0)
		return;
	json_key(j, key);
	json_array(j);
	for (size_t i = 0; i < n; i++)
		json_u64(j, list[i]);
	json_array_end(j);
}

static void put_rule(struct json *j, const Weft__Mesh__V1__AuthorizationPolicy__Rule *rule)
{
	json_object(j);
	if (rule->n_from > 0) {
		json_key(j, "from");
		json_array(j);
		for (size_t i = 0; i < rule->n_from; i++)
			put_source(j, rule->from[i]);
		json_array_end(j);
	}
	if (rule->n_to > 0) {
		json_key(j, "to");
		json_array(j);
		for (size_t i = 0; i < rule->n_to; i++) {
			json_object(j);
			key_numbers(j, "ports", rule->to[i]->ports, rule->to[i]->n_ports);
			key_numbers(j, "notPorts", rule->to[i]->not_ports,
				rule->to[i]->n_not_ports);
			json_object_end(j);
		}
		json_array_end(j);
	}
	json_object_end(j);
}

static void put_policy(struct json *j, const Weft__Mesh__V1__AuthorizationPolicy *p)
{
	bool deny = p->action == WEFT__MESH__V1__AUTHORIZATION_POLICY__ACTION__DENY;
	json_object(j);
	key_text(j, "namespace", p->namespace_);
	key_text(j, "name", p->name);
	if (p->broken[0] != '\0')
		key_text(j, "broken", p->broken);
	else
		key_text(j, "action", deny ? "DENY" : "ALLOW");
	json_key(j, "rules");
	json_array(j);
	for (size_t i = 0; i < p->n_rules; i++)
		put_rule(j, p->rules[i]);
	json_array_end(j);
	json_object_end(j);
}

/* -- other resources -------------------------------------------------------------------------- */

static void put_workload(struct json *j, const Weft__Mesh__V1__Workload *w)
{
	json_object(j);
	key_text(j, "namespace", w->namespace_);
	key_text(j, "name", w->name);
	key_text(j, "uid", w->uid);
	key_text(j, "serviceAccount", w->service_account);
	key_text(j, "workload", w->workload);
	key_text(j, "service", w->service);
	key_addresses(j, "addresses", w->addresses, w->n_addresses);
	key_text(j, "mtlsMode", state_mode_text(w->mtls_mode));
	key_ports(j, w->ports, w->n_ports);
	json_object_end(j);
}

static void put_service(struct json *j, const Weft__Mesh__V1__Service *s)
{
	json_object(j);
	key_text(j, "namespace", s->namespace_);
	key_text(j, "name", s->name);
	key_addresses(j, "addresses", s->addresses, s->n_addresses);
	if (s->load_balancer == WEFT__MESH__V1__LOAD_BALANCER__LOAD_BALANCER_ROUND_ROBIN)
		key_text(j, "loadBalancer", "ROUND_ROBIN");
	json_key(j, "ports");
	json_array(j);
	for (size_t i = 0; i < s->n_ports; i++) {
		json_object(j);
		json_key_u64(j, "port", s->ports[i]->port);
		key_text(j, "name", s->ports[i]->name);
		key_text(j, "protocol", state_protocol_text(s->ports[i]->protocol));
		json_object_end(j);
	}
	json_array_end(j);
	json_key(j, "endpoints");
	json_array(j);
	for (size_t i = 0; i < s->n_endpoints; i++)
		put_endpoint(j, s->endpoints[i]);
	json_array_end(j);
	json_object_end(j);
}

static void put_pod(struct json *j, const Weft__Mesh__V1__Pod *p)
{
	json_object(j);
	key_text(j, "service", p->service);
	if (p->endpoint != NULL) {
		json_key(j, "endpoint");
		put_endpoint(j, p->endpoint);
	}
	json_object_end(j);
}

static void put_mesh(struct json *j, const Weft__Mesh__V1__Mesh *m)
{
	bool any = m->outbound_traffic_policy ==
		WEFT__MESH__V1__OUTBOUND_TRAFFIC_POLICY__OUTBOUND_TRAFFIC_POLICY_ALLOW_ANY;
	json_object(j);
	key_text(j, "trustDomain", m->trust_domain);
	key_blocks(j, "meshRanges", m->mesh_ranges, m->n_mesh_ranges);
	key_text(j, "outboundTrafficPolicy", any ? "ALLOW_ANY" : "REGISTRY_ONLY");
	json_object_end(j);
}

static void put_bundle(struct json *j, const Weft__Mesh__V1__TrustBundle *b)
{
	json_object(j);
	key_text(j, "trustDomain", b->trust_domain);
	json_key_u64(j, "bytes", b->roots.len);
	json_object_end(j);
}

static void put_revocations(struct json *j, const Weft__Mesh__V1__Revocations *r)
{
	json_object(j);
	json_key(j, "serials");
	json_array(j);
	for (size_t i = 0; i < r->n_serials; i++)
		json_str(j, str_from(r->serials[i]));
	json_array_end(j);
	json_object_end(j);
}

static void put_content(struct json *j, const Weft__Mesh__V1__Resource *r)
{
	switch (r->kind_case) {
	case WEFT__MESH__V1__RESOURCE__KIND_WORKLOAD:
		json_key(j, "workload");
		put_workload(j, r->workload);
		break;
	case WEFT__MESH__V1__RESOURCE__KIND_SERVICE:
		json_key(j, "service");
		put_service(j, r->service);
		break;
	case WEFT__MESH__V1__RESOURCE__KIND_POD:
		json_key(j, "pod");
		put_pod(j, r->pod);
		break;
	case WEFT__MESH__V1__RESOURCE__KIND_AUTHORIZATION_POLICY:
		json_key(j, "authorizationPolicy");
		put_policy(j, r->authorization_policy);
		break;
	case WEFT__MESH__V1__RESOURCE__KIND_MESH:
		json_key(j, "mesh");
		put_mesh(j, r->mesh);
		break;
	case WEFT__MESH__V1__RESOURCE__KIND_TRUST_BUNDLE:
		json_key(j, "trustBundle");
		put_bundle(j, r->trust_bundle);
		break;
	case WEFT__MESH__V1__RESOURCE__KIND_REVOCATIONS:
		json_key(j, "revocations");
		put_revocations(j, r->revocations);
		break;
	case WEFT__MESH__V1__RESOURCE__KIND__NOT_SET:
	case _WEFT__MESH__V1__RESOURCE__KIND__CASE_IS_INT_SIZE:
		break;
	}
}

void state_json_resources(struct json *j, Weft__Mesh__V1__Resource *const *list, size_t n,
	bool hashes)
{
	json_array(j);
	for (size_t i = 0; i < n; i++) {
		char hex[2 * SHA256_SIZE + 1] = "";
		json_object(j);
		key_text(j, "name", list[i]->name);
		if (hashes && list[i]->hash.len == SHA256_SIZE)
			crypto_hex(list[i]->hash.data, SHA256_SIZE, hex);
		if (hashes)
			key_text(j, "hash", hex);
		put_content(j, list[i]);
		json_object_end(j);
	}
	json_array_end(j);
}

/*
 * Writes a snapshot as JSON, kind by kind. Owns nothing; called by proxy.c for the admin endpoint.
 * What is secret (the private key) is not even looked at.
 */
#include "sidecar/admin/dump.h"

#include <stdio.h>

static const char *protocol_name(enum mesh_protocol p)
{
	switch (p) {
	case MESH_PROTO_SNIFF:
		return "sniffed";
	case MESH_PROTO_HTTP:
		return "http";
	case MESH_PROTO_HTTP2:
		return "http2";
	case MESH_PROTO_TCP:
		return "tcp";
	case MESH_PROTO_TLS:
		return "tls";
	}
	return "?";
}

static const char *mtls_name(enum mesh_mtls m)
{
	switch (m) {
	case MTLS_STRICT:
		return "STRICT";
	case MTLS_PERMISSIVE:
		return "PERMISSIVE";
	case MTLS_DISABLE:
		return "DISABLE";
	}
	return "?";
}

static void key_z(struct json *j, const char *key, const char *value)
{
	json_key_str(j, key, str_from(value));
}

static void dump_addrs(struct json *j, const char *key, const struct addr *v, size_t n)
{
	char text[ADDR_TEXT];
	json_key(j, key);
	json_array(j);
	for (size_t i = 0; i < n; i++)
		if (v[i].family != ADDR_NONE)
			json_str(j, str_from(addr_format_ip(&v[i], text)));
	json_array_end(j);
}

static void dump_ports(struct json *j, const struct mesh_port *v, size_t n)
{
	json_key(j, "ports");
	json_array(j);
	for (size_t i = 0; i < n; i++) {
		json_object(j);
		json_key_u64(j, "port", v[i].port);
		key_z(j, "protocol", protocol_name(v[i].protocol));
		key_z(j, "mtls", mtls_name(v[i].mtls));
		json_object_end(j);
	}
	json_array_end(j);
}

static void dump_endpoint(struct json *j, const struct mesh_endpoint *ep)
{
	const struct addr addrs[] = {ep->v4, ep->v6};
	json_object(j);
	json_key_str(j, "namespace", ep->ns);
	json_key_str(j, "pod", ep->name);
	json_key_str(j, "uid", ep->uid);
	json_key_str(j, "workload", ep->workload);
	json_key_str(j, "identity", ep->spiffe_id);
	json_key_bool(j, "meshed", ep->meshed);
	json_key_bool(j, "ready", ep->ready);
	json_key_bool(j, "self", ep->self);
	key_z(j, "mtls", mtls_name(ep->mtls));
	dump_addrs(j, "addresses", addrs, 2);
	dump_ports(j, ep->ports, ep->n_ports);
	json_object_end(j);
}

static void dump_service(struct json *j, const struct mesh_service *svc)
{
	json_object(j);
	json_key_str(j, "namespace", svc->ns);
	json_key_str(j, "name", svc->name);
	key_z(j, "balancer", svc->balancer == BALANCER_P2C ? "p2c" : "round_robin");
	dump_addrs(j, "addresses", svc->vips, svc->n_vips);
	json_key(j, "ports");
	json_array(j);
	for (size_t i = 0; i < svc->n_ports; i++) {
		json_object(j);
		json_key_u64(j, "port", svc->ports[i].port);
		json_key_str(j, "name", svc->ports[i].name);
		key_z(j, "protocol", protocol_name(svc->ports[i].protocol));
		json_object_end(j);
	}
	json_array_end(j);
	json_key(j, "endpoints");
	json_array(j);
	for (size_t i = 0; i < svc->n_endpoints; i++)
		dump_endpoint(j, &svc->endpoints[i]);
	json_array_end(j);
	json_object_end(j);
}

static void dump_matches(struct json *j, const char *key, const struct string_matches *m)
{
	if (m->n == 0)
		return;
	json_key(j, key);
	json_array(j);
	for (size_t i = 0; i < m->n; i++) {
		char text[SPIFFE_ID_MAX + 2];
		const struct string_match *v = &m->v[i];
		bool lead = v->kind == MATCH_SUFFIX || v->kind == MATCH_PRESENT,
		     trail = v->kind == MATCH_PREFIX;
		int n = snprintf(text, sizeof(text), "%s%.*s%s", lead ? "*" : "", STR_ARG(v->value),
			trail ? "*" : "");
		json_str(j,
			str_make(text, (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1));
	}
	json_array_end(j);
}

static void dump_cidrs(struct json *j, const char *key, const struct cidrs *c)
{
	char text[ADDR_TEXT];
	if (c->n == 0)
		return;
	json_key(j, key);
	json_array(j);
	for (size_t i = 0; i < c->n; i++)
		json_str(j, str_from(cidr_format(&c->v[i], text)));
	json_array_end(j);
}

static void dump_port_list(struct json *j, const char *key, const struct port_list *p)
{
	if (p->n == 0)
		return;
	json_key(j, key);
	json_array(j);
	for (size_t i = 0; i < p->n; i++)
		json_u64(j, p->v[i]);
	json_array_end(j);
}

static void dump_rule(struct json *j, const struct authz_rule *r)
{
	json_object(j);
	json_key(j, "from");
	json_array(j);
	for (size_t i = 0; i < r->n_from; i++) {
		const struct authz_source *s = &r->from[i];
		json_object(j);
		dump_matches(j, "principals", &s->principals);
		dump_matches(j, "notPrincipals", &s->not_principals);
		dump_matches(j, "namespaces", &s->namespaces);
		dump_matches(j, "notNamespaces", &s->not_namespaces);
		dump_matches(j, "serviceAccounts", &s->service_accounts);
		dump_matches(j, "notServiceAccounts", &s->not_service_accounts);
		dump_cidrs(j, "ipBlocks", &s->ip_blocks);
		dump_cidrs(j, "notIpBlocks", &s->not_ip_blocks);
		json_object_end(j);
	}
	json_array_end(j);
	json_key(j, "to");
	json_array(j);
	for (size_t i = 0; i < r->n_to; i++) {
		json_object(j);
		dump_port_list(j, "ports", &r->to[i].ports);
		dump_port_list(j, "notPorts", &r->to[i].not_ports);
		json_object_end(j);
	}
	json_array_end(j);
	json_object_end(j);
}

static void dump_policies(struct json *j, const struct snapshot *s)
{
	json_key(j, "policies");
	json_array(j);
	for (size_t i = 0; i < s->n_policies; i++) {
		const struct authz_policy *p = &s->policies[i];
		json_object(j);
		json_key_str(j, "namespace", p->ns);
		json_key_str(j, "name", p->name);
		key_z(j, "action", p->action == AUTHZ_ALLOW ? "ALLOW" : "DENY");
		if (p->broken.n > 0)
			json_key_str(j, "broken", p->broken);
		json_key(j, "rules");
		json_array(j);
		for (size_t r = 0; r < p->n_rules; r++)
			dump_rule(j, &p->rules[r]);
		json_array_end(j);
		json_object_end(j);
	}
	json_array_end(j);
}

static void dump_identity(struct json *j, const struct snapshot *s)
{
	const struct cert_leaf *leaf = cert_chain_leaf(s->chain);
	json_key(j, "identity");
	json_object(j);
	json_key_str(j, "spiffe_id", leaf->id.id);
	json_key_str(j, "serial", leaf->serial);
	json_key_str(j, "pod_uid", leaf->pod_uid);
	json_key(j, "not_before");
	json_i64(j, leaf->not_before);
	json_key(j, "not_after");
	json_i64(j, leaf->not_after);
	json_key_str(j, "key", STR("(redacted)"));
	json_key_str(j, "bundle_epoch", str_from(cert_bundle_epoch(s->bundle)));
	json_object_end(j);
}

void dump_snapshot(struct json *j, const struct snapshot *s)
{
	json_key_str(j, "trust_domain", s->trust_domain);
	json_key(j, "written_at");
	json_i64(j, s->written_at);
	dump_identity(j, s);
	json_key(j, "workload");
	json_object(j);
	json_key_str(j, "namespace", s->self.ns);
	json_key_str(j, "pod", s->self.name);
	json_key_str(j, "uid", s->self.uid);
	json_key_str(j, "service_account", s->self.service_account);
	key_z(j, "mtls", mtls_name(s->self.mtls));
	dump_addrs(j, "addresses", s->self.addrs, s->self.n_addrs);
	dump_ports(j, s->self.ports, s->self.n_ports);
	json_object_end(j);
	json_key(j, "mesh");
	json_object(j);
	key_z(j, "outbound_traffic_policy",
		s->outbound == OUTBOUND_ALLOW_ANY ? "ALLOW_ANY" : "REGISTRY_ONLY");
	dump_cidrs(j, "ranges", &s->mesh_ranges);
	json_object_end(j);
	dump_policies(j, s);
	json_key(j, "services");
	json_array(j);
	for (size_t i = 0; i < s->n_services; i++)
		dump_service(j, &s->services[i]);
	json_array_end(j);
	json_key(j, "pods");
	json_array(j);
	for (size_t i = 0; i < s->n_pods; i++)
		dump_endpoint(j, &s->pods[i].endpoint);
	json_array_end(j);
}

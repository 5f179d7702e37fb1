/*
 * Lifetime and look-ups of the snapshot. Owns nothing beyond the snapshot's own arena, maps and
 * identity objects; called by all stages, changes nothing.
 */
#include "sidecar/snapshot/snapshot.h"

#include "lib/base/alloc.h"

struct snapshot *snapshot_ref(struct snapshot *s)
{
	s->refs++;
	return s;
}

void snapshot_renew(struct snapshot *s, int64_t written_at)
{
	s->written_at = written_at;
}

void snapshot_unref(struct snapshot **sp)
{
	struct snapshot *s = *sp;
	*sp = NULL;
	if (s == NULL || --s->refs > 0)
		return;
	map_free(&s->by_vip);
	map_free(&s->by_pod);
	map_free(&s->revoked);
	cert_chain_unref(&s->chain);
	cert_key_unref(&s->key);
	cert_bundle_unref(&s->bundle);
	arena_clear(&s->arena);
	mem_free(s);
}

const struct mesh_service *snapshot_service(const struct snapshot *s, const struct addr *vip)
{
	struct addr ip = addr_with_port(vip, 0);
	return map_get(s->by_vip, addr_key(&ip));
}

const struct mesh_pod *snapshot_pod(const struct snapshot *s, const struct addr *ip)
{
	struct addr key = addr_with_port(ip, 0);
	return map_get(s->by_pod, addr_key(&key));
}

int mesh_service_port_index(const struct mesh_service *svc, uint16_t port)
{
	for (size_t i = 0; i < svc->n_ports; i++)
		if (svc->ports[i].port == port)
			return (int)i;
	return -1;
}

bool snapshot_is_self(const struct snapshot *s, const struct addr *ip)
{
	for (size_t i = 0; i < s->self.n_addrs; i++)
		if (addr_eq_ip(&s->self.addrs[i], ip))
			return true;
	return false;
}

bool snapshot_in_mesh(const struct snapshot *s, const struct addr *ip)
{
	for (size_t i = 0; i < s->mesh_ranges.n; i++)
		if (cidr_contains(&s->mesh_ranges.v[i], ip))
			return true;
	return false;
}

struct mesh_port snapshot_own_port(const struct snapshot *s, uint16_t port)
{
	for (size_t i = 0; i < s->self.n_ports; i++)
		if (s->self.ports[i].port == port)
			return s->self.ports[i];
	return (struct mesh_port){.port = port, .protocol = MESH_PROTO_SNIFF, .mtls = s->self.mtls};
}

/*
 * Authorization policies as plain data: compiled, validated, ready to be matched. Part of the
 * snapshot and owned by its arena.
 */
#ifndef WEFT_SIDECAR_SNAPSHOT_POLICY_H
#define WEFT_SIDECAR_SNAPSHOT_POLICY_H

#include "lib/base/str.h"
#include "lib/net/addr.h"

enum match_kind { MATCH_EXACT, MATCH_PREFIX, MATCH_SUFFIX, MATCH_PRESENT };
struct string_match {
	enum match_kind kind;
	struct str value;
};
struct string_matches {
	struct string_match *v;
	size_t n;
};
struct cidrs {
	struct cidr *v;
	size_t n;
};
struct port_list {
	uint16_t *v;
	size_t n;
};

struct authz_source {
	struct string_matches principals, not_principals, namespaces, not_namespaces,
		service_accounts, not_service_accounts;
	struct cidrs ip_blocks, not_ip_blocks;
};
struct authz_operation {
	struct port_list ports, not_ports;
};
struct authz_rule {
	struct authz_source *from;
	size_t n_from;
	struct authz_operation *to;
	size_t n_to;
};
enum authz_action { AUTHZ_ALLOW, AUTHZ_DENY };
struct authz_policy {
	struct str ns, name;
	enum authz_action action;
	struct authz_rule *rules;
	size_t n_rules;
	struct str broken; /* not empty: denies everything, with this reason */
};

#endif

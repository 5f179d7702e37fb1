/*
 * Policies for test meshes, and what tests look at inside of a proxy: that nothing is left, and
 * upstream connections to break. Used through mesh_support.h.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "lib/net/io_internal.h"
#include "sidecar/upstream/pool_internal.h"
#include "tests/support/mesh_support.h"

typedef Weft__Mesh__V1__AuthorizationPolicy policy;
typedef Weft__Mesh__V1__AuthorizationPolicy__Rule policy_rule;
typedef Weft__Mesh__V1__AuthorizationPolicy__Source policy_source;
typedef Weft__Mesh__V1__AuthorizationPolicy__Operation policy_operation;
typedef Weft__Mesh__V1__StringMatch string_match;

#define MAKE(m, type) ((type *)arena_zalloc(&(m)->made, sizeof(type)))

static policy_source *make_source(struct mesh *m, const char *principal)
{
	policy_source *src = MAKE(m, policy_source);
	string_match *match = MAKE(m, string_match);
	weft__mesh__v1__authorization_policy__source__init(src);
	weft__mesh__v1__string_match__init(match);
	if (strcmp(principal, "*") == 0)
		match->kind = WEFT__MESH__V1__STRING_MATCH__KIND__PRESENT;
	else
		match->value = arena_strdup(&m->made, str_from(principal));
	src->n_principals = 1;
	src->principals = MAKE(m, string_match *);
	src->principals[0] = match;
	return src;
}

static policy_operation *make_operation(struct mesh *m, uint32_t port)
{
	policy_operation *op = MAKE(m, policy_operation);
	weft__mesh__v1__authorization_policy__operation__init(op);
	op->n_ports = 1;
	op->ports = MAKE(m, uint32_t);
	op->ports[0] = port;
	return op;
}

void mesh_policy(struct mesh *m, const char *name,
	Weft__Mesh__V1__AuthorizationPolicy__Action action, const char *principal, uint32_t port)
{
	policy *p = MAKE(m, policy);
	policy_rule *rule = MAKE(m, policy_rule);
	weft__mesh__v1__authorization_policy__init(p);
	weft__mesh__v1__authorization_policy__rule__init(rule);
	p->namespace_ = arena_strdup(&m->made, STR("default"));
	p->name = arena_strdup(&m->made, str_from(name));
	p->action = action;
	p->n_rules = 1;
	p->rules = MAKE(m, policy_rule *);
	p->rules[0] = rule;
	if (principal != NULL) {
		rule->n_from = 1;
		rule->from = MAKE(m, policy_source *);
		rule->from[0] = make_source(m, principal);
	}
	if (port != 0) {
		rule->n_to = 1;
		rule->to = MAKE(m, policy_operation *);
		rule->to[0] = make_operation(m, port);
	}
	assert_true(m->n_policies < sizeof(m->made_policies) / sizeof(m->made_policies[0]));
	m->policies = m->made_policies;
	m->policies[m->n_policies++] = p;
}

void mesh_policies_clear(struct mesh *m)
{
	m->n_policies = 0;
}

/* -- inside of a proxy
 * -------------------------------------------------------------------------------------------
 */

static void assert_no_load(const struct flow *f)
{
	struct map_entry *cursor = NULL;
	void *value;
	while (map_next(f->loads, &cursor, NULL, &value))
		assert_int_equal(((struct balance_load *)value)->in_flight, 0);
}

void mesh_assert_idle(struct mesh *m)
{
	/* Longer than lingering ends and idle connections in pools last. */
	mesh_advance(m, 200 * NS_PER_S);
	for (size_t i = 0; i < m->n_pods; i++) {
		if (m->pods[i].proxy == NULL)
			continue;
		const struct flow *f = proxy_flow(m->pods[i].proxy);
		assert_int_equal(f->stats.conns, 0);
		assert_int_equal(f->stats.conns_inbound, 0);
		assert_int_equal(f->stats.requests, 0);
		assert_int_equal(pools_waiting(f->pools), 0);
		assert_int_equal(pools_conns(f->pools), 0);
		assert_no_load(f);
	}
}

unsigned mesh_break_upstreams(struct mesh_test_pod *p, int err)
{
	struct map_entry *cursor = NULL;
	void *value;
	unsigned n = 0;
	while (map_next(proxy_flow(p->proxy)->pools->by_key, &cursor, NULL, &value)) {
		struct pool *pool = value;
		LIST_EACH(&pool->conns, c)
		{
			const struct pool_conn *pc = CONTAINER_OF(c, struct pool_conn, node);
			const struct io *bottom = io_bottom(http_conn_io(pc->http));
			io_mem_break((struct io *)(uintptr_t)bottom, err);
			n++;
		}
	}
	return n;
}

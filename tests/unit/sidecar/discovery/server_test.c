/*
 * Discovery against the control plane's own service and store: what is asked for comes, changes
 * come, what goes is gone, and neither side loses count of the other. The test owns both.
 */
#include "tests/support/discovery_world.h"
#include "tests/support/push_world.h"
#include "tests/support/push_shop.h"
#include "tests/support/attest_by_name.h"

/* One of each. */
struct both {
	struct push_world p;
	struct disc w;
};

static void set_world(struct both *b, const char *yaml)
{
	push_world_set(&b->p, yaml);
	disc_advance(&b->w, NS_PER_S);
}

static int set_up(void **state)
{
	struct both *b = MEM_NEW(struct both);
	push_world_init(&b->p);
	push_world_open(&b->p, SHOP("10.0.0.2"));
	disc_attach(&b->w, &b->p.env, b->p.net, b->p.at);
	struct compile_bundle bundle = {
		STR("cluster.local"), cert_chain_der(cert_ca_chain(b->w.ca))};
	store_set_bundles(b->p.store, &bundle, 1);
	b->w.credential = "shop/me";
	*state = b;
	return 0;
}

static int tear_down(void **state)
{
	struct both *b = *state;
	disc_detach(&b->w);
	push_world_close(&b->p);
	mem_free(b);
	return 0;
}

static void begin(struct both *b)
{
	disc_start(&b->w);
	disc_advance(&b->w, NS_PER_S);
	if (!discovery_ready(b->w.d, NULL))
		fail_msg("not ready: %s", disc_describe(&b->w));
}

static enum lookup_answer look_up(struct both *b, const char *ip)
{
	(void)disc_ask(&b->w, ip);
	disc_advance(&b->w, NS_PER_S);
	return disc_ask(&b->w, ip);
}

static bool uses(const struct both *b, const char *name)
{
	return strstr(strstr(b->w.in_force, "used:"), name) != NULL;
}

static void test_asked_and_answered(void **state)
{
	struct both *b = *state;
	begin(b);
	assert_false(uses(b, "Service"));
	(void)look_up(b, "10.96.0.1");
	assert_true(uses(b, "Service/shop/web"));
	assert_false(uses(b, "Service/shop/db"));
	(void)look_up(b, "10.0.0.2");
	assert_true(uses(b, "Pod/shop/web-1"));
	assert_int_equal(look_up(b, "10.0.0.77"), LOOKUP_NOT_MESHED);
	/* The service moves its endpoint, the pod goes. */
	unsigned applied = b->w.applied;
	set_world(b, SHOP("10.0.0.3"));
	assert_true(b->w.applied > applied);
	assert_false(uses(b, "Pod/shop/web-1"));
	assert_true(uses(b, "Service/shop/web"));
	assert_int_equal(disc_ask(&b->w, "10.0.0.2"), LOOKUP_NOT_MESHED);
	/* An address that nobody had is somebody's. */
	b->w.answered[0] = '\0';
	set_world(b, SHOP("10.0.0.77"));
	assert_true(uses(b, "Pod/shop/web-1"));
	assert_non_null(strstr(b->w.answered, "10.0.0.77"));
	/* What one does not ask for does not come. */
	applied = b->w.applied;
	set_world(b,
		ME YOU WEB("10.0.0.77") SERVICE("web", "10.96.0.1", "web")
			SERVICE("db", "10.96.0.3", "db"));
	assert_int_equal(b->w.applied, applied);
	assert_int_equal(b->w.d->res.unasked + b->w.d->keys.unasked, 0);
}

static void test_forgotten_and_asked_again(void **state)
{
	struct both *b = *state;
	b->w.max_destinations = 1;
	begin(b);
	for (int i = 0; i < 10; i++) {
		(void)look_up(b, "10.96.0.1");
		assert_true(uses(b, "Service/shop/web"));
		assert_false(uses(b, "Service/shop/db"));
		(void)look_up(b, "10.96.0.2");
		assert_true(uses(b, "Service/shop/db"));
		assert_false(uses(b, "Service/shop/web"));
	}
	/* Asked again on suspicion, it comes again. */
	struct addr ip = raw_addr("10.96.0.2");
	uint64_t sent = push_world_metric(&b->p, "weft_push_resources_total");
	disc_advance(&b->w, KEYS_REFRESH_EVERY);
	discovery_refresh(b->w.d, &ip);
	disc_advance(&b->w, NS_PER_S);
	assert_int_equal(push_world_metric(&b->p, "weft_push_resources_total"), sent + 1);
	assert_true(uses(b, "Service/shop/db"));
	assert_int_equal(b->w.d->res.unasked + b->w.d->keys.unasked, 0);
}

static void test_server_restarts(void **state)
{
	struct both *b = *state;
	begin(b);
	(void)look_up(b, "10.96.0.1");
	(void)look_up(b, "10.96.0.2");
	(void)look_up(b, "10.0.0.2");
	unsigned applied = b->w.applied;
	push_world_restart(&b->p);
	disc_advance(&b->w, BACKOFF_MOST);
	assert_true(discovery_connected(b->w.d));
	/* Only what differs. */
	assert_int_equal(push_world_metric(&b->p, "weft_push_resources_total"), 0);
	assert_int_equal(b->w.applied, applied);
	/* Meanwhile the world was another one. */
	grpc_channel_reset(b->w.channel);
	push_world_set(&b->p, ME YOU SERVICE("web", "10.96.0.1", "web"));
	disc_advance(&b->w, BACKOFF_MOST);
	assert_true(uses(b, "Service/shop/web"));
	assert_false(uses(b, "Service/shop/db"));
	assert_false(uses(b, "Pod/shop/web-1"));
	assert_int_equal(disc_ask(&b->w, "10.96.0.2"), LOOKUP_NOT_MESHED);
	assert_int_equal(b->w.d->res.unasked + b->w.d->keys.unasked, 0);
}

static void test_refusals_are_seen(void **state)
{
	struct both *b = *state;
	begin(b);
	b->w.apply_fails = "Service/shop/web";
	assert_int_equal(look_up(b, "10.96.0.1"), LOOKUP_REFUSED);
	char *seen = push_world_describe(&b->p, "");
	assert_non_null(strstr(seen, "\"resource\":\"Service/shop/web\""));
	assert_non_null(strstr(seen, "\"reason\":\"does not go with the rest\""));
	mem_free(seen);
	b->w.apply_fails = NULL;
	set_world(b, SHOP("10.0.0.3"));
	assert_true(uses(b, "Service/shop/web"));
	seen = push_world_describe(&b->p, "");
	assert_non_null(strstr(seen, "\"rejections\":[]"));
	mem_free(seen);
}

static void test_policies(void **state)
{
	struct both *b = *state;
	begin(b);
	set_world(b,
		SHOP("10.0.0.2") OURS("AuthorizationPolicy",
			"deny, namespace: shop") "spec: {action: DENY, rules: [{from: [{source: {namespaces: [x]}}]}]}\n");
	assert_non_null(strstr(b->w.in_force, "AuthorizationPolicy/shop/deny"));
	set_world(b, SHOP("10.0.0.2"));
	assert_null(strstr(b->w.in_force, "AuthorizationPolicy/shop/deny"));
}

/* More is required than goes into one response: its parts are not taken for what nobody asked. */
static void test_required_in_parts(void **state)
{
	struct both *b = *state;
	enum { POLICIES = 60, PRINCIPALS = 100 };
	size_t size = 4096 + POLICIES * (512 + PRINCIPALS * 300), n = 0;
	char *yaml = mem_alloc(size), filler[240];
	memset(filler, 'x', sizeof(filler));
	n += (size_t)snprintf(yaml + n, size - n, "%s", SHOP("10.0.0.2"));
	for (int i = 0; i < POLICIES; i++) {
		n += (size_t)snprintf(yaml + n, size - n,
			OURS("AuthorizationPolicy",
				"p%d, namespace: shop") "spec: {action: ALLOW, rules: [{from: [{source: "
							"{principals: [",
			i);
		for (int j = 0; j < PRINCIPALS; j++)
			n += (size_t)snprintf(yaml + n, size - n, "%scluster.local/ns/%.*s%d/sa/a",
				j > 0 ? ", " : "", (int)sizeof(filler), filler, j);
		n += (size_t)snprintf(yaml + n, size - n, "]}}]}]}\n");
	}
	set_world(b, yaml);
	mem_free(yaml);
	begin(b);
	assert_true(b->w.d->stream.responses > 1);
	assert_int_equal(b->w.applied, 1);
	assert_int_equal(b->w.d->res.unasked, 0);
	assert_int_equal(b->w.d->res.force.n, 4 + POLICIES);
}

/* It dials without end, and is not thrown out for it. */
static void test_dials_without_end(void **state)
{
	struct both *b = *state;
	b->w.max_negatives = 200;
	begin(b);
	(void)look_up(b, "10.96.0.1");
	for (uint32_t i = 0; i < 100000; i++) {
		struct addr ip = {.family = ADDR_V4,
			.bytes = {10, 99 + (uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i}};
		(void)discovery_ask(b->w.d, &ip);
		if (i % 50 == 49)
			disc_advance(&b->w, NS_PER_MS);
	}
	disc_advance(&b->w, NS_PER_S);
	assert_int_equal(b->w.d->stream.tries, 1);
	assert_true(uses(b, "Service/shop/web"));
	assert_int_equal(b->w.d->keys.n_negatives, 200);
	assert_int_equal(map_count(b->w.d->keys.by), 201);
	assert_int_equal(b->w.d->res.unasked + b->w.d->keys.unasked, 0);
	char *seen = push_world_describe(&b->p, "");
	assert_non_null(strstr(seen, "\"subscriptions\":201"));
	mem_free(seen);
}

/* Refused by the server; with another credential it is taken. */
static void test_not_known_to_the_server(void **state)
{
	struct both *b = *state;
	b->w.credential = "shop/nobody";
	disc_start(&b->w);
	disc_advance(&b->w, 10 * NS_PER_S);
	assert_false(discovery_connected(b->w.d));
	assert_non_null(strstr(b->w.d->stream.failure, "PERMISSION_DENIED"));
	b->w.credential = "";
	disc_advance(&b->w, BACKOFF_MOST);
	assert_true(b->w.credential_refused > 0);
	b->w.credential = "shop/me";
	discovery_kick(b->w.d);
	disc_advance(&b->w, NS_PER_S);
	assert_true(discovery_connected(b->w.d));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_asked_and_answered, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_forgotten_and_asked_again, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_server_restarts, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_refusals_are_seen, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_policies, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_required_in_parts, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_dials_without_end, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_not_known_to_the_server, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

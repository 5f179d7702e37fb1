/*
 * Ledgers by table: what a stream asks, what the catalog has, and what must go out, as one line of
 * text per response.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "ctrlplane/push/ledger.h"
#include "lib/base/alloc.h"
#include "lib/base/err.h"
#include "tests/support/discovery_text.h"
#include "tests/support/worlds.h"

#define ME POD("me", "10.0.0.1", "{app: me}", "")
#define WEB(ip) POD("web-1", ip, "{app: web}", "")
#define SERVICE(name, vip, app)                                                             \
	"---\napiVersion: v1\nkind: Service\nmetadata: {name: " name ", namespace: shop}\n" \
	"spec: {clusterIP: " vip ", selector: {app: " app "}, ports: [{port: 80}]}\n"
#define POLICY(name)                                                                        \
	"---\napiVersion: mesh.weft.dev/v1alpha1\nkind: AuthorizationPolicy\nmetadata: "    \
	"{name: " name ", namespace: shop}\nspec: {action: DENY, rules: [{from: [{source: " \
	"{namespaces: [x]}}]}]}\n"
#define SHOP ME WEB("10.0.0.2") SERVICE("web", "10.96.0.1", "web")

#define REQUIRED "+Workload/shop/me +Mesh +Revocations +TrustBundle/cluster.local required()"

static struct catalog *catalog_of(const char *yaml)
{
	struct world *w = worlds_of(yaml);
	const struct compile_bundle bundle = {world_trust_domain(w), STR("roots")};
	return catalog_new(w, &bundle, 1, NULL, 0);
}

static void ledger_start(struct ledger *p, uint32_t max_keys, size_t bytes)
{
	const struct ledger_config cfg = {.ns = STR("shop"),
		.pod = STR("me"),
		.max_keys = max_keys,
		.response_bytes = bytes,
		.resource_bytes = LEDGER_MAX_RESOURCE,
		.seed = 1};
	ledger_init(p, &cfg);
}

static void sub(struct ledger *p, const char *text)
{
	uint8_t bytes[16];
	Weft__Mesh__V1__Key k = text_key(text, bytes);
	assert_int_equal(ledger_subscribe(p, &k), 0);
}

static void unsub(struct ledger *p, const char *text)
{
	uint8_t bytes[16];
	Weft__Mesh__V1__Key k = text_key(text, bytes);
	ledger_unsubscribe(p, &k);
}

/* --- responses as text --- */

/* The next response, or nothing, with a budget of so many steps. */
static struct text next_with(struct ledger *p, struct catalog *c, const char *position,
	size_t budget)
{
	struct text t = {.n = 0};
	char err[256];
	enum ledger_verdict v;
	do
		v = ledger_run(p, c, str_from(position), budget, err, sizeof(err));
	while (v == LEDGER_MORE);
	if (v == LEDGER_WITHHELD)
		text_say(&t, " withheld: %s", err);
	if (v != LEDGER_RESPONSE)
		return t;
	struct ledger_taken out = ledger_take(p, STR("n"));
	Weft__Mesh__V1__DiscoveryResponse *m =
		weft__mesh__v1__discovery_response__unpack(NULL, out.n, out.bytes);
	assert_non_null(m);
	assert_string_equal(m->nonce, "n");
	assert_int_equal(m->n_resources, out.resources);
	assert_int_equal(out.complete, out.position != NULL);
	text_say_response(&t, m);
	weft__mesh__v1__discovery_response__free_unpacked(m, NULL);
	mem_free(out.bytes);
	mem_free(out.position);
	return t;
}

static void expect(struct ledger *p, struct catalog *c, const char *position, const char *want)
{
	struct text t = next_with(p, c, position, 1000);
	assert_string_equal(t.n > 0 ? t.s + 1 : "", want);
}

static void ack(struct ledger *p)
{
	ledger_answer(p, NULL, 0, 0);
}

/* Answers with a rejection of the version that was sent last. */
static size_t nack(struct ledger *p, struct catalog *c, const char *name)
{
	const struct compiled *r = catalog_resource(c, str_from(name));
	Weft__Mesh__V1__Rejection j = WEFT__MESH__V1__REJECTION__INIT, *all[] = {&j};
	j.name = (char *)(uintptr_t)name;
	j.hash.data = (uint8_t *)(uintptr_t)r->hash.p;
	j.hash.len = r->hash.n;
	j.field = (char *)(uintptr_t)"ports[0]";
	j.reason = (char *)(uintptr_t)"no";
	return ledger_answer(p, all, 1, 7);
}

static void hold(struct ledger *p, struct catalog *c, const char *name)
{
	const struct compiled *r = catalog_resource(c, str_from(name));
	assert_int_equal(ledger_hold(p, str_from(name), r->hash), 0);
}

static const struct ledger_resource *resource(struct ledger *p, const char *name)
{
	return map_get(p->by_name, str_from(name));
}

/* --- tables --- */

static void test_first_response(void **state)
{
	(void)state;
	struct ledger p;
	struct catalog *c = catalog_of(SHOP);
	ledger_start(&p, 10, LEDGER_RESPONSE_BYTES);
	expect(&p, c, "a:1", REQUIRED " @a:1");
	ack(&p);
	expect(&p, c, "a:1", "");
	/* A later position alone is no reason to say anything. */
	expect(&p, c, "a:2", "");
	ledger_fini(&p);
	catalog_unref(&c);
}

/* Whoever keeps it is told of, as soon as the other gives it up. */
static void test_disputed(void **state)
{
	(void)state;
	struct ledger p;
	struct catalog *two = catalog_of(SHOP POD("twin", "10.0.0.2", "{}", ""));
	struct catalog *one = catalog_of(SHOP);
	ledger_start(&p, 10, LEDGER_RESPONSE_BYTES);
	sub(&p, "10.0.0.2");
	expect(&p, two, "a:1", "10.0.0.2! " REQUIRED " @a:1");
	ack(&p);
	expect(&p, one, "a:2", "10.0.0.2>Pod/shop/web-1 +Pod/shop/web-1 @a:2");
	ack(&p);
	expect(&p, two, "a:3", "10.0.0.2! -Pod/shop/web-1 @a:3");
	ledger_fini(&p);
	catalog_unref(&one);
	catalog_unref(&two);
}

static void test_keys(void **state)
{
	(void)state;
	static const struct {
		const char *key, *want;
	} row[] = {
		{"10.96.0.1", "10.96.0.1>Service/shop/web +Service/shop/web"},
		{"10.0.0.2", "10.0.0.2>Pod/shop/web-1 +Pod/shop/web-1"},
		{"shop/web", "shop/web>Service/shop/web +Service/shop/web"},
		{"web.shop.svc.cluster.local.",
			"web.shop.svc.cluster.local.>Service/shop/web +Service/shop/web"},
		{"10.9.9.9", "10.9.9.9>-"},
		{"10.0.0.3", "10.0.0.3!"},   /* two claim it */
		{"10.96.0.3", "10.96.0.3!"}, /* who claims it is refused */
		{"shop/none", "shop/none>-"},
		{"a b", "a b!"},
		{"a/b/c", "a/b/c!"},
		{"", "!"},
	};
	struct catalog *c = catalog_of(SHOP POD("twin-1", "10.0.0.3", "{}", "")
			POD("twin-2", "10.0.0.3", "{}", "") SERVICE("Bad", "10.96.0.3", "web"));
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		struct ledger p;
		char want[512];
		ledger_start(&p, 10, LEDGER_RESPONSE_BYTES);
		expect(&p, c, "a:1", REQUIRED " @a:1");
		ack(&p);
		sub(&p, row[i].key);
		snprintf(want, sizeof(want), "%s @a:1", row[i].want);
		expect(&p, c, "a:1", want);
		ack(&p);
		expect(&p, c, "a:1", "");
		ledger_fini(&p);
	}
	catalog_unref(&c);
}

static void test_strange_keys(void **state)
{
	(void)state;
	struct ledger p;
	struct catalog *c = catalog_of(SHOP);
	uint8_t mapped[16] = {[10] = 0xff, [11] = 0xff, 10, 96, 0, 1};
	Weft__Mesh__V1__Key k = WEFT__MESH__V1__KEY__INIT;
	ledger_start(&p, 10, LEDGER_RESPONSE_BYTES);
	expect(&p, c, "a:1", REQUIRED " @a:1");
	ack(&p);
	ledger_subscribe(&p, &k);
	k.by_case = WEFT__MESH__V1__KEY__BY_ADDRESS;
	k.address.data = mapped;
	k.address.len = 5;
	ledger_subscribe(&p, &k);
	ledger_unsubscribe(&p, &k);
	expect(&p, c, "a:1", "?! ?! @a:1");
	ack(&p);
	k.address.len = 16;
	ledger_subscribe(&p, &k);
	expect(&p, c, "a:1", "?>Service/shop/web +Service/shop/web @a:1");
	char *name = mem_alloc(LEDGER_MAX_KEY + 2);
	memset(name, 'a', LEDGER_MAX_KEY + 1);
	ack(&p);
	sub(&p, name);
	assert_true(strstr(next_with(&p, c, "a:1", 9).s, "a!") != NULL);
	assert_int_equal(ledger_keys(&p), 1);
	mem_free(name);
	ledger_fini(&p);
	catalog_unref(&c);
}

static void test_limits(void **state)
{
	(void)state;
	struct ledger p;
	struct catalog *c = catalog_of(SHOP);
	ledger_start(&p, 2, LEDGER_RESPONSE_BYTES);
	sub(&p, "10.0.0.2");
	sub(&p, "10.9.9.9");
	sub(&p, "10.9.9.8");
	sub(&p, "10.0.0.2");
	expect(&p, c, "a:1",
		"10.9.9.8! 10.0.0.2>Pod/shop/web-1 10.9.9.9>- " /* refusals first */
		"+Workload/shop/me +Mesh +Revocations +TrustBundle/cluster.local +Pod/shop/web-1 "
		"required() @a:1");
	ack(&p);
	unsub(&p, "10.9.9.9");
	sub(&p, "10.9.9.8");
	expect(&p, c, "a:1", "10.9.9.8>- @a:1");
	int e = 0;
	for (unsigned i = 0; e == 0; i++) {
		Weft__Mesh__V1__Key k = text_key("x y", NULL);
		assert_true(i <= LEDGER_MAX_REFUSALS);
		e = ledger_subscribe(&p, &k);
	}
	assert_int_equal(e, ERR_LIMIT);
	ledger_fini(&p);

	ledger_start(&p, 2, LEDGER_RESPONSE_BYTES);
	assert_int_equal(ledger_hold(&p, STR(""), STR("")), ERR_INVAL);
	for (unsigned i = 0; i < LEDGER_MAX_HELD; i++) {
		char name[16];
		snprintf(name, sizeof(name), "%u", i);
		assert_int_equal(ledger_hold(&p, str_from(name), STR("")), 0);
	}
	assert_int_equal(ledger_hold(&p, STR("more"), STR("")), ERR_LIMIT);
	ledger_fini(&p);
	catalog_unref(&c);
}

static void test_held(void **state)
{
	(void)state;
	struct ledger p;
	struct catalog *c = catalog_of(SHOP);
	ledger_start(&p, 10, LEDGER_RESPONSE_BYTES);
	hold(&p, c, "Workload/shop/me");
	hold(&p, c, "Mesh");
	hold(&p, c, "Revocations");
	hold(&p, c, "Service/shop/web");
	hold(&p, c, "Pod/shop/web-1");
	ledger_hold(&p, STR("AuthorizationPolicy/shop/gone"), STR("?"));
	ledger_hold(&p, STR("TrustBundle/cluster.local"), STR("an older version"));
	sub(&p, "10.96.0.1");
	expect(&p, c, "a:1",
		"10.96.0.1>Service/shop/web +TrustBundle/cluster.local -Pod/shop/web-1 "
		"-AuthorizationPolicy/shop/gone required() @a:1");
	ack(&p);
	expect(&p, c, "a:1", "");
	assert_int_equal(ledger_resources(&p), 5);
	/* What it said to hold does not hold after all. */
	assert_int_equal(nack(&p, c, "Service/shop/web"), 1);
	expect(&p, c, "a:1", "");
	assert_int_equal(resource(&p, "Service/shop/web")->state, LEDGER_REJECTED);
	ledger_fini(&p);
	catalog_unref(&c);
}

static void test_changes(void **state)
{
	(void)state;
	struct ledger p;
	struct catalog *c = catalog_of(SHOP);
	struct catalog *moved = catalog_of(ME WEB("10.0.0.3") SERVICE("web", "10.96.0.1", "web"));
	struct catalog *gone = catalog_of(ME SERVICE("db", "10.96.0.1", "db"));
	struct catalog *bare = catalog_of(ME);
	ledger_start(&p, 10, LEDGER_RESPONSE_BYTES);
	sub(&p, "10.96.0.1");
	sub(&p, "shop/web");
	expect(&p, c, "a:1",
		"10.96.0.1>Service/shop/web shop/web>Service/shop/web +Workload/shop/me +Mesh "
		"+Revocations +TrustBundle/cluster.local +Service/shop/web required() @a:1");
	ack(&p);
	expect(&p, moved, "a:2", "+Service/shop/web @a:2");
	ack(&p);
	/* One key leads elsewhere, the other nowhere: only then is the resource gone. */
	expect(&p, gone, "a:3",
		"10.96.0.1>Service/shop/db shop/web>- +Service/shop/db -Service/shop/web @a:3");
	ack(&p);
	expect(&p, moved, "a:4",
		"10.96.0.1>Service/shop/web shop/web>Service/shop/web +Service/shop/web "
		"-Service/shop/db @a:4");
	ack(&p);
	/* Unsubscribed: a resource stays while another key leads to it, then it is forgotten. */
	unsub(&p, "shop/web");
	expect(&p, moved, "a:4", "");
	unsub(&p, "10.96.0.1");
	expect(&p, bare, "a:5", "");
	assert_int_equal(ledger_keys(&p), 0);
	assert_int_equal(ledger_resources(&p), 4);
	sub(&p, "10.96.0.1");
	expect(&p, moved, "a:6", "10.96.0.1>Service/shop/web +Service/shop/web @a:6");
	ledger_fini(&p);
	catalog_unref(&c);
	catalog_unref(&moved);
	catalog_unref(&gone);
	catalog_unref(&bare);
}

static void test_required_changes(void **state)
{
	(void)state;
	struct ledger p;
	struct catalog *c = catalog_of(SHOP POLICY("one"));
	struct catalog *other = catalog_of(SHOP POLICY("two"));
	ledger_start(&p, 10, LEDGER_RESPONSE_BYTES);
	expect(&p, c, "a:1",
		"+Workload/shop/me +Mesh +Revocations +TrustBundle/cluster.local "
		"+AuthorizationPolicy/shop/one required(AuthorizationPolicy/shop/one) @a:1");
	ack(&p);
	expect(&p, other, "a:2",
		"+AuthorizationPolicy/shop/two -AuthorizationPolicy/shop/one "
		"required(AuthorizationPolicy/shop/two) @a:2");
	ledger_fini(&p);
	/* The list goes first, for nothing is taken that nobody named; the old one is taken last.
	 */
	ledger_start(&p, 10, 1);
	static const char *const steps[] = {"required(AuthorizationPolicy/shop/one)",
		"+Workload/shop/me", "+Mesh", "+Revocations", "+TrustBundle/cluster.local",
		"+AuthorizationPolicy/shop/one @a:1", ""};
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		expect(&p, c, "a:1", steps[i]);
		ack(&p);
	}
	expect(&p, other, "a:2", "required(AuthorizationPolicy/shop/two)");
	ack(&p);
	expect(&p, other, "a:2", "+AuthorizationPolicy/shop/two");
	ack(&p);
	expect(&p, other, "a:2", "-AuthorizationPolicy/shop/one @a:2");
	ack(&p);
	expect(&p, other, "a:2", "");
	ledger_fini(&p);
	catalog_unref(&c);
	catalog_unref(&other);
}

static void test_rejections(void **state)
{
	(void)state;
	struct ledger p;
	struct catalog *c = catalog_of(SHOP);
	struct catalog *bad = catalog_of(ME WEB("10.0.0.3") SERVICE("web", "10.96.0.1", "web"));
	struct catalog *third = catalog_of(ME WEB("10.0.0.4") SERVICE("web", "10.96.0.1", "web"));
	ledger_start(&p, 10, LEDGER_RESPONSE_BYTES);
	sub(&p, "shop/web");
	(void)next_with(&p, c, "a:1", 9);
	ack(&p);
	expect(&p, bad, "a:2", "+Service/shop/web @a:2");
	assert_int_equal(nack(&p, bad, "Service/shop/web"), 1);
	assert_int_equal(resource(&p, "Service/shop/web")->state, LEDGER_REJECTED);
	assert_string_equal(resource(&p, "Service/shop/web")->rejection->reason, "no");
	assert_int_equal(resource(&p, "Service/shop/web")->rejection->at, 7);
	expect(&p, bad, "a:2", "");
	/* What is in force there came back: superseded, and nothing to send. */
	expect(&p, c, "a:3", "");
	assert_int_equal(resource(&p, "Service/shop/web")->state, LEDGER_ACKNOWLEDGED);
	assert_null(resource(&p, "Service/shop/web")->rejection);
	assert_int_equal(p.n_rejections, 0);
	expect(&p, bad, "a:4", "+Service/shop/web @a:4");
	nack(&p, bad, "Service/shop/web");
	expect(&p, third, "a:5", "+Service/shop/web @a:5");
	/* Of a version that was not the last one, or of nothing: passed over. */
	assert_int_equal(nack(&p, bad, "Service/shop/web"), 0);
	assert_int_equal(resource(&p, "Service/shop/web")->state, LEDGER_ACKNOWLEDGED);
	assert_int_equal(nack(&p, bad, "Pod/shop/web-1"), 0);
	/* An old answer taken back: then nothing is in force, and the hash is not sent again. */
	assert_int_equal(nack(&p, third, "Service/shop/web"), 1);
	expect(&p, third, "a:5", "");
	expect(&p, c, "a:6", "+Service/shop/web @a:6");
	ledger_fini(&p);
	catalog_unref(&c);
	catalog_unref(&bad);
	catalog_unref(&third);
}

static void test_asked_again(void **state)
{
	(void)state;
	struct ledger p;
	struct catalog *c = catalog_of(SHOP);
	ledger_start(&p, 10, LEDGER_RESPONSE_BYTES);
	(void)next_with(&p, c, "a:1", 9);
	ack(&p);
	sub(&p, "shop/web");
	sub(&p, "10.9.9.9");
	(void)next_with(&p, c, "a:1", 9);
	/* Forgotten on its way: the answer to it says nothing of it. */
	unsub(&p, "shop/web");
	assert_int_equal(nack(&p, c, "Service/shop/web"), 0);
	sub(&p, "shop/web");
	sub(&p, "10.9.9.9");
	expect(&p, c, "a:1", "10.9.9.9>- shop/web>Service/shop/web +Service/shop/web @a:1");
	ack(&p);
	sub(&p, "shop/web");
	expect(&p, c, "a:1", "shop/web>Service/shop/web @a:1");
	ack(&p);
	expect(&p, c, "a:1", "");
	ledger_fini(&p);
	catalog_unref(&c);
}

/* The same in small responses and in small steps: each thing once, the position at the end. */
static void test_bounds(void **state)
{
	(void)state;
	struct catalog *c = catalog_of(SHOP POLICY("one") POLICY("two"));
	for (size_t bytes = 1; bytes < 4096; bytes = bytes * 3 / 2 + 1)
		for (size_t budget = 1; budget < 40; budget += 13) {
			struct ledger p;
			struct text all = {.n = 0}, t;
			unsigned rounds = 0;
			ledger_start(&p, 10, bytes);
			ledger_hold(&p, STR("Pod/shop/old"), STR(""));
			sub(&p, "10.96.0.1");
			sub(&p, "10.0.0.2");
			sub(&p, "x y");
			for (; (t = next_with(&p, c, "a:1", budget)).n > 0; rounds++) {
				assert_true(rounds < 20);
				text_say(&all, "%s", t.s);
				ack(&p);
			}
			static const char *const once[] = {"+Workload/shop/me", "+Mesh",
				"+AuthorizationPolicy/shop/one", "+AuthorizationPolicy/shop/two",
				"+Service/shop/web", "+Pod/shop/web-1", "-Pod/shop/old", "x y!",
				"10.96.0.1>", "10.0.0.2>", "required(", "@a:1"};
			for (size_t i = 0; i < sizeof(once) / sizeof(once[0]); i++) {
				const char *at = strstr(all.s, once[i]);
				assert_non_null(at);
				assert_null(strstr(at + 1, once[i]));
			}
			assert_string_equal(all.s + all.n - 4, "@a:1");
			assert_true(bytes > 1 || rounds > 8);
			ledger_fini(&p);
		}
	catalog_unref(&c);
}

static void test_too_large(void **state)
{
	(void)state;
	struct ledger p;
	struct catalog *c = catalog_of(SHOP);
	struct catalog *big = catalog_of(SHOP POD("web-2", "10.0.0.5", "{app: web}", ""));
	ledger_start(&p, 10, LEDGER_RESPONSE_BYTES);
	sub(&p, "shop/web");
	(void)next_with(&p, c, "a:1", 9);
	ack(&p);
	p.cfg.resource_bytes = catalog_resource(c, STR("Service/shop/web"))->packed.n;
	expect(&p, big, "a:2", "shop/web! -Service/shop/web @a:2");
	ack(&p);
	assert_string_equal(p.large, "Service/shop/web");
	expect(&p, big, "a:2", "");
	assert_int_equal(p.too_large, 1);
	expect(&p, c, "a:3", "shop/web>Service/shop/web +Service/shop/web @a:3");
	ledger_fini(&p);
	/* What is required and cannot be sent is still required: the pod is not ready. */
	ledger_start(&p, 10, LEDGER_RESPONSE_BYTES);
	p.cfg.resource_bytes = catalog_resource(c, STR("Mesh"))->packed.n - 1;
	assert_null(strstr(next_with(&p, c, "a:1", 9).s, "+Mesh"));
	assert_non_null(p.told_required.p);
	ledger_fini(&p);
	catalog_unref(&c);
	catalog_unref(&big);
}

static void test_pass_keeps_its_catalog(void **state)
{
	(void)state;
	struct ledger p;
	char err[256];
	struct catalog *c = catalog_of(SHOP);
	struct catalog *moved = catalog_of(ME WEB("10.0.0.3") SERVICE("web", "10.96.0.1", "web"));
	ledger_start(&p, 10, LEDGER_RESPONSE_BYTES);
	sub(&p, "shop/web");
	sub(&p, "10.9.9.9");
	sub(&p, "10.9.9.8");
	for (unsigned i = 0; i < 7; i++)
		assert_int_equal(ledger_run(&p, c, STR("a:1"), 1, err, sizeof(err)), LEDGER_MORE);
	/* What goes while the pass stands at it. */
	unsub(&p, "shop/web");
	unsub(&p, "10.9.9.9");
	unsub(&p, "10.9.9.8");
	expect(&p, moved, "a:2", REQUIRED " @a:1");
	ack(&p);
	sub(&p, "shop/web");
	expect(&p, moved, "a:2", "shop/web>Service/shop/web +Service/shop/web @a:2");
	/* And a ledger that goes amidst a pass. */
	sub(&p, "10.9.9.8");
	assert_int_equal(ledger_run(&p, c, STR("a:1"), 1, err, sizeof(err)), LEDGER_MORE);
	ledger_fini(&p);
	catalog_unref(&c);
	catalog_unref(&moved);
}

/* A pass that began before the catalog changed, or a key came, is not the last one. */
static void test_overtaken(void **state)
{
	(void)state;
	struct ledger p;
	char err[256];
	struct catalog *c = catalog_of(SHOP);
	struct catalog *denies = catalog_of(SHOP POLICY("deny"));
	ledger_start(&p, 10, LEDGER_RESPONSE_BYTES);
	/* Amidst a pass that has something to say. */
	assert_int_equal(ledger_run(&p, c, STR("a:1"), 1, err, sizeof(err)), LEDGER_MORE);
	assert_int_equal(ledger_run(&p, denies, STR("a:2"), 99, err, sizeof(err)), LEDGER_RESPONSE);
	struct ledger_taken out = ledger_take(&p, STR("n"));
	assert_true(out.complete && out.more);
	assert_string_equal(out.position, "a:1");
	mem_free(out.bytes);
	mem_free(out.position);
	ack(&p);
	/* Amidst one that has nothing to say. */
	assert_int_equal(ledger_run(&p, c, STR("a:1"), 1, err, sizeof(err)), LEDGER_MORE);
	expect(&p, denies, "a:2",
		"+AuthorizationPolicy/shop/deny required(AuthorizationPolicy/shop/deny) @a:2");
	ack(&p);
	/* And a key behind the pass's back: all keys have been looked at. */
	for (unsigned i = 0; i < 9; i++)
		assert_int_equal(ledger_run(&p, denies, STR("a:2"), 1, err, sizeof(err)),
			LEDGER_MORE);
	assert_int_equal(p.step, LEDGER_REMOVALS);
	sub(&p, "10.9.9.9");
	expect(&p, denies, "a:2", "10.9.9.9>- @a:2");
	ack(&p);
	expect(&p, denies, "a:2", "");
	ledger_fini(&p);
	catalog_unref(&c);
	catalog_unref(&denies);
}

static void test_withheld(void **state)
{
	(void)state;
	struct ledger p;
	struct catalog *none = catalog_of(WEB("10.0.0.2"));
	struct catalog *c = catalog_of(SHOP);
	ledger_start(&p, 10, LEDGER_RESPONSE_BYTES);
	assert_true(strncmp(next_with(&p, none, "a:1", 9).s, " withheld: ", 11) == 0);
	expect(&p, c, "a:2", REQUIRED " @a:2");
	ledger_fini(&p);
	catalog_unref(&none);
	catalog_unref(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_first_response),
		cmocka_unit_test(test_keys),
		cmocka_unit_test(test_disputed),
		cmocka_unit_test(test_strange_keys),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_held),
		cmocka_unit_test(test_changes),
		cmocka_unit_test(test_required_changes),
		cmocka_unit_test(test_rejections),
		cmocka_unit_test(test_asked_again),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_too_large),
		cmocka_unit_test(test_pass_keeps_its_catalog),
		cmocka_unit_test(test_overtaken),
		cmocka_unit_test(test_withheld),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

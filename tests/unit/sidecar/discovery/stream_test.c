/*
 * Discovery against a control plane that says what the test says: readiness, refusals, what
 * reconnects tell, lookups. Each test owns a struct disc.
 */
#include "tests/support/discovery_world.h"

static int set_up(void **state)
{
	struct disc *w = MEM_NEW(struct disc);
	disc_init(w);
	*state = w;
	return 0;
}

static int tear_down(void **state)
{
	struct disc *w = *state;
	disc_fini(w);
	mem_free(w);
	return 0;
}

static bool ready(struct disc *w, const char *reason)
{
	struct buf b;
	char text[2048] = "";
	buf_init(&b, w->rig.bufs);
	bool is = discovery_ready(w->d, &b);
	text[buf_copy_out(&b, 0, text, sizeof(text) - 1)] = '\0';
	buf_clear(&b);
	if (!is && strstr(text, reason) == NULL)
		fail_msg("not ready: %s", text);
	return is;
}

/* Started, and told what is required. */
static void begin(struct disc *w)
{
	disc_start(w);
	response *m = say(w);
	say_basics(w, m);
	say_it(w, m);
	assert_true(ready(w, ""));
}

static void test_required(void **state)
{
	struct disc *w = *state;
	w->credential = "wts_x";
	disc_start(w);
	assert_int_equal(w->calls, 1);
	assert_string_equal(w->bearer, "wts_x");
	assert_int_equal(w->n_requests, 1);
	assert_non_null(w->requests[0]->node);
	assert_string_not_equal(w->requests[0]->node->version, "");
	assert_false(ready(w, "has not said yet what is required"));
	response *m = say(w);
	say_basics(w, m);
	say_it(w, m);
	assert_true(ready(w, ""));
	assert_int_equal(w->applied, 1);
	assert_string_equal(w->in_force,
		"required: Workload/shop/me Mesh Revocations "
		"TrustBundle/cluster.local used: ");
	assert_string_equal(disc_last_answer(w)->response_nonce, "n1");
	assert_string_equal(disc_rejected(w), "");
	assert_int_equal(w->changed, 1);
	assert_true(discovery_connected(w->d));
	Weft__Mesh__V1__State st = WEFT__MESH__V1__STATE__INIT;
	assert_true(discovery_fill(w->d, &st));
	assert_int_equal(st.n_required, 4);
	assert_string_equal(st.position, "x:1");
}

/* In pieces: nothing is in force before all of it is there. */
static void test_required_in_pieces(void **state)
{
	struct disc *w = *state;
	disc_start(w);
	response *m = say(w);
	say_required(w, m, "AuthorizationPolicy/shop/a");
	say_resource(w, m, make_workload(w, "1"));
	say_resource(w, m, make_mesh(w, "1"));
	say_it(w, m);
	assert_false(ready(w, "missing: Revocations"));
	assert_string_equal(disc_rejected(w), "");
	m = say(w);
	say_resource(w, m, make_bundle(w, "1"));
	say_resource(w, m, make_revocations(w, "1"));
	say_it(w, m);
	assert_false(ready(w, "missing: AuthorizationPolicy/shop/a"));
	assert_int_equal(w->applied, 0);
	m = say(w);
	say_resource(w, m, make_policy(w, "a", "1", false));
	say_it(w, m);
	assert_true(ready(w, ""));
	assert_int_equal(w->applied, 1);
}

static void test_withheld(void **state)
{
	struct disc *w = *state;
	disc_start(w);
	response *m = say(w);
	say_basics(w, m);
	say_required(w, m, NULL);
	say_it(w, m);
	assert_false(ready(w, "withheld: the list of authorization policies"));
	assert_int_equal(w->applied, 0);
	m = say(w);
	say_required(w, m, "");
	m->required->revocations = (char *)(uintptr_t)"";
	say_it(w, m);
	assert_false(ready(w, "withheld: the revocations"));
	m = say(w);
	say_required(w, m, "");
	say_resource(w, m, make_revocations(w, "1"));
	say_it(w, m);
	assert_true(ready(w, ""));
}

/* What is required changes: the old stays until the new is there. */
static void test_required_changes(void **state)
{
	struct disc *w = *state;
	begin(w);
	response *m = say(w);
	say_required(w, m, "AuthorizationPolicy/shop/a");
	say_it(w, m);
	assert_int_equal(w->applied, 1);
	assert_true(ready(w, ""));
	assert_non_null(strstr(disc_describe(w), "\"missing: AuthorizationPolicy/shop/a\""));
	/* Meanwhile what is in force is kept up to date. */
	m = say(w);
	say_resource(w, m, make_mesh(w, "2"));
	say_it(w, m);
	assert_int_equal(w->applied, 2);
	m = say(w);
	say_resource(w, m, make_policy(w, "a", "1", false));
	say_it(w, m);
	assert_int_equal(w->applied, 3);
	assert_non_null(strstr(w->in_force, "AuthorizationPolicy/shop/a"));
	/* Removed alone means nothing; with the list it goes. */
	m = say(w);
	say_removed(w, m, "AuthorizationPolicy/shop/a");
	say_it(w, m);
	assert_non_null(strstr(w->in_force, "AuthorizationPolicy/shop/a"));
	m = say(w);
	say_required(w, m, "");
	say_removed(w, m, "AuthorizationPolicy/shop/a");
	say_it(w, m);
	assert_null(strstr(w->in_force, "AuthorizationPolicy/shop/a"));
	assert_null(resources_find(&w->d->res, STR("AuthorizationPolicy/shop/a")));
}

static void test_broken_policy(void **state)
{
	struct disc *w = *state;
	begin(w);
	response *m = say(w);
	say_required(w, m, "AuthorizationPolicy/shop/a");
	say_resource(w, m, make_policy(w, "a", "1", true));
	say_it(w, m);
	/* Without one before it, it denies. */
	assert_string_equal(disc_rejected(w),
		"AuthorizationPolicy/shop/a: action: unknown action\n");
	assert_string_equal(w->broken, "unknown action");
	assert_non_null(strstr(disc_describe(w),
		"\"rejections\":[{\"resource\":\"AuthorizationPolicy/shop/a\",\"field\":\"action\","
		"\"reason\":\"unknown action\",\"lastGood\":false}]"));
	/* A good one takes its place, and is what stays when the next one is bad. */
	m = say(w);
	say_resource(w, m, make_policy(w, "a", "2", false));
	say_it(w, m);
	assert_string_equal(w->broken, "");
	assert_non_null(strstr(disc_describe(w), "\"rejections\":[]"));
	m = say(w);
	say_resource(w, m, make_policy(w, "a", "3", true));
	say_resource(w, m, make_mesh(w, "3"));
	say_it(w, m);
	assert_string_equal(disc_rejected(w),
		"AuthorizationPolicy/shop/a: action: unknown action\n");
	assert_string_equal(w->broken, "");
	assert_non_null(strstr(w->in_force, "AuthorizationPolicy/shop/a"));
	assert_non_null(strstr(w->log_text, "the last good version stays in force"));
}

/* The denial survives: it is in the last-good file, and nobody claims to hold the policy. */
static void test_broken_policy_restored(void **state)
{
	struct disc *w = *state;
	begin(w);
	response *m = say(w);
	say_required(w, m, "AuthorizationPolicy/shop/a");
	say_resource(w, m, make_policy(w, "a", "1", true));
	say_it(w, m);
	Weft__Mesh__V1__State st = WEFT__MESH__V1__STATE__INIT;
	assert_true(discovery_fill(w->d, &st));
	size_t n = weft__mesh__v1__state__get_packed_size(&st);
	uint8_t *p = mem_alloc(n);
	weft__mesh__v1__state__pack(&st, p);
	disc_free(w);
	Weft__Mesh__V1__State *again = weft__mesh__v1__state__unpack(NULL, n, p);
	disc_make(w);
	discovery_restore(w->d, again);
	weft__mesh__v1__state__free_unpacked(again, NULL);
	mem_free(p);
	assert_true(ready(w, ""));
	discovery_start(w->d);
	disc_settle(w);
	assert_int_equal(w->requests[0]->n_held, 4);
	assert_string_equal(w->requests[0]->position, "x:1");
	assert_true(discovery_fill(w->d, &st));
	assert_int_equal(st.n_required, 5);
	assert_string_equal(st.required[4]->authorization_policy->broken, "unknown action");
	/* The server sends the policy again, as broken as it was: nothing opens. */
	m = say(w);
	say_basics(w, m);
	say_required(w, m, "AuthorizationPolicy/shop/a");
	say_resource(w, m, make_policy(w, "a", "1", true));
	say_it(w, m);
	assert_true(discovery_fill(w->d, &st));
	assert_string_equal(st.required[4]->authorization_policy->broken, "unknown action");
}

/* Whatever is required and cannot be used, with nothing before it: not ready. */
static void test_unusable_bundle(void **state)
{
	struct disc *w = *state;
	disc_start(w);
	response *m = say(w);
	resource *bundle = make_bundle(w, "1");
	bundle->trust_bundle->roots.len = 7;
	say_basics(w, m);
	m->resources[2] = bundle;
	say_it(w, m);
	assert_false(ready(w, "refused: TrustBundle/cluster.local: roots: "));
	assert_int_equal(disc_last_answer(w)->n_rejected, 1);
	m = say(w);
	say_resource(w, m, make_bundle(w, "2"));
	say_it(w, m);
	assert_true(ready(w, ""));
	bundle = make_bundle(w, "3");
	bundle->trust_bundle->roots.len = 7;
	m = say(w);
	say_resource(w, m, bundle);
	say_it(w, m);
	assert_true(ready(w, ""));
	assert_int_equal(disc_last_answer(w)->n_rejected, 1);
}

static void test_lookup(void **state)
{
	struct disc *w = *state;
	begin(w);
	assert_int_equal(disc_ask(w, "10.96.0.1"), LOOKUP_UNKNOWN);
	assert_int_equal(disc_ask(w, "10.96.0.1"), LOOKUP_UNKNOWN);
	assert_int_equal(disc_ask(w, "10.0.0.9"), LOOKUP_UNKNOWN);
	assert_int_equal(disc_ask(w, "fd00::9"), LOOKUP_UNKNOWN);
	size_t before = w->n_requests;
	disc_settle(w);
	assert_int_equal(w->n_requests, before + 1); /* what one turn asks goes out together */
	assert_int_equal(disc_subscribed(w, "10.96.0.1"), 1);
	assert_int_equal(disc_subscribed(w, "fd00::9"), 1);
	response *m = say(w);
	say_answer(w, m, "10.96.0.1", "Service/shop/web");
	say_answer(w, m, "10.0.0.9", NULL);
	say_refused(w, m, "fd00::9", "too many");
	say_resource(w, m, make_service(w, "web", "10.96.0.1", "1"));
	say_it(w, m);
	assert_non_null(strstr(w->in_force, "used: Service/shop/web"));
	assert_string_equal(w->answered, "10.96.0.1 10.0.0.9 fd00::9");
	assert_int_equal(disc_ask(w, "10.0.0.9"), LOOKUP_NOT_MESHED);
	assert_int_equal(disc_ask(w, "fd00::9"), LOOKUP_REFUSED);
	Weft__Mesh__V1__State st = WEFT__MESH__V1__STATE__INIT;
	(void)discovery_fill(w->d, &st);
	assert_int_equal(st.n_not_meshed, 1);
	assert_int_equal(st.n_used, 1);
	/* It changes hands, and back. */
	w->answered[0] = '\0';
	m = say(w);
	say_answer(w, m, "10.96.0.1", NULL);
	say_removed(w, m, "Service/shop/web");
	say_answer(w, m, "10.0.0.9", "Pod/shop/p");
	say_resource(w, m, make_pod(w, "p", "10.0.0.9", "1"));
	say_it(w, m);
	assert_non_null(strstr(w->in_force, "used: Pod/shop/p"));
	assert_int_equal(disc_ask(w, "10.96.0.1"), LOOKUP_NOT_MESHED);
	assert_string_equal(w->answered, "10.96.0.1 10.0.0.9");
	m = say(w);
	say_answer(w, m, "10.0.0.9", NULL);
	say_it(w, m);
	assert_non_null(strstr(w->in_force, "used: "));
	assert_null(strstr(w->in_force, "Pod/shop/p"));
	/* What was refused is asked again, later. */
	disc_advance(w, KEYS_REFUSED_KEEP);
	assert_int_equal(disc_ask(w, "fd00::9"), LOOKUP_UNKNOWN);
	disc_settle(w);
	assert_int_equal(disc_subscribed(w, "fd00::9"), 2);
}

/* The answer first, the resource later; refused: told so at once. */
static void test_lookup_in_pieces(void **state)
{
	struct disc *w = *state;
	begin(w);
	(void)disc_ask(w, "10.96.0.1");
	(void)disc_ask(w, "10.96.0.2");
	disc_settle(w);
	response *m = say(w);
	say_answer(w, m, "10.96.0.1", "Service/shop/web");
	say_answer(w, m, "10.96.0.2", "Service/shop/bad");
	say_it(w, m);
	assert_int_equal(disc_ask(w, "10.96.0.1"), LOOKUP_UNKNOWN);
	assert_string_equal(w->answered, "");
	m = say(w);
	say_resource(w, m, make_service(w, "web", "10.96.0.1", "1"));
	say_resource(w, m, make_service(w, "bad", "127.0.0.1", "1"));
	say_it(w, m);
	assert_string_equal(disc_rejected(w),
		"Service/shop/bad: addresses: loopback, link-local, multicast and any are "
		"nobody's\n");
	assert_non_null(strstr(w->in_force, "used: Service/shop/web"));
	assert_null(strstr(w->in_force, "Service/shop/bad"));
	assert_int_equal(disc_ask(w, "10.96.0.2"), LOOKUP_REFUSED);
	assert_string_equal(w->answered, "10.96.0.1 10.96.0.2");
}

static void test_names(void **state)
{
	struct disc *w = *state;
	w->names = "shop/web, api.example ,,";
	disc_start(w);
	assert_int_equal(disc_subscribed(w, "shop/web"), 1);
	assert_int_equal(disc_subscribed(w, "api.example"), 1);
	assert_int_equal(w->requests[0]->n_subscribe, 2);
	response *m = say(w);
	say_basics(w, m);
	say_answer(w, m, "shop/web", "Service/shop/web");
	say_answer(w, m, "api.example", NULL);
	say_resource(w, m, make_service(w, "web", "", "1"));
	say_it(w, m);
	assert_non_null(strstr(w->in_force, "used: Service/shop/web"));
	assert_int_equal(w->d->res.n_lru, 0);
	Weft__Mesh__V1__State st = WEFT__MESH__V1__STATE__INIT;
	(void)discovery_fill(w->d, &st);
	assert_int_equal(st.n_not_meshed, 0);
}

/* After a break: everything is named, nothing changes, and what went is gone. */
static void test_reconnect(void **state)
{
	struct disc *w = *state;
	begin(w);
	(void)disc_ask(w, "10.96.0.1");
	(void)disc_ask(w, "10.0.0.9");
	disc_settle(w);
	response *m = say(w);
	say_answer(w, m, "10.96.0.1", "Service/shop/web");
	say_answer(w, m, "10.0.0.9", NULL);
	say_resource(w, m, make_service(w, "web", "10.96.0.1", "v1"));
	m->position = (char *)(uintptr_t)"x:2";
	say_it(w, m);
	unsigned applied = w->applied;
	disc_stop_server(w);
	assert_false(discovery_connected(w->d));
	assert_true(ready(w, ""));
	assert_int_equal(disc_ask(w, "10.0.0.9"), LOOKUP_NOT_MESHED);
	assert_int_equal(disc_ask(w, "10.0.0.8"), LOOKUP_UNKNOWN);
	assert_non_null(strstr(disc_describe(w), "\"nextTryMs\""));
	disc_advance(w, 60 * NS_PER_S);
	assert_int_equal(w->applied, applied);
	disc_serve(w);
	disc_advance(w, BACKOFF_MOST);
	assert_non_null(w->call);
	const request *q = w->requests[0];
	assert_non_null(q->node);
	assert_string_equal(q->position, "x:2");
	assert_int_equal(q->n_held, 5);
	assert_true(disc_held(q, "Service/shop/web", "v1"));
	assert_true(disc_held(q, "Mesh", "1"));
	assert_int_equal(q->n_subscribe, 3);
	m = say(w);
	say_required(w, m, "");
	say_answer(w, m, "10.96.0.1", NULL);
	say_answer(w, m, "10.0.0.9", NULL);
	say_answer(w, m, "10.0.0.8", NULL);
	say_removed(w, m, "Service/shop/web");
	say_it(w, m);
	assert_null(strstr(w->in_force, "Service/shop/web"));
	assert_int_equal(disc_ask(w, "10.96.0.1"), LOOKUP_NOT_MESHED);
}

/* Restart without a control plane: what was known is known, and is subscribed to. */
static void test_restore(void **state)
{
	struct disc *w = *state;
	Weft__Mesh__V1__State st = WEFT__MESH__V1__STATE__INIT;
	resource *required[] = {make_workload(w, "1"), make_mesh(w, "1"), make_bundle(w, "1"),
		make_revocations(w, "1")};
	resource *used[] = {make_service(w, "web", "10.96.0.1", "1"),
		make_service(w, "headless", "", "1"), make_pod(w, "p", "10.0.0.9", "1")};
	ProtobufCBinaryData not_meshed = {4, (uint8_t[]){10, 0, 0, 7}};
	st.required = required;
	st.n_required = 4;
	st.used = used;
	st.n_used = 3;
	st.not_meshed = &not_meshed;
	st.n_not_meshed = 1;
	st.position = (char *)(uintptr_t)"x:5";
	disc_stop_server(w);
	disc_make(w);
	discovery_restore(w->d, &st);
	discovery_start(w->d);
	disc_advance(w, 3 * NS_PER_S);
	assert_true(ready(w, ""));
	assert_int_equal(disc_ask(w, "10.0.0.7"), LOOKUP_NOT_MESHED);
	assert_int_equal(disc_ask(w, "10.0.0.6"), LOOKUP_UNKNOWN);
	disc_serve(w);
	disc_advance(w, BACKOFF_MOST);
	assert_int_equal(w->requests[0]->n_held, 7);
	assert_int_equal(disc_subscribed(w, "10.96.0.1"), 1);
	assert_int_equal(disc_subscribed(w, "shop/headless"), 1);
	assert_int_equal(disc_subscribed(w, "10.0.0.9"), 1);
	assert_int_equal(disc_subscribed(w, "10.0.0.7"), 1);
	assert_string_equal(w->requests[0]->position, "x:5");
	assert_int_equal(w->applied, 0); /* it has been in force all along */
	Weft__Mesh__V1__State out = WEFT__MESH__V1__STATE__INIT;
	assert_true(discovery_fill(w->d, &out));
	assert_int_equal(out.n_required, 4);
	assert_int_equal(out.n_used, 3);
	assert_int_equal(out.n_not_meshed, 1);
}

/* Candidates that fail as a whole: one by one where it is named, otherwise all. */
static void test_does_not_hold_together(void **state)
{
	struct disc *w = *state;
	begin(w);
	(void)disc_ask(w, "10.96.0.1");
	(void)disc_ask(w, "10.96.0.2");
	disc_settle(w);
	w->apply_fails = "Service/shop/a";
	response *m = say(w);
	say_answer(w, m, "10.96.0.1", "Service/shop/a");
	say_answer(w, m, "10.96.0.2", "Service/shop/b");
	say_resource(w, m, make_service(w, "a", "10.96.0.1", "1"));
	say_resource(w, m, make_service(w, "b", "10.96.0.2", "1"));
	say_it(w, m);
	assert_string_equal(disc_rejected(w), "Service/shop/a: whole: does not go with the rest\n");
	assert_non_null(strstr(w->in_force, "used: Service/shop/b"));
	unsigned applied = w->applied;
	w->apply_fails = "";
	m = say(w);
	say_resource(w, m, make_service(w, "a", "10.96.0.1", "2"));
	say_resource(w, m, make_service(w, "b", "10.96.0.2", "2"));
	say_resource(w, m, make_mesh(w, "2"));
	say_it(w, m);
	assert_int_equal(disc_last_answer(w)->n_rejected, 3);
	assert_int_equal(w->applied, applied);
	assert_string_equal(w->d->res.failure.reason, "does not go with the rest");
	w->apply_fails = NULL;
	m = say(w);
	say_resource(w, m, make_mesh(w, "3"));
	say_it(w, m);
	assert_int_equal(w->applied, applied + 1);
	assert_string_equal(w->d->res.failure.reason, "");
}

static void test_refresh(void **state)
{
	struct disc *w = *state;
	begin(w);
	(void)disc_ask(w, "10.96.0.1");
	disc_settle(w);
	response *m = say(w);
	say_answer(w, m, "10.96.0.1", "Service/shop/web");
	say_resource(w, m, make_service(w, "web", "10.96.0.1", "1"));
	say_it(w, m);
	struct addr ip = raw_addr("10.96.0.1");
	discovery_refresh(w->d, &ip);
	discovery_refresh(w->d, &ip);
	disc_advance(w, NS_PER_S);
	assert_int_equal(disc_unsubscribed(w, "10.96.0.1"), 1);
	assert_int_equal(disc_subscribed(w, "10.96.0.1"), 2);
	assert_non_null(strstr(w->in_force, "Service/shop/web"));
	disc_advance(w, KEYS_REFRESH_EVERY);
	discovery_refresh(w->d, &ip);
	disc_advance(w, NS_PER_S);
	assert_int_equal(disc_unsubscribed(w, "10.96.0.1"), 2);
}

static void test_unauthenticated(void **state)
{
	struct disc *w = *state;
	w->refuse = GRPC_UNAUTHENTICATED;
	disc_start(w);
	assert_int_equal(w->credential_refused, 1);
	assert_false(ready(w, "UNAUTHENTICATED: as told"));
	unsigned calls = w->calls;
	w->refuse = 0;
	w->credential = "wts_new";
	discovery_kick(w->d);
	disc_settle(w);
	assert_int_equal(w->calls, calls + 1);
	assert_string_equal(w->bearer, "wts_new");
	discovery_kick(w->d); /* nothing to do */
	disc_settle(w);
	assert_int_equal(w->calls, calls + 1);
}

/* Full jitter: waits lie below the bound of their failure, and are not all the same. */
static void test_backoff(void **state)
{
	struct disc *w = *state;
	uint64_t bound = BACKOFF_LEAST, most = 0, least = UINT64_MAX;
	w->refuse = GRPC_UNAVAILABLE;
	disc_start(w);
	for (int i = 0; i < 60; i++) {
		struct stream *s = &w->d->stream;
		uint64_t now = loop_now(w->rig.loop);
		assert_int_equal(s->failures, i + 1);
		assert_true(loop_timer_running(&s->timer));
		uint64_t wait = s->timer.deadline - now;
		assert_in_range(wait, 1, bound);
		if (bound == BACKOFF_MOST && wait < least)
			least = wait;
		if (bound == BACKOFF_MOST && wait > most)
			most = wait;
		bound = bound * 2 < BACKOFF_MOST ? bound * 2 : BACKOFF_MOST;
		disc_advance(w, wait);
	}
	assert_true(least < BACKOFF_MOST / 4 && most > BACKOFF_MOST / 4 * 3);
	w->refuse = GRPC_RESOURCE_EXHAUSTED;
	disc_advance(w, w->d->stream.timer.deadline - loop_now(w->rig.loop));
	for (int i = 0; i < 10; i++) {
		uint64_t wait = w->d->stream.timer.deadline - loop_now(w->rig.loop);
		assert_in_range(wait, BACKOFF_EXHAUSTED, BACKOFF_EXHAUSTED + BACKOFF_MOST);
		disc_advance(w, wait);
	}
	/* A stream that lived and delivered: the next failure is a first one. */
	w->refuse = 0;
	disc_advance(w, 2 * BACKOFF_MOST);
	response *m = say(w);
	say_basics(w, m);
	say_it(w, m);
	disc_advance(w, STREAM_LIVED);
	grpc_call_finish(w->call, GRPC_UNAVAILABLE, NULL);
	disc_settle(w);
	assert_true(w->d->stream.failures <= 2);
}

/* Neither hangs for ever: nobody at the other end, nor somebody who says nothing. */
static void test_silent_server(void **state)
{
	struct disc *w = *state;
	net_sim_fail(w->rig.net, &w->addr, ERR_TIMEOUT);
	disc_start(w);
	disc_advance(w, 3 * NS_PER_S);
	assert_int_equal(w->calls, 0);
	assert_int_equal(w->d->stream.failures, 1);
	net_sim_fail(w->rig.net, &w->addr, 0);
	disc_advance(w, 5 * NS_PER_S);
	assert_int_equal(w->calls, 1);
	disc_advance(w, FIRST_RESPONSE_NS + BACKOFF_MOST);
	assert_true(w->calls >= 2);
	assert_false(ready(w, "no response in time"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_required, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_required_in_pieces, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_withheld, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_required_changes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_broken_policy, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_broken_policy_restored, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_unusable_bundle, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_lookup, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_lookup_in_pieces, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_names, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_reconnect, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_restore, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_does_not_hold_together, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_refresh, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_unauthenticated, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_backoff, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_silent_server, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

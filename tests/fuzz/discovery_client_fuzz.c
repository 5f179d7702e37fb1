/*
 * Any bytes as what a sidecar's discovery lives through: frames of one byte (what), two (length)
 * and that many. Responses of a server, addresses that are asked for, time, broken streams. What
 * holds always is checked after each frame.
 */
#include "certs/issue.h"
#include "lib/base/alloc.h"
#include "lib/crypto/crypto.h"
#include "lib/grpc/call.h"
#include "sidecar/discovery/discovery_internal.h"
#include "sidecar/snapshot/build.h"

#define NOW 1800000000ll
#define TD "cluster.local"
#define ADDRESSES 8 /* 10.0.0.0 to 10.0.0.7 */
#define FRAMES 64

enum frame { FRAME_RESPONSE, FRAME_ASK, FRAME_TOUCH, FRAME_REFRESH, FRAME_WAIT, FRAME_BREAK };

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct cert_ca *ca;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc, (void)argv;
	ASSERT(crypto_init() == 0);
	ASSERT(cert_ca_create(STR(TD), NOW - 1, NOW + 1, &ca) == 0);
	return 0;
}

/* -- the user --------------------------------------------------------------------------------- */

static int check(void *arg, const Weft__Mesh__V1__Resource *r, struct snapshot_fault *fault)
{
	(void)arg;
	return snapshot_check_resource(TD, r, fault);
}

static int apply(void *arg, const Weft__Mesh__V1__State *st, struct snapshot_fault *fault)
{
	struct discovery *const *d = arg;
	Weft__Mesh__V1__State whole = *st;
	struct addr ip = {.family = ADDR_V4, .bytes = {10, 0, 0, 1}};
	whole.trust_domain = (char *)(uintptr_t)TD;
	whole.written_at = NOW;
	/* Who wakes up asks again at once. */
	(void)discovery_ask(*d, &ip);
	discovery_touch(*d, &ip);
	return snapshot_try(&whole, 1, NULL, fault);
}

static void answered(void *arg, const struct addr *ip)
{
	(void)discovery_ask(*(struct discovery **)arg, ip);
}

static bool in_use(void *arg, const struct addr *ip)
{
	(void)arg;
	return ip->bytes[3] == 2;
}

static void nothing(void *arg)
{
	(void)arg;
}

static struct str credential(void *arg)
{
	(void)arg;
	return STR_NULL;
}

static const struct discovery_user user = {check, apply, answered, in_use, nothing, nothing};

/* -- what always holds ------------------------------------------------------------------------ */

static void check_slots(const struct discovery *d)
{
	struct map_entry *at = NULL;
	struct str name;
	void *value;
	size_t lru = 0;
	while (map_next(d->res.slots, &at, &name, &value)) {
		const struct slot *s = value;
		uint32_t pins = 0;
		LIST_EACH(&s->keys, n)
		pins += CONTAINER_OF(n, struct key, sibling)->pinned;
		ASSERT(name.n > 0 && name.n <= RESOURCE_NAME_MAX && s->next == ROLE_NONE);
		ASSERT(s->pins == pins && !s->fresh);
		ASSERT(!list_empty(&s->keys) || s->force != ROLE_NONE || s->want != ROLE_NONE);
		ASSERT(s->force == ROLE_NONE || (s->good != NULL && s->cur != NULL));
		lru += list_linked(&s->lru);
	}
	ASSERT(lru == d->res.n_lru && d->res.bytes <= RESOURCES_BYTES + 4096);
}

static void check_keys(const struct discovery *d)
{
	struct map_entry *at = NULL;
	struct str bytes;
	void *value;
	size_t pending = 0, negatives = 0;
	while (map_next(d->keys.by, &at, &bytes, &value)) {
		const struct key *key = value;
		ASSERT((key->slot != NULL) == (key->state == KEY_POSITIVE));
		ASSERT(key->ip.family == ADDR_NONE || key->ip.bytes[0] == 10);
		pending += key->state == KEY_PENDING && !key->pinned;
		negatives += key->state == KEY_NEGATIVE && !key->pinned && !key->retry;
	}
	ASSERT(pending == d->keys.n_pending && negatives == d->keys.n_negatives);
}

static void check_filled(struct discovery *d)
{
	Weft__Mesh__V1__State st = WEFT__MESH__V1__STATE__INIT;
	struct snapshot_fault fault;
	bool ready = discovery_fill(d, &st);
	ASSERT(ready == (st.n_required > 0));
	st.trust_domain = (char *)(uintptr_t)TD;
	if (ready)
		ASSERT(snapshot_try(&st, 1, NULL, &fault) == 0);
}

/* -- frames ----------------------------------------------------------------------------------- */

/* As if a stream had taken it all. */
static void say_all(struct discovery *d)
{
	struct arena a;
	Weft__Mesh__V1__DiscoveryRequest q = WEFT__MESH__V1__DISCOVERY_REQUEST__INIT;
	arena_init(&a, NULL);
	keys_take_unsubscribe(&d->keys, &a, KEYS_BYTES, &q);
	keys_take_subscribe(&d->keys, &a, KEYS_BYTES, &q);
	resources_held(&d->res, &a, HELD_BYTES, &q);
	q.rejected = d->res.rejected;
	q.n_rejected = d->res.n_rejected;
	size_t n = weft__mesh__v1__discovery_request__get_packed_size(&q);
	uint8_t *p = mem_alloc(n + 1);
	ASSERT(weft__mesh__v1__discovery_request__pack(&q, p) == n);
	mem_free(p);
	resources_answered(&d->res);
	d->stream.nonce[0] = '\0';
	arena_clear(&a);
}

/* A root that holds stands for none: no bytes of a fuzzer would. */
static void add_roots(Weft__Mesh__V1__DiscoveryResponse *m)
{
	struct str der = cert_chain_der(cert_ca_chain(ca));
	for (size_t i = 0; i < m->n_resources; i++) {
		Weft__Mesh__V1__Resource *r = m->resources[i];
		if (r->kind_case != WEFT__MESH__V1__RESOURCE__KIND_TRUST_BUNDLE ||
			r->trust_bundle->roots.len > 0)
			continue;
		mem_free(r->trust_bundle->roots.data);
		r->trust_bundle->roots.data = mem_alloc(der.n);
		memcpy(r->trust_bundle->roots.data, der.p, der.n);
		r->trust_bundle->roots.len = der.n;
	}
}

static void take(struct discovery *d, struct str bytes)
{
	Weft__Mesh__V1__DiscoveryResponse *m = (Weft__Mesh__V1__DiscoveryResponse *)
		grpc_unpack(&weft__mesh__v1__discovery_response__descriptor, bytes);
	if (m == NULL)
		return;
	add_roots(m);
	(void)discovery_take(d, m);
	protobuf_c_message_free_unpacked(&m->base, NULL);
}

static void one(struct loop *loop, struct discovery *d, uint8_t what, struct str bytes)
{
	struct addr ip = {.family = ADDR_V4, .bytes = {10, 0, 0, 0}};
	ip.bytes[3] = bytes.n > 0 ? (uint8_t)bytes.p[0] % ADDRESSES : 0;
	switch ((enum frame)(what % (FRAME_BREAK + 1))) {
	case FRAME_RESPONSE:
		take(d, bytes);
		break;
	case FRAME_ASK:
		(void)discovery_ask(d, &ip);
		break;
	case FRAME_TOUCH:
		discovery_touch(d, &ip);
		break;
	case FRAME_REFRESH:
		discovery_refresh(d, &ip);
		break;
	case FRAME_WAIT:
		loop_sim_advance(loop, KEYS_REFUSED_KEEP);
		break;
	case FRAME_BREAK:
		keys_silence(&d->keys);
		break;
	}
	(void)loop_sim_settle(loop, 1000);
	say_all(d);
	check_slots(d);
	check_keys(d);
	check_filled(d);
}

static void describe(const struct discovery *d)
{
	struct buf_pool *pool = buf_pool_new(0);
	struct buf out;
	struct json j;
	buf_init(&out, pool);
	json_init(&j, &out, false);
	json_object(&j);
	discovery_describe(d, &j);
	json_object_end(&j);
	buf_clear(&out);
	buf_pool_free(&pool);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct loop *loop = loop_new_sim((uint64_t)NOW * NS_PER_S);
	struct discovery *d = NULL;
	struct rng rng;
	rng_seed(&rng, 1);
	const struct discovery_config cfg = {.loop = loop,
		.rng = &rng,
		.credential = credential,
		.user = &user,
		.arg = &d,
		.names = "a/b",
		.max_destinations = 3,
		.max_negatives = 3};
	d = discovery_new(&cfg);
	say_all(d);
	for (int i = 0; i < FRAMES && size >= 3; i++) {
		size_t n = (size_t)data[1] << 8 | data[2];
		n = n < size - 3 ? n : size - 3;
		one(loop, d, data[0], str_make(data + 3, n));
		data += 3 + n;
		size -= 3 + n;
	}
	describe(d);
	discovery_free(&d);
	(void)loop_sim_settle(loop, 1000);
	loop_free(&loop);
	return 0;
}

/*
 * Any bytes as what a sidecar sends on its stream of Discovery, with a catalog that changes between
 * them: never more than refused, and whatever it says it is sent nothing but what its pod must have
 * and what it got as the answer to a key.
 *
 * The input is a row of steps: a kind, two bytes of length, and so many bytes of a message.
 */
#include <stdio.h>
#include <stdlib.h>

#include "lib/base/alloc.h"
#include "lib/base/map.h"
#include "tests/support/attest_by_name.h"
#include "tests/support/push_world.h"

#define STEPS 64
#define POD(name, ip)                                                                    \
	"---\napiVersion: v1\nkind: Pod\nmetadata: {name: " name                         \
	", namespace: shop, labels: {app: " name "}}\nspec: {containers: [{name: app}, " \
	"{name: weft-sidecar}]}\nstatus: {podIP: " ip "}\n"
#define SERVICE(name, vip, app)                                                             \
	"---\napiVersion: v1\nkind: Service\nmetadata: {name: " name ", namespace: shop}\n" \
	"spec: {clusterIP: " vip ", selector: {app: " app "}, ports: [{port: 80}]}\n"
#define POLICY                                                                           \
	"---\napiVersion: mesh.weft.dev/v1alpha1\nkind: AuthorizationPolicy\nmetadata: " \
	"{name: p, namespace: shop}\nspec: {action: DENY, rules: [{from: [{source: "     \
	"{namespaces: [x]}}]}]}\n"

static const char *const catalogs[] = {
	POD("me", "10.0.0.1") POD("a", "10.0.0.2") POD("b", "10.0.0.3")
		SERVICE("a", "10.96.0.1", "a") SERVICE("b", "10.96.0.2", "b"),
	POD("me", "10.0.0.1") POD("a", "10.0.0.4") SERVICE("a", "10.96.0.2", "a") POLICY,
	POD("me", "10.0.0.5") POD("b", "10.0.0.2") SERVICE("b", "10.96.0.1", "b"),
};

enum kind { RAW, ANSWER, NACK, CHANGE, WAIT, CLOSE, KINDS };

/* What the stream was told. */
struct told {
	struct map *may; /* names that may come */
	Weft__Mesh__V1__DiscoveryResponse *last;
	bool required;
};

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct push_world world;

static void stop_world(void)
{
	push_world_close(&world);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc, (void)argv;
	push_world_init(&world);
	world.cfg.max_keys = 8;
	push_world_open(&world, catalogs[0]);
	return atexit(stop_world);
}

static void permit(struct told *t, const char *name)
{
	map_put(t->may, str_from(name), t);
}

/* The list of what is required comes with or after it, so that is known by kind. */
static bool is_destination(const char *name)
{
	return strncmp(name, "Service/", 8) == 0 || strncmp(name, "Pod/", 4) == 0;
}

static void on_response(struct push_client *c, const Weft__Mesh__V1__DiscoveryResponse *m)
{
	struct told *t = c->arg;
	ASSERT(m->nonce[0] != '\0' && strcmp(m->nonce, c->nonce) != 0);
	for (size_t i = 0; i < m->n_answers; i++)
		permit(t, m->answers[i]->resource);
	for (size_t i = 0; i < m->n_resources; i++) {
		const char *name = m->resources[i]->name;
		ASSERT(!is_destination(name) || map_get(t->may, str_from(name)) != NULL);
		ASSERT(strncmp(name, "Workload/", 9) != 0 || strcmp(name, "Workload/shop/me") == 0);
	}
	t->required = t->required || m->required != NULL;
	ASSERT(m->position[0] == '\0' || t->required);
	if (t->last != NULL)
		weft__mesh__v1__discovery_response__free_unpacked(t->last, NULL);
	size_t n = weft__mesh__v1__discovery_response__get_packed_size(m);
	uint8_t *bytes = mem_alloc(n + 1);
	weft__mesh__v1__discovery_response__pack(m, bytes);
	t->last = weft__mesh__v1__discovery_response__unpack(NULL, n, bytes);
	mem_free(bytes);
}

/* The message with the nonce that counts; and all that came last rejected. */
static void send_answer(struct push_client *c, struct told *t, struct str bytes, bool nack)
{
	ProtobufCMessage *any = grpc_unpack(&weft__mesh__v1__discovery_request__descriptor, bytes);
	Weft__Mesh__V1__DiscoveryRequest m = WEFT__MESH__V1__DISCOVERY_REQUEST__INIT;
	struct arena a;
	arena_init(&a, NULL);
	if (any != NULL)
		m = *(Weft__Mesh__V1__DiscoveryRequest *)any;
	m.response_nonce = c->nonce;
	if (nack && t->last != NULL) {
		m.rejected = arena_alloc(&a, (t->last->n_resources + 1) * sizeof(*m.rejected));
		for (m.n_rejected = 0; m.n_rejected < t->last->n_resources; m.n_rejected++) {
			Weft__Mesh__V1__Rejection *j = ARENA_NEW(&a, Weft__Mesh__V1__Rejection);
			weft__mesh__v1__rejection__init(j);
			j->name = t->last->resources[m.n_rejected]->name;
			j->hash = t->last->resources[m.n_rejected]->hash;
			m.rejected[m.n_rejected] = j;
		}
	}
	push_client_send(c, &m);
	arena_clear(&a);
	if (any != NULL)
		protobuf_c_message_free_unpacked(any, NULL);
}

static void take_step(struct push_client *c, struct told *t, uint8_t kind, struct str bytes)
{
	switch ((enum kind)(kind % KINDS)) {
	case RAW:
		if (c->call != NULL)
			grpc_call_send_bytes(c->call, bytes);
		break;
	case ANSWER:
	case NACK:
		send_answer(c, t, bytes, kind % KINDS == NACK);
		break;
	case CHANGE:
		push_world_set(&world, catalogs[bytes.n % 3]);
		break;
	case WAIT:
		loop_sim_advance(world.loop, bytes.n * NS_PER_S / 16);
		break;
	case CLOSE:
		if (c->call != NULL)
			grpc_call_close_send(c->call);
		break;
	case KINDS:
		break;
	}
	if (kind < 128)
		push_world_settle(&world);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct push_client c;
	struct told t = {.may = map_new(1)};
	world.n_logged = 0;
	push_world_set(&world, catalogs[0]);
	push_client_open(&c, &world, "shop/me");
	c.silent = c.mute = true;
	c.on_response = on_response;
	c.arg = &t;
	for (unsigned i = 0; i < STEPS && size >= 3; i++) {
		size_t n = (size_t)data[1] << 8 | data[2];
		if (n > size - 3)
			n = size - 3;
		take_step(&c, &t, data[0], str_make(data + 3, n));
		data += 3 + n;
		size -= 3 + n;
	}
	push_world_settle(&world);
	char *text = push_world_describe(&world, "shop/me");
	mem_free(text);
	push_client_close(&c);
	if (t.last != NULL)
		weft__mesh__v1__discovery_response__free_unpacked(t.last, NULL);
	map_free(&t.may);
	ASSERT(push_world_metric(&world, "weft_push_streams") == 0);
	ASSERT(push_world_metric(&world, "weft_push_behind") == 0);
	return 0;
}

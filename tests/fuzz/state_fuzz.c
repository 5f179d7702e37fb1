/*
 * Any bytes as a state file: as they are, and as the message of a file whose frame, checksum and
 * identity are right, so that the validation behind them is reached. What is taken holds together.
 */
#include "certs/issue.h"
#include "lib/base/alloc.h"
#include "lib/base/obj.h"
#include "lib/crypto/crypto.h"
#include "sidecar/snapshot/state.h"

#define NOW 1800000000ll

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct {
	struct cert_chain *chain;
	void *key;
	size_t key_n;
} identity;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc, (void)argv;
	struct cert_ca *ca;
	const struct cert_issue what = {.spiffe_id = STR("spiffe://cluster.local/ns/a/sa/b"),
		.not_before = NOW - 1,
		.not_after = NOW + 1};
	ASSERT(crypto_init() == 0);
	ASSERT(cert_ca_create(STR("cluster.local"), NOW - 1, NOW + 1, &ca) == 0);
	struct cert_key *key = cert_key_generate();
	ASSERT(cert_ca_issue(ca, NULL, key, &what, &identity.chain) == 0);
	identity.key = cert_key_der(key, &identity.key_n);
	cert_key_unref(&key);
	cert_ca_free(&ca);
	return 0;
}

static void check_endpoint(const struct mesh_endpoint *ep)
{
	ASSERT(ep->v4.family == ADDR_V4 || ep->v6.family == ADDR_V6);
	ASSERT(!ep->meshed || ep->spiffe_id.n > 0);
	ASSERT(!addr_is_loopback(&ep->v4) && !addr_is_loopback(&ep->v6));
}

/* What the data path relies on. */
static void check(const struct snapshot *s)
{
	ASSERT(s->chain != NULL && s->key != NULL && s->self.uid.n > 0 && s->self.n_addrs > 0);
	ASSERT(cert_bundle_has(s->bundle, s->trust_domain));
	for (size_t i = 0; i < s->n_services; i++) {
		const struct mesh_service *svc = &s->services[i];
		for (size_t k = 0; k < svc->n_vips; k++)
			ASSERT(snapshot_service(s, &svc->vips[k]) == svc || s->n_disputed > 0);
		for (size_t k = 0; k < svc->n_endpoints; k++) {
			ASSERT(svc->endpoints[k].n_ports == svc->n_ports);
			check_endpoint(&svc->endpoints[k]);
		}
		for (size_t k = 0; k < svc->n_ports; k++)
			ASSERT(mesh_service_port_index(svc, svc->ports[k].port) >= 0);
	}
	for (size_t i = 0; i < s->n_pods; i++) {
		const struct mesh_endpoint *ep = &s->pods[i].endpoint;
		check_endpoint(ep);
		if (ep->v4.family != ADDR_NONE)
			ASSERT(snapshot_pod(s, &ep->v4) == &s->pods[i] || s->n_disputed > 0);
	}
	for (size_t i = 0; i < s->n_policies; i++)
		ASSERT(s->policies[i].name.n > 0);
}

static void parse(struct str bytes)
{
	char err[512] = "";
	struct snapshot *s;
	const struct state_expect expect = {.now = NOW};
	if (state_parse("f", bytes, &expect, 1, &s, err, sizeof(err)) == 0) {
		check(s);
		snapshot_unref(&s);
	} else {
		ASSERT(s == NULL && err[0] != '\0');
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	parse(str_make(data, size));
	Weft__Mesh__V1__State *st = weft__mesh__v1__state__unpack(NULL, size, data);
	if (st == NULL)
		return 0;
	const ProtobufCBinaryData chain = st->chain, key = st->key;
	struct str der = cert_chain_der(identity.chain);
	uint8_t *copy = mem_alloc(der.n);
	memcpy(copy, der.p, der.n);
	st->format = STATE_FORMAT;
	st->chain = (ProtobufCBinaryData){der.n, copy};
	st->key = (ProtobufCBinaryData){identity.key_n, identity.key};
	size_t n;
	void *bytes = state_encode(st, &n);
	parse(str_make(bytes, n));
	mem_free(bytes);
	mem_free(copy);
	st->chain = chain;
	st->key = key;
	weft__mesh__v1__state__free_unpacked(st, NULL);
	return 0;
}

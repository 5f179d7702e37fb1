/*
 * A digest of what open connections are judged by, so that a change of destinations alone judges
 * nothing again. Called by build.c once per snapshot; owns nothing.
 */
#include <string.h>

#include "lib/base/alloc.h"
#include "sidecar/snapshot/build_internal.h"

static bool is_rule(const Weft__Mesh__V1__Resource *r)
{
	return r->kind_case != WEFT__MESH__V1__RESOURCE__KIND_SERVICE &&
		r->kind_case != WEFT__MESH__V1__RESOURCE__KIND_POD;
}

/* Each resource as it would be sent, in the order that they have. */
static void add_resources(uint8_t digest[SHA256_SIZE], size_t n,
	Weft__Mesh__V1__Resource *const *list)
{
	for (size_t i = 0; i < n; i++) {
		if (!is_rule(list[i]))
			continue;
		size_t size = protobuf_c_message_get_packed_size(&list[i]->base);
		uint8_t *bytes = mem_alloc(SHA256_SIZE + size);
		memcpy(bytes, digest, SHA256_SIZE);
		protobuf_c_message_pack(&list[i]->base, bytes + SHA256_SIZE);
		crypto_sha256(bytes, SHA256_SIZE + size, digest);
		mem_free(bytes);
	}
}

void build_rules(struct build *b, const Weft__Mesh__V1__State *st)
{
	add_resources(b->s->rules, st->n_required, st->required);
	add_resources(b->s->rules, st->n_used, st->used);
}

/*
 * Bytes and fields of one DiscoveryResponse. Owns its arena and lists; used by ledger.c.
 */
#include "ctrlplane/push/response.h"

#include "lib/base/alloc.h"
#include "lib/base/obj.h"

#define RESOURCES_TAG 0x12 /* field 2, length-delimited */

void response_init(struct response *r, size_t limit)
{
	*r = (struct response){.limit = limit};
	arena_init(&r->arena, NULL);
}

void response_fini(struct response *r)
{
	mem_free(r->resources.v);
	mem_free(r->removed.v);
	mem_free(r->answers.v);
	arena_clear(&r->arena);
	*r = (struct response){0};
}

bool response_empty(const struct response *r)
{
	return r->resources.n == 0 && r->removed.n == 0 && r->answers.n == 0 && r->required == NULL;
}

bool response_fits(struct response *r, size_t n)
{
	if (response_empty(r) || (r->bytes < r->limit && n <= r->limit - r->bytes))
		return true;
	r->cut = true;
	return false;
}

static size_t varint_bytes(uint64_t v)
{
	size_t n = 1;
	for (; v >= 0x80; v >>= 7)
		n++;
	return n;
}

/* A length-delimited field with a number below 16. */
static size_t field_bytes(size_t n)
{
	return 1 + varint_bytes(n) + n;
}

size_t response_resource_bytes(const struct compiled *c)
{
	return field_bytes(c->packed.n);
}

size_t response_answer_bytes(const Weft__Mesh__V1__Answer *a)
{
	return field_bytes(weft__mesh__v1__answer__get_packed_size(a));
}

size_t response_removed_bytes(struct str name)
{
	return field_bytes(name.n);
}

size_t response_required_bytes(const Weft__Mesh__V1__Required *q)
{
	return field_bytes(weft__mesh__v1__required__get_packed_size(q));
}

static void list_add(struct response_list *l, const void *p)
{
	if (l->n == l->room) {
		l->room = l->room == 0 ? 16 : l->room * 2;
		l->v = mem_resize(l->v, l->room * sizeof(*l->v));
	}
	l->v[l->n++] = (void *)(uintptr_t)p;
}

void response_add_resource(struct response *r, const struct compiled *c)
{
	list_add(&r->resources, c);
	r->bytes += response_resource_bytes(c);
}

void response_add_answer(struct response *r, Weft__Mesh__V1__Answer *a)
{
	list_add(&r->answers, a);
	r->bytes += response_answer_bytes(a);
}

void response_add_removed(struct response *r, struct str name)
{
	list_add(&r->removed, arena_strdup(&r->arena, name));
	r->bytes += response_removed_bytes(name);
}

void response_set_required(struct response *r, Weft__Mesh__V1__Required *q)
{
	r->required = q;
	r->bytes += response_required_bytes(q);
}

static uint8_t *put_resource(uint8_t *at, struct str packed)
{
	uint64_t v = packed.n;
	*at++ = RESOURCES_TAG;
	for (; v >= 0x80; v >>= 7)
		*at++ = (uint8_t)(v | 0x80);
	*at++ = (uint8_t)v;
	memcpy(at, packed.p, packed.n);
	return at + packed.n;
}

uint8_t *response_pack(const struct response *r, struct str nonce, struct str position, size_t *n)
{
	struct arena a;
	Weft__Mesh__V1__DiscoveryResponse m = WEFT__MESH__V1__DISCOVERY_RESPONSE__INIT;
	arena_init(&a, NULL);
	m.nonce = arena_strdup(&a, nonce);
	m.position = arena_strdup(&a, position);
	m.n_removed = r->removed.n;
	m.removed = (char **)r->removed.v;
	m.n_answers = r->answers.n;
	m.answers = (Weft__Mesh__V1__Answer **)r->answers.v;
	m.required = r->required;

	size_t head = weft__mesh__v1__discovery_response__get_packed_size(&m), total = head;
	for (size_t i = 0; i < r->resources.n; i++)
		total += response_resource_bytes(r->resources.v[i]);
	uint8_t *bytes = mem_alloc(total), *at = bytes + head;
	weft__mesh__v1__discovery_response__pack(&m, bytes);
	for (size_t i = 0; i < r->resources.n; i++)
		at = put_resource(at, ((const struct compiled *)r->resources.v[i])->packed);
	ASSERT((size_t)(at - bytes) == total);
	arena_clear(&a);
	*n = total;
	return bytes;
}

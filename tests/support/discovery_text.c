/*
 * Discovery as text. The test owns what it gets; fuzzers link this too, so it asserts by itself.
 */
#include <stdarg.h>
#include <stdio.h>

#include "tests/support/discovery_text.h"

#include "lib/base/obj.h"

void text_say(struct text *t, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	t->n += (size_t)vsnprintf(t->s + t->n, sizeof(t->s) - t->n, fmt, ap);
	va_end(ap);
	ASSERT(t->n < sizeof(t->s));
}

static void say_answer(struct text *t, const Weft__Mesh__V1__Answer *a)
{
	char ip[ADDR_TEXT];
	struct addr addr = {.family = ADDR_V4};
	const char *key = "?";
	ASSERT(a->key != NULL);
	if (a->key->by_case == WEFT__MESH__V1__KEY__BY_NAME) {
		key = a->key->name;
	} else if (a->key->by_case == WEFT__MESH__V1__KEY__BY_ADDRESS && a->key->address.len == 4) {
		memcpy(addr.bytes, a->key->address.data, 4);
		key = addr_format_ip(&addr, ip);
	}
	if (a->refused[0] != '\0')
		text_say(t, " %s!", key);
	else
		text_say(t, " %s>%s", key, a->not_meshed ? "-" : a->resource);
	ASSERT((a->refused[0] != 0) + a->not_meshed + (a->resource[0] != 0) == 1);
}

void text_say_response(struct text *t, const Weft__Mesh__V1__DiscoveryResponse *m)
{
	for (size_t i = 0; i < m->n_answers; i++)
		say_answer(t, m->answers[i]);
	for (size_t i = 0; i < m->n_resources; i++) {
		text_say(t, " +%s", m->resources[i]->name);
		ASSERT(m->resources[i]->hash.len == 32);
	}
	for (size_t i = 0; i < m->n_removed; i++)
		text_say(t, " -%s", m->removed[i]);
	if (m->required != NULL) {
		const Weft__Mesh__V1__NameList *l = m->required->authorization_policies;
		text_say(t, " required(");
		for (size_t i = 0; i < l->n_names; i++)
			text_say(t, "%s%s", i > 0 ? "," : "", l->names[i]);
		text_say(t, ")");
	}
	if (m->position[0] != '\0')
		text_say(t, " @%s", m->position);
}

Weft__Mesh__V1__Key text_key(const char *s, uint8_t bytes[16])
{
	struct addr ip;
	Weft__Mesh__V1__Key k = WEFT__MESH__V1__KEY__INIT;
	if (addr_parse(str_from(s), &ip) == 0) {
		memcpy(bytes, ip.bytes, 16);
		k.by_case = WEFT__MESH__V1__KEY__BY_ADDRESS;
		k.address.data = bytes;
		k.address.len = ip.family == ADDR_V4 ? 4 : 16;
	} else {
		k.by_case = WEFT__MESH__V1__KEY__BY_NAME;
		k.name = (char *)(uintptr_t)s;
	}
	return k;
}

/*
 * Who is connected, what each has and what it refused, as JSON for people and for `weft
 * proxy-status` and `weft config`. Called by main's admin server.
 */
#include "ctrlplane/push/push_internal.h"

static void describe_time(struct json *j, const char *key, uint64_t wall_ns)
{
	char text[CLOCK_TEXT];
	clock_format(wall_ns, text, sizeof(text));
	json_key_str(j, key, str_from(text));
}

static void describe_hash(struct json *j, const char *key, const uint8_t hash[LEDGER_HASH])
{
	static const char digits[] = "0123456789abcdef";
	char text[2 * LEDGER_HASH];
	for (unsigned i = 0; i < LEDGER_HASH; i++) {
		text[2 * i] = digits[hash[i] >> 4];
		text[2 * i + 1] = digits[hash[i] & 15];
	}
	json_key_str(j, key, str_make(text, sizeof(text)));
}

static void describe_rejections(const struct ledger *ledger, struct json *j)
{
	LIST_EACH(&ledger->resources, n)
	{
		const struct ledger_resource *r = CONTAINER_OF(n, struct ledger_resource, node);
		const struct ledger_rejection *why = r->rejection;
		if (r->state != LEDGER_REJECTED)
			continue;
		json_object(j);
		json_key_str(j, "resource", r->name);
		describe_hash(j, "hash", r->sent);
		json_key_str(j, "field", str_from(why != NULL ? why->field : NULL));
		json_key_str(j, "reason", str_from(why != NULL ? why->reason : NULL));
		if (why != NULL)
			describe_time(j, "at", why->at);
		json_object_end(j);
	}
}

static const char *state_name(enum ledger_state state)
{
	static const char *const names[] = {[LEDGER_HELD] = "held",
		[LEDGER_SENT] = "sent",
		[LEDGER_ACKNOWLEDGED] = "acknowledged",
		[LEDGER_REJECTED] = "rejected"};
	return names[state];
}

static void describe_resources(const struct ledger *ledger, struct json *j)
{
	LIST_EACH(&ledger->resources, n)
	{
		const struct ledger_resource *r = CONTAINER_OF(n, struct ledger_resource, node);
		json_object(j);
		json_key_str(j, "name", r->name);
		describe_hash(j, "hash", r->state == LEDGER_HELD ? r->force : r->sent);
		json_key_str(j, "state", str_from(state_name(r->state)));
		json_object_end(j);
	}
}

static struct str answer_text(const struct ledger_key *k)
{
	switch (k->told) {
	case LEDGER_UNTOLD:
		return STR("");
	case LEDGER_LEADS:
		return k->to->name;
	case LEDGER_NOT_MESHED:
		return STR("not meshed");
	case LEDGER_REFUSED:
		return STR("refused");
	}
	return STR("");
}

static void describe_keys(const struct ledger *ledger, struct json *j)
{
	LIST_EACH(&ledger->keys, n)
	{
		const struct ledger_key *k = CONTAINER_OF(n, struct ledger_key, node);
		struct str s = str_make(k->bytes + 1, k->n - 1);
		char text[ADDR_TEXT];
		if (k->bytes[0] == WEFT__MESH__V1__KEY__BY_ADDRESS) {
			struct addr ip = {.family = s.n == 4 ? ADDR_V4 : ADDR_V6};
			memcpy(ip.bytes, s.p, s.n);
			s = str_from(addr_format_ip(&ip, text));
		}
		json_object(j);
		json_key_str(j, "key", s);
		json_key_str(j, "answer", answer_text(k));
		json_object_end(j);
	}
}

static struct str peer_text(const struct push_stream *s, char text[ADDR_TEXT])
{
	struct io_info info = {0};
	grpc_call_info(s->call, &info);
	if (info.peer.family == ADDR_NONE)
		return STR("unix");
	return str_from(addr_format(&info.peer, text));
}

/* Before admission there is no ledger. */
static void describe_list(const struct push_stream *s, struct json *j,
	void (*fn)(const struct ledger *ledger, struct json *j))
{
	json_array(j);
	if (s->has_ledger)
		fn(&s->ledger, j);
	json_array_end(j);
}

/* Has, and has answered, all that the catalog in force has for it. On a list other than idle it has
 * not been looked at since something changed. */
static bool is_synced(const struct push_stream *s, bool idle)
{
	return idle && s->phase == PUSH_LIVE && !s->unanswered && !s->due && !s->behind &&
		s->withheld == NULL;
}

static void describe_stream(const struct push_stream *s, struct json *j, bool idle, bool whole)
{
	char text[ADDR_TEXT];
	const struct ledger *ledger = &s->ledger;
	json_object(j);
	json_key_str(j, "pod", str_from(s->key));
	json_key_str(j, "uid", s->who.uid);
	json_key_str(j, "identity", s->who.spiffe_id);
	json_key_str(j, "version", str_from(s->version));
	json_key_str(j, "address", peer_text(s, text));
	describe_time(j, "connectedSince", s->connected);
	json_key_str(j, "position", str_from(s->position));
	json_key_bool(j, "behind", s->behind);
	json_key_bool(j, "waiting", s->phase == PUSH_WAITING);
	json_key_bool(j, "unanswered", s->unanswered);
	json_key_bool(j, "synced", is_synced(s, idle));
	json_key_str(j, "withheld", str_from(s->withheld));
	json_key_u64(j, "resources", s->has_ledger ? ledger_resources(ledger) : 0);
	json_key_u64(j, "subscriptions", s->has_ledger ? ledger_keys(ledger) : 0);
	json_key(j, "rejections");
	describe_list(s, j, describe_rejections);
	if (whole) {
		json_key(j, "resourceList");
		describe_list(s, j, describe_resources);
		json_key(j, "keys");
		describe_list(s, j, describe_keys);
	}
	json_object_end(j);
}

void push_describe(struct push *p, struct json *j, struct str only)
{
	struct list *const lists[] = {&p->idle, &p->dirty, &p->asking, &p->waiting};
	json_array(j);
	for (unsigned i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
		LIST_EACH(lists[i], n)
		{
			const struct push_stream *s = CONTAINER_OF(n, struct push_stream, node);
			if (s->key == NULL || (only.n != 0 && !str_eq(str_from(s->key), only)))
				continue;
			describe_stream(s, j, lists[i] == &p->idle, only.n != 0);
		}
	json_array_end(j);
}

bool push_connected(const struct push *p, struct str pod)
{
	return map_get(p->admitted, pod) != NULL || map_get(p->queued, pod) != NULL;
}

/*
 * Values that several kinds have: names, labels, selectors, ports, addresses, blocks. Called by the
 * decoders; reports what is wrong and leaves the value out.
 */
#include "certs/spiffe.h"
#include "ctrlplane/compile/decode_internal.h"

static bool is_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

bool dns_label_valid(struct str s)
{
	if (s.n == 0 || s.n > 63 || !is_alnum(s.p[0]) || !is_alnum(s.p[s.n - 1]))
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (!is_alnum(s.p[i]) && s.p[i] != '-')
			return false;
	return true;
}

bool dns_subdomain_valid(struct str s)
{
	struct str label;
	if (s.n == 0 || s.n > 253)
		return false;
	while (str_split(&s, '.', &label)) {
		/* A label of a name may be longer than one of DNS: Kubernetes bounds the whole. */
		if (label.n == 0 || !is_alnum(label.p[0]) || !is_alnum(label.p[label.n - 1]))
			return false;
		for (size_t i = 0; i < label.n; i++)
			if (!is_alnum(label.p[i]) && label.p[i] != '-')
				return false;
	}
	return true;
}

bool decode_within(struct decoder *d, const struct yaml_node *list, size_t max)
{
	if (list == NULL || list->n <= max)
		return true;
	yaml_problem(&d->r, list, "%u entries, at most %zu are taken", list->n, max);
	return false;
}

void decode_labels(struct decoder *d, const struct yaml_node *map, struct labels *out)
{
	*out = (struct labels){0};
	if (map == NULL || !decode_within(d, map, OBJECT_MAX_LABELS))
		return;
	out->v = arena_alloc(&d->w->arena, map->n * sizeof(*out->v));
	for (const struct yaml_node *c = map->first; c != NULL; c = c->next) {
		struct label *l = &out->v[out->n];
		*l = (struct label){.key = arena_str(&d->w->arena, c->key)};
		if (c->kind == YAML_NULL || yaml_as_str(&d->r, c, &l->value))
			out->n++;
	}
}

static bool is_label_text(struct str s, const char *also)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		bool letter = is_alnum(c) || (c >= 'A' && c <= 'Z');
		if (!letter && (c == '\0' || strchr(also, c) == NULL))
			return false;
	}
	return s.n > 0;
}

/* A label that no pod can have selects nobody, and a DENY for nobody is an open door. */
static void check_label(struct decoder *d, const struct yaml_node *node)
{
	if (node->key.n > 317 || !is_label_text(node->key, "-_./"))
		yaml_problem(&d->r, node, "no pod can have a label of this name");
	else if (node->kind == YAML_NULL || node->text.n == 0)
		yaml_problem(&d->r, node, "has no value");
	else if (str_find(node->text, '*') >= 0)
		yaml_problem(&d->r, node, "labels are compared whole: '*' is no wildcard here");
	else if (node->text.n > 63 || !is_label_text(node->text, "-_."))
		yaml_problem(&d->r, node,
			"no pod can have this value: letters, digits, '-', '_' and '.', at most 63");
}

bool decode_selector(struct decoder *d, const struct yaml_node *spec, struct labels *out)
{
	static const char *const known[] = {"matchLabels", NULL};
	unsigned before = d->r.problems;
	const struct yaml_node *selector = yaml_read_map(&d->r, spec, "selector", YAML_OPTIONAL);
	yaml_check_keys(&d->r, selector, known);
	const struct yaml_node *match =
		yaml_read_map(&d->r, selector, "matchLabels", YAML_OPTIONAL);
	decode_labels(d, match, out);
	for (const struct yaml_node *c = match != NULL ? match->first : NULL; c != NULL;
		c = c->next)
		check_label(d, c);
	if (d->r.problems == before)
		return true;
	*out = (struct labels){0};
	return false;
}

bool decode_port(struct decoder *d, const struct yaml_node *node, uint16_t *out)
{
	uint64_t port = 0;
	int64_t number = 0;
	if (node->kind == YAML_STRING && node->text.n > 0 && node->text.p[0] != '0' &&
		str_to_u64(node->text, 65535, &port) == 0) {
		*out = (uint16_t)port;
		return true;
	}
	if (!yaml_as_int(&d->r, node, 1, 65535, &number))
		return false;
	*out = (uint16_t)number;
	return true;
}

bool decode_address(struct decoder *d, const struct yaml_node *node, struct addr *out)
{
	struct str text;
	struct cidr c;
	if (!yaml_as_str(&d->r, node, &text))
		return false;
	if (str_find(text, '/') >= 0 || cidr_parse(text, &c) != 0) {
		struct str shown = yaml_shown(&d->w->arena, node);
		yaml_problem(&d->r, node, "expected an IP address, found %.*s", STR_ARG(shown));
		return false;
	}
	if (addr_is_loopback(&c.base) || addr_is_link_local(&c.base) ||
		addr_is_multicast(&c.base) || addr_is_any(&c.base)) {
		yaml_problem(&d->r, node,
			"loopback, link-local, multicast and unspecified addresses are nobody's");
		return false;
	}
	*out = c.base;
	return true;
}

void decode_doubt(struct decoder *d, struct addr *addrs, size_t n)
{
	for (size_t i = 0; i < n; i++)
		object_list_add(&d->w->doubtful, &addrs[i]);
}

static void clear_host_bits(struct addr *a, unsigned prefix)
{
	for (unsigned i = prefix; i < 128; i++)
		a->bytes[i / 8] &= (uint8_t)~(0x80u >> i % 8);
}

/* What was probably meant by a block with host bits: "10.0.0.1/8" is 10.0.0.0/8. */
static bool without_host_bits(struct str text, struct cidr *out)
{
	ptrdiff_t slash = str_find(text, '/');
	uint64_t prefix;
	if (slash < 0 || cidr_parse(str_sub(text, 0, (size_t)slash), out) != 0 ||
		str_to_u64(str_sub(text, (size_t)slash + 1, text.n), out->prefix, &prefix) != 0)
		return false;
	clear_host_bits(&out->base, (unsigned)prefix);
	out->prefix = (uint8_t)prefix;
	return true;
}

bool decode_block(struct decoder *d, const struct yaml_node *node, Weft__Mesh__V1__IpBlock **out)
{
	struct str text;
	struct cidr c;
	char better[ADDR_TEXT];
	if (!yaml_as_str(&d->r, node, &text))
		return false;
	if (cidr_parse(text, &c) != 0) {
		struct str shown = yaml_shown(&d->w->arena, node);
		if (without_host_bits(text, &c))
			yaml_problem(&d->r, node,
				"%.*s has bits behind its prefix: write %s for the block, or the "
				"address alone",
				STR_ARG(shown), cidr_format(&c, better));
		else
			yaml_problem(&d->r, node,
				"expected an address or block like \"10.0.0.0/8\", found %.*s",
				STR_ARG(shown));
		return false;
	}
	Weft__Mesh__V1__IpBlock *block = ARENA_NEW(&d->w->arena, Weft__Mesh__V1__IpBlock);
	weft__mesh__v1__ip_block__init(block);
	block->address.len = c.base.family == ADDR_V4 ? 4 : 16;
	block->address.data =
		(uint8_t *)arena_strdup(&d->w->arena, str_make(c.base.bytes, block->address.len));
	block->prefix = c.prefix;
	*out = block;
	return true;
}

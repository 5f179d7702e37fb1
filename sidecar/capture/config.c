/*
 * The notations of the capture flags: port ranges, CIDR blocks, interface names. Owns nothing;
 * called by capture.c and by tests.
 */
#include "sidecar/capture/config.h"

#include <stdio.h>
#include <stdlib.h>

#include "lib/base/err.h"

static int trouble_with(char *trouble, int err, struct str item, const char *wanted)
{
	snprintf(trouble, CAPTURE_TROUBLE, "\"%.*s\" is not %s", item.n < 80 ? (int)item.n : 80,
		item.p != NULL ? item.p : "", wanted);
	return err;
}

static int trouble_too_many(char *trouble, const char *what, size_t max)
{
	snprintf(trouble, CAPTURE_TROUBLE, "more than %zu %s", max, what);
	return ERR_LIMIT;
}

static int port_range_parse(struct str item, struct port_range *out)
{
	struct str rest = item, lo, hi;
	uint64_t from, to;

	if (!str_split(&rest, '-', &lo))
		return ERR_INVAL;
	hi = rest.p != NULL ? rest : lo;
	if (str_to_u64(lo, 65535, &from) < 0 || str_to_u64(hi, 65535, &to) < 0 || from == 0 ||
		from > to)
		return ERR_INVAL;
	*out = (struct port_range){(uint16_t)from, (uint16_t)to};
	return 0;
}

static int port_range_order(const void *a, const void *b)
{
	const struct port_range *x = a, *y = b;

	return x->lo != y->lo ? (int)x->lo - (int)y->lo : (int)x->hi - (int)y->hi;
}

static void port_list_normalise(struct port_list *l)
{
	size_t n = 0;

	qsort(l->v, l->n, sizeof(l->v[0]), port_range_order);
	for (size_t i = 0; i < l->n; i++) {
		struct port_range *last = n > 0 ? &l->v[n - 1] : NULL;

		if (last == NULL || l->v[i].lo > (uint32_t)last->hi + 1)
			l->v[n++] = l->v[i];
		else if (l->v[i].hi > last->hi)
			last->hi = l->v[i].hi;
	}
	l->n = n;
}

int port_list_parse(struct str text, struct port_list *out, char trouble[CAPTURE_TROUBLE])
{
	struct str item;

	out->n = 0;
	if (text.n == 0)
		text = STR_NULL;
	while (str_split(&text, ',', &item)) {
		if (out->n == CAPTURE_MAX_RANGES)
			return trouble_too_many(trouble, "ports and ranges", CAPTURE_MAX_RANGES);
		if (port_range_parse(str_trim(item), &out->v[out->n]) < 0)
			return trouble_with(trouble, ERR_INVAL, item,
				"a port or range such as 8080 or 9000-9010");
		out->n++;
	}
	port_list_normalise(out);
	return 0;
}

int cidr_list_parse(struct str text, struct cidr_list *out, char trouble[CAPTURE_TROUBLE])
{
	struct str item;

	out->n = 0;
	if (text.n == 0)
		text = STR_NULL;
	while (str_split(&text, ',', &item)) {
		if (out->n == CAPTURE_MAX_CIDRS)
			return trouble_too_many(trouble, "CIDR blocks", CAPTURE_MAX_CIDRS);
		if (cidr_parse(str_trim(item), &out->v[out->n]) < 0)
			return trouble_with(trouble, ERR_INVAL, item,
				"a CIDR block such as 10.0.0.0/8 or fd00::/8 (host bits zero)");
		out->n++;
	}
	return 0;
}

/* What the kernel permits and every tool prints without quotes. */
static bool iface_char_ok(char c, bool last)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		c == '.' || c == '_' || c == '-' || c == '@' || (c == '+' && last);
}

static bool iface_ok(struct str name)
{
	if (name.n == 0 || name.n >= IFNAMSIZ || name.p[0] == '-' || str_eq(name, STR("+")))
		return false;
	for (size_t i = 0; i < name.n; i++)
		if (!iface_char_ok(name.p[i], i == name.n - 1))
			return false;
	return true;
}

int iface_list_parse(struct str text, struct iface_list *out, char trouble[CAPTURE_TROUBLE])
{
	struct str item;

	out->n = 0;
	if (text.n == 0)
		text = STR_NULL;
	while (str_split(&text, ',', &item)) {
		if (out->n == CAPTURE_MAX_IFACES)
			return trouble_too_many(trouble, "interfaces", CAPTURE_MAX_IFACES);
		if (!iface_ok(str_trim(item)))
			return trouble_with(trouble, ERR_INVAL, item,
				"the name of an interface such as docker0 or virbr+");
		str_copy(out->v[out->n], IFNAMSIZ, str_trim(item));
		out->n++;
	}
	return 0;
}

bool port_list_has(const struct port_list *l, uint16_t port)
{
	for (size_t i = 0; i < l->n; i++)
		if (port >= l->v[i].lo && port <= l->v[i].hi)
			return true;
	return false;
}

bool iface_matches(const char *pattern, const char *name)
{
	struct str p = str_from(pattern);

	if (str_ends(p, STR("+")))
		return str_starts(str_from(name), str_sub(p, 0, p.n - 1));
	return str_eq(p, str_from(name));
}

int capture_config_check(const struct capture_config *cfg, char trouble[CAPTURE_TROUBLE])
{
	const uint16_t listeners[] = {cfg->inbound_port, cfg->outbound_port};

	if (cfg->inbound_port == cfg->outbound_port) {
		snprintf(trouble, CAPTURE_TROUBLE,
			"--inbound-port and --outbound-port are both %u: the sidecar needs two",
			cfg->inbound_port);
		return ERR_INVAL;
	}
	for (size_t i = 0; i < 2; i++) {
		if (!port_list_has(&cfg->own_ports, listeners[i]) &&
			!port_list_has(&cfg->exclude_inbound_ports, listeners[i]))
			continue;
		snprintf(trouble, CAPTURE_TROUBLE,
			"port %u is a listener of the sidecar for captured connections: it cannot be "
			"excluded from capture",
			listeners[i]);
		return ERR_INVAL;
	}
	for (size_t i = 0; i < cfg->exclude_interfaces.n; i++) {
		if (!iface_matches(cfg->exclude_interfaces.v[i], "lo"))
			continue;
		snprintf(trouble, CAPTURE_TROUBLE,
			"--exclude-interfaces %s covers lo, which captured connections pass",
			cfg->exclude_interfaces.v[i]);
		return ERR_INVAL;
	}
	return 0;
}

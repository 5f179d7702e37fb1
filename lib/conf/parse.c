/*
 * The notations of durations and byte sizes, in both directions. Pure functions on slices; own
 * nothing. Called by the parameter parser and by whoever reads the same notations from
 * configuration files.
 */
#include <inttypes.h>
#include <stdio.h>

#include "lib/base/clock.h"
#include "lib/base/err.h"
#include "lib/conf/params.h"

struct unit {
	struct str name;
	uint64_t factor;
};

static const struct unit duration_units[] = {
	{{"h", 1}, 3600 * NS_PER_S},
	{{"m", 1}, 60 * NS_PER_S},
	{{"s", 1}, NS_PER_S},
	{{"ms", 2}, NS_PER_MS},
	{{"us", 2}, NS_PER_US},
};

static const struct unit size_units[] = {
	{{"GiB", 3}, 1ull << 30},
	{{"MiB", 3}, 1ull << 20},
	{{"KiB", 3}, 1ull << 10},
	{{"Gi", 2}, 1ull << 30},
	{{"Mi", 2}, 1ull << 20},
	{{"Ki", 2}, 1ull << 10},
	{{"B", 1}, 1},
};

#define N_UNITS(table) (sizeof(table) / sizeof((table)[0]))

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Cuts a run of digits (or of anything else but digits and '.') off *rest. */
static struct str cut_run(struct str *rest, bool digits)
{
	size_t n = 0;

	while (n < rest->n &&
		(digits ? is_digit(rest->p[n]) : !is_digit(rest->p[n]) && rest->p[n] != '.'))
		n++;
	struct str run = str_sub(*rest, 0, n);

	*rest = str_sub(*rest, n, rest->n - n);
	return run;
}

static const struct unit *find_unit(const struct unit *units, size_t n, struct str name)
{
	for (size_t i = 0; i < n; i++)
		if (str_eq(units[i].name, name))
			return &units[i];
	return NULL;
}

/* 0.digits of a unit, exact: ERR_INVAL where the result would not be whole. */
static int fraction_of(struct str digits, uint64_t factor, uint64_t *out)
{
	uint64_t part, scale = 1;

	if (digits.n > 9 || str_to_u64(digits, UINT64_MAX, &part) != 0)
		return ERR_INVAL;
	for (size_t i = 0; i < digits.n; i++)
		scale *= 10;
	unsigned __int128 product = (unsigned __int128)part * factor;

	if (product % scale != 0)
		return ERR_INVAL;
	*out = (uint64_t)(product / scale);
	return 0;
}

/* One "number unit" off *rest, added to *sum. */
static int parse_part(const struct unit *units, size_t n, struct str *rest, uint64_t *sum)
{
	uint64_t whole, fraction = 0, product;
	struct str digits = cut_run(rest, true), decimals = STR_NULL;
	int err = str_to_u64(digits, UINT64_MAX, &whole);

	if (err != 0)
		return err;
	if (rest->n > 0 && rest->p[0] == '.') {
		*rest = str_sub(*rest, 1, rest->n - 1);
		decimals = cut_run(rest, true);
		if (decimals.n == 0)
			return ERR_INVAL;
	}
	const struct unit *unit = find_unit(units, n, cut_run(rest, false));

	if (unit == NULL)
		return ERR_INVAL;
	if (decimals.n > 0 && fraction_of(decimals, unit->factor, &fraction) != 0)
		return ERR_INVAL;
	if (__builtin_mul_overflow(whole, unit->factor, &product) ||
		__builtin_add_overflow(product, fraction, &product) ||
		__builtin_add_overflow(*sum, product, sum))
		return ERR_LIMIT;
	return 0;
}

int conf_parse_duration(struct str s, uint64_t *ns)
{
	uint64_t sum = 0;

	if (s.n == 0)
		return ERR_INVAL;
	if (str_eq(s, STR("0"))) {
		*ns = 0;
		return 0;
	}
	while (s.n > 0) {
		int err = parse_part(duration_units, N_UNITS(duration_units), &s, &sum);

		if (err != 0)
			return err;
	}
	*ns = sum;
	return 0;
}

int conf_parse_size(struct str s, uint64_t *bytes)
{
	uint64_t sum = 0;

	if (s.n > 0 && is_digit(s.p[s.n - 1]))
		return str_find(s, '.') >= 0 ? ERR_INVAL : str_to_u64(s, UINT64_MAX, bytes);
	int err = parse_part(size_units, N_UNITS(size_units), &s, &sum);

	if (err != 0 || s.n > 0)
		return err != 0 ? err : ERR_INVAL;
	*bytes = sum;
	return 0;
}

void conf_format_duration(uint64_t ns, char dst[CONF_TEXT])
{
	size_t len = 0;

	for (size_t i = 0; i < N_UNITS(duration_units) - 1; i++) {
		const struct unit *u = &duration_units[i];

		if (ns >= u->factor)
			len += (size_t)snprintf(dst + len, CONF_TEXT - len, "%" PRIu64 "%s",
				ns / u->factor, u->name.p);
		ns %= u->factor;
	}
	if (ns % NS_PER_US > 0)
		snprintf(dst + len, CONF_TEXT - len, "%llu.%03lluus", ns / NS_PER_US,
			ns % NS_PER_US);
	else if (ns > 0)
		snprintf(dst + len, CONF_TEXT - len, "%lluus", ns / NS_PER_US);
	else if (len == 0)
		snprintf(dst, CONF_TEXT, "0s");
}

void conf_format_size(uint64_t bytes, char dst[CONF_TEXT])
{
	for (size_t i = 0; i < 3; i++) {
		const struct unit *u = &size_units[i];

		if (bytes >= u->factor && bytes % u->factor == 0) {
			snprintf(dst, CONF_TEXT, "%" PRIu64 "%s", bytes / u->factor, u->name.p);
			return;
		}
	}
	snprintf(dst, CONF_TEXT, "%" PRIu64, bytes);
}

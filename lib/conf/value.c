/*
 * Values of parameters: text to struct member with every check, struct member to text, and the
 * words that describe what is accepted. Owns the strings that it stores until conf_free. Called
 * by conf_load, the help and config dumps.
 */
#include "lib/conf/value_internal.h"

#include <inttypes.h>

#include "lib/base/alloc.h"
#include "lib/base/err.h"

void *param_slot(const struct param *p, void *values)
{
	return (char *)values + p->offset;
}

static const void *slot_of(const struct param *p, const void *values)
{
	return (const char *)values + p->offset;
}

static bool in_bounds(const struct param *p, uint64_t v)
{
	return v >= p->min && (p->max == 0 || v <= p->max);
}

static int parse_bool(struct str text, bool *out)
{
	static const struct str yes[] = {{"true", 4}, {"yes", 3}, {"on", 2}, {"1", 1}};
	static const struct str no[] = {{"false", 5}, {"no", 2}, {"off", 3}, {"0", 1}};

	for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++) {
		if (str_eq_nocase(text, yes[i]) || str_eq_nocase(text, no[i])) {
			*out = str_eq_nocase(text, yes[i]);
			return 0;
		}
	}
	return ERR_INVAL;
}

static int parse_choice(const struct param *p, struct str text, uint64_t *out)
{
	struct str rest = str_from(p->values), piece;

	for (uint64_t i = 0; str_split(&rest, '|', &piece); i++) {
		if (str_eq(piece, text)) {
			*out = i;
			return 0;
		}
	}
	return ERR_INVAL;
}

/* Items without the white space around them; none may be empty. The caller owns the result; NULL:
 * refused. */
static char *join_list(const struct param *p, struct str text)
{
	char *out = mem_alloc(text.n + 1);
	size_t len = 0;
	uint64_t items = 0;
	struct str rest = text, piece;

	while (str_trim(text).n > 0 && str_split(&rest, ',', &piece)) {
		piece = str_trim(piece);
		if (piece.n == 0) {
			mem_free(out);
			return NULL;
		}
		if (items++ > 0)
			out[len++] = ',';
		memcpy(out + len, piece.p, piece.n);
		len += piece.n;
	}
	if (in_bounds(p, items))
		return out;
	mem_free(out);
	return NULL;
}

static int store_string(const struct param *p, struct str text, char **slot)
{
	char *copy;

	if (p->type == PARAM_LIST)
		copy = join_list(p, text);
	else
		copy = in_bounds(p, text.n) ? mem_strndup(text.p != NULL ? text.p : "", text.n)
					    : NULL;
	if (copy == NULL)
		return ERR_INVAL;
	mem_free(*slot);
	*slot = copy;
	return 0;
}

static int store_addr(const struct param *p, struct str text, struct addr *slot)
{
	struct addr a;

	if (addr_parse(text, &a) != 0 || !in_bounds(p, a.port))
		return ERR_INVAL;
	*slot = a;
	return 0;
}

static int parse_number(const struct param *p, struct str text, uint64_t *v)
{
	if (p->type == PARAM_SIZE)
		return conf_parse_size(text, v);
	if (p->type == PARAM_DURATION)
		return conf_parse_duration(text, v);
	return str_to_u64(text, UINT64_MAX, v);
}

static int store_number(const struct param *p, struct str text, uint64_t *slot)
{
	uint64_t v;

	if (parse_number(p, text, &v) != 0 || !in_bounds(p, v))
		return ERR_INVAL;
	*slot = v;
	return 0;
}

int param_store(const struct param *p, struct str text, void *values)
{
	void *slot = param_slot(p, values);

	switch (p->type) {
	case PARAM_BOOL:
		return parse_bool(text, slot);
	case PARAM_U64:
	case PARAM_SIZE:
	case PARAM_DURATION:
		return store_number(p, text, slot);
	case PARAM_STRING:
	case PARAM_LIST:
		return store_string(p, text, slot);
	case PARAM_CHOICE:
		return parse_choice(p, text, slot);
	case PARAM_ADDR:
		return store_addr(p, text, slot);
	}
	return ERR_INVAL;
}

const char *param_placeholder(const struct param *p)
{
	bool named = p->values != NULL && p->values[0] != '\0';

	switch (p->type) {
	case PARAM_BOOL:
		return "";
	case PARAM_U64:
		return "N";
	case PARAM_SIZE:
		return "SIZE";
	case PARAM_DURATION:
		return "DURATION";
	case PARAM_STRING:
		return named ? p->values : "TEXT";
	case PARAM_CHOICE:
		return "CHOICE";
	case PARAM_ADDR:
		return p->min > 0 ? "ADDRESS:PORT" : "ADDRESS[:PORT]";
	case PARAM_LIST:
		return named ? p->values : "LIST";
	}
	return "";
}

static void format_bound(const struct param *p, uint64_t v, char dst[CONF_TEXT])
{
	if (p->type == PARAM_DURATION)
		conf_format_duration(v, dst);
	else if (p->type == PARAM_SIZE)
		conf_format_size(v, dst);
	else
		snprintf(dst, CONF_TEXT, "%" PRIu64, v);
}

void param_bounds(const struct param *p, char dst[PARAM_WORDS])
{
	char lo[CONF_TEXT], hi[CONF_TEXT];

	format_bound(p, p->min, lo);
	format_bound(p, p->max, hi);
	dst[0] = '\0';
	if (p->min > 0 && p->max > 0)
		snprintf(dst, PARAM_WORDS, "%s to %s", lo, hi);
	else if (p->min > 0)
		snprintf(dst, PARAM_WORDS, "at least %s", lo);
	else if (p->max > 0)
		snprintf(dst, PARAM_WORDS, "at most %s", hi);
}

static void describe_choice(const struct param *p, char dst[PARAM_WORDS])
{
	struct str rest = str_from(p->values), piece;
	int len = snprintf(dst, PARAM_WORDS, "one of");

	for (const char *sep = " "; str_split(&rest, '|', &piece); sep = ", ")
		if (len > 0 && len < PARAM_WORDS)
			len += snprintf(dst + len, PARAM_WORDS - (size_t)len, "%s%.*s", sep,
				STR_ARG(piece));
}

/* kind, then the bounds where there are some: "a whole number, 1 to 65535". */
static void describe_bounded(const struct param *p, const char *kind, const char *unit,
	char dst[PARAM_WORDS])
{
	char bounds[PARAM_WORDS];

	param_bounds(p, bounds);
	snprintf(dst, PARAM_WORDS, "%s%s%.200s%s%.40s", kind, bounds[0] != '\0' ? ", " : "", bounds,
		unit[0] != '\0' && bounds[0] != '\0' ? " " : "", bounds[0] != '\0' ? unit : "");
}

void param_describe(const struct param *p, char dst[PARAM_WORDS])
{
	switch (p->type) {
	case PARAM_BOOL:
		snprintf(dst, PARAM_WORDS, "true or false");
		break;
	case PARAM_U64:
		describe_bounded(p, "a whole number", p->values != NULL ? p->values : "", dst);
		break;
	case PARAM_SIZE:
		describe_bounded(p, "bytes, or a number with KiB, MiB or GiB", "", dst);
		break;
	case PARAM_DURATION:
		describe_bounded(p, "a duration such as 250ms, 5s or 1m30s", "", dst);
		break;
	case PARAM_STRING:
		describe_bounded(p, "text", "bytes", dst);
		break;
	case PARAM_CHOICE:
		describe_choice(p, dst);
		break;
	case PARAM_ADDR:
		snprintf(dst, PARAM_WORDS,
			"an IP address with %sport, such as 127.0.0.1:15000 or [::1]:15000",
			p->min > 0 ? "" : "or without ");
		break;
	case PARAM_LIST:
		describe_bounded(p, "a list separated by commas, no item empty", "items", dst);
		break;
	}
}

static struct str choice_name(const struct param *p, uint64_t index)
{
	struct str rest = str_from(p->values), piece;

	for (uint64_t i = 0; str_split(&rest, '|', &piece); i++)
		if (i == index)
			return piece;
	return STR_NULL;
}

static struct str format_string(const void *slot)
{
	const char *const *z = slot;

	return str_from(*z != NULL ? *z : "");
}

int conf_format_value(const struct param *p, const void *values, char *dst, size_t size)
{
	const void *slot = slot_of(p, values);
	char text[CONF_TEXT], ip[ADDR_TEXT];

	switch (p->type) {
	case PARAM_BOOL:
		return str_copy(dst, size, *(const bool *)slot ? STR("true") : STR("false"));
	case PARAM_U64:
	case PARAM_SIZE:
	case PARAM_DURATION:
		format_bound(p, *(const uint64_t *)slot, text);
		return str_copy(dst, size, str_from(text));
	case PARAM_STRING:
	case PARAM_LIST:
		return str_copy(dst, size, format_string(slot));
	case PARAM_CHOICE:
		return str_copy(dst, size, choice_name(p, *(const uint64_t *)slot));
	case PARAM_ADDR:
		if (((const struct addr *)slot)->family == ADDR_NONE)
			return str_copy(dst, size, STR(""));
		return str_copy(dst, size, str_from(addr_format(slot, ip)));
	}
	return ERR_INVAL;
}

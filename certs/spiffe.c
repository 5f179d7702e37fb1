/*
 * The grammar of SPIFFE IDs (SPIFFE-ID sections 2.1 to 2.3), byte by byte and without
 * normalisation: what is not exactly right is no ID. Owns nothing; called by certificate parsing,
 * by issuing and by the compilers of configuration.
 */
#include "certs/spiffe.h"

#include <stdio.h>

#include "lib/base/err.h"

/* RFC 1123 2.1 as Kubernetes has it. */
#define LABEL_MAX 63
#define SUBDOMAIN_MAX 253

static bool is_lower(char c)
{
	return c >= 'a' && c <= 'z';
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Section 2.1: lower-case letters, digits, dots, dashes and underscores. */
static bool is_td_char(char c)
{
	return is_lower(c) || is_digit(c) || c == '.' || c == '-' || c == '_';
}

/* Section 2.2: letters, digits, dots, dashes and underscores; so neither percent-encoding nor
 * anything else of RFC 3986. */
static bool is_path_char(char c)
{
	return is_td_char(c) || (c >= 'A' && c <= 'Z');
}

static bool all_of(struct str s, bool (*ok)(char c))
{
	for (size_t i = 0; i < s.n; i++)
		if (!ok(s.p[i]))
			return false;
	return s.n > 0;
}

bool spiffe_td_valid(struct str td)
{
	return td.n <= SPIFFE_TD_MAX && all_of(td, is_td_char);
}

static const char *segment_fault(struct str seg)
{
	if (seg.n == 0)
		return "the path has an empty segment or a trailing slash";
	if (str_eq(seg, STR(".")) || str_eq(seg, STR("..")))
		return "the path has a dot segment";
	if (!all_of(seg, is_path_char))
		return "the path has a character other than letters, digits, '.', '-' and '_'";
	return NULL;
}

/* NULL or what is wrong. path begins with a slash. */
static const char *path_fault(struct str path)
{
	struct str rest = str_sub(path, 1, path.n), seg;
	if (rest.n == 0)
		return "the path has an empty segment or a trailing slash";
	while (str_split(&rest, '/', &seg)) {
		const char *fault = segment_fault(seg);
		if (fault != NULL)
			return fault;
	}
	return NULL;
}

static const char *td_fault(struct str td)
{
	if (td.n == 0)
		return "the trust domain is empty";
	if (td.n > SPIFFE_TD_MAX)
		return "the trust domain is longer than 255 bytes";
	if (!all_of(td, is_td_char))
		return "the trust domain has a character other than a-z, 0-9, '.', '-' and '_'";
	return NULL;
}

static const char *id_fault(struct str s, bool allow_td, struct spiffe_id *id)
{
	static const char scheme[] = "spiffe://";
	if (s.n > SPIFFE_ID_MAX)
		return "the ID is longer than 2048 bytes";
	if (!str_starts(s, STR("spiffe://")))
		return "the ID does not begin with spiffe://";
	struct str rest = str_sub(s, sizeof(scheme) - 1, s.n);
	ptrdiff_t slash = str_find(rest, '/');
	size_t td_n = slash < 0 ? rest.n : (size_t)slash;
	id->id = s;
	id->trust_domain = str_sub(rest, 0, td_n);
	id->path = str_sub(rest, td_n, rest.n);
	const char *fault = td_fault(id->trust_domain);
	if (fault != NULL)
		return fault;
	if (id->path.n == 0)
		return allow_td ? NULL : "the ID has no path";
	return path_fault(id->path);
}

/* Sets ns and sa where the checked path is exactly /ns/<ns>/sa/<sa>. */
static void split_kubernetes(struct spiffe_id *id)
{
	struct str rest = str_sub(id->path, 1, id->path.n), part[4];
	size_t n = 0;
	while (n < 4 && str_split(&rest, '/', &part[n]))
		n++;
	struct str extra;
	if (n != 4 || str_split(&rest, '/', &extra))
		return;
	if (!str_eq(part[0], STR("ns")) || !str_eq(part[2], STR("sa")))
		return;
	id->ns = part[1];
	id->sa = part[3];
}

int spiffe_parse(struct str s, bool allow_td, struct spiffe_id *out, const char **why)
{
	struct spiffe_id id = {0};
	const char *fault = id_fault(s, allow_td, &id);
	if (why != NULL)
		*why = fault;
	if (fault != NULL) {
		*out = (struct spiffe_id){0};
		return ERR_INVAL;
	}
	if (id.path.n > 0)
		split_kubernetes(&id);
	*out = id;
	return 0;
}

/* Lower-case letters, digits and dashes, no dash at either end. */
static bool is_label(struct str s, size_t max)
{
	if (s.n == 0 || s.n > max || s.p[0] == '-' || s.p[s.n - 1] == '-')
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (!is_lower(s.p[i]) && !is_digit(s.p[i]) && s.p[i] != '-')
			return false;
	return true;
}

/* What Kubernetes permits as the name of a service account: labels between dots, bounded as a whole
 * alone. */
static bool is_subdomain(struct str s)
{
	struct str label;
	if (s.n == 0 || s.n > SUBDOMAIN_MAX)
		return false;
	while (str_split(&s, '.', &label))
		if (!is_label(label, SUBDOMAIN_MAX))
			return false;
	return true;
}

int spiffe_format(char *dst, size_t size, struct str td, struct str ns, struct str sa)
{
	if (size > 0)
		dst[0] = '\0';
	if (!spiffe_td_valid(td) || !is_label(ns, LABEL_MAX) || !is_subdomain(sa))
		return ERR_INVAL;
	int n = snprintf(dst, size, "spiffe://%.*s/ns/%.*s/sa/%.*s", STR_ARG(td), STR_ARG(ns),
		STR_ARG(sa));
	if (n >= 0 && (size_t)n < size)
		return 0;
	if (size > 0)
		dst[0] = '\0';
	return ERR_LIMIT;
}

/*
 * Keeps browsers of other sites, and names that somebody pointed at our address, away from the
 * admin endpoints. Pure functions on a request's head; own nothing. Called by admin.c before
 * routing.
 */
#include <stdio.h>

#include "lib/obs/admin_internal.h"

static bool is_local_name(struct str host)
{
	return str_eq_nocase(host, STR("localhost")) || str_eq(host, STR("127.0.0.1")) ||
		str_eq(host, STR("[::1]"));
}

/* host ":" port with the port of our listener, which 80 alone lets go unsaid. */
static bool is_local_authority(struct str authority, uint16_t port)
{
	char suffix[8];
	struct str end = str_make(suffix, (size_t)snprintf(suffix, sizeof(suffix), ":%u", port));

	if (port == 80 && is_local_name(authority))
		return true;
	return str_ends(authority, end) &&
		is_local_name(str_sub(authority, 0, authority.n - end.n));
}

int admin_check_local(const struct http_head *head, const struct io_info *info, uint16_t port,
	const char **why)
{
	if (!addr_is_loopback(&info->peer)) {
		*why = "this endpoint answers only to connections from a loopback address";
		return 403;
	}
	if (!is_local_authority(head->authority, port)) {
		*why = "this endpoint answers only to Host localhost, 127.0.0.1 or [::1] with its "
		       "own port";
		return 403;
	}
	return 0;
}

/* "http://" and the authority that the request itself names. */
static bool is_own_origin(struct str origin, struct str authority)
{
	struct str scheme = STR("http://");

	return str_starts_nocase(origin, scheme) &&
		str_eq_nocase(str_sub(origin, scheme.n, origin.n - scheme.n), authority);
}

int admin_check_browser(const struct http_head *head, const char **why)
{
	for (uint32_t i = 0; i < head->fields.n; i++) {
		const struct http_field *f = &head->fields.v[i];

		if (str_eq(f->name, STR("origin")) && !is_own_origin(f->value, head->authority)) {
			*why = "requests from pages of another origin are refused";
			return 403;
		}
		/* Browsers always say so; what is no browser says nothing. */
		if (str_eq(f->name, STR("sec-fetch-site")) && !str_eq(f->value, STR("none")) &&
			!str_eq(f->value, STR("same-origin"))) {
			*why = "requests from pages of another site are refused";
			return 403;
		}
	}
	return 0;
}

/*
 * Host names as cluster DNS would resolve them, to the Service or pod that is meant. Owns nothing;
 * called for subscriptions by name.
 */
#include <ctype.h>

#include "ctrlplane/compile/catalog_internal.h"

#define HOST_MAX 253u
#define CLUSTER_DOMAIN ".cluster.local"

/* What a name says; pieces of the host that it was taken from. */
struct place {
	struct str pod, service, ns; /* pod empty: the Service is meant */
};

/* Cuts s at its last dot: what is behind it. False where there is none. */
static bool split_last(struct str *s, struct str *last)
{
	for (size_t i = s->n; i > 0; i--) {
		if (s->p[i - 1] != '.')
			continue;
		*last = str_sub(*s, i, s->n);
		*s = str_sub(*s, 0, i - 1);
		return true;
	}
	return false;
}

/* "web.shop", "web.shop.svc", "web-0.web.shop.svc". */
static bool parse_labels(struct str host, struct place *out)
{
	struct str rest = host, svc = STR_NULL;
	if (str_ends(rest, STR(".svc")) && str_find(str_sub(rest, 0, rest.n - 4), '.') >= 0) {
		rest = str_sub(rest, 0, rest.n - 4);
		if (!split_last(&rest, &out->ns))
			return false;
		if (split_last(&rest, &svc)) {
			out->pod = rest;
			rest = svc;
		}
		out->service = rest;
		return true;
	}
	if (!split_last(&rest, &out->ns) || str_find(rest, '.') >= 0)
		return false;
	out->service = rest;
	return true;
}

/* lower: at least HOST_MAX + 1 bytes, which the pieces may point into. */
static bool parse_host(struct str host, char *lower, struct place *out)
{
	*out = (struct place){.ns = STR_NULL};
	if (host.n == 0 || host.n > HOST_MAX + 1)
		return false;
	if (str_find(host, '/') >= 0) {
		struct str rest = host;
		(void)str_split(&rest, '/', &out->ns);
		out->service = rest;
		return out->ns.n > 0 && rest.n > 0;
	}
	for (size_t i = 0; i < host.n; i++)
		lower[i] = (char)tolower((unsigned char)host.p[i]);
	struct str s = str_make(lower, host.n);
	if (s.p[s.n - 1] == '.')
		s.n--;
	if (str_ends(s, STR(".svc" CLUSTER_DOMAIN)))
		s.n -= sizeof(CLUSTER_DOMAIN) - 1;
	return parse_labels(s, out);
}

/* Pods have names of their own below headless Services alone. */
static const struct compiled *find_pod(struct catalog *c, const struct kube_service *svc,
	struct str name)
{
	for (size_t i = 0; svc->n_vips == 0 && i < svc->n_endpoints; i++) {
		const struct kube_pod *pod = svc->endpoints[i].pod;
		if (pod != NULL && str_eq(pod->meta.name, name))
			return catalog_object(c, "Pod", pod->meta.ns, name);
	}
	return NULL;
}

const struct compiled *catalog_by_name(struct catalog *c, struct str host)
{
	char lower[HOST_MAX + 1];
	struct place at;
	if (!parse_host(host, lower, &at))
		return NULL;
	const struct kube_service *svc = world_service(c->w, at.ns, at.service);
	if (svc == NULL)
		return NULL;
	if (at.pod.n > 0)
		return find_pod(c, svc, at.pod);
	return catalog_object(c, "Service", at.ns, at.service);
}

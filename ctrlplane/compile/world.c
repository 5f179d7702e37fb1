/*
 * The world's life, its lists and small questions about objects. Owns everything decoded through
 * one arena; decode*.c fills it, join*.c connects it, emit.c reads it.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "ctrlplane/compile/world_internal.h"
#include "lib/base/alloc.h"

/* Names of objects come from those who may write them: no need for an unpredictable seed, and
 * compiling stays a function of its input. */
#define MAP_SEED 0

void world_default_config(struct world *w)
{
	static const char *const ranges[] = {
		"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"};
	size_t n = sizeof(ranges) / sizeof(ranges[0]);
	Weft__Mesh__V1__Mesh *mesh = &w->config.mesh;
	w->config.meta = (struct object_meta){.line = 0};
	weft__mesh__v1__mesh__init(mesh);
	mesh->trust_domain = arena_strdup(&w->arena, STR("cluster.local"));
	mesh->mesh_ranges = arena_alloc(&w->arena, n * sizeof(*mesh->mesh_ranges));
	for (size_t i = 0; i < n; i++) {
		struct cidr c;
		Weft__Mesh__V1__IpBlock *block = ARENA_NEW(&w->arena, Weft__Mesh__V1__IpBlock);
		weft__mesh__v1__ip_block__init(block);
		(void)cidr_parse(str_from(ranges[i]), &c);
		block->address.len = c.base.family == ADDR_V4 ? 4 : 16;
		block->address.data = (uint8_t *)arena_strdup(&w->arena,
			str_make(c.base.bytes, block->address.len));
		block->prefix = c.prefix;
		mesh->mesh_ranges[mesh->n_mesh_ranges++] = block;
	}
}

struct world *world_new(void)
{
	struct world *w = MEM_NEW(struct world);
	w->refs = 1;
	arena_init(&w->arena, NULL);
	problems_init(&w->problems, &w->arena);
	w->seen = map_new(MAP_SEED);
	w->uids = map_new(MAP_SEED);
	w->owners = map_new(MAP_SEED);
	w->unix_uids = map_new(MAP_SEED);
	world_default_config(w);
	return w;
}

struct world *world_ref(struct world *w)
{
	w->refs++;
	return w;
}

void world_free(struct world **wp)
{
	struct world *w = *wp;
	*wp = NULL;
	if (w == NULL || --w->refs > 0)
		return;
	for (size_t i = 0; i < w->blobs.n; i++)
		blob_unref((struct blob **)&w->blobs.v[i]);
	mem_free(w->blobs.v);
	mem_free(w->redos.v);
	mem_free(w->doubtful.v);
	map_free(&w->seen);
	map_free(&w->uids);
	map_free(&w->owners);
	map_free(&w->unix_uids);
	mem_free(w->pods.v);
	mem_free(w->services.v);
	mem_free(w->slices.v);
	mem_free(w->peer_auths.v);
	mem_free(w->authz.v);
	mem_free(w->traffic.v);
	arena_clear(&w->arena);
	mem_free(w);
}

void world_remember(struct world *w, struct good *g)
{
	w->good = g;
}

void world_join(struct world *w)
{
	world_settle(w);
	object_list_sort(&w->pods);
	object_list_sort(&w->services);
	object_list_sort(&w->slices);
	object_list_sort(&w->peer_auths);
	object_list_sort(&w->authz);
	object_list_sort(&w->traffic);
	join_names(w);
	join_uids(w);
	join_unix_uids(w);
	join_addresses(w);
	join_modes(w);
	join_services(w);
	join_traffic(w);
	join_domains(w);
}

/* -- order and lists
 * --------------------------------------------------------------------------------- */

int str_order(struct str a, struct str b)
{
	size_t n = a.n < b.n ? a.n : b.n;
	int c = n > 0 ? memcmp(a.p, b.p, n) : 0;
	return c != 0 ? c : (a.n > b.n) - (a.n < b.n);
}

int object_order(const struct object_meta *a, const struct object_meta *b)
{
	int c = str_order(a->ns, b->ns);
	return c != 0 ? c : str_order(a->name, b->name);
}

void object_list_add(struct object_list *l, void *object)
{
	if (l->n == l->room) {
		l->room = l->room == 0 ? 8 : l->room * 2;
		l->v = mem_resize(l->v, l->room * sizeof(*l->v));
	}
	l->v[l->n++] = object;
}

static int order_objects(const void *a, const void *b)
{
	const struct object_meta *x = *(const struct object_meta *const *)a;
	const struct object_meta *y = *(const struct object_meta *const *)b;
	int c = object_order(x, y);
	if (c == 0)
		c = str_order(x->file, y->file);
	return c != 0 ? c : (x->line > y->line) - (x->line < y->line);
}

void object_list_sort(struct object_list *l)
{
	if (l->n > 1)
		qsort(l->v, l->n, sizeof(*l->v), order_objects);
}

/* First position whose namespace is not before ns (or, with past, behind it). */
static size_t list_bound(const struct object_list *l, struct str ns, bool past)
{
	size_t low = 0, high = l->n;
	while (low < high) {
		size_t mid = low + (high - low) / 2;
		const struct object_meta *m = l->v[mid];
		int c = str_order(m->ns, ns);
		if (c < 0 || (past && c == 0))
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

void list_range(const struct object_list *l, struct str ns, size_t *from, size_t *to)
{
	*from = list_bound(l, ns, false);
	*to = list_bound(l, ns, true);
}

void *list_find(const struct object_list *l, struct str ns, struct str name)
{
	const struct object_meta key = {.ns = ns, .name = name};
	size_t low = 0, high = l->n;
	while (low < high) {
		size_t mid = low + (high - low) / 2;
		if (object_order(l->v[mid], &key) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low < l->n && object_order(l->v[low], &key) == 0 ? l->v[low] : NULL;
}

/* -- questions -------------------------------------------------------------------------------- */

const struct problems *world_problems(const struct world *w)
{
	return &w->problems;
}

bool world_complete(const struct world *w)
{
	return w->complete;
}

bool world_can_fail_closed(const struct world *w)
{
	return !w->unreadable && !w->config_broken && w->hard_holes == 0;
}

const uint8_t *world_digest(const struct world *w)
{
	return w->digest;
}

struct str world_trust_domain(const struct world *w)
{
	return str_from(w->config.mesh.trust_domain);
}

void world_count(const struct world *w, struct world_counts *out)
{
	*out = (struct world_counts){.files = w->files,
		.namespaces = w->namespaces,
		.services = w->services.n,
		.pods = w->pods.n,
		.policies = w->authz.n,
		.peer_auths = w->peer_auths.n,
		.broken = w->broken};
	for (size_t i = 0; i < w->pods.n; i++)
		out->meshed += ((const struct kube_pod *)w->pods.v[i])->meshed;
}

const struct kube_pod *world_pod(const struct world *w, struct str ns, struct str name)
{
	return list_find(&w->pods, ns, name);
}

const struct kube_service *world_service(const struct world *w, struct str ns, struct str name)
{
	return list_find(&w->services, ns, name);
}

bool pod_is_callable(const struct kube_pod *pod)
{
	return !pod->host_network && !pod->finished && pod->n_addrs > 0;
}

const struct kube_pod *world_pod_at(const struct world *w, size_t i)
{
	return i < w->pods.n ? w->pods.v[i] : NULL;
}

struct str object_title(struct arena *a, const struct object_meta *m)
{
	if (m->name.n == 0)
		return arena_printf(a, "%.*s%s%.*s", STR_ARG(m->kind), m->ns.n > 0 ? " of " : "",
			STR_ARG(m->ns));
	if (m->ns.n == 0)
		return arena_printf(a, "%.*s %.*s", STR_ARG(m->kind), STR_ARG(m->name));
	return arena_printf(a, "%.*s %.*s/%.*s", STR_ARG(m->kind), STR_ARG(m->ns),
		STR_ARG(m->name));
}

void world_tell(struct world *w, enum problem_severity s, const struct object_meta *m,
	const char *field, const char *fmt, ...)
{
	char text[512];
	va_list args;
	if (problems_full(&w->problems, s))
		return;
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	problems_add(&w->problems,
		&(struct problem){.severity = s,
			.file = m->file,
			.object = object_title(&w->arena, m),
			.line = m->line,
			.field = str_from(field),
			.text = str_from(text)});
}

struct str labels_get(const struct labels *l, const char *key)
{
	for (size_t i = 0; i < l->n; i++)
		if (str_eq(l->v[i].key, str_from(key)))
			return l->v[i].value;
	return STR_NULL;
}

bool labels_match(const struct labels *selector, const struct labels *labels)
{
	for (size_t i = 0; i < selector->n; i++) {
		bool found = false;
		for (size_t k = 0; k < labels->n && !found; k++)
			found = str_eq(selector->v[i].key, labels->v[k].key) &&
				str_eq(selector->v[i].value, labels->v[k].value);
		if (!found)
			return false;
	}
	return true;
}

bool scope_selects(const struct policy_scope *s, const struct kube_pod *pod)
{
	if (!str_eq(s->ns, STR(ROOT_NAMESPACE)) && !str_eq(s->ns, pod->meta.ns))
		return false;
	return labels_match(&s->selector, &pod->meta.labels);
}

/*
 * What holds in the place of objects that do not validate and of files that cannot be read: what
 * they were before. Owns nothing; called once per world, between the last file and the join, and
 * brings what is remembered up to date.
 */
#include <stdio.h>
#include <stdlib.h>

#include "ctrlplane/compile/decode_internal.h"

#define HOLES_MAX 1000u

void world_add_hole(struct world *w, const char *path, bool soft)
{
	struct hole *h = w->holes;
	w->hard_holes += !soft;
	if (h != NULL && (h->rest || (h->soft == soft && strcmp(h->path, path) == 0)))
		return;
	h = ARENA_NEW(&w->arena, struct hole);
	*h = (struct hole){.next = w->holes, .path = path, .soft = soft};
	h->rest = ++w->n_holes == HOLES_MAX;
	w->holes = h;
}

/* -- what is done again ----------------------------------------------------------------------- */

/* The file itself, or one in that folder. */
static bool is_at(const struct hole *h, const char *file)
{
	size_t n = strlen(h->path);
	return h->rest ||
		(strncmp(file, h->path, n) == 0 &&
			(file[n] == '\0' || (!h->soft && file[n] == '/')));
}

/* One is enough for nothing to count as deleted. */
static void find_strange(struct world *w)
{
	for (struct hole *h = w->holes; h != NULL; h = h->next) {
		struct map_entry *at = NULL;
		void *value;
		h->strange = !h->soft;
		while (h->strange && map_next(w->good->forms, &at, NULL, &value)) {
			const struct form *form = value;
			h->strange = !form->blob->whole || !is_at(h, form->blob->file);
		}
		if (h->strange)
			return;
	}
}

/* The hole that may hide an object which was in this file; NULL: it was deleted. */
static struct hole *hole_for(const struct world *w, const char *file)
{
	struct hole *strange = NULL;
	for (struct hole *h = w->holes; h != NULL; h = h->next) {
		if (is_at(h, file))
			return h;
		if (h->strange)
			strange = h;
	}
	return strange;
}

static struct redo *add_redo(struct world *w, struct str key, const struct form *form)
{
	struct redo *r = ARENA_NEW(&w->arena, struct redo);
	*r = (struct redo){.key = arena_str(&w->arena, key), .form = form};
	object_list_add(&w->redos, r);
	return r;
}

/* What is there, and broken or there twice, but was good before. */
static void redo_broken(struct world *w)
{
	struct map_entry *at = NULL;
	struct str key;
	void *value;
	while (map_next(w->seen, &at, &key, &value)) {
		struct seen_object *seen = value;
		const struct form *form = map_get(w->good->forms, key);
		if ((seen->valid && !seen->twice) || form == NULL)
			continue;
		seen->redone = true;
		add_redo(w, key, form)->now = seen->meta;
		world_tell(w, PROBLEM_WARNING, &seen->meta, "",
			"refused as it is now: what it was before stays in force");
	}
}

/* What is not there: hidden, or deleted. */
static void redo_hidden(struct world *w)
{
	struct map_entry *at = NULL;
	struct str key, kind;
	void *value;
	while (map_next(w->good->forms, &at, &key, &value)) {
		const struct form *form = value;
		if (map_get(w->seen, key) != NULL)
			continue;
		struct hole *h = hole_for(w, form->blob->file);
		struct str rest = key;
		(void)str_split(&rest, '/', &kind);
		/* A MeshConfig that is broken under a new name is no reason to do without. */
		if (h == NULL && !(w->config_broken && str_eq(kind, STR("MeshConfig")))) {
			good_drop(w->good, key);
			continue;
		}
		struct redo *r = add_redo(w, key, form);
		r->kept = true;
		r->now = (struct object_meta){.kind = arena_str(&w->arena, kind),
			.file = arena_str(&w->arena, str_from(form->blob->file)),
			.line = form->line};
		if (h != NULL)
			h->kept++;
	}
}

/* -- what makes room for it ------------------------------------------------------------------- */

static bool is_redone(const struct world *w, const struct object_meta *m)
{
	char key[OBJECT_KEY_MAX];
	int n = snprintf(key, sizeof(key), "%.*s/%.*s/%.*s", STR_ARG(m->kind), STR_ARG(m->ns),
		STR_ARG(m->name));
	if (n < 0 || (size_t)n >= sizeof(key))
		return false; /* of a kind that nobody knows */
	const struct seen_object *seen = map_get(w->seen, str_make(key, (size_t)n));
	return seen != NULL && seen->redone;
}

static void drop_redone(struct world *w, struct object_list *l)
{
	size_t kept = 0;
	for (size_t i = 0; i < l->n; i++)
		if (!is_redone(w, l->v[i]))
			l->v[kept++] = l->v[i];
	l->n = kept;
}

static void drop_pods(struct world *w)
{
	for (size_t i = 0; i < w->pods.n; i++) {
		const struct object_meta *m = w->pods.v[i];
		if (m->uid.n > 0 && is_redone(w, m))
			(void)map_remove(w->uids, m->uid);
	}
	drop_redone(w, &w->pods);
}

/* A denial for whatever a nameless object was is not needed where what it was is known: one of its
 * kind is missing in that file. A kind of which nothing is known may be either. */
static bool drop_stray(struct world *w, struct object_list *l, const struct object_meta *m,
	const char *kind)
{
	for (size_t i = 0; i < l->n; i++) {
		const struct object_meta *o = l->v[i];
		bool stray = l == &w->authz ? ((const struct authz *)l->v[i])->stray
					    : ((const struct peer_auth *)l->v[i])->stray;
		bool same = kind != NULL ? str_eq(o->kind, str_from(kind))
					 : !str_eq(o->kind, STR("AuthorizationPolicy"));
		if (!stray || !same || !str_eq(o->file, m->file))
			continue;
		l->v[i] = l->v[--l->n];
		w->broken--;
		return true;
	}
	return false;
}

static void drop_strays(struct world *w)
{
	for (size_t i = 0; i < w->redos.n; i++) {
		const struct redo *r = w->redos.v[i];
		bool authz = str_eq(r->now.kind, STR("AuthorizationPolicy"));
		bool auth = str_eq(r->now.kind, STR("PeerAuthentication"));
		if (!r->kept || (!authz && !auth))
			continue;
		if (!drop_stray(w, authz ? &w->authz : &w->peer_auths, &r->now,
			    authz ? "AuthorizationPolicy" : "PeerAuthentication"))
			(void)drop_stray(w, &w->authz, &r->now, NULL);
	}
}

static void make_room(struct world *w)
{
	size_t before = w->authz.n + w->peer_auths.n;
	drop_pods(w);
	drop_redone(w, &w->services);
	drop_redone(w, &w->slices);
	drop_redone(w, &w->traffic);
	drop_redone(w, &w->authz);
	drop_redone(w, &w->peer_auths);
	w->broken -= before - w->authz.n - w->peer_auths.n;
	drop_strays(w);
	for (size_t i = 0; i < w->redos.n; i++) {
		const struct redo *r = w->redos.v[i];
		if (!r->kept && str_eq(r->now.kind, STR("MeshConfig")))
			world_default_config(w); /* there is at most one */
	}
}

/* -- doing it again --------------------------------------------------------------------------- */

/* By file and version and place, those that are hidden behind those that are broken. */
static int order_redos(const void *a, const void *b)
{
	const struct redo *x = *(const struct redo *const *)a;
	const struct redo *y = *(const struct redo *const *)b;
	if (x->kept != y->kept)
		return x->kept - y->kept;
	int c = strcmp(x->form->blob->file, y->form->blob->file);
	if (c == 0)
		c = memcmp(x->form->blob->hash, y->form->blob->hash, SHA256_SIZE);
	if (c != 0)
		return c;
	return (x->form->ordinal > y->form->ordinal) - (x->form->ordinal < y->form->ordinal);
}

static void digest(struct world *w, const struct redo *r)
{
	uint8_t all[2 * SHA256_SIZE + sizeof(uint32_t)];
	memcpy(all, w->digest, SHA256_SIZE);
	memcpy(all + SHA256_SIZE, r->form->blob->hash, SHA256_SIZE);
	memcpy(all + (size_t)2 * SHA256_SIZE, &r->form->ordinal, sizeof(uint32_t));
	crypto_sha256(all, sizeof(all), w->digest);
}

/* Several objects of one version of a file, which is parsed once. */
static void redo_blob(struct world *w, struct redo **v, size_t n)
{
	struct yaml_error error; /* there is none: it could be parsed before */
	const struct blob *b = v[0]->form->blob;
	for (size_t i = 0; i < n; i++)
		digest(w, v[i]);
	w->wanted = v;
	w->n_wanted = n;
	(void)decode_bytes(w, arena_strdup(&w->arena, str_from(b->file)), b->bytes, &error);
	w->wanted = NULL;
}

static void redo_all(struct world *w)
{
	struct redo **v = (struct redo **)w->redos.v;
	size_t n = w->redos.n;
	if (n > 1)
		qsort(v, n, sizeof(*v), order_redos);
	for (size_t i = 0, next; i < n; i = next) {
		for (next = i + 1; next < n && v[next]->kept == v[i]->kept &&
			v[next]->form->blob == v[i]->form->blob;
			next++)
			;
		redo_blob(w, &v[i], next - i);
	}
}

/* -- the whole -------------------------------------------------------------------------------- */

static void tell_holes(struct world *w)
{
	for (const struct hole *h = w->holes; h != NULL; h = h->next) {
		if (h->kept == 0)
			continue;
		struct str text = arena_printf(&w->arena,
			h->strange ? "objects that are missing elsewhere may be in it: %zu stay "
				     "in force until it can be read"
				   : "objects of it that stay in force as they were: %zu",
			h->kept);
		problems_add(&w->problems,
			&(struct problem){.severity = PROBLEM_WARNING,
				.file = str_from(h->path),
				.text = text});
	}
}

static void remember(struct world *w)
{
	struct map_entry *at = NULL;
	struct str key;
	void *value;
	while (map_next(w->seen, &at, &key, &value)) {
		const struct seen_object *seen = value;
		const struct form now = {
			.blob = seen->blob, .ordinal = seen->ordinal, .line = seen->meta.line};
		if (seen->valid && !seen->twice)
			good_put(w->good, key, &now);
	}
	good_end_reading(w->good);
}

void world_settle(struct world *w)
{
	struct good *g = w->good;
	if (g != NULL) {
		find_strange(w);
		redo_broken(w);
		redo_hidden(w);
		if (w->redos.n > 0)
			make_room(w);
		if (g->complete)
			w->config_broken = false;
		redo_all(w);
		tell_holes(w);
		remember(w);
	}
	w->complete = !w->unreadable && !w->config_broken &&
		(w->hard_holes == 0 || (g != NULL && g->complete));
	if (g != NULL)
		g->complete = g->complete || w->complete;
	w->good = NULL;
}

/*
 * World, bundles and revocations put together into the catalog in force, each change of which gets
 * a position that is on disk before anybody hears of it. Owns the catalog and copies of everything
 * else; main's.
 */
#include "ctrlplane/store/store.h"

#include <inttypes.h>
#include <stdio.h>

#include "ctrlplane/store/store_internal.h"
#include "lib/base/alloc.h"
#include "lib/base/err.h"

#define RETRY_NS NS_PER_S /* after the position could not be written */

/* -- life ------------------------------------------------------------------------------------- */

static void on_retry(void *arg);

/* A listener may remove itself, and others, while it is told. */
static void on_notify(void *arg)
{
	struct store *s = arg;
	struct list told;
	list_init(&told);
	list_splice(&told, &s->listeners);
	for (struct list_node *n = list_pop(&told); n != NULL; n = list_pop(&told)) {
		struct store_listener *l = CONTAINER_OF(n, struct store_listener, node);
		list_append(&s->listeners, n);
		l->fn(l->arg);
	}
}

int store_new(struct loop *loop, struct log *log, const char *position_file, struct store **out,
	char *err, size_t size)
{
	struct store *s = MEM_NEW(struct store);
	s->log = log;
	s->file = mem_strdup(position_file);
	list_init(&s->listeners);
	arena_init(&s->bundle_arena, NULL);
	arena_init(&s->serial_arena, NULL);
	arena_init(&s->said_arena, NULL);
	problems_init(&s->said, &s->said_arena);
	loop_task_init(&s->notify, loop, on_notify, s);
	loop_timer_init(&s->retry, loop, on_retry, s);
	int failed = position_load(s->file, &s->at, err, size);
	if (failed != 0) {
		store_free(&s);
		return failed;
	}
	*out = s;
	return 0;
}

void store_free(struct store **sp)
{
	struct store *s = *sp;
	*sp = NULL;
	if (s == NULL)
		return;
	loop_task_cancel(&s->notify);
	loop_timer_stop(&s->retry);
	catalog_unref(&s->catalog);
	world_free(&s->world);
	arena_clear(&s->bundle_arena);
	arena_clear(&s->serial_arena);
	arena_clear(&s->said_arena);
	mem_free(s->file);
	mem_free(s);
}

/* -- what is in force ------------------------------------------------------------------------- */

static bool has_own_bundle(const struct store *s)
{
	for (size_t i = 0; i < s->n_bundles; i++)
		if (str_eq(s->bundles[i].trust_domain, world_trust_domain(s->world)))
			return true;
	return false;
}

/* The next position, on disk. False where that failed: then the old catalog stays, and it is tried
 * again. */
static bool move_on(struct store *s, const uint8_t hash[SHA256_SIZE])
{
	char err[512];
	struct position next = s->at;
	if (memcmp(hash, s->at.hash, SHA256_SIZE) == 0)
		return true;
	next.number++;
	memcpy(next.hash, hash, SHA256_SIZE);
	s->unwritten = position_save(s->file, &next, err, sizeof(err)) != 0;
	if (s->unwritten) {
		log_at(s->log, LOG_ERROR, "store", "position not written, nothing changes",
			LOG_Z("error", err));
		loop_timer_start(&s->retry, RETRY_NS);
		return false;
	}
	s->at = next;
	return true;
}

static void put_in_force(struct store *s)
{
	uint8_t hash[SHA256_SIZE];
	if (s->world == NULL || s->n_bundles == 0)
		return;
	s->foreign = !has_own_bundle(s);
	if (s->foreign) {
		log_at(s->log, LOG_ERROR, "store",
			"MeshConfig names another trust domain than the certificate authority's, so "
			"nothing changes: mend spec.trustDomain, or --trust-domain",
			LOG_S("trust_domain", world_trust_domain(s->world)),
			LOG_S("ours", s->bundles[0].trust_domain));
		return;
	}
	position_hash(s, hash);
	if (s->catalog != NULL && memcmp(hash, s->at.hash, SHA256_SIZE) == 0)
		return;
	if (!move_on(s, hash))
		return;
	catalog_unref(&s->catalog);
	s->catalog = catalog_new(world_ref(s->world), s->bundles, s->n_bundles, s->revoked,
		s->n_revoked);
	position_format(&s->at, s->text, sizeof(s->text));
	log_at(s->log, LOG_INFO, "store", "catalog in force", LOG_Z("position", s->text));
	loop_defer(&s->notify);
}

static void on_retry(void *arg)
{
	put_in_force(arg);
}

static void copy_problems(struct store *s, const struct world *w)
{
	const struct problems *l = world_problems(w);
	arena_clear(&s->said_arena);
	problems_init(&s->said, &s->said_arena);
	for (const struct problem *p = l->first; p != NULL; p = p->next)
		problems_add(&s->said, p);
	memcpy(s->said.count, l->count, sizeof(l->count));
}

static bool same_inputs(const struct world *a, const struct world *b)
{
	return memcmp(world_digest(a), world_digest(b), SHA256_SIZE) == 0;
}

void store_set_world(struct store *s, struct world *w, bool complete)
{
	copy_problems(s, w);
	world_count(w, &s->counts);
	s->read = true;
	s->complete = complete;
	if (!complete || (s->world != NULL && same_inputs(s->world, w))) {
		world_free(&w);
		return;
	}
	world_free(&s->world);
	s->world = w;
	put_in_force(s);
}

void store_set_bundles(struct store *s, const struct compile_bundle *bundles, size_t n)
{
	struct arena old = s->bundle_arena; /* what is handed in may be what was */
	arena_init(&s->bundle_arena, NULL);
	struct compile_bundle *all = arena_alloc(&s->bundle_arena, n * sizeof(*all));
	for (size_t i = 0; i < n; i++) {
		all[i].trust_domain = arena_str(&s->bundle_arena, bundles[i].trust_domain);
		all[i].roots = arena_str(&s->bundle_arena, bundles[i].roots);
	}
	s->bundles = all;
	s->n_bundles = n;
	arena_clear(&old);
	put_in_force(s);
}

void store_set_revoked(struct store *s, const struct str *serials, size_t n)
{
	struct arena old = s->serial_arena;
	arena_init(&s->serial_arena, NULL);
	struct str *all = arena_alloc(&s->serial_arena, n * sizeof(*all));
	for (size_t i = 0; i < n; i++)
		all[i] = arena_str(&s->serial_arena, serials[i]);
	s->revoked = all;
	s->n_revoked = n;
	arena_clear(&old);
	put_in_force(s);
}

struct catalog *store_catalog(const struct store *s)
{
	return s->catalog;
}

struct str store_position(const struct store *s)
{
	return s->catalog != NULL ? str_from(s->text) : STR_NULL;
}

void store_listen(struct store *s, struct store_listener *l)
{
	list_append(&s->listeners, &l->node);
}

void store_unlisten(struct store_listener *l)
{
	list_remove(&l->node);
}

/* -- telling people --------------------------------------------------------------------------- */

#define REASONS_MAX 20 /* errors that readiness names */

/* The errors of a reading that was not complete: one of them is why. */
static void tell_errors(const struct store *s, struct buf *out)
{
	struct arena a;
	struct problems l = {.arena = &a};
	size_t told = 0;
	arena_init(&a, NULL);
	buf_printf(out, "the source could not be read completely; mend these:\n");
	for (const struct problem *p = s->said.first; p != NULL; p = p->next) {
		if (p->severity != PROBLEM_ERROR)
			continue;
		if (told++ < REASONS_MAX) {
			struct str line = problem_text(&l, p);
			buf_printf(out, "%.*s\n", STR_ARG(line));
		}
	}
	if (told > REASONS_MAX)
		buf_printf(out, "and %zu more errors\n", told - REASONS_MAX);
	arena_clear(&a);
}

bool store_ready(const struct store *s, struct buf *reasons)
{
	if (s->catalog != NULL)
		return true;
	if (!s->read)
		buf_printf(reasons, "the source has not been read yet\n");
	else if (s->world == NULL)
		tell_errors(s, reasons);
	if (s->n_bundles == 0)
		buf_printf(reasons, "there is no certificate authority yet\n");
	else if (s->foreign)
		buf_printf(reasons,
			"MeshConfig's trustDomain is %.*s, the certificate authority's is %.*s: "
			"change one of them (--trust-domain)\n",
			STR_ARG(world_trust_domain(s->world)), STR_ARG(s->bundles[0].trust_domain));
	if (s->unwritten)
		buf_printf(reasons, "%s cannot be written: give it a folder with room and mode\n",
			s->file);
	return false;
}

void store_describe(const struct store *s, struct json *j)
{
	json_key_str(j, "position", store_position(s));
	json_key_bool(j, "complete", s->complete);
	json_key_u64(j, "files", s->counts.files);
	json_key_u64(j, "services", s->counts.services);
	json_key_u64(j, "pods", s->counts.pods);
	json_key_u64(j, "meshedPods", s->counts.meshed);
	json_key_u64(j, "authorizationPolicies", s->counts.policies);
	json_key_u64(j, "peerAuthentications", s->counts.peer_auths);
	json_key_u64(j, "errors", s->said.count[PROBLEM_ERROR]);
	json_key_u64(j, "warnings", s->said.count[PROBLEM_WARNING]);
	json_key(j, "problems");
	problems_json(&s->said, j);
}

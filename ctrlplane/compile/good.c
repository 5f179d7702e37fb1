/*
 * Files and places in them by object. Owns a copy of each file that some object was last good in;
 * filled and asked by settle.c.
 */
#include "ctrlplane/compile/good_internal.h"

#include "lib/base/alloc.h"

/* Keys are names of the source's own objects and files. */
#define MAP_SEED 0

struct blob *blob_ref(struct blob *b)
{
	b->refs++;
	return b;
}

void blob_unref(struct blob **bp)
{
	struct blob *b = *bp;
	*bp = NULL;
	if (b == NULL || --b->refs > 0)
		return;
	mem_free(b->file);
	mem_free((void *)(uintptr_t)b->bytes.p);
	mem_free(b);
}

struct blob *good_blob(struct good *g, const char *file, struct str bytes)
{
	struct blob *b = map_get(g->files, str_from(file));
	if (b != NULL && str_eq(b->bytes, bytes))
		return blob_ref(b);
	b = MEM_NEW(struct blob);
	b->refs = 1;
	b->file = mem_strdup(file);
	b->whole = true;
	char *copy = mem_alloc(bytes.n);
	if (bytes.n > 0)
		memcpy(copy, bytes.p, bytes.n);
	b->bytes = str_make(copy, bytes.n);
	crypto_sha256(bytes.p, bytes.n, b->hash);
	return b;
}

struct good *good_new(void)
{
	struct good *g = MEM_NEW(struct good);
	g->forms = map_new(MAP_SEED);
	g->files = map_new(MAP_SEED);
	return g;
}

static void free_form(struct form *f)
{
	if (f == NULL)
		return;
	blob_unref(&f->blob);
	mem_free(f);
}

void good_free(struct good **gp)
{
	struct good *g = *gp;
	struct map_entry *at = NULL;
	void *value;
	*gp = NULL;
	if (g == NULL)
		return;
	while (map_next(g->forms, &at, NULL, &value))
		free_form(value);
	at = NULL;
	while (map_next(g->files, &at, NULL, &value)) {
		struct blob *b = value;
		blob_unref(&b);
	}
	map_free(&g->forms);
	map_free(&g->files);
	mem_free(g);
}

void good_put(struct good *g, struct str key, const struct form *now)
{
	struct form *f = MEM_NEW(struct form);
	*f = *now;
	(void)blob_ref(f->blob);
	free_form(map_put(g->forms, key, f));
}

void good_drop(struct good *g, struct str key)
{
	free_form(map_remove(g->forms, key));
}

void good_put_file(struct good *g, struct blob *b)
{
	b->reading = g->reading;
	struct blob *old = map_put(g->files, str_from(b->file), blob_ref(b));
	blob_unref(&old);
}

void good_end_reading(struct good *g)
{
	struct map_entry *at = NULL;
	struct str file;
	void *value;
	while (map_next(g->files, &at, &file, &value)) {
		struct blob *b = value;
		if (b->reading == g->reading)
			continue;
		(void)map_remove(g->files, file);
		blob_unref(&b);
	}
	g->reading++;
}

/*
 * Walks, looks whether anything is still being written, reads, joins. Owns nothing between calls;
 * called by dir.c, on its thread.
 */
#include "ctrlplane/source/reading.h"

#include <string.h>
#include <sys/stat.h>

#include "ctrlplane/source/files.h"
#include "lib/base/alloc.h"
#include "lib/base/clock.h"
#include "lib/base/map.h"

/* What could not be walked, told again when there is a world to tell it. */
struct trouble {
	struct trouble *next;
	char *path, *why;
};

/* What tells one version of a file from another without reading it. */
struct look {
	uint64_t dev, ino, size, mtime, ctime;
};

/* On the stack of reading_run. */
struct walk {
	struct files files;
	struct look *looks;            /* at each of them; all 0: it could not be looked at */
	struct trouble *first, **last; /* last: where the next one goes */
	uint64_t print;
	bool young;
	bool changed; /* a file, between the walk and its reading */
};

static void on_trouble(void *arg, const char *path, const char *why)
{
	struct walk *k = arg;
	struct trouble *t = MEM_NEW(struct trouble);
	*t = (struct trouble){.path = mem_strdup(path), .why = mem_strdup(why)};
	*k->last = t;
	k->last = &t->next;
	k->print = hash_bytes(path, strlen(path), k->print);
	k->print = hash_bytes(why, strlen(why), k->print);
}

static uint64_t ns_of(const struct timespec *t)
{
	return (uint64_t)t->tv_sec * NS_PER_S + (uint64_t)t->tv_nsec;
}

static struct look look_at(const char *path)
{
	struct stat st;
	if (stat(path, &st) != 0)
		return (struct look){0};
	return (struct look){.dev = st.st_dev,
		.ino = st.st_ino,
		.size = (uint64_t)st.st_size,
		.mtime = ns_of(&st.st_mtim),
		.ctime = ns_of(&st.st_ctim)};
}

static void take_look(struct walk *k, size_t i, uint64_t now)
{
	const char *path = k->files.v[i];
	struct look look = k->looks[i] = look_at(path);
	k->print = hash_bytes(path, strlen(path), k->print);
	k->print = hash_bytes(&look, sizeof(look), k->print);
	/* One from the future has a clock of its own, and says nothing. */
	k->young = k->young || (look.mtime <= now && now - look.mtime < READING_QUIET_NS);
}

static void walk(struct walk *k, const char *path)
{
	uint64_t now = clock_wall(clock_system());
	k->last = &k->first;
	k->files = (struct files){.trouble = on_trouble, .arg = k};
	files_walk(&k->files, path);
	k->looks = mem_alloc_array(k->files.n + 1, sizeof(*k->looks));
	for (size_t i = 0; i < k->files.n; i++)
		take_look(k, i, now);
}

/* Whoever writes a file in place cuts it off first: what is read then may lack its last objects,
 * and they would count as deleted. */
static bool has_changed(struct walk *k, size_t i)
{
	struct look now = look_at(k->files.v[i]);
	bool changed = memcmp(&now, &k->looks[i], sizeof(now)) != 0;
	k->changed = k->changed || changed;
	return changed;
}

static void read_file(struct world *w, struct walk *k, size_t i)
{
	const char *path = k->files.v[i];
	char *bytes;
	size_t n;
	int error = files_read(path, &bytes, &n);
	if (error != 0) {
		world_unread(w, path, strerror(error));
		return;
	}
	if (has_changed(k, i))
		world_unread(w, path, "it changed while it was read, and is read again");
	else
		world_add(w, path, str_make(bytes, n));
	mem_free(bytes);
}

static struct world *read_all(struct walk *k, struct good *good)
{
	struct world *w = world_new();
	world_remember(w, good);
	for (const struct trouble *t = k->first; t != NULL; t = t->next)
		world_unread(w, t->path, t->why);
	for (size_t i = 0; i < k->files.n; i++)
		read_file(w, k, i);
	world_join(w);
	return w;
}

void reading_run(struct reading *r)
{
	struct walk k = {.print = 0};
	walk(&k, r->path);
	r->world = NULL;
	r->early = k.young && !r->hasty;
	if (!r->early && !(r->if_other && k.print == r->print)) {
		r->world = read_all(&k, r->good);
		r->print = k.print;
		r->early = k.changed;
	}
	while (k.first != NULL) {
		struct trouble *t = k.first;
		k.first = t->next;
		mem_free(t->path);
		mem_free(t->why);
		mem_free(t);
	}
	mem_free(k.looks);
	files_clear(&k.files);
}

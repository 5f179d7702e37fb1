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

/* On the stack of reading_run. */
struct walk {
	struct files files;
	struct trouble *first, **last; /* last: where the next one goes */
	uint64_t print;
	bool young;
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

/* What tells one version of a file from another without reading it. */
struct look {
	uint64_t dev, ino, size, mtime, ctime;
};

static uint64_t ns_of(const struct timespec *t)
{
	return (uint64_t)t->tv_sec * NS_PER_S + (uint64_t)t->tv_nsec;
}

static void look_at(struct walk *k, const char *path, uint64_t now)
{
	struct stat st;
	struct look look;
	k->print = hash_bytes(path, strlen(path), k->print);
	if (stat(path, &st) != 0)
		return;
	memset(&look, 0, sizeof(look));
	look = (struct look){.dev = st.st_dev,
		.ino = st.st_ino,
		.size = (uint64_t)st.st_size,
		.mtime = ns_of(&st.st_mtim),
		.ctime = ns_of(&st.st_ctim)};
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
	for (size_t i = 0; i < k->files.n; i++)
		look_at(k, k->files.v[i], now);
}

static void read_file(struct world *w, const char *path)
{
	char *bytes;
	size_t n;
	int error = files_read(path, &bytes, &n);
	if (error != 0) {
		world_unread(w, path, strerror(error));
		return;
	}
	world_add(w, path, str_make(bytes, n));
	mem_free(bytes);
}

static struct world *read_all(const struct walk *k, struct good *good)
{
	struct world *w = world_new();
	world_remember(w, good);
	for (const struct trouble *t = k->first; t != NULL; t = t->next)
		world_unread(w, t->path, t->why);
	for (size_t i = 0; i < k->files.n; i++)
		read_file(w, k->files.v[i]);
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
	}
	while (k.first != NULL) {
		struct trouble *t = k.first;
		k.first = t->next;
		mem_free(t->path);
		mem_free(t->why);
		mem_free(t);
	}
	files_clear(&k.files);
}

/*
 * The `dir` source: reads when something changed, and gives the world to the store. Owns the watch
 * and itself; main's.
 */
#include "ctrlplane/source/dir.h"

#include <string.h>

#include "ctrlplane/source/files.h"
#include "lib/base/alloc.h"
#include "lib/net/watch.h"

#define SETTLE_NS (100 * NS_PER_MS) /* a burst of changes is read together */

/* Owned by main. */
struct dir_source {
	struct loop *loop;
	struct log *log;
	struct store *store;
	char *path;
	struct watch_tree *watch;
	struct loop_timer settle;
};

/* On the stack of one reading. */
struct reading {
	struct world *w;
};

static void on_trouble(void *arg, const char *path, const char *why)
{
	struct reading *r = arg;
	world_unread(r->w, path, why);
}

static void read_into(struct reading *r, const char *path)
{
	char *bytes;
	size_t n;
	int error = files_read(path, &bytes, &n);
	if (error != 0) {
		on_trouble(r, path, strerror(error));
		return;
	}
	world_add(r->w, path, str_make(bytes, n));
	mem_free(bytes);
}

void dir_source_reload(struct dir_source *d)
{
	struct reading r = {.w = world_new()};
	struct files files = {.trouble = on_trouble, .arg = &r};
	files_walk(&files, d->path);
	for (size_t i = 0; i < files.n; i++)
		read_into(&r, files.v[i]);
	files_clear(&files);
	world_join(r.w);
	store_set_world(d->store, r.w, world_can_fail_closed(r.w));
}

static void on_settled(void *arg)
{
	dir_source_reload(arg);
}

static void on_change(void *arg)
{
	struct dir_source *d = arg;
	if (!loop_timer_running(&d->settle))
		loop_timer_start(&d->settle, SETTLE_NS);
}

int dir_source_start(struct loop *loop, struct log *log, const char *path, struct store *store,
	struct dir_source **out, char *err, size_t size)
{
	struct dir_source *d = MEM_NEW(struct dir_source);
	(void)err, (void)size;
	d->loop = loop;
	d->log = log;
	d->store = store;
	d->path = mem_strdup(path);
	loop_timer_init(&d->settle, loop, on_settled, d);
	d->watch = watch_tree_start(loop, path, on_change, d);
	dir_source_reload(d);
	*out = d;
	return 0;
}

void dir_source_stop(struct dir_source **dp)
{
	struct dir_source *d = *dp;
	*dp = NULL;
	if (d == NULL)
		return;
	watch_tree_stop(&d->watch);
	loop_timer_stop(&d->settle);
	mem_free(d->path);
	loop_defer_free(d->loop, d, mem_free);
}

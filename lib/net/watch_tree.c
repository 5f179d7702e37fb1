/*
 * A directory and what is below it behind one inotify instance, opened anew whenever a folder comes
 * or goes; a timer with a fingerprint of the files where that cannot be had. Owns the descriptor
 * and itself; used by sources of configuration.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdalign.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/alloc.h"
#include "lib/base/map.h"
#include "lib/net/watch.h"

#define POLL_NS NS_PER_S
#define TREE_EVENTS                                                                         \
	(IN_MOVED_TO | IN_MOVED_FROM | IN_CLOSE_WRITE | IN_CREATE | IN_DELETE | IN_ATTRIB | \
		IN_ONLYDIR)
#define ABOVE_EVENTS \
	(IN_MOVED_TO | IN_MOVED_FROM | IN_CREATE | IN_DELETE | IN_MOVE_SELF | IN_ONLYDIR)
/* After these the watches are not what they were. */
#define LOST_EVENTS (IN_Q_OVERFLOW | IN_IGNORED | IN_UNMOUNT | IN_MOVE_SELF)

/* A folder under watch; owned by the tree. */
struct tree_folder {
	char *path;
	int wd;
};

/* Owned by its maker. */
struct watch_tree {
	struct loop *loop;
	char *path, *above, *name; /* above: the folder that holds path; name: path's in it */
	int fd, above_wd;
	struct tree_folder *folders;
	size_t n_folders, room;
	struct loop_fd io;
	struct loop_timer poll;
	uint64_t print; /* while polling */
	watch_fn *fn;
	void *arg;
};

/* What one walk over the tree does: adds watches, or fingerprints, or both. On the stack. */
struct tree_walk {
	struct watch_tree *w;
	bool watching; /* false from the first watch that the kernel refuses */
	size_t folders;
	uint64_t print;
};

static bool ends(const char *name, const char *with)
{
	size_t n = strlen(name), m = strlen(with);
	return n > m && strcmp(name + n - m, with) == 0;
}

static bool is_document(const char *name)
{
	return name[0] != '.' && (ends(name, ".yaml") || ends(name, ".yml") || ends(name, ".json"));
}

static void add_folder(struct tree_walk *t, const char *path)
{
	struct watch_tree *w = t->w;
	int wd = inotify_add_watch(w->fd, path, TREE_EVENTS);
	if (wd < 0) {
		/* One that is not there is told by the watch on the folder above it. */
		t->watching = errno == ENOENT || errno == ENOTDIR;
		return;
	}
	if (w->n_folders == w->room) {
		w->room = w->room == 0 ? 16 : 2 * w->room;
		w->folders = mem_resize(w->folders, w->room * sizeof(*w->folders));
	}
	w->folders[w->n_folders++] = (struct tree_folder){mem_strdup(path), wd};
}

/* Order of the files does not matter: prints are added up. */
static void print_file(struct tree_walk *t, int folder, const char *path, const char *name)
{
	struct stat st;
	if (fstatat(folder, name, &st, 0) != 0)
		return;
	const uint64_t facts[] = {(uint64_t)st.st_dev, (uint64_t)st.st_ino, (uint64_t)st.st_size,
		(uint64_t)st.st_ctim.tv_sec, (uint64_t)st.st_ctim.tv_nsec,
		hash_bytes(path, strlen(path), 1), hash_bytes(name, strlen(name), 2)};
	t->print += hash_bytes(facts, sizeof(facts), 3);
}

static bool is_folder(int folder, const struct dirent *e)
{
	struct stat st;
	if (e->d_type != DT_UNKNOWN)
		return e->d_type == DT_DIR;
	return fstatat(folder, e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode);
}

/* The watch goes first, so that what comes while the folder is listed is told. */
static void walk(struct tree_walk *t, const char *path, int depth)
{
	if (depth > WATCH_TREE_DEPTH || t->folders >= WATCH_TREE_FOLDERS)
		return;
	t->folders++;
	if (t->watching)
		add_folder(t, path);
	DIR *dir = opendir(path);
	if (dir == NULL)
		return;
	t->print += depth == 0 ? 1 : 0;
	for (struct dirent *e = readdir(dir); e != NULL; e = readdir(dir)) {
		if (e->d_name[0] == '.')
			continue;
		if (is_folder(dirfd(dir), e)) {
			char *below = mem_printf("%s/%s", path, e->d_name);
			walk(t, below, depth + 1);
			mem_free(below);
		} else if (is_document(e->d_name) && !t->watching) {
			print_file(t, dirfd(dir), path, e->d_name);
		}
	}
	closedir(dir);
}

static void close_watches(struct watch_tree *w)
{
	if (w->fd < 0)
		return;
	loop_fd_stop(&w->io);
	close(w->fd);
	w->fd = -1;
	for (size_t i = 0; i < w->n_folders; i++)
		mem_free(w->folders[i].path);
	w->n_folders = 0;
}

static const char *folder_of(const struct watch_tree *w, int wd)
{
	for (size_t i = 0; i < w->n_folders; i++)
		if (w->folders[i].wd == wd)
			return w->folders[i].path;
	return NULL;
}

/* A name that is there with its contents: not a file that somebody has only begun to write. */
static bool is_complete(const struct watch_tree *w, const struct inotify_event *ev)
{
	struct stat st;
	const char *folder = folder_of(w, ev->wd);
	if (folder == NULL)
		return false;
	char *path = mem_printf("%s/%s", folder, ev->name);
	bool whole = lstat(path, &st) == 0 && (!S_ISREG(st.st_mode) || st.st_nlink > 1);
	mem_free(path);
	return whole;
}

/* What the events of one reading come to. */
struct tree_news {
	bool changed, reopen;
};

static void judge_event(struct watch_tree *w, const struct inotify_event *ev,
	struct tree_news *news)
{
	const char *name = ev->len > 0 ? ev->name : "";
	bool folders = (ev->mask & LOST_EVENTS) != 0;
	if (ev->wd == w->above_wd && folder_of(w, ev->wd) == NULL)
		folders = folders || strcmp(name, w->name) == 0;
	else if ((ev->mask & IN_ISDIR) != 0)
		folders = folders || name[0] != '.';
	else if (strcmp(name, "..data") == 0)
		news->changed = true;
	else if (is_document(name))
		news->changed = news->changed || (ev->mask & IN_CREATE) == 0 || is_complete(w, ev);
	news->reopen = news->reopen || folders;
}

static struct tree_news drain_events(struct watch_tree *w)
{
	alignas(struct inotify_event) char bytes[4096];
	struct tree_news news = {false, false};
	for (;;) {
		ssize_t n = read(w->fd, bytes, sizeof(bytes));
		if (n <= 0)
			return news;
		for (ssize_t at = 0; at < n;) {
			const struct inotify_event *ev = (const void *)(bytes + at);
			judge_event(w, ev, &news);
			at += (ssize_t)(sizeof(*ev) + ev->len);
		}
	}
}

static void on_events(void *arg, unsigned events);

/* False where the kernel gives no watch, or neither the directory nor the one above is there. */
static bool open_watches(struct watch_tree *w)
{
	w->fd = loop_has_descriptors(w->loop) ? inotify_init1(IN_NONBLOCK | IN_CLOEXEC) : -1;
	if (w->fd < 0)
		return false;
	struct tree_walk t = {.w = w, .watching = true};
	w->above_wd = inotify_add_watch(w->fd, w->above, ABOVE_EVENTS);
	loop_fd_init(&w->io, w->loop, w->fd, on_events, w);
	walk(&t, w->path, 0);
	bool good = w->above_wd >= 0 && t.watching;
	if (good)
		loop_fd_want(&w->io, LOOP_READ);
	else
		close_watches(w);
	return good;
}

static uint64_t fingerprint(struct watch_tree *w)
{
	struct tree_walk t = {.w = w};
	walk(&t, w->path, 0);
	return t.print;
}

static void open_or_poll(struct watch_tree *w)
{
	if (open_watches(w))
		return;
	w->print = fingerprint(w);
	loop_timer_start(&w->poll, POLL_NS);
}

static void on_events(void *arg, unsigned events)
{
	struct watch_tree *w = arg;
	(void)events;
	struct tree_news news = drain_events(w);
	if (news.reopen) {
		close_watches(w);
		open_or_poll(w);
	}
	if (news.changed || news.reopen)
		w->fn(w->arg);
}

static void on_poll(void *arg)
{
	struct watch_tree *w = arg;
	uint64_t before = w->print;
	bool watched = open_watches(w);
	w->print = fingerprint(w);
	if (!watched)
		loop_timer_start(&w->poll, POLL_NS);
	if (w->print != before)
		w->fn(w->arg);
}

/* The folder that holds path, and path's name in it, without slashes at the end. */
static void split_path(struct watch_tree *w)
{
	size_t n = strlen(w->path);
	while (n > 1 && w->path[n - 1] == '/')
		w->path[--n] = '\0';
	char *slash = strrchr(w->path, '/');
	w->name = mem_strdup(slash != NULL ? slash + 1 : w->path);
	w->above = slash == NULL   ? mem_strdup(".")
		: slash == w->path ? mem_strdup("/")
				   : mem_strndup(w->path, (size_t)(slash - w->path));
}

struct watch_tree *watch_tree_start(struct loop *loop, const char *path, watch_fn *fn, void *arg)
{
	struct watch_tree *w = MEM_NEW(struct watch_tree);
	w->loop = loop;
	w->path = mem_strdup(path);
	w->fn = fn;
	w->arg = arg;
	split_path(w);
	loop_timer_init(&w->poll, loop, on_poll, w);
	open_or_poll(w);
	return w;
}

void watch_tree_stop(struct watch_tree **wp)
{
	struct watch_tree *w = *wp;
	if (w == NULL)
		return;
	*wp = NULL;
	loop_timer_stop(&w->poll);
	close_watches(w);
	mem_free(w->folders);
	mem_free(w->path);
	mem_free(w->above);
	mem_free(w->name);
	loop_defer_free(w->loop, w, mem_free);
}

/*
 * inotify behind a loop watcher, or a timer where the kernel gives no instance. Owns the descriptor
 * and itself; used by programs that read files which others replace.
 */
#include "lib/net/watch.h"

#include <stdalign.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/alloc.h"

#define POLL_NS NS_PER_S

/* Owned by its maker. */
struct watch {
	struct loop *loop;
	char *path, *name; /* name: last part of path */
	int fd;
	struct loop_fd io;
	struct loop_timer poll;
	struct stat last;
	bool lost; /* the folder is gone, and its watch with it */
	watch_fn *fn;
	void *arg;
};

/* "..data": a Secret or ConfigMap is exchanged as a whole by the link to its folder. */
static bool names_file(const struct watch *w, const char *name)
{
	return strcmp(name, w->name) == 0 || strcmp(name, "..data") == 0;
}

/* Reads all events that are there; true where one names our file. */
static bool drain_events(struct watch *w)
{
	alignas(struct inotify_event) char bytes[4096];
	bool ours = false;
	for (;;) {
		ssize_t n = read(w->fd, bytes, sizeof(bytes));
		if (n <= 0)
			return ours;
		for (ssize_t at = 0; at < n;) {
			const struct inotify_event *ev = (const void *)(bytes + at);
			w->lost = w->lost || (ev->mask & IN_IGNORED) != 0;
			if ((ev->mask & IN_Q_OVERFLOW) != 0 ||
				(ev->len > 0 && names_file(w, ev->name)))
				ours = true;
			at += (ssize_t)(sizeof(*ev) + ev->len);
		}
	}
}

static void on_poll(void *arg)
{
	struct watch *w = arg;
	struct stat now;
	loop_timer_start(&w->poll, POLL_NS);
	if (stat(w->path, &now) != 0)
		return;
	bool changed = now.st_ino != w->last.st_ino || now.st_size != w->last.st_size ||
		now.st_ctim.tv_sec != w->last.st_ctim.tv_sec ||
		now.st_ctim.tv_nsec != w->last.st_ctim.tv_nsec;
	w->last = now;
	if (changed)
		w->fn(w->arg);
}

static void close_inotify(struct watch *w)
{
	loop_fd_stop(&w->io);
	close(w->fd);
	w->fd = -1;
}

static void on_events(void *arg, unsigned events)
{
	struct watch *w = arg;
	(void)events;
	bool ours = drain_events(w);
	if (w->lost) {
		close_inotify(w);
		memset(&w->last, 0, sizeof(w->last));
		loop_timer_start(&w->poll, POLL_NS);
	}
	if (ours)
		w->fn(w->arg);
}

/* IN_ATTRIB: a file that was refused for its owner or mode is read when that has been mended. */
static int open_inotify(const struct loop *loop, const char *path)
{
	const uint32_t events = IN_MOVED_TO | IN_CLOSE_WRITE | IN_ATTRIB;
	char *folder = mem_strdup(path);
	char *slash = strrchr(folder, '/');
	if (slash != NULL)
		*(slash == folder ? slash + 1 : slash) = '\0';
	int fd = loop_has_descriptors(loop) ? inotify_init1(IN_NONBLOCK | IN_CLOEXEC) : -1;
	if (fd >= 0 && inotify_add_watch(fd, slash != NULL ? folder : ".", events) < 0) {
		close(fd);
		fd = -1;
	}
	mem_free(folder);
	return fd;
}

struct watch *watch_start(struct loop *loop, const char *path, watch_fn *fn, void *arg)
{
	struct watch *w = MEM_NEW(struct watch);
	w->loop = loop;
	w->path = mem_strdup(path);
	w->name = strrchr(w->path, '/') != NULL ? strrchr(w->path, '/') + 1 : w->path;
	w->fn = fn;
	w->arg = arg;
	w->fd = open_inotify(loop, path);
	loop_timer_init(&w->poll, loop, on_poll, w);
	if (w->fd >= 0) {
		loop_fd_init(&w->io, loop, w->fd, on_events, w);
		loop_fd_want(&w->io, LOOP_READ);
	} else {
		(void)stat(path, &w->last);
		loop_timer_start(&w->poll, POLL_NS);
	}
	return w;
}

void watch_stop(struct watch **wp)
{
	struct watch *w = *wp;
	if (w == NULL)
		return;
	*wp = NULL;
	loop_timer_stop(&w->poll);
	if (w->fd >= 0)
		close_inotify(w);
	mem_free(w->path);
	loop_defer_free(w->loop, w, mem_free);
}

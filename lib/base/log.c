/*
 * Writes log lines to a descriptor without ever waiting for it: what it does not take at once is
 * dropped and counted. Owns the level and the counter, never the descriptor. Called by every room,
 * from any thread.
 */
#include "lib/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "lib/base/alloc.h"
#include "lib/base/err.h"
#include "lib/base/log_internal.h"

/* How a descriptor is asked not to wait. O_NONBLOCK is no way: it belongs to the open file, which
 * others may share with us. */
enum log_target { LOG_TO_FILE, LOG_TO_SOCKET, LOG_TO_STREAM, LOG_TO_SINK };

/* Owned by main or the test. The members that change are read and written atomically: several
 * threads log. */
struct log {
	enum log_target target;
	enum log_format format;
	int fd;     /* the caller's, or own_fd */
	int own_fd; /* -1 where there is none */
	int level;
	bool torn; /* the last line was written in part */
	uint64_t dropped;
	const struct clock *clock;
	log_sink_fn *sink;
	void *sink_arg;
};

static const char *const log_level_names[] = {
	[LOG_ERROR] = "error",
	[LOG_WARN] = "warn",
	[LOG_INFO] = "info",
	[LOG_DEBUG] = "debug",
	[LOG_TRACE] = "trace",
};

static enum log_target log_target_of(int fd)
{
	struct stat st;

	if (fstat(fd, &st) < 0 || S_ISREG(st.st_mode))
		return LOG_TO_FILE;
	return S_ISSOCK(st.st_mode) ? LOG_TO_SOCKET : LOG_TO_STREAM;
}

/*
 * A terminal says that it is writable when it has room for one byte, and then waits for the rest:
 * it is opened once more, non-blocking. -1 where that is not permitted; then poll has to do.
 */
static int log_reopen(int fd)
{
	char path[40];
	struct stat st;

	if (fstat(fd, &st) < 0 || !S_ISCHR(st.st_mode))
		return -1;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
}

struct log *log_new(int fd, enum log_level level, enum log_format format, const struct clock *clock)
{
	struct log *l = MEM_NEW(struct log);

	l->own_fd = log_reopen(fd);
	l->fd = l->own_fd >= 0 ? l->own_fd : fd;
	l->target = log_target_of(fd);
	l->level = (int)level;
	l->format = format;
	l->clock = clock;
	return l;
}

struct log *log_new_sink(log_sink_fn *fn, void *arg, enum log_level level, enum log_format format,
	const struct clock *clock)
{
	struct log *l = log_new(-1, level, format, clock);

	l->target = LOG_TO_SINK;
	l->sink = fn;
	l->sink_arg = arg;
	return l;
}

void log_free(struct log **log)
{
	if (*log != NULL && (*log)->own_fd >= 0)
		close((*log)->own_fd);
	mem_free(*log);
	*log = NULL;
}

bool log_on(const struct log *log, enum log_level level)
{
	return log != NULL && (int)level <= __atomic_load_n(&log->level, __ATOMIC_RELAXED);
}

enum log_level log_level_get(const struct log *log)
{
	return (enum log_level)__atomic_load_n(&log->level, __ATOMIC_RELAXED);
}

void log_level_set(struct log *log, enum log_level level)
{
	__atomic_store_n(&log->level, (int)level, __ATOMIC_RELAXED);
}

uint64_t log_dropped(const struct log *log)
{
	return __atomic_load_n(&log->dropped, __ATOMIC_RELAXED);
}

const char *log_level_name(enum log_level level)
{
	return log_level_names[level];
}

int log_level_parse(struct str s, enum log_level *out)
{
	for (int i = LOG_ERROR; i <= (int)LOG_TRACE; i++) {
		if (str_eq_nocase(s, str_from(log_level_names[i]))) {
			*out = (enum log_level)i;
			return 0;
		}
	}
	return ERR_INVAL;
}

/*
 * Pipes and terminals. Newer kernels take the wish with the call; elsewhere a pipe that is writable
 * has room for PIPE_BUF bytes (pipe(7)), and no line for such a target is longer.
 */
static ssize_t log_write_stream(int fd, const char *p, size_t n)
{
	struct iovec iov = {.iov_base = (void *)(uintptr_t)p, .iov_len = n};
	ssize_t done = pwritev2(fd, &iov, 1, -1, RWF_NOWAIT);

	if (done >= 0 ||
		(errno != EOPNOTSUPP && errno != ENOSYS && errno != EINVAL && errno != ESPIPE))
		return done;
	struct pollfd ready = {.fd = fd, .events = POLLOUT};
	if (poll(&ready, 1, 0) != 1 || (ready.revents & POLLOUT) == 0) {
		errno = EAGAIN;
		return -1;
	}
	return write(fd, p, n);
}

static ssize_t log_write(const struct log *l, const char *p, size_t n)
{
	switch (l->target) {
	case LOG_TO_FILE:
		return write(l->fd, p, n);
	case LOG_TO_SOCKET:
		return send(l->fd, p, n, MSG_DONTWAIT | MSG_NOSIGNAL);
	case LOG_TO_STREAM:
		return log_write_stream(l->fd, p, n);
	case LOG_TO_SINK:
		l->sink(l->sink_arg, str_make(p, n));
		return (ssize_t)n;
	}
	return -1;
}

static void log_put(struct log *l, const char *p, size_t n)
{
	bool begun = false;

	while (n > 0) {
		ssize_t done = log_write(l, p, n);
		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			break;
		begun = true;
		p += done;
		n -= (size_t)done;
	}
	if (n == 0) {
		__atomic_store_n(&l->torn, false, __ATOMIC_RELAXED);
		return;
	}
	if (begun)
		__atomic_store_n(&l->torn, true, __ATOMIC_RELAXED);
	__atomic_fetch_add(&l->dropped, 1, __ATOMIC_RELAXED);
}

void log_event(struct log *log, enum log_level level, const char *room, const char *msg,
	const struct log_field *fields, size_t n)
{
	struct log_line line;

	if (!log_on(log, level))
		return;
	log_line_begin(&line, log->target == LOG_TO_STREAM ? PIPE_BUF : LOG_LINE_MAX);
	uint64_t now = clock_wall(log->clock);
	if (log->format == LOG_JSON)
		log_line_json(&line, now, level, room, msg, fields, n);
	else
		log_line_text(&line, now, level, room, msg, fields, n);
	/* The newline in front parts this line from one that was torn. */
	size_t skip = __atomic_load_n(&log->torn, __ATOMIC_RELAXED) ? 0 : 1;
	log_put(log, line.bytes + skip, line.n - skip);
}

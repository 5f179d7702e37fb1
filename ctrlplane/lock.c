/*
 * Locks a data directory with flock(2), so that a lock never outlives its process. Owns nothing:
 * the descriptor is the caller's.
 */
#include "ctrlplane/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/err.h"

static int fail(int errno_value, const char *path, const char *what, char *err, size_t size)
{
	snprintf(err, size, "%s: %s: %s", path, what, strerror(errno_value));
	int e = err_from_errno(errno_value);
	return e == ERR_AGAIN ? ERR_IO : e;
}

/* Whose lock it is, as its file says; for the message alone. */
static int in_use(int fd, const char *dir, char *err, size_t size)
{
	char pid[24] = "";
	ssize_t n = pread(fd, pid, sizeof(pid) - 1, 0);
	long owner = n > 0 ? strtol(pid, NULL, 10) : 0;
	if (owner > 0)
		snprintf(err, size,
			"%s: in use by another weft-ctrlplane (process %ld): stop that one, or "
			"choose another --data-dir",
			dir, owner);
	else
		snprintf(err, size,
			"%s: in use by another weft-ctrlplane: stop that one, or choose another "
			"--data-dir",
			dir);
	return ERR_EXISTS;
}

static int take(int fd, const char *dir, const char *path, char *err, size_t size)
{
	char pid[24];
	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		return errno == EWOULDBLOCK ? in_use(fd, dir, err, size)
					    : fail(errno, path, "cannot be locked", err, size);
	int n = snprintf(pid, sizeof(pid), "%ld\n", (long)getpid());
	if (ftruncate(fd, 0) < 0 || pwrite(fd, pid, (size_t)n, 0) != n)
		return fail(errno, path, "cannot be written", err, size);
	return 0;
}

int data_dir_lock(const char *dir, char *err, size_t size)
{
	char path[PATH_MAX];
	struct stat st;
	if (mkdir(dir, 0700) < 0 && errno != EEXIST)
		return fail(errno, dir, "the data directory cannot be made", err, size);
	if (stat(dir, &st) < 0 || !S_ISDIR(st.st_mode))
		return fail(ENOTDIR, dir, "the data directory", err, size);
	if (snprintf(path, sizeof(path), "%s/pid", dir) >= (int)sizeof(path))
		return fail(ENAMETOOLONG, dir, "the data directory", err, size);
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return fail(errno, path, "cannot be opened", err, size);
	int e = take(fd, dir, path, err, size);
	if (e == 0)
		return fd;
	close(fd);
	return e;
}

/*
 * Reading and replacing files with plain system calls. Owns nothing; used by whatever must survive
 * a restart.
 */
#include "lib/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/alloc.h"
#include "lib/base/err.h"

/* Fills exactly n bytes. */
static int read_all(int fd, char *p, size_t n)
{
	while (n > 0) {
		ssize_t got = read(fd, p, n);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return ERR_IO;
		p += got;
		n -= (size_t)got;
	}
	return 0;
}

static int judge(const char *path, const struct stat *st, size_t max, unsigned forbidden, char *err,
	size_t size)
{
	if (!S_ISREG(st->st_mode)) {
		snprintf(err, size, "%s: not a regular file", path);
		return ERR_IO;
	}
	if ((st->st_mode & forbidden) != 0) {
		snprintf(err, size, "%s: mode %04o lets others at a secret: chmod 0600 it", path,
			(unsigned)st->st_mode & 07777);
		return ERR_DENIED;
	}
	if (st->st_size < 0 || (uint64_t)st->st_size > max) {
		snprintf(err, size, "%s: larger than the %zu bytes that are read", path, max);
		return ERR_LIMIT;
	}
	return 0;
}

static int open_err(const char *path, char *err, size_t size)
{
	int error = errno;
	const char *why =
		error == ELOOP ? "a link where a file of our own is expected" : strerror(error);
	snprintf(err, size, "%s: %s", path, why);
	return error == ENOENT ? ERR_NOTFOUND : error == EACCES ? ERR_DENIED : ERR_IO;
}

/* O_NONBLOCK: does not wait for a writer where the name is that of a pipe. */
int file_read(const char *path, size_t max, unsigned forbidden, char **p, size_t *n, char *err,
	size_t size)
{
	struct stat st = {0};
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return open_err(path, err, size);
	int e = fstat(fd, &st) != 0 ? open_err(path, err, size)
				    : judge(path, &st, max, forbidden, err, size);
	if (e == 0) {
		*n = (size_t)st.st_size;
		*p = mem_alloc(*n + 1);
		e = read_all(fd, *p, *n);
		if (e != 0) {
			snprintf(err, size, "%s: cannot be read", path);
			mem_free_secret(*p, *n);
		}
	}
	close(fd);
	return e;
}

static int write_all(int fd, const char *p, size_t n)
{
	while (n > 0) {
		ssize_t put = write(fd, p, n);
		if (put < 0 && errno == EINTR)
			continue;
		if (put <= 0)
			return ERR_IO;
		p += put;
		n -= (size_t)put;
	}
	return 0;
}

/* The rename is durable only when the folder is. */
static int sync_folder(const char *path)
{
	char *folder = mem_strdup(path);
	char *slash = strrchr(folder, '/');
	if (slash != NULL)
		*(slash == folder ? slash + 1 : slash) = '\0';
	int fd = open(slash != NULL ? folder : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	mem_free(folder);
	if (fd < 0)
		return ERR_IO;
	int e = fsync(fd) == 0 || errno == EINVAL ? 0 : ERR_IO;
	close(fd);
	return e;
}

/* What a killed process of our number left behind is in nobody's use: in a container every start
 * has the same number. */
static int open_new(const char *path)
{
	int flags = O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW;
	int fd = open(path, flags, 0600);
	if (fd < 0 && errno == EEXIST && unlink(path) == 0)
		fd = open(path, flags, 0600);
	return fd;
}

/* The bytes into a new file at tmp, on disk; with errno. */
static int write_new(const char *tmp, unsigned mode, struct str bytes)
{
	int fd = open_new(tmp);
	if (fd < 0)
		return ERR_IO;
	int e = fchmod(fd, mode) != 0 ? ERR_IO : write_all(fd, bytes.p, bytes.n);
	if (e == 0 && fsync(fd) != 0)
		e = ERR_IO;
	int error = errno;
	if (close(fd) != 0 && e == 0) {
		e = ERR_IO;
		error = errno;
	}
	if (e != 0)
		(void)unlink(tmp);
	errno = error;
	return e;
}

int file_replace(const char *path, unsigned mode, struct str bytes, char *err, size_t size)
{
	char *tmp = mem_printf("%s.%d.tmp", path, (int)getpid());
	int e = write_new(tmp, mode, bytes);
	if (e == 0 && rename(tmp, path) != 0) {
		int error = errno;
		(void)unlink(tmp);
		errno = error;
		e = ERR_IO;
	}
	mem_free(tmp);
	if (e == 0)
		e = sync_folder(path);
	if (e != 0)
		snprintf(err, size, "%s: %s", path, strerror(errno));
	return e;
}

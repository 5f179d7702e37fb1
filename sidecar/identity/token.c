/*
 * Reads a token file: bounded, trimmed, and nothing but what may stand in a header. Owns nothing;
 * called by identity.c.
 */
#include "sidecar/identity/token.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "lib/base/alloc.h"
#include "lib/base/err.h"
#include "lib/base/str.h"

/* Does not wait where the name is that of a pipe. Bytes, or -1 with errno. */
static ssize_t read_file(const char *path, char *p, size_t size)
{
	size_t n = 0;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return -1;
	while (n < size) {
		ssize_t got = read(fd, p + n, size - n);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0) {
			int error = errno;
			close(fd);
			errno = error;
			return -1;
		}
		if (got == 0)
			break;
		n += (size_t)got;
	}
	close(fd);
	return (ssize_t)n;
}

static struct str trim(struct str s)
{
	while (s.n > 0 && strchr(" \t\r\n", s.p[0]) != NULL)
		s = str_sub(s, 1, s.n);
	while (s.n > 0 && strchr(" \t\r\n", s.p[s.n - 1]) != NULL)
		s.n--;
	return s;
}

static bool is_token(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] <= ' ' || s.p[i] >= 0x7f)
			return false;
	return s.n > 0;
}

static int judge(const char *path, struct str bytes, char **out, char *err, size_t size)
{
	struct str token = trim(bytes);
	if (bytes.n > TOKEN_BYTES_MAX) {
		snprintf(err, size, "%s: more than %d bytes is no token", path, TOKEN_BYTES_MAX);
		return ERR_LIMIT;
	}
	if (!is_token(token)) {
		snprintf(err, size, "%s: %s", path,
			token.n == 0 ? "empty" : "holds bytes that no token has");
		return ERR_INVAL;
	}
	*out = mem_strndup(token.p, token.n);
	return 0;
}

int token_read(const char *path, char **out, char *err, size_t size)
{
	char bytes[TOKEN_BYTES_MAX + 1];
	*out = NULL;
	if (path == NULL || path[0] == '\0') {
		snprintf(err, size, "no token file is named (--token)");
		return ERR_NOTFOUND;
	}
	ssize_t n = read_file(path, bytes, sizeof(bytes));
	if (n < 0) {
		int error = errno;
		snprintf(err, size, "%s: %s", path, strerror(error));
		return error == ENOENT ? ERR_NOTFOUND : ERR_IO;
	}
	int e = judge(path, str_make(bytes, (size_t)n), out, err, size);
	mem_wipe(bytes, sizeof(bytes));
	return e;
}

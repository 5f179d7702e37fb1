/*
 * Reads a token file: bounded, trimmed, and nothing but what may stand in a header. Owns nothing;
 * called by identity.c.
 */
#include "sidecar/identity/token.h"

#include <stdio.h>

#include "lib/base/alloc.h"
#include "lib/base/err.h"
#include "lib/base/file.h"

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
	char *bytes;
	size_t n;
	*out = NULL;
	if (path == NULL || path[0] == '\0') {
		snprintf(err, size, "no token file is named (--token)");
		return ERR_NOTFOUND;
	}
	int e = file_read(path, TOKEN_BYTES_MAX, 0, &bytes, &n, err, size);
	if (e != 0)
		return e;
	e = judge(path, str_make(bytes, n), out, err, size);
	mem_free_secret(bytes, n);
	return e;
}

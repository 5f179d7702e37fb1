/*
 * Where a broken invariant of ours ends: one line on stderr, then abort. Owns nothing.
 * Called through OBJ_CAST and ASSERT only.
 */
#include "lib/base/obj.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

_Noreturn void obj_fail(const char *file, int line, const char *what)
{
	char text[512];
	int n = snprintf(text, sizeof(text), "weft: broken invariant at %s:%d: %s\n", file, line,
		what);

	/* write and not stdio: memory may be out, and another thread may hold the stream's lock. */
	if (n > 0 &&
		write(STDERR_FILENO, text,
			(size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1) < 0)
		abort();
	abort();
}

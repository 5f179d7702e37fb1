/*
 * The C allocator behind functions that never fail: out of memory stops the program with one line.
 * Owns nothing; called wherever an object is made.
 */
#include "lib/base/alloc.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

#include "lib/base/obj.h"

static void *alloc_checked(void *p)
{
	if (p == NULL)
		obj_fail(__FILE__, __LINE__, "out of memory");
	return p;
}

/* malloc(0) may give NULL, which would read as out of memory. */
static size_t alloc_size(size_t size)
{
	return size != 0 ? size : 1;
}

void *mem_alloc(size_t size)
{
	return alloc_checked(calloc(1, alloc_size(size)));
}

void *mem_alloc_array(size_t n, size_t size)
{
	size_t total;

	if (__builtin_mul_overflow(n, size, &total))
		obj_fail(__FILE__, __LINE__, "array size overflows");
	return mem_alloc(total);
}

void *mem_resize(void *p, size_t size)
{
	return alloc_checked(realloc(p, alloc_size(size)));
}

char *mem_strndup(const char *s, size_t n)
{
	size_t len = strnlen(s, n);
	char *copy = mem_alloc(len + 1);

	memcpy(copy, s, len);
	return copy;
}

char *mem_strdup(const char *s)
{
	return mem_strndup(s, strlen(s));
}

char *mem_printf(const char *fmt, ...)
{
	va_list ap;
	char *text;

	va_start(ap, fmt);
	int n = vasprintf(&text, fmt, ap);
	va_end(ap);
	if (n < 0)
		obj_fail(__FILE__, __LINE__, "out of memory");
	return text;
}

void mem_free(void *p)
{
	free(p);
}

void mem_wipe(void *p, size_t size)
{
	if (p != NULL)
		explicit_bzero(p, size);
}

void mem_free_secret(void *p, size_t size)
{
	mem_wipe(p, size);
	free(p);
}

void mem_release(void)
{
#ifdef __GLIBC__
	malloc_trim(0);
#endif
}

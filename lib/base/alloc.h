/*
 * The only door to the C allocator: these abort when memory is out, so no half-built object exists
 * anywhere. Sizes are bounded by the callers' limits; used when objects are created, not on the way
 * of a request.
 */
#ifndef WEFT_BASE_ALLOC_H
#define WEFT_BASE_ALLOC_H

#include <stddef.h>

/* Zeroed memory. The caller owns it and gives it back with mem_free. Never NULL. */
void *mem_alloc(size_t size) __attribute__((malloc, alloc_size(1)));
/* Zeroed array of n elements; aborts where n * size overflows. */
void *mem_alloc_array(size_t n, size_t size) __attribute__((malloc));
void *mem_resize(void *p, size_t size);
/* NUL-terminated copies. mem_strndup stops at n bytes. */
char *mem_strdup(const char *s);
char *mem_strndup(const char *s, size_t n);
char *mem_printf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void mem_free(void *p);
/* What was freed goes back to the system, where the C library keeps it. Walks the heap: for quiet
 * times only. */
void mem_release(void);
/* Overwrites with zeros in a way that the compiler keeps, then frees. For keys and tokens. */
void mem_free_secret(void *p, size_t size);
void mem_wipe(void *p, size_t size);

#define MEM_NEW(type) ((type *)mem_alloc(sizeof(type)))

#endif

/*
 * The allocator of an nghttp2 session: powers of two on free lists, larger blocks straight from the
 * system, a bound on the sum. Owns the idle blocks; called by nghttp2 alone, and by h2_conn.c when
 * the session rests.
 */
#include "lib/http/h2_mem.h"

#include <stdalign.h>
#include <string.h>

#include "lib/base/alloc.h"
#include "lib/base/obj.h"
#include "lib/base/poison.h"

#define SMALLEST 32u
#define NO_CLASS UINT32_MAX

/* Owned by nghttp2 while handed out, by the free list while idle. */
struct h2_mem_block {
	alignas(16) struct h2_mem_block *next; /* while idle */
	uint32_t class;
	uint32_t size; /* bytes of data */
	alignas(16) uint8_t data[];
};

static uint32_t class_of(size_t size)
{
	uint32_t class = 0;

	while (class < H2_MEM_CLASSES && ((size_t)SMALLEST << class) < size)
		class ++;
	return class < H2_MEM_CLASSES ? class : NO_CLASS;
}

static struct h2_mem_block *block_of(void *p)
{
	return CONTAINER_OF(p, struct h2_mem_block, data);
}

static struct h2_mem_block *block_take(struct h2_mem *m, uint32_t class, size_t size)
{
	struct h2_mem_block *b = class != NO_CLASS ? m->idle[class] : NULL;

	if (b == NULL) {
		/* Not cleared: of the large ones most pages are never touched. */
		b = mem_resize(NULL, sizeof(*b) + size);
		m->fresh++;
	} else {
		m->idle[class] = b->next;
		m->idle_bytes -= size;
		UNPOISON(b->data, size);
	}
	b->class = class;
	b->size = (uint32_t)size;
	return b;
}

static void *on_malloc(size_t size, void *arg)
{
	struct h2_mem *m = arg;
	uint32_t class = class_of(size);

	if (class != NO_CLASS)
		size = (size_t)SMALLEST << class;
	if (size > m->max || m->used > m->max - size)
		return NULL;
	m->used += size;
	return block_take(m, class, size)->data;
}

static void on_free(void *p, void *arg)
{
	struct h2_mem *m = arg;

	if (p == NULL)
		return;
	struct h2_mem_block *b = block_of(p);

	ASSERT(m->used >= b->size);
	m->used -= b->size;
	if (b->class == NO_CLASS || m->idle_bytes + b->size > H2_MEM_IDLE_MAX) {
		mem_free(b);
		return;
	}
	m->idle_bytes += b->size;
	b->next = m->idle[b->class];
	m->idle[b->class] = b;
	POISON(b->data, b->size);
}

static void *on_calloc(size_t n, size_t size, void *arg)
{
	size_t total;

	if (__builtin_mul_overflow(n, size, &total))
		return NULL;
	void *p = on_malloc(total, arg);

	return p != NULL ? memset(p, 0, total) : NULL;
}

static void *on_realloc(void *p, size_t size, void *arg)
{
	if (p == NULL)
		return on_malloc(size, arg);
	struct h2_mem_block *b = block_of(p);

	if (size <= b->size)
		return p;
	void *grown = on_malloc(size, arg);

	if (grown == NULL)
		return NULL;
	memcpy(grown, p, b->size);
	on_free(p, arg);
	return grown;
}

void h2_mem_init(struct h2_mem *m, size_t max)
{
	*m = (struct h2_mem){
		.vt = {.mem_user_data = m,
			.malloc = on_malloc,
			.free = on_free,
			.calloc = on_calloc,
			.realloc = on_realloc},
		.max = max,
	};
}

void h2_mem_trim(struct h2_mem *m)
{
	for (size_t i = 0; i < H2_MEM_CLASSES; i++) {
		struct h2_mem_block *b;

		while ((b = m->idle[i]) != NULL) {
			m->idle[i] = b->next;
			UNPOISON(b->data, b->size);
			mem_free(b);
		}
	}
	m->idle_bytes = 0;
}

/*
 * Checked casts: every object that travels through a void pointer begins with a magic number, and
 * the callback that receives it checks it. A wrong one is our own fault, never a peer's, and stops
 * the program at once.
 */
#ifndef WEFT_BASE_OBJ_H
#define WEFT_BASE_OBJ_H

#include <stddef.h>
#include <stdint.h>

/* First member of an object; MAGIC is a constant of the module. */
struct obj_head {
	uint32_t magic;
};

/* Prints what was expected and aborts. */
_Noreturn void obj_fail(const char *file, int line, const char *what);

static inline void *obj_check(const void *p, uint32_t magic, const char *file, int line,
	const char *what)
{
	const struct obj_head *head = p;
	if (head == NULL || head->magic != magic)
		obj_fail(file, line, what);
	return (void *)(uintptr_t)p;
}

/* OBJ_CAST(struct conn, CONN_MAGIC, arg): the pointer, checked. The object's first member is struct
 * obj_head. */
#define OBJ_CAST(type, magic_value, p) \
	((type *)obj_check((p), (magic_value), __FILE__, __LINE__, #type))

/* Our own invariants, on in release builds too. A peer can never make one fail. */
#define ASSERT(cond) ((cond) ? (void)0 : obj_fail(__FILE__, __LINE__, #cond))

#define CONTAINER_OF(p, type, member) ((type *)(void *)((char *)(p) - offsetof(type, member)))

#endif

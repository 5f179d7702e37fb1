/*
 * Intrusive doubly linked list: the node lives in the object, the list owns nothing.
 * A node that is not on a list points to itself after list_node_init or list_remove.
 */
#ifndef WEFT_BASE_LIST_H
#define WEFT_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/obj.h"

struct list_node {
	struct list_node *prev, *next;
};

/* A list head is a node whose neighbours are the last and the first element. */
struct list {
	struct list_node head;
};

static inline void list_node_init(struct list_node *n)
{
	n->prev = n->next = n;
}

static inline void list_init(struct list *l)
{
	list_node_init(&l->head);
}

static inline bool list_linked(const struct list_node *n)
{
	return n->next != n && n->next != NULL;
}

static inline bool list_empty(const struct list *l)
{
	return l->head.next == &l->head;
}

static inline void list_insert_before(struct list_node *pos, struct list_node *n)
{
	n->prev = pos->prev;
	n->next = pos;
	pos->prev->next = n;
	pos->prev = n;
}

static inline void list_append(struct list *l, struct list_node *n)
{
	list_insert_before(&l->head, n);
}

static inline void list_prepend(struct list *l, struct list_node *n)
{
	list_insert_before(l->head.next, n);
}

/* Safe on a node that is on no list. */
static inline void list_remove(struct list_node *n)
{
	if (n->next == NULL)
		return;
	n->prev->next = n->next;
	n->next->prev = n->prev;
	list_node_init(n);
}

static inline struct list_node *list_first(const struct list *l)
{
	return list_empty(l) ? NULL : l->head.next;
}

static inline struct list_node *list_last(const struct list *l)
{
	return list_empty(l) ? NULL : l->head.prev;
}

static inline struct list_node *list_pop(struct list *l)
{
	struct list_node *n = list_first(l);
	if (n != NULL)
		list_remove(n);
	return n;
}

/* Moves all of src to the end of dst; src is empty afterwards. */
static inline void list_splice(struct list *dst, struct list *src)
{
	if (list_empty(src))
		return;
	struct list_node *first = src->head.next, *last = src->head.prev;
	first->prev = dst->head.prev;
	dst->head.prev->next = first;
	last->next = &dst->head;
	dst->head.prev = last;
	list_init(src);
}

/* Visits each node; the body may remove the current one but no other. */
#define LIST_EACH(l, n)                                                                  \
	for (struct list_node *n = (l)->head.next, *n##_next = n->next; n != &(l)->head; \
		n = n##_next, n##_next = n->next)

#endif

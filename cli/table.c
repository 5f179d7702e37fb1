/*
 * Collects and prints tables. Owns nothing but memory of the caller's arena.
 */
#include "cli/table.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/obj.h"

#define WIDTH_MAX 80 /* a wider cell makes no column wider */

static bool is_plain(unsigned char c)
{
	return c >= 0x20 && c < 0x7f && c != '\\';
}

struct str table_safe(struct arena *a, struct str s)
{
	static const char hex[] = "0123456789abcdef";
	size_t odd = 0, n = 0;
	for (size_t i = 0; i < s.n; i++)
		odd += !is_plain((unsigned char)s.p[i]);
	if (odd == 0)
		return s;
	char *p = arena_alloc(a, s.n + 3 * odd);
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];
		if (is_plain(c)) {
			p[n++] = (char)c;
			continue;
		}
		p[n++] = '\\';
		p[n++] = 'x';
		p[n++] = hex[c >> 4];
		p[n++] = hex[c & 15];
	}
	return str_make(p, n);
}

static void put(struct table *t, struct str cell)
{
	if (t->n == t->room) {
		size_t room = t->room == 0 ? 64 : 2 * t->room;
		struct str *cells = arena_alloc(t->arena, room * sizeof(*cells));
		if (t->n > 0)
			memcpy(cells, t->cells, t->n * sizeof(*cells));
		t->cells = cells;
		t->room = room;
	}
	t->cells[t->n++] = cell;
}

void table_init(struct table *t, struct arena *arena, const char *const *titles)
{
	*t = (struct table){.arena = arena};
	for (; titles[t->columns] != NULL; t->columns++)
		put(t, str_from(titles[t->columns]));
	ASSERT(t->columns > 0 && t->columns <= TABLE_COLUMNS);
}

void table_add(struct table *t, struct str cell)
{
	put(t, cell.n > 0 ? table_safe(t->arena, cell) : STR("-"));
}

void table_addf(struct table *t, const char *fmt, ...)
{
	char text[1024];
	va_list args;
	va_start(args, fmt);
	int n = vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	size_t len = n < 0 ? 0 : (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1;
	table_add(t, arena_str(t->arena, str_make(text, len)));
}

static int by_first(const void *a, const void *b)
{
	const struct str *x = a, *y = b;
	int d = memcmp(x->p, y->p, x->n < y->n ? x->n : y->n);
	return d != 0 ? d : (x->n > y->n) - (x->n < y->n);
}

void table_sort(struct table *t)
{
	ASSERT(t->n % t->columns == 0);
	qsort(t->cells + t->columns, t->n / t->columns - 1, t->columns * sizeof(*t->cells),
		by_first);
}

void table_print(const struct table *t)
{
	size_t width[TABLE_COLUMNS] = {0};
	if (t->n <= t->columns)
		return;
	for (size_t i = 0; i < t->n; i++)
		if (t->cells[i].n > width[i % t->columns])
			width[i % t->columns] =
				t->cells[i].n < WIDTH_MAX ? t->cells[i].n : WIDTH_MAX;
	for (size_t i = 0; i < t->n; i++) {
		bool last = i % t->columns == t->columns - 1;
		if (last)
			printf("%.*s\n", STR_ARG(t->cells[i]));
		else
			printf("%-*.*s  ", (int)width[i % t->columns], STR_ARG(t->cells[i]));
	}
}

/*
 * Builds document trees from libyaml's events. The parse in progress lives on the stack of
 * yaml_parse and owns the libyaml parser; the nodes go to the caller's arena.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <yaml.h>

#include "lib/base/err.h"
#include "lib/yaml/scalar.h"
#include "lib/yaml/yaml.h"

/* A list or map that is not complete, and in a map the key that waits for its value. */
struct open {
	struct yaml_node *node, *last;
	bool have_key;
	struct str key;
	uint32_t key_line, key_column;
};

/* On the stack of yaml_parse, which owns the libyaml parser; the rest is borrowed. */
struct parse {
	yaml_parser_t lib;
	struct arena *arena;
	struct str bytes;
	struct open open[YAML_MAX_DEPTH];
	size_t depth, nodes;
	struct yaml_node *first, *last; /* documents */
	struct yaml_error *error;
};

static uint32_t line_of(const yaml_mark_t *mark)
{
	return mark->line < UINT32_MAX ? (uint32_t)mark->line + 1 : UINT32_MAX;
}

static uint32_t column_of(const yaml_mark_t *mark)
{
	return mark->column < UINT32_MAX ? (uint32_t)mark->column + 1 : UINT32_MAX;
}

static int fail(struct parse *p, int err, uint32_t line, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

static int fail(struct parse *p, int err, uint32_t line, const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	vsnprintf(p->error->text, sizeof(p->error->text), fmt, args);
	va_end(args);
	p->error->line = line;
	return err;
}

/* Bytes that are no text have an offset instead of a line. */
static int fail_reader(struct parse *p)
{
	uint32_t line = 1;
	for (size_t i = 0; i < p->lib.problem_offset && i < p->bytes.n; i++)
		line += p->bytes.p[i] == '\n';
	return fail(p, ERR_INVAL, line, "not UTF-8 text: %s", p->lib.problem);
}

static int fail_lib(struct parse *p)
{
	uint32_t line = line_of(&p->lib.problem_mark);
	const char *problem = p->lib.problem != NULL ? p->lib.problem : "cannot be read";
	if (p->lib.error == YAML_MEMORY_ERROR)
		return fail(p, ERR_LIMIT, 1, "out of memory");
	if (p->lib.error == YAML_READER_ERROR)
		return fail_reader(p);
	if (p->lib.context == NULL)
		return fail(p, ERR_INVAL, line, "no valid YAML: %s", problem);
	return fail(p, ERR_INVAL, line, "no valid YAML: %s (%s that begins in line %u)", problem,
		p->lib.context, line_of(&p->lib.context_mark));
}

/* -- nodes ------------------------------------------------------------------------------------ */

static void attach_child(struct open *parent, struct yaml_node *node)
{
	node->parent = parent->node;
	node->index = parent->node->n++;
	if (parent->node->kind == YAML_MAP) {
		node->key = parent->key;
		node->key_line = parent->key_line;
		node->key_column = parent->key_column;
		parent->have_key = false;
	}
	if (parent->last == NULL)
		parent->node->first = node;
	else
		parent->last->next = node;
	parent->last = node;
}

static void attach_document(struct parse *p, struct yaml_node *node)
{
	if (node->kind == YAML_NULL)
		return;
	if (p->last == NULL)
		p->first = node;
	else
		p->last->next = node;
	p->last = node;
}

/* A node where the event stands, in its parent's list; NULL with an error beyond the limit. */
static struct yaml_node *add_node(struct parse *p, const yaml_event_t *e, enum yaml_kind kind)
{
	if (p->nodes++ == YAML_MAX_NODES) {
		(void)fail(p, ERR_LIMIT, line_of(&e->start_mark),
			"more than %u values in one file; split it", YAML_MAX_NODES);
		return NULL;
	}
	struct yaml_node *node = ARENA_NEW(p->arena, struct yaml_node);
	node->kind = kind;
	node->line = line_of(&e->start_mark);
	node->column = column_of(&e->start_mark);
	if (p->depth > 0)
		attach_child(&p->open[p->depth - 1], node);
	return node;
}

static bool awaits_key(const struct parse *p)
{
	const struct open *top = p->depth > 0 ? &p->open[p->depth - 1] : NULL;
	return top != NULL && top->node->kind == YAML_MAP && !top->have_key;
}

/* Tags change what a value is; the one that says what quotes say is harmless. */
static int check_tag(struct parse *p, const yaml_event_t *e, const yaml_char_t *tag, bool *string)
{
	*string = false;
	if (tag == NULL)
		return 0;
	if (strcmp((const char *)tag, YAML_STR_TAG) == 0 && e->type == YAML_SCALAR_EVENT) {
		*string = true;
		return 0;
	}
	return fail(p, ERR_INVAL, line_of(&e->start_mark),
		"the tag %.80s is not supported: write the plain value", (const char *)tag);
}

static int on_scalar(struct parse *p, const yaml_event_t *e)
{
	bool string;
	int err = check_tag(p, e, e->data.scalar.tag, &string);
	if (err != 0)
		return err;
	struct str text = str_make(e->data.scalar.value, e->data.scalar.length);
	if (awaits_key(p)) {
		struct open *top = &p->open[p->depth - 1];
		top->key = arena_str(p->arena, text);
		top->key_line = line_of(&e->start_mark);
		top->key_column = column_of(&e->start_mark);
		top->have_key = true;
		return 0;
	}
	struct yaml_node *node = add_node(p, e, YAML_STRING);
	if (node == NULL)
		return ERR_LIMIT;
	node->text = arena_str(p->arena, text);
	node->quoted = string || e->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
	if (!node->quoted)
		yaml_scalar_resolve(node);
	if (p->depth == 0)
		attach_document(p, node);
	return 0;
}

static int on_start(struct parse *p, const yaml_event_t *e, enum yaml_kind kind)
{
	bool string;
	const yaml_char_t *tag =
		kind == YAML_MAP ? e->data.mapping_start.tag : e->data.sequence_start.tag;
	int err = check_tag(p, e, tag, &string);
	if (err != 0)
		return err;
	if (awaits_key(p))
		return fail(p, ERR_INVAL, line_of(&e->start_mark),
			"a key must be a plain value, found %s", yaml_kind_text(kind));
	if (p->depth == YAML_MAX_DEPTH)
		return fail(p, ERR_LIMIT, line_of(&e->start_mark),
			"more than %u lists and maps inside one another", YAML_MAX_DEPTH);
	struct yaml_node *node = add_node(p, e, kind);
	if (node == NULL)
		return ERR_LIMIT;
	p->open[p->depth++] = (struct open){.node = node};
	return 0;
}

/* -- keys that occur twice -------------------------------------------------------------------- */

static int order_keys(const void *a, const void *b)
{
	const struct yaml_node *x = *(const struct yaml_node *const *)a;
	const struct yaml_node *y = *(const struct yaml_node *const *)b;
	size_t n = x->key.n < y->key.n ? x->key.n : y->key.n;
	int c = n > 0 ? memcmp(x->key.p, y->key.p, n) : 0;
	if (c == 0 && x->key.n != y->key.n)
		c = x->key.n < y->key.n ? -1 : 1;
	if (c == 0)
		c = x->index < y->index ? -1 : 1;
	return c;
}

static int check_keys(struct parse *p, const struct yaml_node *map)
{
	if (map->n < 2)
		return 0;
	const struct yaml_node **all = arena_alloc(p->arena, map->n * sizeof(struct yaml_node *));
	size_t n = 0;
	for (const struct yaml_node *c = map->first; c != NULL; c = c->next)
		all[n++] = c;
	qsort(all, n, sizeof(struct yaml_node *), order_keys);
	for (size_t i = 1; i < n; i++)
		if (str_eq(all[i - 1]->key, all[i]->key))
			return fail(p, ERR_INVAL, all[i]->key_line,
				"the key %.*s is there twice; it was first in line %u",
				(int)(all[i]->key.n < 80 ? all[i]->key.n : 80), all[i]->key.p,
				all[i - 1]->key_line);
	return 0;
}

static int on_end(struct parse *p)
{
	struct yaml_node *node = p->open[--p->depth].node;
	if (p->depth == 0)
		attach_document(p, node);
	return node->kind == YAML_MAP ? check_keys(p, node) : 0;
}

/* -- events ----------------------------------------------------------------------------------- */

static int on_event(struct parse *p, const yaml_event_t *e)
{
	switch (e->type) {
	case YAML_SCALAR_EVENT:
		return on_scalar(p, e);
	case YAML_SEQUENCE_START_EVENT:
		return on_start(p, e, YAML_LIST);
	case YAML_MAPPING_START_EVENT:
		return on_start(p, e, YAML_MAP);
	case YAML_SEQUENCE_END_EVENT:
	case YAML_MAPPING_END_EVENT:
		return on_end(p);
	case YAML_ALIAS_EVENT:
		return fail(p, ERR_INVAL, line_of(&e->start_mark),
			"the alias *%.80s is not supported: write the value out",
			(const char *)e->data.alias.anchor);
	case YAML_NO_EVENT:
	case YAML_STREAM_START_EVENT:
	case YAML_STREAM_END_EVENT:
	case YAML_DOCUMENT_START_EVENT:
	case YAML_DOCUMENT_END_EVENT:
		break;
	}
	return 0;
}

static int parse_all(struct parse *p)
{
	for (;;) {
		yaml_event_t e;
		if (!yaml_parser_parse(&p->lib, &e))
			return fail_lib(p);
		bool done = e.type == YAML_STREAM_END_EVENT;
		int err = on_event(p, &e);
		yaml_event_delete(&e);
		if (err != 0 || done)
			return err;
	}
}

int yaml_parse(struct arena *a, struct str bytes, const struct yaml_node **docs,
	struct yaml_error *error)
{
	struct parse p = {.arena = a, .bytes = bytes, .error = error};
	*docs = NULL;
	if (bytes.n > YAML_MAX_BYTES)
		return fail(&p, ERR_LIMIT, 1, "larger than %u MiB; split it", YAML_MAX_BYTES >> 20);
	if (!yaml_parser_initialize(&p.lib))
		return fail(&p, ERR_LIMIT, 1, "out of memory");
	yaml_parser_set_encoding(&p.lib, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&p.lib, (const unsigned char *)bytes.p, bytes.n);
	int e = parse_all(&p);
	yaml_parser_delete(&p.lib);
	if (e == 0)
		*docs = p.first;
	return e;
}

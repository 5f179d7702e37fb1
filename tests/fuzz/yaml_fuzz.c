/*
 * Any bytes as YAML: read or refused, within its bounds, as trees that hold together and whose
 * every node has a path.
 */
#include "lib/base/err.h"
#include "lib/base/obj.h"
#include "lib/yaml/yaml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void walk(struct arena *a, const struct yaml_node *node, unsigned depth)
{
	uint32_t n = 0;
	const struct yaml_node *before = NULL;
	bool inner = node->kind == YAML_LIST || node->kind == YAML_MAP;
	ASSERT(depth <= YAML_MAX_DEPTH + 1 && node->line > 0 && node->column > 0);
	ASSERT(inner || node->first == NULL);
	ASSERT(!node->quoted || node->kind == YAML_STRING);
	for (const struct yaml_node *c = node->first; c != NULL; c = c->next) {
		ASSERT(c->parent == node && c->index == n);
		/* The first of a key is the only one. */
		ASSERT(node->kind != YAML_MAP || n > 64 || yaml_field(node, c->key) == c);
		if (n++ < 16)
			walk(a, c, depth + 1);
		before = c;
	}
	ASSERT(n == node->n);
	if (before != NULL && depth < 8)
		(void)yaml_path(a, NULL, before);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena a;
	struct yaml_error error = {0};
	const struct yaml_node *docs;
	arena_init(&a, NULL);
	int err = yaml_parse(&a, str_make(data, size), &docs, &error);
	ASSERT(err == 0 || (docs == NULL && error.line > 0 && error.text[0] != '\0'));
	for (const struct yaml_node *doc = docs; doc != NULL; doc = doc->next)
		walk(&a, doc, 1);
	arena_clear(&a);
	return 0;
}

/*
 * Looking things up in document trees, and saying where they are. Pure; the trees belong to their
 * arena. Called by everyone who reads documents.
 */
#include "lib/yaml/yaml.h"

const struct yaml_node *yaml_field(const struct yaml_node *map, struct str key)
{
	if (map == NULL || map->kind != YAML_MAP)
		return NULL;
	for (const struct yaml_node *c = map->first; c != NULL; c = c->next)
		if (str_eq(c->key, key))
			return c;
	return NULL;
}

const struct yaml_node *yaml_get(const struct yaml_node *map, const char *path)
{
	struct str rest = str_from(path), key;
	while (map != NULL && str_split(&rest, '.', &key))
		map = yaml_field(map, key);
	return map;
}

struct str yaml_path(struct arena *a, const struct yaml_node *root, const struct yaml_node *node)
{
	const struct yaml_node *up = node->parent;
	if (up == NULL || node == root)
		return STR_NULL;
	struct str base = yaml_path(a, root, up);
	if (up->kind == YAML_LIST)
		return arena_printf(a, "%.*s[%u]", STR_ARG(base), node->index);
	if (str_find(node->key, '.') >= 0)
		return arena_printf(a, "%.*s[\"%.*s\"]", STR_ARG(base), STR_ARG(node->key));
	return arena_printf(a, "%.*s%s%.*s", STR_ARG(base), base.n > 0 ? "." : "",
		STR_ARG(node->key));
}

const char *yaml_kind_text(enum yaml_kind kind)
{
	switch (kind) {
	case YAML_NULL:
		return "nothing";
	case YAML_BOOL:
		return "a boolean";
	case YAML_INT:
		return "an integer";
	case YAML_REAL:
		return "a number";
	case YAML_STRING:
		return "a string";
	case YAML_LIST:
		return "a list";
	case YAML_MAP:
		return "a map";
	}
	return "nothing";
}

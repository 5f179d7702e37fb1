/*
 * The table of parameters itself. Owns static data alone; used by main.c, the documentation target
 * and tests.
 */
#include "ctrlplane/params.h"

static const struct param table[] = {
#define PARAM(...) PARAM_ROW(struct ctrlplane_params, __VA_ARGS__)
#define PARAM_GROUP PARAM_GROUP_ROW
#include "ctrlplane/params.def"
#undef PARAM
#undef PARAM_GROUP
};

const struct param *ctrlplane_params_table(size_t *n)
{
	*n = sizeof(table) / sizeof(table[0]);
	return table;
}

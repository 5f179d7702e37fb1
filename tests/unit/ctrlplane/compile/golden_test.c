/*
 * Whole worlds, tests/golden/compile/NAME.yaml, against what must come out of them, NAME.txt:
 * problems, then the resources of the pod that the first line names. Run with WEFT_GOLDEN=update
 * to write the answers anew, and read the difference.
 */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "cli/state_json.h"
#include "lib/base/alloc.h"
#include "tests/support/worlds.h"

#define DIR_NAME "tests/golden/compile"
#define FILE_MAX (1 << 20)

static char *read_file(const char *path)
{
	FILE *f = fopen(path, "re");
	if (f == NULL)
		return mem_strdup("");
	char *text = mem_alloc(FILE_MAX + 1);
	text[fread(text, 1, FILE_MAX, f)] = '\0';
	fclose(f);
	return text;
}

static void write_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "we");
	assert_non_null(f);
	assert_int_equal(fwrite(text, 1, strlen(text), f), strlen(text));
	fclose(f);
}

/* "# pod: shop/web-1" */
static void subject(const char *yaml, struct str *ns, struct str *name)
{
	static const char head[] = "# pod: ";
	assert_memory_equal(yaml, head, sizeof(head) - 1);
	*name = str_make(yaml + sizeof(head) - 1, strcspn(yaml + sizeof(head) - 1, "\n"));
	assert_true(str_split(name, '/', ns));
}

static char *text_of(struct buf *b)
{
	size_t n = buf_len(b);
	char *text = mem_alloc(n + 1);
	(void)buf_copy_out(b, 0, text, n);
	return text;
}

static char *resources(const struct world *w, struct str ns, struct str name)
{
	char err[512];
	struct arena a;
	struct json j;
	struct buf out;
	Weft__Mesh__V1__State *st;
	struct buf_pool *pool = buf_pool_new(0);
	const struct compile_bundle bundle = {world_trust_domain(w), STR("roots")};
	const struct compile_in in = {
		.ns = ns, .pod = name, .now = WORLDS_NOW, .bundles = &bundle, .n_bundles = 1};
	arena_init(&a, NULL);
	buf_init(&out, pool);
	if (compile_state(w, &in, &a, &st, err, sizeof(err)) != 0)
		fail_msg("%s", err);
	json_init(&j, &out, true);
	json_object(&j);
	json_key(&j, "required");
	state_json_resources(&j, st->required, st->n_required, true);
	json_key(&j, "used");
	state_json_resources(&j, st->used, st->n_used, true);
	json_object_end(&j);
	char *text = text_of(&out);
	buf_clear(&out);
	buf_pool_free(&pool);
	arena_clear(&a);
	return text;
}

static void check(const char *base)
{
	struct str ns, name;
	char *in = mem_printf(DIR_NAME "/%s.yaml", base),
	     *golden = mem_printf(DIR_NAME "/%s.txt", base);
	char *yaml = read_file(in), *expected = read_file(golden);
	struct world *w = world_new();
	char *file = mem_printf("%s.yaml", base);
	world_add(w, file, str_from(yaml));
	world_join(w);
	subject(yaml, &ns, &name);
	char *said = worlds_said(w), *json = resources(w, ns, name);
	char *got = mem_printf("%s%s%s\n", said, said[0] != '\0' ? "\n" : "", json);
	if (getenv("WEFT_GOLDEN") != NULL)
		write_file(golden, got);
	else if (strcmp(got, expected) != 0)
		fail_msg("%s is not what came out:\n%s", golden, got);
	world_free(&w);
	mem_free(got);
	mem_free(json);
	mem_free(said);
	mem_free(file);
	mem_free(expected);
	mem_free(yaml);
	mem_free(golden);
	mem_free(in);
}

static int is_yaml(const struct dirent *e)
{
	return str_ends(str_from(e->d_name), STR(".yaml"));
}

static void test_all(void **state)
{
	struct dirent **entries;
	int n = scandir(DIR_NAME, &entries, is_yaml, alphasort);
	(void)state;
	assert_true(n >= 4);
	for (int i = 0; i < n; i++) {
		entries[i]->d_name[strlen(entries[i]->d_name) - 5] = '\0';
		check(entries[i]->d_name);
		free(entries[i]);
	}
	free(entries);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

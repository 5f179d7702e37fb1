/*
 * The command line finds in a directory what the control plane finds in it, in the same words: both
 * read one that has everything wrong.
 */
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "cli/manifest.h"
#include "ctrlplane/source/reading.h"
#include "lib/base/alloc.h"
#include "tests/support/worlds.h"

static const struct {
	const char *name, *text;
} files[] = {
	{"a.yaml", "kind: Service\n  : [\n"},
	{"b.yaml", POD("p", "10.0.0.256", "{}", "") "---\n- 1\n"},
	{"c.json",
		"{\"apiVersion\": \"v1\", \"kind\": \"Service\", \"metadata\": {\"name\": \"s\"}, "
		"\"spec\": {\"prots\": [], \"ports\": [{\"port\": \"eighty\"}]}}"},
	{"d/e.yml", OURS("AuthorizationPolicy", "x") "spec: {rulez: []}\n" OURS("Policy", "y")},
	{"d/f.yaml",
		OURS("TrafficPolicy",
			"t") "spec: {targetRefs: [{kind: Service, name: nobody}], loadBalancer: {simple: "
			     "ROUND_ROBIN}}\n"},
	{"g.yaml",
		POD("q", "10.0.0.1", "{}", "") POD("r", "10.0.0.1", "{}", "")
			POD("q", "10.0.0.2", "{}", "")},
	{"h.txt", "kind: [\n"},
	{".hidden.yaml", "kind: [\n"},
};

static void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st, (void)type, (void)ftw;
	return remove(path);
}

static void make(const char *dir, const char *name, const char *text, const char *target)
{
	char *path = mem_printf("%s/%s", dir, name);
	if (text != NULL)
		write_file(path, text);
	else if (target != NULL)
		assert_int_equal(symlink(target, path), 0);
	else
		assert_int_equal(mkdir(path, 0755), 0);
	mem_free(path);
}

static char *deep_yaml(void)
{
	char *text = mem_alloc(20001);
	memset(text, '[', 10000);
	memset(text + 10000, ']', 10000);
	return text;
}

static void test_same_words(void **state)
{
	static const struct conf_program program = {.name = "test"};
	char dir[] = "/tmp/weft-manifest-XXXXXX";
	(void)state;
	assert_non_null(mkdtemp(dir));
	make(dir, "d", NULL, NULL);
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		make(dir, files[i].name, files[i].text, NULL);
	char *deep = deep_yaml(), *path = dir;
	make(dir, "i.yaml", deep, NULL);
	make(dir, "gone.yaml", NULL, "nowhere");
	make(dir, "loop", NULL, ".");
	struct world *mine = world_new();
	assert_true(manifest_load(&program, &path, 1, mine));
	struct reading reading = {.path = dir, .good = good_new(), .hasty = true};
	reading_run(&reading);
	char *offline = worlds_said(mine), *live = worlds_said(reading.world);
	assert_string_equal(offline, live);
	static const char *const expected[] = {"/a.yaml:2: ", "/b.yaml:6: Pod shop/p: status.podIP",
		"/b.yaml:8: object: expected a map",
		"/c.json:1: Service default/s: spec.ports[0].port",
		"/c.json:1: warning: Service default/s: spec.prots: unknown field",
		"/d/e.yml:5: AuthorizationPolicy default/x: spec.rulez",
		"Policy default/y: kind: ", "there is no Service default/nobody",
		"Pod shop/q: defined again", "is claimed by", "/i.yaml:1: more than 64",
		"/gone.yaml: cannot be read: No such file",
		"/loop: cannot be read: it is a directory"};
	for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++)
		if (strstr(live, expected[i]) == NULL)
			fail_msg("%s is not in\n%s", expected[i], live);
	assert_null(strstr(live, "h.txt"));
	assert_null(strstr(live, "hidden"));
	mem_free(offline);
	mem_free(live);
	mem_free(deep);
	world_free(&mine);
	world_free(&reading.world);
	good_free(&reading.good);
	assert_int_equal(nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_same_words),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/*
 * Every input of a fuzzer's corpus once, as a test that needs no fuzzing engine: linked with
 * NAME_fuzz.c it is NAME_replay, and reads tests/fuzz/corpus/NAME. What a fuzzer found is put
 * there, so that it stays mended.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/base/alloc.h"

#define INPUT_MAX (8u << 20)

int LLVMFuzzerInitialize(int *argc, char ***argv) __attribute__((weak));
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* On main's stack; borrowed by the test. */
struct replay {
	char *folder;
	int argc;
	char **argv;
};

static void replay_file(const char *path)
{
	struct stat st;
	FILE *f = fopen(path, "rb");
	assert_non_null(f);
	assert_int_equal(fstat(fileno(f), &st), 0);
	assert_true(S_ISREG(st.st_mode) && (uint64_t)st.st_size <= INPUT_MAX);
	size_t n = (size_t)st.st_size;
	/* Of exactly that size, so that a sanitizer sees a read beyond it. */
	uint8_t *bytes = mem_alloc(n > 0 ? n : 1);
	assert_int_equal(fread(bytes, 1, n, f), n);
	fclose(f);
	(void)LLVMFuzzerTestOneInput(bytes, n);
	mem_free(bytes);
}

static void test_corpus(void **state)
{
	struct replay *r = *state;
	size_t n = 0;
	DIR *d = opendir(r->folder);
	if (d == NULL)
		fail_msg("%s: %s", r->folder, strerror(errno));
	if (LLVMFuzzerInitialize != NULL)
		LLVMFuzzerInitialize(&r->argc, &r->argv);
	for (const struct dirent *e; (e = readdir(d)) != NULL;) {
		if (e->d_name[0] == '.')
			continue;
		char *path = mem_printf("%s/%s", r->folder, e->d_name);
		replay_file(path);
		mem_free(path);
		n++;
	}
	closedir(d);
	print_message("%zu inputs of %s\n", n, r->folder);
	assert_true(n > 0);
}

int main(int argc, char **argv)
{
	const char *slash = strrchr(argv[0], '/'), *name = slash != NULL ? slash + 1 : argv[0];
	const char *end = strstr(name, "_replay");
	struct replay r = {.argc = argc, .argv = argv};
	if (end == NULL)
		return 2;
	r.folder = mem_printf("tests/fuzz/corpus/%.*s", (int)(end - name), name);
	const struct CMUnitTest tests[] = {cmocka_unit_test_prestate(test_corpus, &r)};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	mem_free(r.folder);
	return failed;
}

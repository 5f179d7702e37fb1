/*
 * The files of `weft compile` and `weft check`. Owns the list of names while it walks; the bytes of
 * one file at a time.
 */
#include "cli/manifest.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/alloc.h"
#include "lib/yaml/yaml.h"

/* Names of files in the order of reading. On the stack of manifest_load, which frees it. */
struct walk {
	const struct conf_program *prog;
	char **files;
	size_t n, room;
};

/* -- which files ------------------------------------------------------------------------------ */

static bool add_file(struct walk *k, const char *path)
{
	if (k->n == MANIFEST_MAX_FILES) {
		command_fail(k->prog, "%s: more than %d files", path, MANIFEST_MAX_FILES);
		return false;
	}
	if (k->n == k->room) {
		k->room = k->room == 0 ? 64 : k->room * 2;
		k->files = mem_resize(k->files, k->room * sizeof(*k->files));
	}
	k->files[k->n++] = mem_strdup(path);
	return true;
}

static bool is_manifest(const char *name)
{
	struct str s = str_from(name);
	return str_ends(s, STR(".yaml")) || str_ends(s, STR(".yml")) || str_ends(s, STR(".json"));
}

static int visible(const struct dirent *e)
{
	return e->d_name[0] != '.';
}

static bool walk_path(struct walk *k, const char *path, unsigned depth);

static bool walk_entry(struct walk *k, const char *dir, const char *name, unsigned depth)
{
	struct stat st;
	char *path = mem_printf("%s/%s", dir, name);
	bool good = true;
	if (stat(path, &st) != 0) {
		command_fail(k->prog, "%s: %s", path, strerror(errno));
		good = false;
	} else if (S_ISDIR(st.st_mode)) {
		good = walk_path(k, path, depth);
	} else if (S_ISREG(st.st_mode) && is_manifest(name)) {
		good = add_file(k, path);
	}
	mem_free(path);
	return good;
}

static bool walk_dir(struct walk *k, const char *path, unsigned depth)
{
	struct dirent **entries;
	if (depth == 0) {
		command_fail(k->prog, "%s: more than %d directories inside one another", path,
			MANIFEST_MAX_DEPTH);
		return false;
	}
	int n = scandir(path, &entries, visible, alphasort);
	bool good = n >= 0;
	if (!good)
		command_fail(k->prog, "%s: %s", path, strerror(errno));
	for (int i = 0; i < n; i++) {
		good = good && walk_entry(k, path, entries[i]->d_name, depth - 1);
		mem_free(entries[i]);
	}
	if (n >= 0)
		mem_free(entries);
	return good;
}

static bool walk_path(struct walk *k, const char *path, unsigned depth)
{
	struct stat st;
	if (strcmp(path, "-") == 0)
		return add_file(k, path);
	if (stat(path, &st) != 0) {
		command_fail(k->prog, "%s: %s", path, strerror(errno));
		return false;
	}
	if (S_ISDIR(st.st_mode))
		return walk_dir(k, path, depth);
	return add_file(k, path);
}

/* -- their bytes ------------------------------------------------------------------------------ */

/* All of a file of unknown size, up to the bound of the parser and one more. */
static bool read_all(int fd, char **out, size_t *n)
{
	size_t room = 64 * 1024;
	*out = mem_alloc(room);
	*n = 0;
	for (;;) {
		ssize_t got = read(fd, *out + *n, room - *n);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return false;
		*n += (size_t)got;
		if (got == 0 || *n > YAML_MAX_BYTES)
			return true;
		if (*n == room) {
			room *= 2;
			*out = mem_resize(*out, room);
		}
	}
}

static bool read_file(const struct conf_program *prog, const char *path, struct world *w)
{
	bool standard = strcmp(path, "-") == 0;
	char *bytes;
	size_t n;
	int fd = standard ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		command_fail(prog, "%s: %s", path, strerror(errno));
		return false;
	}
	bool good = read_all(fd, &bytes, &n);
	if (good)
		world_add(w, standard ? "stdin" : path, str_make(bytes, n));
	else
		command_fail(prog, "%s: %s", path, strerror(errno));
	mem_free(bytes);
	if (!standard)
		close(fd);
	return good;
}

bool manifest_load(const struct conf_program *prog, char *const *paths, int n, struct world *w)
{
	struct walk k = {.prog = prog};
	bool good = true;
	for (int i = 0; i < n && good; i++)
		good = walk_path(&k, paths[i], MANIFEST_MAX_DEPTH);
	if (good && k.n == 0) {
		command_fail(prog, "%s%s: no .yaml, .yml or .json files there", paths[0],
			n > 1 ? " and the rest" : "");
		good = false;
	}
	for (size_t i = 0; i < k.n; i++) {
		good = good && read_file(prog, k.files[i], w);
		mem_free(k.files[i]);
	}
	mem_free(k.files);
	world_join(w);
	return good;
}

/* -- problems --------------------------------------------------------------------------------- */

void manifest_print(const struct world *w, bool notes)
{
	const struct problems *l = world_problems(w);
	for (const struct problem *p = l->first; p != NULL; p = p->next) {
		if (p->severity == PROBLEM_NOTE && !notes)
			continue;
		struct str line = problem_text(l, p);
		fprintf(stderr, "%.*s\n", STR_ARG(line));
	}
	for (int s = 0; s < PROBLEM_SEVERITIES; s++) {
		if (l->count[s] > PROBLEMS_MAX && (s != PROBLEM_NOTE || notes))
			fprintf(stderr, "and %zu more %ss\n", l->count[s] - PROBLEMS_MAX,
				problem_severity_text((enum problem_severity)s));
	}
}

void manifest_json(struct json *j, const struct world *w)
{
	const struct problems *l = world_problems(w);
	json_array(j);
	for (const struct problem *p = l->first; p != NULL; p = p->next) {
		json_object(j);
		json_key_str(j, "severity", str_from(problem_severity_text(p->severity)));
		json_key_str(j, "file", p->file);
		json_key_u64(j, "line", p->line);
		json_key_str(j, "object", p->object);
		json_key_str(j, "field", p->field);
		json_key_str(j, "message", p->text);
		json_object_end(j);
	}
	json_array_end(j);
}

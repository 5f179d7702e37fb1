/*
 * The files of `weft compile` and `weft check`. Owns the bytes of one file at a time.
 */
#include "cli/manifest.h"

#include <string.h>
#include <unistd.h>

#include "ctrlplane/source/files.h"
#include "lib/base/alloc.h"

/* On the stack of manifest_load. */
struct load {
	const struct conf_program *prog;
	struct world *w;
	const char *named; /* what the command line names */
	size_t read;
	bool good;
};

/* What was named is missed by who named it; what is found on the way is a problem like others, as
 * the control plane would tell it. */
static void on_trouble(void *arg, const char *path, const char *why)
{
	struct load *l = arg;
	l->read++;
	if (strcmp(path, l->named) != 0) {
		world_unread(l->w, path, why);
		return;
	}
	command_fail(l->prog, "%s: %s", path, why);
	l->good = false;
}

static void read_into(struct load *l, const char *path)
{
	bool standard = strcmp(path, "-") == 0;
	char *bytes;
	size_t n;
	int error =
		standard ? files_read_fd(STDIN_FILENO, &bytes, &n) : files_read(path, &bytes, &n);
	if (error != 0) {
		on_trouble(l, path, strerror(error));
		return;
	}
	l->read++;
	world_add(l->w, standard ? "stdin" : path, str_make(bytes, n));
	mem_free(bytes);
}

static void load_path(struct load *l, const char *path)
{
	struct files files = {.trouble = on_trouble, .arg = l};
	l->named = path;
	if (strcmp(path, "-") == 0) {
		read_into(l, path);
		return;
	}
	files_walk(&files, path);
	for (size_t i = 0; i < files.n; i++)
		read_into(l, files.v[i]);
	files_clear(&files);
}

bool manifest_load(const struct conf_program *prog, char *const *paths, int n, struct world *w)
{
	struct load l = {.prog = prog, .w = w, .good = true};
	for (int i = 0; i < n; i++)
		load_path(&l, paths[i]);
	if (l.good && l.read == 0) {
		command_fail(prog, "%s%s: no .yaml, .yml or .json files there", paths[0],
			n > 1 ? " and the rest" : "");
		l.good = false;
	}
	world_join(w);
	return l.good;
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

/*
 * Walks directories and reads files for those who make worlds of them. Owns nothing between calls;
 * blocks for as long as the disk does.
 */
#include "ctrlplane/source/files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/alloc.h"
#include "lib/base/str.h"
#include "lib/yaml/yaml.h"

/* -- which files ------------------------------------------------------------------------------ */

void files_clear(struct files *f)
{
	for (size_t i = 0; i < f->n; i++)
		mem_free(f->v[i]);
	mem_free(f->v);
	f->v = NULL;
	f->n = f->room = 0;
}

static void trouble(const struct files *f, const char *path, int error)
{
	f->trouble(f->arg, path, strerror(error));
}

static void too_much(const struct files *f, const char *path, int max, const char *of_what)
{
	char why[100];
	snprintf(why, sizeof(why), "more than %d %s", max, of_what);
	f->trouble(f->arg, path, why);
}

static void add_file(struct files *f, const char *path)
{
	if (f->n == FILES_MAX) {
		f->full = true;
		too_much(f, path, FILES_MAX, "files");
		return;
	}
	if (f->n == f->room) {
		f->room = f->room == 0 ? 64 : f->room * 2;
		f->v = mem_resize(f->v, f->room * sizeof(*f->v));
	}
	f->v[f->n++] = mem_strdup(path);
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

/* A directory that is being walked, and those that it is in. On the stack. */
struct place {
	const struct place *up;
	const struct stat *st;
	unsigned depth;
};

static void walk_dir(struct files *f, const char *path, const struct place *at);

/* Through a link a directory may be in itself. */
static void enter(struct files *f, const char *path, const struct stat *st, const struct place *up)
{
	const struct place at = {.up = up, .st = st, .depth = up != NULL ? up->depth + 1 : 1};
	for (const struct place *p = up; p != NULL; p = p->up) {
		if (p->st->st_dev != st->st_dev || p->st->st_ino != st->st_ino)
			continue;
		f->trouble(f->arg, path, "it is a directory that this one is in");
		return;
	}
	if (at.depth > FILES_MAX_DEPTH)
		too_much(f, path, FILES_MAX_DEPTH, "directories inside one another");
	else
		walk_dir(f, path, &at);
}

static void walk_entry(struct files *f, const char *dir, const char *name, const struct place *up)
{
	struct stat st;
	char *path = mem_printf("%s/%s", dir, name);
	if (stat(path, &st) != 0)
		trouble(f, path, errno);
	else if (S_ISDIR(st.st_mode))
		enter(f, path, &st, up);
	else if (S_ISREG(st.st_mode) && is_manifest(name))
		add_file(f, path);
	mem_free(path);
}

static void walk_dir(struct files *f, const char *path, const struct place *at)
{
	struct dirent **entries;
	int n = scandir(path, &entries, visible, alphasort);
	if (n < 0) {
		trouble(f, path, errno);
		return;
	}
	for (int i = 0; i < n && !f->full; i++)
		walk_entry(f, path, entries[i]->d_name, at);
	for (int i = 0; i < n; i++)
		mem_free(entries[i]);
	mem_free(entries);
}

void files_walk(struct files *f, const char *path)
{
	struct stat st;
	if (stat(path, &st) != 0)
		trouble(f, path, errno);
	else if (S_ISDIR(st.st_mode))
		enter(f, path, &st, NULL);
	else
		add_file(f, path);
}

/* -- their bytes ------------------------------------------------------------------------------ */

int files_read_fd(int fd, char **out, size_t *n)
{
	size_t room = 16 * 1024;
	char *p = mem_alloc(room);
	*n = 0;
	for (;;) {
		ssize_t got = read(fd, p + *n, room - *n);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0) {
			int error = errno;
			mem_free(p);
			return error;
		}
		*n += (size_t)got;
		if (got == 0 || *n > YAML_MAX_BYTES)
			break;
		if (*n == room) {
			room *= 2;
			p = mem_resize(p, room);
		}
	}
	*out = p;
	return 0;
}

int files_read(const char *path, char **out, size_t *n)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno;
	int error = files_read_fd(fd, out, n);
	close(fd);
	return error;
}

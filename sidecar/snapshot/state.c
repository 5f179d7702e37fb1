/*
 * The last-good file: framing, checksum, atomic replacement, and what must hold before it is
 * believed. Owns nothing between calls; used at start, on every change of the file, and by `weft
 * compile`.
 */
#include "sidecar/snapshot/state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/alloc.h"
#include "lib/base/err.h"
#include "lib/base/file.h"
#include "lib/crypto/crypto.h"
#include "sidecar/snapshot/build.h"

#define MAGIC "weft-state\n"
#define MAGIC_SIZE (sizeof(MAGIC) - 1)
#define HEAD_SIZE         \
	(MAGIC_SIZE + 8 + \
		SHA256_SIZE) /* magic, payload length (big endian), SHA-256 of the payload */

void *state_encode(const Weft__Mesh__V1__State *state, size_t *n)
{
	size_t payload = weft__mesh__v1__state__get_packed_size(state);
	uint8_t *p = mem_alloc(HEAD_SIZE + payload);
	memcpy(p, MAGIC, MAGIC_SIZE);
	for (int i = 0; i < 8; i++)
		p[MAGIC_SIZE + (size_t)i] = (uint8_t)((uint64_t)payload >> (56 - 8 * i));
	weft__mesh__v1__state__pack(state, p + HEAD_SIZE);
	crypto_sha256(p + HEAD_SIZE, payload, p + MAGIC_SIZE + 8);
	*n = HEAD_SIZE + payload;
	return p;
}

/* -- reading ----------------------------------------------------------------------------------- */

static int check_frame(const char *name, struct str bytes, struct str *payload, char *err,
	size_t size)
{
	uint8_t sum[SHA256_SIZE];
	uint64_t n = 0;
	if (bytes.n < HEAD_SIZE || memcmp(bytes.p, MAGIC, MAGIC_SIZE) != 0) {
		snprintf(err, size, "%s: not a Weft state file; write one with `weft compile`",
			name);
		return ERR_VERIFY;
	}
	for (size_t i = 0; i < 8; i++)
		n = n << 8 | (uint8_t)bytes.p[MAGIC_SIZE + i];
	if (n != bytes.n - HEAD_SIZE) {
		snprintf(err, size, "%s: torn: %zu bytes of payload where the head promises %llu",
			name, bytes.n - HEAD_SIZE, (unsigned long long)n);
		return ERR_VERIFY;
	}
	*payload = str_sub(bytes, HEAD_SIZE, (size_t)n);
	crypto_sha256(payload->p, payload->n, sum);
	if (memcmp(sum, bytes.p + MAGIC_SIZE + 8, SHA256_SIZE) != 0) {
		snprintf(err, size, "%s: torn: the checksum does not hold", name);
		return ERR_VERIFY;
	}
	return 0;
}

int state_check_owner(const char *name, const Weft__Mesh__V1__State *st,
	const struct state_expect *x, char *err, size_t size)
{
	if (x->trust_domain.n > 0 && !str_eq(x->trust_domain, str_from(st->trust_domain))) {
		snprintf(err, size, "%s: foreign: trust domain %s, expected %.*s", name,
			st->trust_domain, STR_ARG(x->trust_domain));
		return ERR_VERIFY;
	}
	if (x->pod_uid.n > 0 && !str_eq(x->pod_uid, str_from(st->pod_uid))) {
		snprintf(err, size, "%s: foreign: pod UID %s, expected %.*s", name, st->pod_uid,
			STR_ARG(x->pod_uid));
		return ERR_VERIFY;
	}
	return 0;
}

/* Foreign, or too old. */
static int check_origin(const char *name, const Weft__Mesh__V1__State *st,
	const struct state_expect *x, char *err, size_t size)
{
	int e = state_check_owner(name, st, x, err, size);
	if (e != 0)
		return e;
	if (x->max_stale > 0 && x->now - st->written_at > x->max_stale) {
		snprintf(err, size, "%s: %lld s old, the most is %lld s (max-stale)", name,
			(long long)(x->now - st->written_at), (long long)x->max_stale);
		return ERR_EXPIRED;
	}
	/* A clock was wrong then or is now: how old it is nobody can say. */
	if (x->max_stale > 0 && st->written_at - x->now > x->max_stale) {
		snprintf(err, size,
			"%s: written %lld s from now by this clock, more than %lld s (max-stale)",
			name, (long long)(st->written_at - x->now), (long long)x->max_stale);
		return ERR_EXPIRED;
	}
	return 0;
}

static int check_snapshot(const char *name, const Weft__Mesh__V1__State *st,
	const struct state_expect *x, const struct snapshot *s, char *err, size_t size)
{
	const struct cert_leaf *leaf = cert_chain_leaf(s->chain);
	if (!str_eq(s->self.uid, str_from(st->pod_uid))) {
		snprintf(err, size, "%s: the workload's record is of another pod than the file",
			name);
		return ERR_VERIFY;
	}
	if (x->now > 0 && leaf->not_after < x->now) {
		snprintf(err, size, "%s: the leaf expired %lld s ago", name,
			(long long)(x->now - leaf->not_after));
		return ERR_EXPIRED;
	}
	return 0;
}

int state_decode(const char *name, struct str bytes, Weft__Mesh__V1__State **out, char *err,
	size_t size)
{
	struct str payload;
	*out = NULL;
	int e = check_frame(name, bytes, &payload, err, size);
	if (e != 0)
		return e;
	*out = weft__mesh__v1__state__unpack(NULL, payload.n, (const uint8_t *)payload.p);
	if (*out == NULL) {
		snprintf(err, size, "%s: the payload is no State message", name);
		return ERR_VERIFY;
	}
	if ((*out)->format != STATE_FORMAT) {
		snprintf(err, size, "%s: format %u, this version reads format %d", name,
			(*out)->format, STATE_FORMAT);
		state_free(out);
		return ERR_VERIFY;
	}
	return 0;
}

void state_free(Weft__Mesh__V1__State **state)
{
	Weft__Mesh__V1__State *st = *state;
	*state = NULL;
	if (st == NULL)
		return;
	if (st->key.len > 0)
		mem_wipe(st->key.data, st->key.len);
	if (st->session[0] != '\0')
		mem_wipe(st->session, strlen(st->session));
	weft__mesh__v1__state__free_unpacked(st, NULL);
}

int state_accept(const char *name, const Weft__Mesh__V1__State *st,
	const struct state_expect *expect, uint64_t seed, struct snapshot **out, char *err,
	size_t size)
{
	char why[512];
	*out = NULL;
	int e = check_origin(name, st, expect, err, size);
	if (e != 0)
		return e;
	e = snapshot_build(st, seed, out, why, sizeof(why));
	if (e != 0)
		snprintf(err, size, "%s: %s", name, why);
	else
		e = check_snapshot(name, st, expect, *out, err, size);
	if (e != 0)
		snapshot_unref(out);
	return e;
}

int state_parse(const char *name, struct str bytes, const struct state_expect *expect,
	uint64_t seed, struct snapshot **out, char *err, size_t size)
{
	Weft__Mesh__V1__State *st;
	*out = NULL;
	int e = state_decode(name, bytes, &st, err, size);
	if (e != 0)
		return e;
	e = state_accept(name, st, expect, seed, out, err, size);
	state_free(&st);
	return e;
}

static int read_all(int fd, uint8_t *p, size_t n)
{
	while (n > 0) {
		ssize_t got = read(fd, p, n);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return ERR_IO;
		p += got;
		n -= (size_t)got;
	}
	return 0;
}

/* Adds what is the matter most often. */
static void explain_open(int error, char *err, size_t size)
{
	size_t len = strlen(err);
	if (error == EACCES && len < size)
		snprintf(err + len, size - len, " (this runs as uid %u, which must own the file)",
			(unsigned)geteuid());
}

static void explain_file(const struct stat *st, char *err, size_t size)
{
	size_t len = strlen(err);
	if (S_ISREG(st->st_mode) && (st->st_mode & 077) != 0 && len < size)
		snprintf(err + len, size - len, "; this one has mode %04o",
			(unsigned)st->st_mode & 07777);
	else if (S_ISREG(st->st_mode) && st->st_size == 0 && len < size)
		snprintf(err + len, size - len, "; this one is empty");
}

/* The descriptor of a file that may be believed, and its size; or an ERR_* with text. Does not wait
 * for a writer where the name is that of a pipe. */
static int open_state(const char *path, size_t *n, char *err, size_t size)
{
	struct stat st = {0};
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	int error = errno;
	if (fd < 0) {
		snprintf(err, size, "%s: %s", path, strerror(error));
		explain_open(error, err, size);
		return error == ENOENT ? ERR_NOTFOUND : ERR_IO;
	}
	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size <= 0 ||
		(uint64_t)st.st_size > STATE_MAX_BYTES || (st.st_mode & 077) != 0) {
		snprintf(err, size,
			"%s: must be a regular file of mode 0600 and at most %u MiB: it holds a "
			"private key",
			path, STATE_MAX_BYTES >> 20);
		explain_file(&st, err, size);
		close(fd);
		return ERR_VERIFY;
	}
	*n = (size_t)st.st_size;
	return fd;
}

/* The whole file into fresh memory (mem_free_secret). */
static int read_state(const char *path, uint8_t **p, size_t *n, char *err, size_t size)
{
	int fd = open_state(path, n, err, size);
	if (fd < 0)
		return fd;
	*p = mem_alloc(*n);
	int e = read_all(fd, *p, *n);
	close(fd);
	if (e != 0) {
		snprintf(err, size, "%s: cannot be read", path);
		mem_free_secret(*p, *n);
	}
	return e;
}

int state_read(const char *path, Weft__Mesh__V1__State **out, char *err, size_t size)
{
	uint8_t *p;
	size_t n;
	*out = NULL;
	int e = read_state(path, &p, &n, err, size);
	if (e != 0)
		return e;
	e = state_decode(path, str_make(p, n), out, err, size);
	mem_free_secret(p, n);
	return e;
}

int state_load(const char *path, const struct state_expect *expect, uint64_t seed,
	struct snapshot **out, char *err, size_t size)
{
	uint8_t *p;
	size_t n;
	*out = NULL;
	int e = read_state(path, &p, &n, err, size);
	if (e != 0)
		return e;
	e = state_parse(path, str_make(p, n), expect, seed, out, err, size);
	mem_free_secret(p, n);
	return e;
}

/* -- writing ----------------------------------------------------------------------------------- */

int state_save(const char *path, const Weft__Mesh__V1__State *state, char *err, size_t size)
{
	size_t n;
	uint8_t *p = state_encode(state, &n);
	int e = ERR_LIMIT;
	if (n > STATE_MAX_BYTES) {
		snprintf(err, size, "%s: %zu MiB, more than the %u that a sidecar reads", path,
			n >> 20, STATE_MAX_BYTES >> 20);
	} else {
		e = file_replace(path, 0600, str_make(p, n), err, size);
	}
	mem_free_secret(p, n);
	return e;
}

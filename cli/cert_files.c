/*
 * The files of `weft cert`: read with a bound, written whole or not at all, keys for their owner's
 * eyes alone. Owns nothing beyond a call.
 */
#include "cli/cert.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/alloc.h"
#include "lib/base/clock.h"
#include "lib/base/err.h"

int64_t cert_cli_now(void)
{
	return (int64_t)(clock_wall(clock_system()) / NS_PER_S);
}

int64_t cert_cli_seconds(uint64_t ns)
{
	return (int64_t)(ns / NS_PER_S);
}

/* Number of bytes, or -1 with errno; EFBIG over the bound. */
static ssize_t read_all(int fd, char *buf, size_t max)
{
	size_t n = 0;
	ssize_t got;
	while ((got = read(fd, buf + n, max - n)) != 0) {
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -1;
		n += (size_t)got;
		if (n == max) {
			errno = EFBIG;
			return -1;
		}
	}
	return (ssize_t)n;
}

bool cert_cli_read(const struct conf_program *prog, const char *path, char **text, size_t *n)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		command_fail(prog, "%s: %s", path, strerror(errno));
		return false;
	}
	char *buf = mem_alloc(CERT_FILE_MAX);
	ssize_t got = read_all(fd, buf, CERT_FILE_MAX);
	int error = errno;
	close(fd);
	if (got < 0) {
		command_fail(prog, "%s: %s", path, strerror(error));
		mem_free_secret(buf, CERT_FILE_MAX);
		return false;
	}
	*text = mem_alloc((size_t)got + 1);
	memcpy(*text, buf, (size_t)got);
	*n = (size_t)got;
	mem_free_secret(buf, CERT_FILE_MAX);
	return true;
}

bool cert_cli_load_chain(const struct conf_program *prog, const char *path, struct cert_chain **out)
{
	char *text;
	size_t n;
	if (!cert_cli_read(prog, path, &text, &n))
		return false;
	int err = cert_chain_parse(str_make(text, n), out);
	mem_free(text);
	if (err == ERR_LIMIT)
		command_fail(prog, "%s: more than %d certificates or %d KiB of them", path,
			CERT_CHAIN_MAX, CERT_CHAIN_BYTES / 1024);
	else if (err != 0)
		command_fail(prog, "%s: no certificates in PEM or DER, or malformed ones", path);
	return err == 0;
}

bool cert_cli_load_key(const struct conf_program *prog, const char *path, struct cert_key **out)
{
	char *text;
	size_t n;
	if (!cert_cli_read(prog, path, &text, &n))
		return false;
	int err = cert_key_parse(str_make(text, n), out);
	mem_free_secret(text, n + 1);
	if (err == ERR_VERIFY)
		command_fail(prog, "%s: a key of another kind; a P-256 key is needed", path);
	else if (err != 0)
		command_fail(prog, "%s: no unencrypted private key in PKCS#8 or SEC1 form", path);
	return err == 0;
}

static bool exists(const char *path)
{
	struct stat st;
	return lstat(path, &st) == 0;
}

bool cert_cli_path(const struct conf_program *prog, struct cert_cli_file *f, const char *before,
	const char *after)
{
	int n = snprintf(f->path, sizeof(f->path), "%s%s", before, after);
	if (n >= 0 && (size_t)n < sizeof(f->path) - 16)
		return true;
	command_fail(prog, "%.40s...: the path is too long", before);
	return false;
}

bool cert_cli_load_ca(const struct conf_program *prog, const char *dir, struct cert_ca **out)
{
	struct cert_cli_file cert, key;
	struct cert_chain *chain = NULL;
	struct cert_key *k = NULL;
	if (!cert_cli_path(prog, &cert, dir, "/intermediate.pem"))
		return false;
	bool middle = exists(cert.path);
	if (!cert_cli_path(prog, &cert, dir, middle ? "/intermediate.pem" : "/root.pem") ||
		!cert_cli_path(prog, &key, dir, middle ? "/intermediate-key.pem" : "/root-key.pem"))
		return false;
	/* The data directory of a control plane. */
	struct cert_cli_file other;
	if (!middle && !exists(key.path) && cert_cli_path(prog, &other, dir, "/root.key") &&
		exists(other.path))
		key = other;
	if (!exists(cert.path)) {
		command_fail(prog,
			"%s: no CA here (root.pem or intermediate.pem); make one with 'weft cert "
			"root --trust-domain NAME --out %s'",
			dir, dir);
		return false;
	}
	int err = ERR_IO;
	if (cert_cli_load_chain(prog, cert.path, &chain) && cert_cli_load_key(prog, key.path, &k)) {
		err = cert_ca_load(chain, k, out);
		if (err != 0)
			command_fail(prog,
				"%s: not a CA that can sign with %s; the key must be that of the first "
				"certificate, and each certificate a CA signed by the next",
				cert.path, key.path);
	}
	cert_chain_unref(&chain);
	cert_key_unref(&k);
	return err == 0;
}

static bool write_all(int fd, const char *text)
{
	size_t n = strlen(text);
	while (n > 0) {
		ssize_t put = write(fd, text, n);
		if (put < 0 && errno == EINTR)
			continue;
		if (put <= 0)
			return false;
		text += put;
		n -= (size_t)put;
	}
	return true;
}

/* A new file beside f's place, complete and on disk. False with errno. */
static bool write_temporary(const struct cert_cli_file *f, char *temporary)
{
	int fd = mkstemp(temporary);
	if (fd < 0)
		return false;
	bool good = fchmod(fd, f->secret ? 0600 : 0644) == 0 && write_all(fd, f->text) &&
		fsync(fd) == 0;
	int error = errno;
	if (close(fd) != 0 && good) {
		good = false;
		error = errno;
	}
	if (!good)
		unlink(temporary);
	errno = error;
	return good;
}

/* link(2) never replaces what is there, not even in a race; rename(2) always does. */
static bool write_one(const struct cert_cli_file *f, bool force)
{
	char temporary[CERT_PATH_MAX + 16];
	snprintf(temporary, sizeof(temporary), "%s.XXXXXX", f->path);
	if (!write_temporary(f, temporary))
		return false;
	bool good = force ? rename(temporary, f->path) == 0 : link(temporary, f->path) == 0;
	int error = errno;
	if (!good || !force)
		unlink(temporary);
	errno = error;
	return good;
}

static bool refuse_existing(const struct conf_program *prog, const struct cert_cli_file *files,
	size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (exists(files[i].path)) {
			command_fail(prog, "%s exists already; --force replaces it", files[i].path);
			return false;
		}
	return true;
}

bool cert_cli_write(const struct conf_program *prog, const struct cert_cli_file *files, size_t n,
	bool force)
{
	if (!force && !refuse_existing(prog, files, n))
		return false;
	for (size_t i = 0; i < n; i++) {
		if (!write_one(&files[i], force)) {
			command_fail(prog, "%s: %s", files[i].path, strerror(errno));
			return false;
		}
		printf("wrote %s\n", files[i].path);
	}
	return true;
}

bool cert_cli_make_dir(const struct conf_program *prog, const char *dir)
{
	if (mkdir(dir, 0700) == 0 || errno == EEXIST)
		return true;
	command_fail(prog, "%s: %s", dir, strerror(errno));
	return false;
}

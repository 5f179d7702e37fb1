/*
 * Serials of leaves that are no longer to be believed: kept in a file for good, told to the store.
 * Owned by the authority.
 */
#include <stdio.h>

#include "ctrlplane/ca/authority_internal.h"
#include "ctrlplane/ca/sealed.h"
#include "lib/base/alloc.h"
#include "lib/base/err.h"

#define KIND "weft-revoked 1"
#define REMEDY "restore it from a backup; without it revoked leaves are believed again"
#define SERIAL_BYTES 20 /* RFC 5280 4.1.2.2 */
#define SERIAL_TEXT (2 * SERIAL_BYTES + 1)
#define FILE_BYTES (128 + AUTHORITY_REVOKED_MAX * (size_t)SERIAL_TEXT)

static void tell(struct authority *a)
{
	struct str *serials = mem_alloc_array(a->n_revoked + 1, sizeof(*serials));
	for (size_t i = 0; i < a->n_revoked; i++)
		serials[i] = str_from(a->revoked[i]);
	store_set_revoked(a->store, serials, a->n_revoked);
	mem_free(serials);
}

static bool has(const struct authority *a, const char *serial)
{
	for (size_t i = 0; i < a->n_revoked; i++)
		if (strcmp(a->revoked[i], serial) == 0)
			return true;
	return false;
}

static void add(struct authority *a, const char *serial)
{
	a->revoked = mem_resize(a->revoked, (a->n_revoked + 1) * sizeof(*a->revoked));
	a->revoked[a->n_revoked++] = mem_strdup(serial);
}

/* As leaves are compared: lower-case hex of whole bytes without leading zero bytes. Taken with
 * colons and in capitals too, as other programs print it. */
static bool normalize(struct str in, char out[SERIAL_TEXT])
{
	char digits[2 * SERIAL_TEXT];
	size_t n = 0;
	for (size_t i = 0; i < in.n; i++) {
		char c = in.p[i];
		if (c == ':')
			continue;
		if (c >= 'A' && c <= 'F')
			c = (char)(c - 'A' + 'a');
		if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')) || n >= sizeof(digits) - 2)
			return false;
		digits[n++] = c;
	}
	digits[n] = '\0';
	const char *at = digits;
	while (n > 1 && *at == '0')
		at++, n--;
	int len = snprintf(out, SERIAL_TEXT, "%s%s", n % 2 != 0 ? "0" : "", at);
	return n > 0 && len < SERIAL_TEXT;
}

int revoked_load(struct authority *a, char *err, size_t size)
{
	struct sealed file;
	struct str line;
	char serial[SERIAL_TEXT], *path = authority_path(a, "revoked");
	int e = sealed_read(path, KIND, REMEDY, FILE_BYTES, &file, err, size);
	while (e == 0 && file.body.n > 0 && str_split(&file.body, '\n', &line)) {
		if (a->n_revoked < AUTHORITY_REVOKED_MAX && normalize(line, serial)) {
			add(a, serial);
			continue;
		}
		snprintf(err, size, "%s: says what this version does not know; %s", path, REMEDY);
		e = ERR_VERIFY;
	}
	sealed_clear(&file);
	mem_free(path);
	if (e != 0 && e != ERR_NOTFOUND)
		return e;
	tell(a);
	return 0;
}

static int save(const struct authority *a)
{
	char err[256], *path = authority_path(a, "revoked");
	char *body = mem_alloc(a->n_revoked * SERIAL_TEXT + 1);
	size_t n = 0;
	for (size_t i = 0; i < a->n_revoked; i++) {
		size_t len = strlen(a->revoked[i]);
		memcpy(body + n, a->revoked[i], len);
		body[n + len] = '\n';
		n += len + 1;
	}
	int e = sealed_write(path, KIND, str_make(body, n), err, sizeof(err));
	if (e != 0)
		log_at(a->log, LOG_ERROR, "ca", "a revocation was not kept", LOG_Z("error", err));
	mem_free(body);
	mem_free(path);
	return e;
}

/* On disk before it is told: what was revoked once stays so. */
int authority_revoke(struct authority *a, struct str serial, char *err, size_t size)
{
	char text[SERIAL_TEXT];
	if (!normalize(serial, text)) {
		snprintf(err, size, "a serial is 1 to %d bytes in hexadecimal", SERIAL_BYTES);
		return ERR_INVAL;
	}
	if (has(a, text))
		return 0;
	if (a->n_revoked == AUTHORITY_REVOKED_MAX) {
		snprintf(err, size, "%d serials are revoked, and there is no room for more",
			AUTHORITY_REVOKED_MAX);
		return ERR_LIMIT;
	}
	add(a, text);
	int e = save(a);
	if (e != 0) {
		mem_free(a->revoked[--a->n_revoked]);
		snprintf(err, size, "%s/revoked could not be written", a->dir);
		return e;
	}
	log_at(a->log, LOG_INFO, "ca", "revoked", LOG_Z("serial", text));
	tell(a);
	return 0;
}

void revoked_clear(struct authority *a)
{
	for (size_t i = 0; i < a->n_revoked; i++)
		mem_free(a->revoked[i]);
	mem_free(a->revoked);
}

/*
 * Files with a checksum in their first line. Owns nothing between calls; used by authority and
 * attest.
 */
#include "ctrlplane/ca/sealed.h"

#include <stdio.h>

#include "lib/base/alloc.h"
#include "lib/base/err.h"
#include "lib/base/file.h"
#include "lib/crypto/crypto.h"

#define HEX_SIZE (2 * SHA256_SIZE)

static void checksum(struct str body, char hex[HEX_SIZE + 1])
{
	uint8_t sum[SHA256_SIZE];
	crypto_sha256(body.p, body.n, sum);
	crypto_hex(sum, sizeof(sum), hex);
}

/* "KIND HEX\n" in front of the body. */
static int judge(const char *path, const char *kind, const char *remedy, struct sealed *s,
	char *err, size_t size)
{
	struct str rest = str_make(s->mem, s->n), line;
	size_t n = strlen(kind);
	char hex[HEX_SIZE + 1];
	if (!str_split(&rest, '\n', &line) || line.n != n + 1 + HEX_SIZE ||
		memcmp(line.p, kind, n) != 0 || line.p[n] != ' ') {
		snprintf(err, size, "%s: torn, or not a file of ours; %s", path, remedy);
		return ERR_VERIFY;
	}
	checksum(rest, hex);
	if (memcmp(hex, line.p + n + 1, HEX_SIZE) != 0) {
		snprintf(err, size, "%s: torn or altered: its checksum does not hold; %s", path,
			remedy);
		return ERR_VERIFY;
	}
	s->body = rest;
	return 0;
}

int sealed_read(const char *path, const char *kind, const char *remedy, size_t max,
	struct sealed *out, char *err, size_t size)
{
	*out = (struct sealed){0};
	int e = file_read(path, max, 077, &out->mem, &out->n, err, size);
	if (e != 0)
		return e;
	e = judge(path, kind, remedy, out, err, size);
	if (e != 0)
		sealed_clear(out);
	return e;
}

void sealed_clear(struct sealed *s)
{
	if (s->mem != NULL)
		mem_free_secret(s->mem, s->n);
	*s = (struct sealed){0};
}

int sealed_write(const char *path, const char *kind, struct str body, char *err, size_t size)
{
	char hex[HEX_SIZE + 1];
	size_t head = strlen(kind) + 1 + HEX_SIZE + 1, n = head + body.n;
	char *all = mem_alloc(n + 1);
	checksum(body, hex);
	snprintf(all, head + 1, "%s %s\n", kind, hex);
	if (body.n > 0)
		memcpy(all + head, body.p, body.n);
	int e = file_replace(path, 0600, str_make(all, n), err, size);
	mem_free_secret(all, n);
	return e;
}

/*
 * Positions: their text, their order, and the file that keeps number and hash over restarts. Owns
 * nothing; called by store.c.
 */
#include <inttypes.h>
#include <stdio.h>

#include "ctrlplane/store/store_internal.h"
#include "lib/base/alloc.h"
#include "lib/base/err.h"
#include "lib/base/file.h"

#define FILE_MAX 512u
#define HEAD "weft position 1"

/* -- text and order --------------------------------------------------------------------------- */

void position_format(const struct position *p, char *dst, size_t size)
{
	snprintf(dst, size, "%s:%" PRIu64, p->id, p->number);
}

static bool split(struct str s, struct str *id, uint64_t *number)
{
	return str_split(&s, ':', id) && id->n > 0 && str_to_u64(s, UINT64_MAX, number) == 0;
}

int position_compare(struct str a, struct str b)
{
	struct str id_a, id_b;
	uint64_t at_a, at_b;
	if (!split(a, &id_a, &at_a) || !split(b, &id_b, &at_b) || !str_eq(id_a, id_b))
		return 2;
	return (at_a > at_b) - (at_a < at_b);
}

/* -- the file --------------------------------------------------------------------------------- */

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool parse_hex(struct str s, uint8_t *out, size_t n)
{
	if (s.n != 2 * n)
		return false;
	for (size_t i = 0; i < n; i++) {
		int high = hex_value(s.p[2 * i]), low = hex_value(s.p[2 * i + 1]);
		if (high < 0 || low < 0)
			return false;
		out[i] = (uint8_t)(high << 4 | low);
	}
	return true;
}

/* "weft position 1\nID\nNUMBER\nHASH\n" */
static bool parse(struct str text, struct position *out)
{
	uint8_t id[POSITION_ID / 2];
	struct str line;
	if (!str_split(&text, '\n', &line) || !str_eq(line, STR(HEAD)) ||
		!str_split(&text, '\n', &line) || !parse_hex(line, id, sizeof(id)))
		return false;
	crypto_hex(id, sizeof(id), out->id);
	return str_split(&text, '\n', &line) &&
		str_to_u64(line, UINT64_MAX - 1, &out->number) == 0 &&
		str_split(&text, '\n', &line) && parse_hex(line, out->hash, SHA256_SIZE) &&
		text.n == 0;
}

int position_load(const char *file, struct position *out, char *err, size_t size)
{
	char *text;
	size_t n;
	int failed = file_read(file, FILE_MAX, 0, &text, &n, err, size);
	*out = (struct position){.number = 0};
	if (failed == ERR_NOTFOUND) {
		uint8_t id[POSITION_ID / 2];
		crypto_random(id, sizeof(id));
		crypto_hex(id, sizeof(id), out->id);
		return 0;
	}
	if (failed != 0)
		return failed;
	bool good = parse(str_make(text, n), out);
	mem_free_secret(text, n);
	if (good)
		return 0;
	snprintf(err, size,
		"%s: not a position; where it cannot be restored, remove it: sidecars then take "
		"this control plane for another source",
		file);
	return ERR_INVAL;
}

int position_save(const char *file, const struct position *p, char *err, size_t size)
{
	char hex[2 * SHA256_SIZE + 1], text[FILE_MAX];
	crypto_hex(p->hash, SHA256_SIZE, hex);
	snprintf(text, sizeof(text), HEAD "\n%s\n%" PRIu64 "\n%s\n", p->id, p->number, hex);
	return file_replace(file, 0600, str_from(text), err, size);
}

/* -- the hash --------------------------------------------------------------------------------- */

static void put(struct buf *b, struct str s)
{
	uint64_t n = s.n;
	buf_append(b, &n, sizeof(n)); /* the file is of this machine */
	buf_append_str(b, s);
}

void position_hash(const struct store *s, uint8_t out[SHA256_SIZE])
{
	struct buf_pool *pool = buf_pool_new(0);
	struct buf b;
	buf_init(&b, pool);
	buf_append(&b, world_digest(s->world), SHA256_SIZE);
	for (size_t i = 0; i < s->n_bundles; i++) {
		put(&b, s->bundles[i].trust_domain);
		put(&b, s->bundles[i].roots);
	}
	put(&b, STR("revoked"));
	for (size_t i = 0; i < s->n_revoked; i++)
		put(&b, s->revoked[i]);
	size_t n = buf_len(&b);
	uint8_t *bytes = mem_alloc(n);
	(void)buf_copy_out(&b, 0, bytes, n);
	crypto_sha256(bytes, n, out);
	mem_free(bytes);
	buf_clear(&b);
	buf_pool_free(&pool);
}

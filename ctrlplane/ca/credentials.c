/*
 * The table of credentials and its file: a line for each, under one checksum, so that a torn file
 * is refused and never taken for an empty one. Owned by attest.
 */
#include "ctrlplane/ca/credentials.h"

#include <stdio.h>

#include "certs/chain.h"
#include "ctrlplane/ca/sealed.h"
#include "lib/base/alloc.h"
#include "lib/base/err.h"
#include "lib/base/rand.h"

#define KIND "weft-tokens 1"
#define REMEDY                                                                               \
	"restore it from a backup, or remove it: then pods that joined by a token need new " \
	"ones, and make sure that no old token is still about"
#define FILE_BYTES (64u << 20)
#define SECRET_BYTES 32
#define NO_UID "=" /* no UID has that character */
#define WORDS 8

/* --- text --- */

/* RFC 4648 section 5, without padding. */
static void base64url(const uint8_t in[SECRET_BYTES], char out[44])
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	size_t at = 0;
	uint32_t bits = 0;
	unsigned have = 0;
	for (size_t i = 0; i < SECRET_BYTES; i++) {
		bits = bits << 8 | in[i];
		for (have += 8; have >= 6; have -= 6)
			out[at++] = digits[bits >> (have - 6) & 63];
	}
	out[at++] = digits[bits << (6 - have) & 63];
	out[at] = '\0';
}

bool credential_has_form(struct str text, const char *prefix)
{
	if (text.n != CREDENTIAL_SIZE - 1 || !str_starts(text, str_from(prefix)))
		return false;
	for (size_t i = 4; i < text.n; i++) {
		char c = text.p[i];
		if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') &&
			c != '-' && c != '_')
			return false;
	}
	return true;
}

/* --- table --- */

static struct str hash_key(const uint8_t hash[SHA256_SIZE])
{
	return str_make(hash, SHA256_SIZE);
}

struct credential *credentials_find(const struct credentials *c, struct str text)
{
	uint8_t hash[SHA256_SIZE];
	crypto_sha256(text.p, text.n, hash);
	return map_get(c->by_hash, hash_key(hash));
}

static void put(struct credentials *c, struct credential *one)
{
	map_put(c->by_hash, hash_key(one->hash), one);
	list_append(one->session ? &c->sessions : &c->joins, &one->node);
	*(one->session ? &c->n_sessions : &c->n_joins) += 1;
}

static void credential_free(struct credential *one)
{
	mem_free(one->ns);
	mem_free(one->pod);
	mem_free(one->uid);
	mem_free(one->spiffe_id);
	mem_free(one);
}

void credentials_remove(struct credentials *c, struct credential *gone)
{
	map_remove(c->by_hash, hash_key(gone->hash));
	list_remove(&gone->node);
	*(gone->session ? &c->n_sessions : &c->n_joins) -= 1;
	credential_free(gone);
}

static bool has_room(const struct credentials *c, bool session)
{
	return session ? c->n_sessions < CREDENTIALS_SESSIONS_MAX
		       : c->n_joins < CREDENTIALS_JOIN_MAX;
}

static struct credential *credential_new(bool session, struct str ns, struct str pod,
	struct str uid, struct str spiffe_id)
{
	struct credential *one = MEM_NEW(struct credential);
	one->session = session;
	one->ns = mem_strndup(ns.p, ns.n);
	one->pod = mem_strndup(pod.p, pod.n);
	one->uid = uid.n > 0 ? mem_strndup(uid.p, uid.n) : mem_strdup("");
	one->spiffe_id = mem_strndup(spiffe_id.p, spiffe_id.n);
	return one;
}

struct credential *credentials_add(struct credentials *c, bool session, struct str ns,
	struct str pod, struct str uid, struct str spiffe_id, char text[CREDENTIAL_SIZE])
{
	uint8_t secret[SECRET_BYTES];
	if (!has_room(c, session))
		return NULL;
	crypto_random(secret, sizeof(secret));
	memcpy(text, session ? CREDENTIAL_SESSION : CREDENTIAL_JOIN, 4);
	base64url(secret, text + 4);
	mem_wipe(secret, sizeof(secret));
	struct credential *one = credential_new(session, ns, pod, uid, spiffe_id);
	crypto_sha256(text, CREDENTIAL_SIZE - 1, one->hash);
	put(c, one);
	return one;
}

struct credential *credentials_oldest(const struct credentials *c, struct str ns, struct str pod)
{
	struct credential *oldest = NULL;
	size_t n = 0;
	LIST_EACH(&c->sessions, node)
	{
		struct credential *one = CONTAINER_OF(node, struct credential, node);
		if (!str_eq(str_from(one->pod), pod) || !str_eq(str_from(one->ns), ns))
			continue;
		oldest = oldest != NULL ? oldest : one;
		n++;
	}
	return n >= CREDENTIALS_POD_SESSIONS ? oldest : NULL;
}

/* --- file: "join HASH NS POD UID SPIFFE-ID EXPIRES SPENT KEY", "session HASH NS POD UID ID" --- */

static bool parse_hex(struct str hex, uint8_t out[SHA256_SIZE])
{
	char again[2 * SHA256_SIZE + 1];
	if (hex.n != 2 * SHA256_SIZE)
		return false;
	for (size_t i = 0; i < SHA256_SIZE; i++) {
		unsigned byte = 0;
		for (size_t k = 0; k < 2; k++) {
			char c = hex.p[2 * i + k];
			byte = byte << 4 |
				(unsigned)(c >= '0' && c <= '9' ? c - '0' : (c - 'a' + 10) & 15);
		}
		out[i] = (uint8_t)byte;
	}
	crypto_hex(out, SHA256_SIZE, again);
	return memcmp(again, hex.p, hex.n) == 0;
}

static bool parse_time(struct str word, int64_t *out)
{
	uint64_t v;
	if (str_to_u64(word, INT64_MAX / 2, &v) != 0)
		return false;
	*out = (int64_t)v;
	return true;
}

static bool is_name(struct str s)
{
	return s.n > 0 && s.n <= 253;
}

/* The words after the first; NULL where they are not what they should be. */
static struct credential *parse_words(bool session, const struct str *w, size_t n)
{
	struct str uid = str_eq(w[3], STR(NO_UID)) ? STR("") : w[3];
	if (n != (session ? 5 : 8) || !is_name(w[1]) || !is_name(w[2]) || w[3].n == 0 ||
		w[4].n == 0 || w[4].n > SPIFFE_ID_MAX || (uid.n > 0 && !cert_uid_valid(uid)))
		return NULL;
	struct credential *one = credential_new(session, w[1], w[2], uid, w[4]);
	bool good = parse_hex(w[0], one->hash);
	if (good && !session)
		good = parse_time(w[5], &one->expires_at) && parse_time(w[6], &one->spent_at) &&
			parse_hex(w[7], one->key);
	if (good)
		return one;
	credential_free(one);
	return NULL;
}

static bool parse_line(struct credentials *c, struct str line)
{
	struct str words[WORDS] = {0}, kind;
	size_t n = 0;
	if (!str_split(&line, ' ', &kind))
		return false;
	bool session = str_eq(kind, STR("session"));
	if (!session && !str_eq(kind, STR("join")))
		return false;
	while (n < WORDS && str_split(&line, ' ', &words[n]))
		n++;
	if (line.n > 0 || !has_room(c, session))
		return false;
	struct credential *one = parse_words(session, words, n);
	if (one == NULL)
		return false;
	if (map_get(c->by_hash, hash_key(one->hash)) != NULL) {
		credential_free(one);
		return false;
	}
	put(c, one);
	return true;
}

static int load(struct credentials *c, char *err, size_t size)
{
	struct sealed file;
	struct str line;
	int e = sealed_read(c->file, KIND, REMEDY, FILE_BYTES, &file, err, size);
	while (e == 0 && file.body.n > 0 && str_split(&file.body, '\n', &line))
		if (!parse_line(c, line)) {
			snprintf(err, size, "%s: says what this version does not know; %s", c->file,
				REMEDY);
			e = ERR_VERIFY;
		}
	sealed_clear(&file);
	return e == ERR_NOTFOUND ? 0 : e;
}

int credentials_open(const char *file, struct credentials **out, char *err, size_t size)
{
	struct credentials *c = MEM_NEW(struct credentials);
	struct rng rng;
	rng_seed_system(&rng);
	c->by_hash = map_new(rng_next(&rng));
	c->file = mem_strdup(file);
	list_init(&c->joins);
	list_init(&c->sessions);
	int e = load(c, err, size);
	if (e != 0)
		credentials_close(&c);
	else
		*out = c;
	return e;
}

void credentials_close(struct credentials **cp)
{
	struct credentials *c = *cp;
	*cp = NULL;
	if (c == NULL)
		return;
	LIST_EACH(&c->joins, node)
	credentials_remove(c, CONTAINER_OF(node, struct credential, node));
	LIST_EACH(&c->sessions, node)
	credentials_remove(c, CONTAINER_OF(node, struct credential, node));
	map_free(&c->by_hash);
	mem_free(c->file);
	mem_free(c);
}

/* Text of the file while it is put together; on the stack. */
struct text {
	char *p;
	size_t n, room;
};

static void write_line(struct text *t, const struct credential *one)
{
	char hash[2 * SHA256_SIZE + 1], key[2 * SHA256_SIZE + 1];
	size_t most = sizeof(hash) + sizeof(key) + strlen(one->ns) + strlen(one->pod) +
		strlen(one->uid) + strlen(one->spiffe_id) + 128;
	if (t->room - t->n < most) {
		t->room = 2 * t->room + most;
		t->p = mem_resize(t->p, t->room);
	}
	crypto_hex(one->hash, SHA256_SIZE, hash);
	crypto_hex(one->key, SHA256_SIZE, key);
	t->n += (size_t)snprintf(t->p + t->n, most, "%s %s %s %s %s %s",
		one->session ? "session" : "join", hash, one->ns, one->pod,
		one->uid[0] != '\0' ? one->uid : NO_UID, one->spiffe_id);
	if (!one->session)
		t->n += (size_t)snprintf(t->p + t->n, most, " %lld %lld %s",
			(long long)one->expires_at, (long long)one->spent_at, key);
	t->p[t->n++] = '\n';
}

static void write_list(struct text *t, const struct list *l)
{
	LIST_EACH(l, node)
	{
		const struct credential *one = CONTAINER_OF(node, struct credential, node);
		if (!one->going)
			write_line(t, one);
	}
}

int credentials_save(const struct credentials *c, char *err, size_t size)
{
	struct text t = {0};
	write_list(&t, &c->joins);
	write_list(&t, &c->sessions);
	int e = sealed_write(c->file, KIND, str_make(t.p, t.n), err, size);
	mem_free(t.p);
	return e;
}

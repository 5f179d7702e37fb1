/*
 * Who calls: join token, session credential or Unix uid to a pod of the source. Tokens are kept as
 * SHA-256 in a file of mode 0600, so that a spent one stays spent through restarts. Owned by main;
 * asked by Identity and Discovery.
 */
#ifndef WEFT_CTRLPLANE_CA_ATTEST_H
#define WEFT_CTRLPLANE_CA_ATTEST_H

#include "ctrlplane/store/store.h"
#include "lib/grpc/call.h"

#define ATTEST_KEY_HASH 32
#define ATTEST_AGAIN_S 600 /* the same key may bring its join token again for so long */

struct attest;

enum attest_how { ATTEST_JOIN_TOKEN, ATTEST_SESSION, ATTEST_UNIX_UID };

/* The caller, by the source and never by what it says. Strings are in the arena handed in. */
struct attested {
	enum attest_how how;
	struct str ns, pod, uid, spiffe_id;
};

/* 0 or ERR_* with text. */
int attest_new(struct loop *loop, struct log *log, struct store *store, const char *file,
	struct attest **out, char *err, size_t size);
void attest_free(struct attest **a);

/*
 * By session credential or Unix uid; Sign takes join tokens too (attest_redeem). GRPC_OK, or
 * UNAUTHENTICATED (no or unknown credential, expired, spent), PERMISSION_DENIED (its pod is not in
 * the source any more, or has another UID), UNAVAILABLE (the source is not complete yet) with text.
 */
enum grpc_status attest_call(struct attest *a, const struct grpc_call *c, struct arena *arena,
	struct attested *out, char *err, size_t size);
/*
 * Who attest_redeem would say, with nothing spent; a join token passes here that is spent already.
 * For asking before a CSR's signature is checked, so that nobody unknown can cause that work.
 */
enum grpc_status attest_peek(struct attest *a, const struct grpc_call *c, struct arena *arena,
	struct attested *out, char *err, size_t size);
/*
 * As attest_call, and takes join tokens. A join token is spent by this, for the key of the CSR
 * (SHA-256 of its SubjectPublicKeyInfo): the same key may come again within ten minutes, so that a
 * lost answer loses nothing; another key may not. session: a new credential of the pod in the
 * arena, empty where the caller has one. Spent before it returns: the file is on disk, and where
 * it cannot be written the status is UNAVAILABLE and nothing is spent.
 */
enum grpc_status attest_redeem(struct attest *a, const struct grpc_call *c, struct str key_hash,
	struct arena *arena, struct attested *out, struct str *session, char *err, size_t size);

/* A join token for a meshed pod of the source, valid for lifetime_ns; mem_free_secret(p, strlen).
 * 0 or ERR_* with text. */
int attest_create_token(struct attest *a, struct str ns, struct str pod, uint64_t lifetime_ns,
	char **token, char *err, size_t size);
/* Members of an open JSON object: counts of tokens and sessions. */
void attest_describe(const struct attest *a, struct json *j);

#endif

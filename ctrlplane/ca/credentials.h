/*
 * Join tokens and session credentials as SHA-256, each bound to one pod, in memory and in a file
 * that is replaced whole. Private to ctrlplane/ca; owned by attest.
 */
#ifndef WEFT_CTRLPLANE_CA_CREDENTIALS_H
#define WEFT_CTRLPLANE_CA_CREDENTIALS_H

#include <stdbool.h>
#include <stdint.h>

#include "certs/issue.h"
#include "lib/base/list.h"
#include "lib/base/map.h"
#include "lib/base/str.h"
#include "lib/crypto/crypto.h"

#define CREDENTIALS_JOIN_MAX 4096
#define CREDENTIALS_SESSIONS_MAX 32768
#define CREDENTIALS_POD_SESSIONS 4 /* of one pod: the oldest makes room */
#define CREDENTIAL_SIZE 48         /* of a credential's text, with NUL */

#define CREDENTIAL_JOIN "wtj_"
#define CREDENTIAL_SESSION "wts_"

/* One token; owned by the credentials, on one of their lists and in their map. */
struct credential {
	struct list_node node;
	uint8_t hash[SHA256_SIZE];
	bool session;
	bool going; /* left out of the file, and removed once that is on disk */
	char *ns, *pod, *uid, *spiffe_id;
	int64_t expires_at; /* join; seconds since the epoch */
	int64_t spent_at;   /* join; 0: not yet */
	uint8_t key[CERT_KEY_HASH];
};

/* On lists in the order of making. */
struct credentials {
	struct map *by_hash;
	struct list joins, sessions;
	size_t n_joins, n_sessions;
	char *file;
};

/* From the file, or empty where there is none. 0, or ERR_* with text that names file and remedy. */
int credentials_open(const char *file, struct credentials **out, char *err, size_t size);
/* Safe on NULL. */
void credentials_close(struct credentials **c);
/* To the file, on disk when it returns: 0 or ERR_IO with text. */
int credentials_save(const struct credentials *c, char *err, size_t size);

/* True where text has the form of a credential with that prefix. */
bool credential_has_form(struct str text, const char *prefix);
/* NULL where it is unknown. By its hash, so that the time says nothing of how much of it fits. */
struct credential *credentials_find(const struct credentials *c, struct str text);
/* A new one: its text goes to text and nowhere else. NULL where there is no room. */
struct credential *credentials_add(struct credentials *c, bool session, struct str ns,
	struct str pod, struct str uid, struct str spiffe_id, char text[CREDENTIAL_SIZE]);
void credentials_remove(struct credentials *c, struct credential *gone);
/* The oldest session of the pod where it has as many as it may; NULL: there is room. */
struct credential *credentials_oldest(const struct credentials *c, struct str ns, struct str pod);

#endif

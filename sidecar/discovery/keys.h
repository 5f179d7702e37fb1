/*
 * What is asked for: keys (addresses, names), what was answered, and what must still be said about
 * them on the stream. Bounded in every state: what waits, what is not meshed, what was refused; the
 * rest hangs from resources. Pure but for memory; owned by struct discovery.
 */
#ifndef WEFT_SIDECAR_DISCOVERY_KEYS_H
#define WEFT_SIDECAR_DISCOVERY_KEYS_H

#include "sidecar/discovery/resources.h"
#include "sidecar/snapshot/lookup.h"

#define KEYS_PENDING_MAX 1024             /* asked for and not answered; beyond it: refused */
#define KEYS_PENDING_KEEP (5 * NS_PER_S)  /* nobody waits any longer for one older than that */
#define KEYS_REFUSED_KEEP (10 * NS_PER_S) /* until what the server refused is asked again */
#define KEYS_REFUSED_MAX 4096
#define KEYS_REFRESH_EVERY (5 * NS_PER_S) /* at most once for the same destination */
#define KEY_NAME_MAX 512
#define KEYS_NAMES_MAX 4096 /* names that may not be forgotten */

enum key_state { KEY_PENDING, KEY_POSITIVE, KEY_NEGATIVE, KEY_REFUSED };

/* One subscription. Owned by the table; once it has been forgotten, by the list of what is still to
 * be unsubscribed. */
struct key {
	struct list_node order;   /* of its state's list */
	struct list_node wire;    /* to be subscribed, unsubscribed, or both */
	struct list_node tell;    /* whoever asked is to be told */
	struct list_node sibling; /* of its slot's keys */
	struct slot *slot;        /* positive: never NULL */
	uint64_t at;              /* pending: last asked; refused: to be asked again */
	struct addr ip;           /* ADDR_NONE: by name */
	uint8_t state;            /* enum key_state */
	bool pinned;              /* never forgotten */
	bool said;                /* subscribed on this stream */
	bool retry;               /* refused, though positive or pinned: asked again by itself */
	char name[];
};

/* Owned by struct discovery. */
struct keys {
	struct resources *res;
	struct map *by; /* key bytes -> struct key */
	struct list pending, negatives, refused, retries;
	size_t n_pending, n_negatives, n_refused, n_retries, n_names;
	uint32_t max_negatives;
	struct list say, unsay, again; /* on the stream */
	struct list tell;
	uint64_t unasked;  /* answers to what nobody had asked */
	uint64_t evicted;  /* negatives forgotten for newer ones */
	uint64_t overflow; /* asked beyond what may wait */
	bool changed;      /* what is known not to be meshed */
};

void keys_init(struct keys *k, struct resources *res, uint32_t max_negatives, uint64_t seed);
void keys_fini(struct keys *k);

/* NULL where nobody asked. */
struct key *keys_find(const struct keys *k, const struct addr *ip);
struct key *keys_find_wire(const struct keys *k, const Weft__Mesh__V1__Key *key);
/* now: monotonic. */
enum lookup_answer keys_ask(struct keys *k, const struct addr *ip, uint64_t now);
/* Asks for a name, and goes on asking. False where it is none, or one too many. */
bool keys_pin(struct keys *k, struct str name);
/* As known of a last-good file: not meshed (slot NULL), or the slot's. name: instead of ip. */
void keys_restore(struct keys *k, const struct addr *ip, const char *name, struct slot *slot);
/* Asks again for what is known of the address, where it has not just been. */
void keys_refresh(struct keys *k, const struct addr *ip, uint64_t now);
/* Nobody asks for it any more. */
void keys_forget(struct keys *k, struct key *key);
/* All keys of a destination, with it. */
void keys_forget_slot(struct keys *k, struct slot *s);
/* Takes an answer; false where nobody had asked. */
bool keys_answer(struct keys *k, const Weft__Mesh__V1__Answer *a, uint64_t now);
/* It waits: for an answer, or for the resource that the answer named. */
bool key_open(const struct key *key);
/* The keys of a slot whose resource came, or was refused, are told. */
void keys_tell_slot(struct keys *k, struct slot *s);
/* Down to the bounds, the least used first, none that in_use says is in use. */
void keys_trim(struct keys *k, bool (*in_use)(void *arg, const struct addr *ip), void *arg);
/* Asks again for what was refused long enough ago. When to come again (monotonic); 0: nothing
 * waits. */
uint64_t keys_retry(struct keys *k, uint64_t now);

/* -- on the wire -- */

/* The stream is over: on the next one everything is to be said. */
void keys_silence(struct keys *k);
bool keys_unsaid(const struct keys *k);
/* What is to be unsubscribed and subscribed, as many as fit into max bytes; said by that. In the
 * arena. The former goes out first, in messages of its own. */
void keys_take_unsubscribe(struct keys *k, struct arena *a, size_t max,
	Weft__Mesh__V1__DiscoveryRequest *out);
void keys_take_subscribe(struct keys *k, struct arena *a, size_t max,
	Weft__Mesh__V1__DiscoveryRequest *out);
/* Addresses that are not meshed, borrowed; mem_free the array. */
void keys_fill(const struct keys *k, Weft__Mesh__V1__State *st);
/* "10.0.0.1" or the name; dst for the former. */
struct str key_text(const struct key *key, char dst[ADDR_TEXT]);

#endif

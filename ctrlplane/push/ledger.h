/*
 * What one stream has been told and what it has to be told next, as a pure function of its requests
 * and a catalog: no loop, no clock, no call. Embedded in its stream. Private to push/.
 *
 * A pass looks at everything that the pod must have and at every key, and puts what differs into
 * one response: required resources, then the list of them, answers with their resources, removals
 * last, so that the new is there before the old goes. It holds the catalog that it began with. A
 * response that is full ends its pass; the next one begins anew and finds the rest, and so it does
 * where the catalog changed or a key came while the pass was under way.
 */
#ifndef WEFT_CTRLPLANE_PUSH_LEDGER_H
#define WEFT_CTRLPLANE_PUSH_LEDGER_H

#include "ctrlplane/push/response.h"
#include "lib/base/list.h"
#include "lib/base/map.h"

#define LEDGER_RESPONSE_BYTES (1u << 20) /* of one response, unless one resource is more */
#define LEDGER_MAX_RESOURCE (3u << 20)   /* what is more is refused: messages end at 4 MiB */
#define LEDGER_MAX_HELD 32768
#define LEDGER_MAX_NAME 512       /* bytes of a held resource's name */
#define LEDGER_MAX_KEY 320        /* bytes of a name that is a key */
#define LEDGER_MAX_REFUSALS 4096  /* keys that were refused and not yet told so */
#define LEDGER_MAX_REJECTIONS 256 /* of which the text is kept */
#define LEDGER_HASH 32

enum ledger_state { LEDGER_HELD, LEDGER_SENT, LEDGER_ACKNOWLEDGED, LEDGER_REJECTED };

/* Why a version is not in force there; from the peer, bounded. Owned by its resource. */
struct ledger_rejection {
	char *field, *reason;
	uint64_t at; /* as ledger_answer was told */
};

/* A resource that the peer has heard of on this stream, or said to hold. Owned by the ledger. */
struct ledger_resource {
	struct list_node node;   /* ledger->resources */
	struct list_node flight; /* ledger->flight while it is in the unanswered response */
	struct str name;
	/* What is there, and what it was told last (or said to hold). */
	uint8_t force[LEDGER_HASH], sent[LEDGER_HASH];
	bool in_force; /* there is one */
	enum ledger_state state;
	struct ledger_rejection *rejection;
	uint32_t keys;        /* that lead here, as told */
	uint64_t required_in; /* number of the pass that found it required */
};

enum ledger_answer { LEDGER_UNTOLD, LEDGER_LEADS, LEDGER_NOT_MESHED, LEDGER_REFUSED };

/* A subscription; or, on ledger->refusals, a key that is none. Owned by the ledger. */
struct ledger_key {
	struct list_node node;
	struct ledger_resource *to; /* LEDGER_LEADS */
	enum ledger_answer told;
	bool again;      /* the peer asked anew */
	const char *why; /* LEDGER_REFUSED; static storage */
	size_t n;
	uint8_t bytes[]; /* by_case, then address or name */
};

enum ledger_step {
	LEDGER_LIST,
	LEDGER_REQUIRED,
	LEDGER_REFUSALS,
	LEDGER_KEYS,
	LEDGER_REMOVALS,
	LEDGER_DONE
};

struct ledger_config {
	struct str ns, pod; /* borrowed */
	uint32_t max_keys;
	size_t response_bytes, resource_bytes;
	uint64_t seed; /* of maps */
};

/* Embedded in its owner; owns all below it. */
struct ledger {
	struct ledger_config cfg;
	struct list resources, keys, refusals, flight;
	struct map *by_name, *by_key;
	size_t refusal_bytes, n_refusals, n_rejections;
	struct str told_required;   /* packed, owned */
	uint64_t passes, too_large; /* too_large: resources that were not sent for it */
	char *large;                /* the last of them; NULL: none */
	/* The pass: catalog NULL is none. */
	struct catalog *catalog;
	char *position;
	const struct catalog_required *required;
	enum ledger_step step;
	size_t at;                /* LEDGER_REQUIRED */
	struct list_node *cursor; /* LEDGER_KEYS, LEDGER_REMOVALS: the next */
	bool overtaken;           /* there is another catalog, or a key that it may have passed */
	struct response response;
};

void ledger_init(struct ledger *l, const struct ledger_config *cfg);
void ledger_fini(struct ledger *l);

/* First request: a version that is there. ERR_LIMIT, ERR_INVAL (name). */
int ledger_hold(struct ledger *l, struct str name, struct str hash);
/* Keys over the limit, or with no meaning, are answered as refused; one that is there already is
 * answered again. ERR_LIMIT: too many refusals not told yet. */
int ledger_subscribe(struct ledger *l, const Weft__Mesh__V1__Key *k);
/* What led nowhere else is forgotten: the peer dropped it. */
void ledger_unsubscribe(struct ledger *l, const Weft__Mesh__V1__Key *k);
/*
 * The unanswered response is answered: what is rejected counts as not in force until its hash
 * changes, the rest is. Rejections of versions that were not the last sent are passed over. Returns
 * how many were taken.
 */
size_t ledger_answer(struct ledger *l, Weft__Mesh__V1__Rejection *const *rejected, size_t n,
	uint64_t now);

enum ledger_verdict {
	LEDGER_MORE,     /* the budget is used up, or the pass overtaken: call again */
	LEDGER_NOTHING,  /* all that the catalog has for this stream has been told */
	LEDGER_RESPONSE, /* ledger_take it */
	LEDGER_WITHHELD  /* the pod cannot be served now: why is in err */
};
/* Goes on with the pass, or begins one with this catalog; budget: resources and keys looked at. */
enum ledger_verdict ledger_run(struct ledger *l, struct catalog *c, struct str position,
	size_t budget, char *err, size_t size);

/* What went out, for counters. */
struct ledger_taken {
	uint8_t *bytes; /* mem_free */
	size_t n, resources, removed, answers;
	bool complete;
	bool more;      /* another pass is due when this response is answered */
	char *position; /* mem_free; NULL: not complete */
};
/* Packs the response of LEDGER_RESPONSE and ends the pass. */
struct ledger_taken ledger_take(struct ledger *l, struct str nonce);

size_t ledger_keys(const struct ledger *l);
size_t ledger_resources(const struct ledger *l);

#endif

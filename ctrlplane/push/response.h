/*
 * One DiscoveryResponse while it is put together: what is in it, how many bytes that is, and its
 * form on the wire. Made by a ledger's pass. Private to push/.
 */
#ifndef WEFT_CTRLPLANE_PUSH_RESPONSE_H
#define WEFT_CTRLPLANE_PUSH_RESPONSE_H

#include "ctrlplane/compile/catalog.h"
#include "lib/base/arena.h"
#include "weft/mesh/v1/discovery.pb-c.h"

/* Grows; owned by its response. */
struct response_list {
	void **v;
	size_t n, room;
};

/* Owned by the pass; borrows the resources from the catalog that the pass holds. */
struct response {
	struct arena arena;
	size_t bytes, limit; /* on the wire, but for nonce and position */
	struct response_list resources, removed, answers;
	Weft__Mesh__V1__Required *required; /* in the arena; NULL: as before */
	bool cut;                           /* something did not fit: more follows */
};

void response_init(struct response *r, size_t limit);
void response_fini(struct response *r);
bool response_empty(const struct response *r);
/*
 * Whether n more bytes fit; anything fits into an empty response, so that nothing waits for ever.
 * Where they do not the response is cut.
 */
bool response_fits(struct response *r, size_t n);

/* Bytes that each takes. */
size_t response_resource_bytes(const struct compiled *c);
size_t response_answer_bytes(const Weft__Mesh__V1__Answer *a);
size_t response_removed_bytes(struct str name);
size_t response_required_bytes(const Weft__Mesh__V1__Required *r);

void response_add_resource(struct response *r, const struct compiled *c);
/* The answer and all in it are in the response's arena. */
void response_add_answer(struct response *r, Weft__Mesh__V1__Answer *a);
void response_add_removed(struct response *r, struct str name);
void response_set_required(struct response *r, Weft__Mesh__V1__Required *q);

/*
 * The message on the wire: *n bytes for mem_free. Resources are copied in the form that the catalog
 * packed once, behind all other fields: concatenation is a message too (protobuf encoding, "Last
 * One Wins").
 */
uint8_t *response_pack(const struct response *r, struct str nonce, struct str position, size_t *n);

#endif

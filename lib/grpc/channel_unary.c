/*
 * Unary calls of a client: one message there, one back, unpacked. Owns struct unary, in the call's
 * arena.
 */
#include "lib/grpc/call_internal.h"
#include "lib/grpc/channel.h"

#define UNARY_MAGIC 0x6772756eu

/* In the arena of its call. */
struct unary {
	struct obj_head obj;
	const ProtobufCMessageDescriptor *answer;
	grpc_unary_fn *done;
	void *arg;
	struct str bytes; /* p NULL: no answer yet */
};

static struct unary *unary_cast(void *arg)
{
	return OBJ_CAST(struct unary, UNARY_MAGIC, arg);
}

static void on_message(void *arg, struct grpc_call *c, struct str bytes)
{
	struct unary *u = unary_cast(arg);

	if (u->bytes.p != NULL) {
		grpc_call_abandon(c, GRPC_INTERNAL, "more than one answer");
		return;
	}
	u->bytes = arena_str(grpc_call_arena(c), bytes);
	if (u->bytes.p == NULL)
		u->bytes = STR("");
}

static void on_end(void *arg, struct grpc_call *c, const struct grpc_end *end)
{
	struct unary *u = unary_cast(arg);
	struct grpc_end broken = *end;
	ProtobufCMessage *m = NULL;

	(void)c;
	if (end->status == GRPC_OK && u->bytes.p != NULL)
		m = grpc_unpack(u->answer, u->bytes);
	if (end->status == GRPC_OK && m == NULL) {
		broken.status = GRPC_INTERNAL;
		broken.message = u->bytes.p == NULL ? STR("no answer but a status of OK")
						    : STR("malformed answer");
	}
	u->done(u->arg, &broken, m);
	if (m != NULL)
		protobuf_c_message_free_unpacked(m, NULL);
}

static const struct grpc_call_events unary_events = {
	.on_message = on_message,
	.on_end = on_end,
};

struct grpc_call *grpc_channel_unary(struct grpc_channel *ch, const struct grpc_call_config *cfg,
	const ProtobufCMessage *request, const ProtobufCMessageDescriptor *answer,
	grpc_unary_fn *done, void *arg)
{
	struct grpc_call *c = grpc_channel_call(ch, cfg, &unary_events, NULL);
	struct unary *u = ARENA_NEW(grpc_call_arena(c), struct unary);

	u->obj.magic = UNARY_MAGIC;
	u->answer = answer;
	u->done = done;
	u->arg = arg;
	grpc_call_set_user(c, &unary_events, u);
	grpc_call_send(c, request);
	grpc_call_close_send(c);
	return c;
}

/*
 * Messages to bytes and back: packing into a struct buf without a copy in between, and unpacking
 * with a bound on what a small message may swell to. Owns nothing; called by call.c and by users.
 */
#include <stdint.h>

#include "lib/base/alloc.h"
#include "lib/grpc/call_internal.h"

/*
 * An empty sub-message has two bytes on the wire and a hundred in memory; one that says something
 * has about ten times its size. What protobuf-c needs for a while is counted too.
 */
#define SWELL_FACTOR 32
#define SWELL_BASE ((size_t)64 * 1024)
#define SWELL_MAX ((size_t)256 * 1024 * 1024)

/* A sink of protobuf-c; lives for one call. */
struct pack_sink {
	ProtobufCBuffer base;
	struct buf *out;
};

static void on_pack(ProtobufCBuffer *base, size_t n, const uint8_t *p)
{
	buf_append(CONTAINER_OF(base, struct pack_sink, base)->out, p, n);
}

size_t grpc_pack(struct buf *out, const ProtobufCMessage *m)
{
	struct pack_sink sink = {.base = {.append = on_pack}, .out = out};

	return protobuf_c_message_pack_to_buffer(m, &sink.base);
}

static void *budget_alloc(void *arg, size_t size)
{
	size_t *left = arg;

	if (size > *left)
		return NULL;
	*left -= size;
	return mem_alloc(size);
}

static void budget_free(void *arg, void *p)
{
	(void)arg;
	mem_free(p);
}

ProtobufCMessage *grpc_unpack(const ProtobufCMessageDescriptor *d, struct str bytes)
{
	size_t left = SWELL_MAX;
	ProtobufCAllocator budget = {budget_alloc, budget_free, &left};

	if (bytes.n < (SWELL_MAX - SWELL_BASE) / SWELL_FACTOR)
		left = bytes.n * SWELL_FACTOR + SWELL_BASE;
	return protobuf_c_message_unpack(d, &budget, bytes.n,
		bytes.n > 0 ? (const uint8_t *)bytes.p : (const uint8_t *)"");
}

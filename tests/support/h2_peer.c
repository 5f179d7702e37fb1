/*
 * Frames as bytes: building, cutting, recording. Owned by the test that plays the peer.
 */
#include "tests/support/h2_peer.h"

#include <string.h>

#include "lib/base/alloc.h"

#define HEAD 9

static void peer_init(struct h2_peer *p, struct h2_world *w, struct io **io)
{
	memset(p, 0, sizeof(*p));
	p->w = w;
	p->io = *io;
	*io = NULL;
	buf_init(&p->in, w->bufs);
	buf_init(&p->out, w->bufs);
	rng_seed(&p->rng, 42);
	assert_int_equal(nghttp2_hd_inflate_new(&p->inflater), 0);
}

void h2_peer_bare(struct h2_peer *p, struct h2_world *w, unsigned end)
{
	peer_init(p, w, &w->io[end]);
}

void h2_peer_client_mute(struct h2_peer *p, struct h2_world *w)
{
	peer_init(p, w, &w->io[0]);
	h2_put_raw(p, NGHTTP2_CLIENT_MAGIC, NGHTTP2_CLIENT_MAGIC_LEN);
	h2_put(p, NGHTTP2_SETTINGS, 0, 0, NULL, 0);
	h2_peer_run(p);
}

void h2_peer_client(struct h2_peer *p, struct h2_world *w)
{
	h2_peer_client_mute(p, w);
	h2_put(p, NGHTTP2_SETTINGS, NGHTTP2_FLAG_ACK, 0, NULL, 0);
	h2_peer_run(p);
}

void h2_peer_server(struct h2_peer *p, struct h2_world *w)
{
	peer_init(p, w, &w->io[1]);
	h2_put(p, NGHTTP2_SETTINGS, 0, 0, NULL, 0);
	h2_put(p, NGHTTP2_SETTINGS, NGHTTP2_FLAG_ACK, 0, NULL, 0);
	h2_peer_run(p);
}

void h2_peer_close(struct h2_peer *p)
{
	io_close(&p->io, false);
	buf_clear(&p->in);
	buf_clear(&p->out);
	nghttp2_hd_inflate_del(p->inflater);
	mem_free(p->got);
}

/* -- out -- */

void h2_put_raw(struct h2_peer *p, const void *bytes, size_t n)
{
	buf_append(&p->out, bytes, n);
}

static void store_u32(uint8_t *dst, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		dst[i] = (uint8_t)(v >> (24 - 8 * i));
}

void h2_put(struct h2_peer *p, uint8_t type, uint8_t flags, int32_t id, const void *payload,
	size_t n)
{
	uint8_t head[HEAD] = {(uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n, type, flags};

	store_u32(head + 5, (uint32_t)id);
	h2_put_raw(p, head, sizeof(head));
	h2_put_raw(p, payload, n);
}

void h2_put_u32(struct h2_peer *p, uint8_t type, int32_t id, uint32_t value)
{
	uint8_t payload[4];

	store_u32(payload, value);
	h2_put(p, type, 0, id, payload, sizeof(payload));
}

void h2_put_settings(struct h2_peer *p, uint16_t id, uint32_t value)
{
	uint8_t payload[6] = {(uint8_t)(id >> 8), (uint8_t)id};

	store_u32(payload + 2, value);
	h2_put(p, NGHTTP2_SETTINGS, 0, 0, payload, sizeof(payload));
}

/* RFC 7541 5.2 without Huffman, for strings of any length. */
static void put_string(struct buf *b, const char *s)
{
	size_t n = strlen(s);
	uint8_t byte;

	if (n < 127) {
		byte = (uint8_t)n;
		buf_append(b, &byte, 1);
	} else {
		size_t rest = n - 127;

		byte = 127;
		buf_append(b, &byte, 1);
		for (; rest >= 128; rest >>= 7) {
			byte = (uint8_t)(rest | 128);
			buf_append(b, &byte, 1);
		}
		byte = (uint8_t)rest;
		buf_append(b, &byte, 1);
	}
	buf_append(b, s, n);
}

void h2_put_headers(struct h2_peer *p, uint8_t flags, int32_t id, const char *const *fields)
{
	struct buf block;

	buf_init(&block, p->w->bufs);
	for (; fields[0] != NULL; fields += 2) {
		uint8_t literal = 0x10;

		buf_append(&block, &literal, 1);
		put_string(&block, fields[0]);
		put_string(&block, fields[1]);
	}
	size_t n = buf_len(&block);
	char *bytes = mem_alloc(n + 1);

	buf_copy_out(&block, 0, bytes, n);
	h2_put(p, NGHTTP2_HEADERS, flags, id, bytes, n);
	mem_free(bytes);
	buf_clear(&block);
}

void h2_put_get(struct h2_peer *p, int32_t id)
{
	static const char *const get[] = {
		":method", "GET", ":scheme", "https", ":path", "/", ":authority", "svc.test", NULL};

	h2_put_headers(p, NGHTTP2_FLAG_END_HEADERS | NGHTTP2_FLAG_END_STREAM, id, get);
}

void h2_put_post(struct h2_peer *p, int32_t id)
{
	static const char *const post[] = {":method", "POST", ":scheme", "https", ":path", "/p",
		":authority", "svc.test", NULL};

	h2_put_headers(p, NGHTTP2_FLAG_END_HEADERS, id, post);
}

void h2_put_ok(struct h2_peer *p, uint8_t flags, int32_t id)
{
	static const char *const ok[] = {":status", "200", NULL};

	h2_put_headers(p, NGHTTP2_FLAG_END_HEADERS | flags, id, ok);
}

/* -- in -- */

static uint32_t load_u32(const uint8_t *s)
{
	return (uint32_t)s[0] << 24 | (uint32_t)s[1] << 16 | (uint32_t)s[2] << 8 | s[3];
}

static void take_field(struct h2_got *g, const nghttp2_nv *nv)
{
	const uint8_t *v = nv->value;

	if (nv->namelen == 7 && memcmp(nv->name, ":status", 7) == 0)
		g->status = (uint16_t)((v[0] - '0') * 100 + (v[1] - '0') * 10 + (v[2] - '0'));
	if (nv->namelen == 11 && memcmp(nv->name, "grpc-status", 11) == 0)
		g->grpc_status = nv->valuelen == 2 ? (v[0] - '0') * 10 + v[1] - '0' : v[0] - '0';
}

static void inflate(struct h2_peer *p, struct h2_got *g, const uint8_t *bytes)
{
	size_t n = g->length;

	g->grpc_status = -1;

	for (;;) {
		nghttp2_nv nv;
		int flags = 0;
		nghttp2_ssize used = nghttp2_hd_inflate_hd2(p->inflater, &nv, &flags, bytes, n, 1);

		assert_true(used >= 0);
		bytes += used;
		n -= (size_t)used;
		if (flags & NGHTTP2_HD_INFLATE_EMIT)
			take_field(g, &nv);
		if (flags & NGHTTP2_HD_INFLATE_FINAL)
			break;
	}
	nghttp2_hd_inflate_end_headers(p->inflater);
}

static void record(struct h2_peer *p, struct h2_got g, const uint8_t *payload)
{
	memcpy(g.head, payload, g.length < sizeof(g.head) ? g.length : sizeof(g.head));
	if (g.type == NGHTTP2_RST_STREAM || g.type == NGHTTP2_WINDOW_UPDATE)
		g.code = load_u32(payload);
	if (g.type == NGHTTP2_GOAWAY) {
		g.last = (int32_t)load_u32(payload);
		g.code = load_u32(payload + 4);
	}
	if (g.type == NGHTTP2_HEADERS)
		inflate(p, &g, payload);
	if (g.type == NGHTTP2_DATA)
		p->data_bytes += g.length;
	if (p->n_got == p->cap_got) {
		p->cap_got = p->cap_got > 0 ? 2 * p->cap_got : 64;
		p->got = mem_resize(p->got, p->cap_got * sizeof(*p->got));
	}
	p->got[p->n_got++] = g;
}

static bool take_frame(struct h2_peer *p)
{
	uint8_t head[HEAD];

	if (buf_copy_out(&p->in, 0, head, HEAD) < HEAD)
		return false;
	struct h2_got g = {
		.length = load_u32(head) >> 8,
		.type = head[3],
		.flags = head[4],
		.id = (int32_t)load_u32(head + 5),
	};
	assert_true(g.length <= 16384);
	if (buf_len(&p->in) < HEAD + g.length)
		return false;
	uint8_t *payload = mem_alloc(g.length + 8);

	buf_consume(&p->in, HEAD);
	buf_copy_out(&p->in, 0, payload, g.length);
	buf_consume(&p->in, g.length);
	record(p, g, payload);
	mem_free(payload);
	return true;
}

static bool peer_read(struct h2_peer *p)
{
	if (p->deaf || p->closed)
		return false;
	ssize_t n = io_read(p->io, &p->in, 1 << 20);

	if (n == ERR_AGAIN)
		return false;
	if (n <= 0) {
		p->closed = true;
		return false;
	}
	/* A client's preface. */
	uint8_t first[3];

	if (buf_copy_out(&p->in, 0, first, 3) == 3 && memcmp(first, "PRI", 3) == 0)
		buf_consume(&p->in, NGHTTP2_CLIENT_MAGIC_LEN);
	while (take_frame(p)) {
	}
	return true;
}

static bool peer_write(struct h2_peer *p)
{
	struct buf piece;
	size_t n = buf_len(&p->out);

	if (n == 0)
		return false;
	if (p->split > 0 && n > 1) {
		size_t most = p->split < n ? p->split : n;
		n = 1 + rng_below(&p->rng, most);
		n = n < buf_len(&p->out) ? n : buf_len(&p->out);
	}
	buf_init(&piece, p->w->bufs);
	buf_move(&piece, &p->out, n);
	ssize_t wrote = io_write(p->io, &piece);

	if (wrote < 0 && wrote != ERR_AGAIN) {
		buf_clear(&piece);
		buf_clear(&p->out);
		return false;
	}
	buf_move_all(&piece, &p->out);
	buf_move_all(&p->out, &piece);
	return wrote > 0;
}

void h2_peer_run(struct h2_peer *p)
{
	bool moved;

	do {
		moved = peer_write(p);
		h2_world_run(p->w);
		moved |= peer_read(p);
		h2_world_run(p->w);
	} while (moved);
}

size_t h2_seen(const struct h2_peer *p, uint8_t type, int32_t id)
{
	size_t n = 0;

	for (size_t i = 0; i < p->n_got; i++)
		if (p->got[i].type == type && (id == -1 || p->got[i].id == id))
			n++;
	return n;
}

const struct h2_got *h2_last(const struct h2_peer *p, uint8_t type, int32_t id)
{
	for (size_t i = p->n_got; i > 0; i--)
		if (p->got[i - 1].type == type && (id == -1 || p->got[i - 1].id == id))
			return &p->got[i - 1];
	return NULL;
}

unsigned h2_status(const struct h2_peer *p, int32_t id)
{
	const struct h2_got *g = h2_last(p, NGHTTP2_HEADERS, id);

	return g != NULL ? g->status : 0;
}

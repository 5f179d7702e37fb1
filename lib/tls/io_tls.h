/*
 * The inside of the record layer: its state, and how a finished handshake makes one. Private to
 * lib/tls and its tests; io_tls.c has the io itself, seal.c what goes out, open.c what comes in.
 */
#ifndef WEFT_TLS_IO_TLS_H
#define WEFT_TLS_IO_TLS_H

#include "lib/tls/alert.h"
#include "lib/tls/record.h"
#include "lib/tls/tls.h"

/* What the handshake hands over; all borrowed for the call, except what says otherwise. */
struct tls_io_config {
	struct io *below;    /* owned by the io from now on */
	struct tls_ctx *ctx; /* referenced */
	struct buf_pool *bufs;
	const struct record_suite *suite;
	const uint8_t *secret_in,
		*secret_out;     /* application traffic secrets, suite->hash_n bytes each */
	struct cert_chain *peer; /* referenced; NULL: an anonymous client */
	const char *alpn;        /* borrowed from ctx, static or NULL: none */
	struct str sni;
	struct buf *received; /* bytes behind the handshake; moved out */
	struct buf *unsent;   /* end of our last flight; moved out */
};

/* What is unsent goes with the user's first bytes, or in the next turn. */
struct io *tls_io_new(const struct tls_io_config *cfg);

/* Records under one key before it is replaced, and before the connection ends where the peer does
 * not replace its own. */
#define TLS_REKEY_RECORDS (1ull << 23)
#define TLS_MAX_RECORDS ((1ull << 24) - 1)
/* How long after its close an io goes on sending what it took. */
#define TLS_LINGER_NS (60 * NS_PER_S)
/* Other bounds than those above, for tests. */
void tls_io_limit(struct io *io, uint64_t rekey, uint64_t max);

/* Where we are in the stream of post-handshake messages; those that do not matter are skipped, not
 * kept. Embedded in struct tls_io. */
struct tls_messages {
	uint8_t head[4];
	unsigned n;    /* bytes of head that are there */
	uint32_t left; /* bytes of the body still to come */
};

/* Owns all it points to; freed at the end of the turn in which it is closed and has sent what it
 * took, or may no longer. */
struct tls_io {
	struct io io;
	struct tls_ctx *ctx;
	struct cert_chain *peer;
	const char *alpn;
	char *sni, *failure; /* mem_free; NULL: none */
	struct record_key in, out;
	struct buf raw;    /* received, not opened */
	struct buf plain;  /* opened, not taken */
	struct buf sealed; /* sealed, not sent */
	uint64_t records, rekey_at, records_max;
	struct tls_messages messages;
	struct loop_task wake;
	struct loop_timer linger;  /* closed, with bytes still to be sent */
	struct loop_orphan orphan; /* then, so that the loop knows of it */
	int in_end;                /* 0: open, 1: the peer ended in order, else ERR_* */
	int out_end;               /* 0: open, 1: we ended, else ERR_* */
	unsigned wanted;
	unsigned idle_records; /* in a row, without data */
	bool heard;            /* data came */
	bool owes_key_update, asked_key_update;
	bool blocked; /* the layer below takes no more now */
	bool fin_sent, closed;
};

/* --- io_tls.c --- */
/* Tells the layer below and the loop what we wait for now. */
void tls_io_interest(struct tls_io *t);
/* Keeps the first reason why the stream ended badly. */
void tls_io_say(struct tls_io *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Ends both directions with err, where they have not ended. */
void tls_io_fail(struct tls_io *t, int err);

/* --- seal.c --- */
/* One record of n <= TLS_SEAL_CONTENT bytes to the end of what is to be sent. */
void tls_seal_bytes(struct tls_io *t, enum record_type type, void *p, size_t n);
void tls_seal_alert(struct tls_io *t, uint8_t level, uint8_t number);
/* New keys for what we send (RFC 8446 4.6.3); ask: the peer shall renew its own too. */
void tls_seal_key_update(struct tls_io *t, bool ask);
/* Seals a bounded part of out; returns how many bytes. */
size_t tls_seal_some(struct tls_io *t, struct buf *out);
/* One write of what is sealed; behind close_notify, the end of the layer below. 0: all gone,
 * ERR_AGAIN, or the error of the layer below. */
int tls_io_flush(struct tls_io *t);
/* The peer broke the protocol: tells it so, once, and ends with err. */
void tls_io_refuse(struct tls_io *t, enum alert number, int err, const char *text);

/* --- open.c --- */
/* One read of the layer below; its end or error becomes ours. True: bytes came. */
bool tls_receive(struct tls_io *t);
/* Opens what is complete of the received records, up to room bytes of data into in, the rest of the
 * last record into t->plain. */
void tls_open_records(struct tls_io *t, struct buf *in, size_t room);
/* A read would find data, an end or an error without asking the layer below. */
bool tls_readable(const struct tls_io *t);

#endif

/*
 * What a TLS connection sends: records sealed into one outgoing buf, so that all of a turn leaves
 * in one write (RFC 8446 5.2, 4.6.3, 6). Works on the struct tls_io of its caller, io_tls.c or
 * open.c, and owns nothing.
 */
#include "lib/tls/io_tls.h"

#include "lib/base/obj.h"

/* A sealed record fills a large chunk of the pool, and no more. */
#define TLS_SEAL_CONTENT (BUF_LARGE - RECORD_OVERHEAD)
#define TLS_SEAL_PIECES 16
/* Sealed per call. While any of it is unsent nothing more is sealed, so that this bounds what a
 * slow peer makes us keep. */
#define TLS_SEAL_BYTES (128 * 1024)

enum { KEY_UPDATE = 24 };

static void seal(struct tls_io *t, enum record_type type, const struct iovec *in, int n_in,
	size_t n)
{
	size_t room;
	uint8_t *dst = buf_reserve(&t->sealed, n + RECORD_OVERHEAD, &room);

	record_seal(&t->out, type, in, n_in, dst);
	buf_commit(&t->sealed, n + RECORD_OVERHEAD);
	t->records++;
}

void tls_seal_bytes(struct tls_io *t, enum record_type type, void *p, size_t n)
{
	struct iovec iov = {p, n};

	seal(t, type, &iov, 1, n);
}

void tls_seal_alert(struct tls_io *t, uint8_t level, uint8_t number)
{
	uint8_t body[2] = {level, number};

	tls_seal_bytes(t, RECORD_ALERT, body, sizeof(body));
}

void tls_seal_key_update(struct tls_io *t, bool ask)
{
	uint8_t message[5] = {KEY_UPDATE, 0, 0, 1, ask};

	tls_seal_bytes(t, RECORD_HANDSHAKE, message, sizeof(message));
	record_key_update(&t->out);
	t->owes_key_update = false;
}

size_t tls_seal_some(struct tls_io *t, struct buf *out)
{
	struct iovec iov[TLS_SEAL_PIECES];
	size_t done = 0;

	while (done < TLS_SEAL_BYTES && buf_len(out) > 0) {
		if (t->owes_key_update || t->out.seq >= t->rekey_at)
			tls_seal_key_update(t, false);
		int pieces = buf_iov(out, TLS_SEAL_CONTENT, iov, TLS_SEAL_PIECES);
		size_t n = 0;
		for (int i = 0; i < pieces; i++)
			n += iov[i].iov_len;
		seal(t, RECORD_APPLICATION_DATA, iov, pieces, n);
		buf_consume(out, n);
		done += n;
	}
	return done;
}

int tls_io_flush(struct tls_io *t)
{
	if (buf_len(&t->sealed) > 0) {
		ssize_t n = io_write(t->io.below, &t->sealed);
		if (n < 0 && n != ERR_AGAIN) {
			buf_clear(&t->sealed);
			return (int)n;
		}
		t->blocked = buf_len(&t->sealed) > 0;
		if (t->blocked)
			return ERR_AGAIN;
	}
	if (t->out_end == 1 && !t->fin_sent) {
		t->fin_sent = true;
		return io_shutdown(t->io.below);
	}
	return 0;
}

void tls_io_refuse(struct tls_io *t, enum alert number, int err, const char *text)
{
	tls_io_say(t, "%s; sent alert %s", text, alert_name((uint8_t)number));
	if (t->out_end == 0) {
		tls_seal_alert(t, ALERT_LEVEL_FATAL, (uint8_t)number);
		tls_io_flush(t);
	}
	tls_io_fail(t, err);
}

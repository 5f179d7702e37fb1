/*
 * What a TLS connection receives: records read ahead from the layer below and opened from memory,
 * data passed on, alerts and key updates acted on (RFC 8446 4.6, 5, 6). Works on the struct tls_io
 * of its caller, io_tls.c, and owns nothing.
 */
#include "lib/tls/io_tls.h"

#include "lib/base/obj.h"
#include "lib/tls/ctx.h"

/* Most that is asked of the layer below at once. */
#define TLS_READ (64 * 1024u)
/* Records in a row that carry no data: tickets, key updates, empty ones. */
#define TLS_IDLE_RECORDS 64
/* Content, type and padding together keep to the limit of content (RFC 8446 5.4), and all our
 * ciphers add a tag, no more. */
#define TLS_BODY_MAX (RECORD_CONTENT_MAX + 1 + RECORD_TAG)

enum { NEW_SESSION_TICKET = 4, KEY_UPDATE = 24 };

/* --- messages --- */

static void on_alert(struct tls_io *t, uint8_t number)
{
	if (number == ALERT_USER_CANCELED)
		return;
	if (number == ALERT_CLOSE_NOTIFY) {
		t->in_end = 1;
		buf_clear(&t->raw);
		return;
	}
	tls_io_say(t, "the peer refused us: alert %s (%u)", alert_name(number), number);
	int err = alert_err(number);
	/* Who has sent data has taken our certificate; what we sent may have been acted on. */
	tls_io_fail(t, err == ERR_VERIFY && t->heard ? ERR_PROTOCOL : err);
}

static void on_key_update(struct tls_io *t, uint8_t request, bool last)
{
	if (!last) {
		tls_io_refuse(t, ALERT_UNEXPECTED_MESSAGE, ERR_PROTOCOL,
			"data behind a key update in its record");
		return;
	}
	if (request > 1) {
		tls_io_refuse(t, ALERT_ILLEGAL_PARAMETER, ERR_PROTOCOL, "malformed key update");
		return;
	}
	record_key_update(&t->in);
	t->asked_key_update = false;
	/* The answer is due before our next data, so that a peer who asks a thousand times costs
	 * one. */
	if (request == 1)
		t->owes_key_update = true;
}

/* The header of a message is complete. Nothing else than these two comes unasked in TLS 1.3. */
static void on_message(struct tls_io *t)
{
	struct tls_messages *m = &t->messages;

	m->left = (uint32_t)m->head[1] << 16 | (uint32_t)m->head[2] << 8 | m->head[3];
	if (m->head[0] == KEY_UPDATE && m->left == 1)
		return;
	if (m->head[0] == NEW_SESSION_TICKET && m->left > 0 && t->ctx->role == TLS_CLIENT)
		return;
	tls_io_refuse(t, ALERT_UNEXPECTED_MESSAGE, ERR_PROTOCOL, "unexpected handshake message");
}

static void on_messages(struct tls_io *t, const struct iovec *iov, size_t n)
{
	struct tls_messages *m = &t->messages;

	for (size_t i = 0; i < n && t->in_end == 0; i++) {
		uint8_t byte = record_byte(iov, i);
		if (m->n < sizeof(m->head)) {
			m->head[m->n++] = byte;
			if (m->n == sizeof(m->head))
				on_message(t);
			continue;
		}
		if (--m->left == 0)
			m->n = 0;
		if (m->head[0] == KEY_UPDATE)
			on_key_update(t, byte, i + 1 == n);
	}
}

/* Content that is not data. */
static void on_control(struct tls_io *t, uint8_t type, const struct iovec *iov, size_t n)
{
	bool alert = type == RECORD_ALERT, handshake = type == RECORD_HANDSHAKE;

	if ((!alert && !handshake) || n == 0 || (alert && t->messages.n > 0))
		tls_io_refuse(t, ALERT_UNEXPECTED_MESSAGE, ERR_PROTOCOL, "unexpected record");
	else if (handshake)
		on_messages(t, iov, n);
	else if (n != 2)
		tls_io_refuse(t, ALERT_DECODE_ERROR, ERR_PROTOCOL, "malformed alert");
	else
		on_alert(t, record_byte(iov, 1));
}

/* --- records --- */

bool tls_receive(struct tls_io *t)
{
	/* How much it really reads at once a socket finds out by itself. */
	ssize_t n = io_read(t->io.below, &t->raw, TLS_READ);

	if (n > 0)
		return true;
	if (n == ERR_AGAIN)
		return false;
	if (n == 0)
		tls_io_say(t, "the connection ended without close_notify");
	else
		tls_io_say(t, "%s", err_text((int)n));
	if (t->in_end == 0)
		t->in_end = n == 0 ? ERR_RESET : (int)n;
	return false;
}

static size_t body_length(const uint8_t header[RECORD_HEADER])
{
	return (size_t)header[3] << 8 | header[4];
}

static bool header_valid(const uint8_t header[RECORD_HEADER])
{
	size_t n = body_length(header);

	return header[0] == RECORD_APPLICATION_DATA && n > RECORD_TAG && n <= TLS_BODY_MAX;
}

bool tls_readable(const struct tls_io *t)
{
	uint8_t header[RECORD_HEADER];

	if (t->in_end != 0 || buf_len(&t->plain) > 0)
		return true;
	if (buf_copy_out(&t->raw, 0, header, sizeof(header)) < sizeof(header))
		return false;
	return !header_valid(header) || buf_len(&t->raw) >= sizeof(header) + body_length(header);
}

static void refuse_header(struct tls_io *t, const uint8_t header[RECORD_HEADER])
{
	if (header[0] != RECORD_APPLICATION_DATA)
		tls_io_refuse(t, ALERT_UNEXPECTED_MESSAGE, ERR_PROTOCOL, "unprotected record");
	else if (body_length(header) > TLS_BODY_MAX)
		tls_io_refuse(t, ALERT_RECORD_OVERFLOW, ERR_PROTOCOL, "record too long");
	else
		tls_io_refuse(t, ALERT_BAD_RECORD_MAC, ERR_PROTOCOL, "record too short");
}

/* Keys wear out with the records under them: asks the peer for new ones in good time, and ends
 * where it does not listen. */
static bool check_wear(struct tls_io *t)
{
	if (t->in.seq >= t->records_max) {
		tls_io_refuse(t, ALERT_UNEXPECTED_MESSAGE, ERR_LIMIT,
			"too many records under one key");
		return false;
	}
	if (t->in.seq >= t->rekey_at && !t->asked_key_update && t->out_end == 0) {
		t->asked_key_update = true;
		/* Sent by the writer or in the next turn: what goes wrong with it is theirs. */
		tls_seal_key_update(t, true);
	}
	return true;
}

/* Data goes to dst, where room for it is reserved; anything else is acted on. */
static void on_content(struct tls_io *t, struct buf *dst, uint8_t type, const struct iovec *iov,
	size_t n)
{
	bool data = type == RECORD_APPLICATION_DATA && t->messages.n == 0;

	if (!data)
		on_control(t, type, iov, n);
	buf_commit_iov(dst, data ? n : 0);
	t->heard = t->heard || (data && n > 0);
	if (data && n > 0)
		t->idle_records = 0;
	else if (++t->idle_records > TLS_IDLE_RECORDS && t->in_end == 0)
		tls_io_refuse(t, ALERT_UNEXPECTED_MESSAGE, ERR_PROTOCOL,
			"too many records without data");
}

/* Points r at the body and the tag of the record whose header has been consumed. */
static void point_at(struct tls_io *t, struct record_sealed *r, uint8_t flat[TLS_BODY_MAX])
{
	size_t n = body_length(r->header) - RECORD_TAG, found = 0;

	r->n_body = buf_iov(&t->raw, n, r->body, (int)(sizeof(r->body) / sizeof(r->body[0])));
	for (int i = 0; i < r->n_body; i++)
		found += r->body[i].iov_len;
	if (found < n) {
		/* It came in crumbs. */
		buf_copy_out(&t->raw, 0, flat, n);
		r->body[0] = (struct iovec){flat, n};
		r->n_body = 1;
	}
	buf_copy_out(&t->raw, n, r->tag, RECORD_TAG);
}

/* Opens the next record, which is complete; its data is for dst. */
static void open_record(struct tls_io *t, struct record_sealed *r, struct buf *dst)
{
	uint8_t flat[TLS_BODY_MAX];
	struct iovec out[3];
	size_t content = 0, n = body_length(r->header);
	uint8_t type = 0;

	buf_consume(&t->raw, RECORD_HEADER);
	point_at(t, r, flat);
	int pieces = buf_reserve_iov(dst, n - RECORD_TAG, out, 3);
	int ret = record_open(&t->in, r, out, pieces, &type, &content);
	buf_consume(&t->raw, n);
	t->records++;
	if (ret == 0) {
		on_content(t, dst, type, out, content);
		return;
	}
	buf_commit_iov(dst, 0);
	if (ret == ERR_VERIFY)
		tls_io_refuse(t, ALERT_BAD_RECORD_MAC, ERR_PROTOCOL,
			"a record does not authenticate");
	else
		tls_io_refuse(t, ALERT_UNEXPECTED_MESSAGE, ERR_PROTOCOL,
			"a record without content type");
}

void tls_open_records(struct tls_io *t, struct buf *in, size_t room)
{
	struct record_sealed r;
	size_t end = buf_len(in) + room;

	while (t->in_end == 0 && buf_len(in) < end) {
		if (buf_copy_out(&t->raw, 0, r.header, RECORD_HEADER) < RECORD_HEADER)
			return;
		if (!header_valid(r.header)) {
			refuse_header(t, r.header);
			return;
		}
		size_t n = body_length(r.header);
		if (buf_len(&t->raw) < RECORD_HEADER + n || !check_wear(t))
			return;
		size_t left = end - buf_len(in);
		struct buf *dst = n - RECORD_TAG - 1 <= left ? in : &t->plain;
		open_record(t, &r, dst);
		if (dst != in && buf_len(dst) > 0)
			buf_move(in, dst, buf_len(dst) < left ? buf_len(dst) : left);
	}
}

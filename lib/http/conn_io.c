/*
 * The gate, byte side: reading within a turn's share and only while the codec can take, one write
 * per flush phase, FIN and lingering. Owns nothing beyond struct http_conn's buffers; called by the
 * loop alone.
 */
#include "lib/http/gate.h"

/* A connection begins with small reads and gets larger ones while it fills them. */
#define READ_MIN ((size_t)BUF_LARGE)
#define READ_MAX ((size_t)4 * BUF_LARGE)
/* Bytes that the codec has left in c->in: with more no more is read, so that requests sent ahead
 * wait in the socket. */
#define IN_MAX READ_MAX

static struct http_conn *conn_cast(void *arg)
{
	return OBJ_CAST(struct http_conn, HTTP_CONN_MAGIC, arg);
}

static bool conn_can_read(const struct http_conn *c)
{
	return c->state == HTTP_CONN_OPEN && !c->read_paused && !c->eof && buf_len(&c->in) < IN_MAX;
}

void http_conn_want(struct http_conn *c)
{
	unsigned events = 0;

	if (conn_can_read(c) || c->state == HTTP_CONN_LINGERING)
		events |= IO_READ;
	if (c->write_blocked && c->state != HTTP_CONN_ENDED)
		events |= IO_WRITE;
	if (events == c->wanted)
		return;
	c->wanted = events;
	io_want(c->io, events);
}

/* --- in --- */

/* The connection broke. An answer that is complete stays a success though the request never got out
 * whole. */
static void conn_lost(struct http_conn *c, int err)
{
	enum reason reason = c->role == HTTP_SERVER ? reason_from_downstream_err(err)
						    : reason_from_upstream_err(err);

	LIST_EACH(&c->streams, n)
	{
		struct http_stream *s = CONTAINER_OF(n, struct http_stream, node);

		if (c->role == HTTP_CLIENT && s->in == PART_DONE && !s->tunnel)
			http_up_end(s, REASON_OK, NULL);
		else if (c->role == HTTP_CLIENT && c->codec->version == HTTP_V1 &&
			http_stream_unsent(s))
			http_up_end(s, REASON_NOT_PROCESSED, err_text(err));
	}
	http_conn_fail(c, reason, err_text(err), true);
}

/* Exchanges of a peer that closed its side have less time: most such peers are gone altogether. */
static void conn_on_eof(struct http_conn *c)
{
	LIST_EACH(&c->streams, n)
	{
		struct http_stream *s = CONTAINER_OF(n, struct http_stream, node);

		if (!s->ended)
			http_stream_touch(s);
	}
}

static void conn_read(struct http_conn *c)
{
	size_t left = IO_TURN_BYTES;

	while (left > 0 && conn_can_read(c)) {
		if (c->read_size == 0)
			c->read_size = READ_MIN;
		size_t max = c->read_size < left ? c->read_size : left;
		ssize_t n = io_read(c->io, &c->in, max);

		if (n == ERR_AGAIN)
			break;
		if (n < 0) {
			conn_lost(c, (int)n);
			return;
		}
		left -= (size_t)n;
		c->eof = n == 0;
		if (c->eof)
			conn_on_eof(c);
		c->codec->on_bytes(c, c->eof);
		if ((size_t)n == max && c->read_size < READ_MAX)
			c->read_size *= 2;
		/* Less than a full TLS record: there is nothing more now, and asking would cost a
		 * system call. */
		if ((size_t)n < max && n < BUF_LARGE)
			break;
	}
	http_conn_want(c);
}

/* Lingering: the peer shall find our last words before a reset, so what it still sends is taken and
 * dropped until its time is over. No count of bytes ends it: the end would be the reset that takes
 * our words from a client that is in the middle of a long body. */
static void conn_drop(struct http_conn *c)
{
	ssize_t n = io_read(c->io, &c->in, READ_MAX);

	buf_clear(&c->in);
	if (n == ERR_AGAIN)
		return;
	if (n <= 0)
		http_conn_finish(c);
}

void http_conn_on_io(void *arg, unsigned events)
{
	struct http_conn *c = conn_cast(arg);

	if ((events & IO_WRITE) && c->write_blocked) {
		c->write_blocked = false;
		http_conn_want(c);
		http_conn_kick(c);
	}
	if (!(events & IO_READ))
		return;
	if (c->state == HTTP_CONN_LINGERING)
		conn_drop(c);
	else
		conn_read(c);
}

void http_conn_on_read_again(void *arg)
{
	struct http_conn *c = conn_cast(arg);

	if (c->state != HTTP_CONN_OPEN || c->read_paused)
		return;
	c->codec->on_bytes(c, c->eof);
	http_conn_want(c);
}

void http_conn_pause_read(struct http_conn *c)
{
	c->read_paused = true;
	http_conn_want(c);
}

void http_conn_resume_read(struct http_conn *c)
{
	if (c->state != HTTP_CONN_OPEN)
		return;
	c->read_paused = false;
	if (buf_len(&c->in) > 0 || c->eof)
		loop_defer(&c->read_task);
	http_conn_want(c);
}

/* --- out --- */

/*
 * A client whose request cannot be written any more still reads: the answer that explains why may
 * be waiting already (RFC 9112 9.5). The read that follows finds it, or the error.
 */
static void conn_write_failed(struct http_conn *c, int err)
{
	loop_timer_stop(&c->flush_timer);
	buf_clear(&c->out);
	c->write_failed = true;
	if (c->role == HTTP_CLIENT && c->state == HTTP_CONN_OPEN && !c->eof) {
		if (!c->read_paused)
			conn_read(c);
		return;
	}
	conn_lost(c, err);
}

/* True where all of c->out went. */
static bool conn_write(struct http_conn *c)
{
	ssize_t n = io_write(c->io, &c->out);

	if (n > 0)
		c->written += (uint64_t)n;
	if (n < 0 && n != ERR_AGAIN) {
		conn_write_failed(c, (int)n);
		return false;
	}
	if (buf_len(&c->out) == 0) {
		loop_timer_stop(&c->flush_timer);
		return true;
	}
	if (n > 0 || !loop_timer_running(&c->flush_timer))
		http_timer_set(&c->flush_timer, c->limits.flush_timeout);
	c->write_blocked = true;
	http_conn_want(c);
	return false;
}

/* The last byte is written: FIN, and a server waits for the peer's. */
static void conn_said_all(struct http_conn *c)
{
	bool linger = c->role == HTTP_SERVER && !c->eof && c->limits.linger_timeout > 0;

	if (!linger) {
		http_conn_finish(c);
		return;
	}
	if (!c->fin_sent && io_shutdown(c->io) < 0) {
		http_conn_finish(c);
		return;
	}
	c->fin_sent = true;
	c->state = HTTP_CONN_LINGERING;
	buf_clear(&c->in);
	loop_timer_start(&c->flush_timer, c->limits.linger_timeout);
	http_conn_want(c);
}

void http_conn_on_flush(void *arg)
{
	struct http_conn *c = conn_cast(arg);

	if (c->state > HTTP_CONN_FLUSHING || c->write_blocked || c->write_failed)
		return;
	bool more = c->codec->flush(c);

	if (c->state > HTTP_CONN_FLUSHING)
		return;
	if (buf_len(&c->out) > 0 && !conn_write(c))
		return;
	if (more) {
		loop_flush(&c->flush_task);
	} else if (c->state == HTTP_CONN_FLUSHING) {
		conn_said_all(c);
	} else if (c->fin_when_flushed && !c->fin_sent) {
		c->fin_sent = true;
		io_shutdown(c->io);
	}
}

void http_conn_on_flush_timeout(void *arg)
{
	struct http_conn *c = conn_cast(arg);

	if (c->state == HTTP_CONN_LINGERING)
		http_conn_finish(c);
	else
		http_conn_fail(c, REASON_IDLE_TIMEOUT, "the peer takes no bytes", true);
}

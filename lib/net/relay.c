/*
 * Two-way byte relay: a pair of equal sides, each with the bytes that came from it and wait for the
 * other. Owns both ios until its end; started by the flows for everything that is not HTTP.
 */
#include "lib/net/relay.h"

#include "lib/base/alloc.h"

#define RELAY_MAGIC 0x72656c79u
#define RELAY_HIGH_WATER (256 * 1024)

/* What one pass reads before it writes, by how much the side has sent lately. */
#define BURST_SMALL (4u * 1024)
#define BURST_MIDDLE (64u * 1024)
#define BURST_LARGE (256u * 1024)
#define VOLUME_MIDDLE (64u * 1024)
#define VOLUME_LARGE (1024u * 1024)
#define VOLUME_MAX (2 * VOLUME_LARGE)

struct relay;

/* One end and its direction; embedded in the relay, owns io and bytes. */
struct side {
	struct relay *relay;
	struct side *peer;
	struct io *io;
	struct buf bytes;       /* read here, to be written at the peer */
	uint64_t passed;        /* bytes of ours that the peer took */
	uint64_t first_byte_ns; /* loop time; 0: none came */
	uint64_t turn;          /* the turn that turn_bytes belongs to */
	size_t turn_bytes;
	size_t volume; /* of late; decides how much is read at once */
	int err;       /* what broke this end; 0: nothing */
	bool ended;    /* nothing more is read here */
	bool shut;     /* our end of stream was sent here */
	bool readable; /* as far as we know: a call that would only say "would block" is not made */
	bool writable;
};

/* Owned by itself, freed at the end of the turn in which end was called. */
struct relay {
	struct obj_head obj;
	struct loop *loop;
	struct relay_config cfg;
	struct side a, b;
	struct loop_timer idle;
	struct loop_task start, finish;
	struct relay_facts facts;
	relay_end_fn *end;
	void *arg;
	bool closed;
};

static struct relay *relay_check(void *p)
{
	return OBJ_CAST(struct relay, RELAY_MAGIC, p);
}

/* --- the end --- */

static void take_facts(struct relay *r)
{
	r->facts.a_to_b = r->a.passed;
	r->facts.b_to_a = r->b.passed;
	r->facts.first_byte_a_ns = r->a.first_byte_ns;
	r->facts.first_byte_b_ns = r->b.first_byte_ns;
}

static void on_finish(void *arg)
{
	struct relay *r = relay_check(arg);

	loop_defer_free(r->loop, r, mem_free);
	r->end(r->arg, &r->facts);
}

/* The one exit: both ios go, with RST where something went wrong, so that no one takes a torn
 * stream for a whole one. The owner hears of it deferred, never from inside a call of its own. */
static void relay_end(struct relay *r)
{
	bool reset = r->facts.err != 0;

	r->closed = true;
	take_facts(r);
	loop_timer_stop(&r->idle);
	loop_task_cancel(&r->start);
	buf_clear(&r->a.bytes);
	buf_clear(&r->b.bytes);
	io_close(&r->a.io, reset);
	io_close(&r->b.io, reset);
	loop_defer(&r->finish);
}

/*
 * One end broke: what goes to it is lost, what came from it before is still delivered. With the
 * first end that breaks the other is read no more.
 */
static void side_fail(struct side *s, int err)
{
	if (s->err != 0)
		return;
	s->err = err;
	s->readable = true;
	if (s->peer->err == 0) {
		s->relay->facts.err = err;
		s->relay->facts.err_from_b = s == &s->relay->b;
	}
	buf_clear(&s->peer->bytes);
	s->peer->ended = true;
}

/* --- moving bytes --- */

static size_t min_size(size_t a, size_t b)
{
	return a < b ? a : b;
}

static size_t side_burst(const struct side *s)
{
	size_t burst = BURST_SMALL;

	if (s->volume >= VOLUME_LARGE)
		burst = BURST_LARGE;
	else if (s->volume >= VOLUME_MIDDLE)
		burst = BURST_MIDDLE;
	return min_size(burst, s->relay->cfg.high_water);
}

static size_t turn_share(struct side *s)
{
	uint64_t turn = loop_turn(s->relay->loop);

	if (s->turn != turn) {
		s->turn = turn;
		s->turn_bytes = 0;
	}
	return IO_TURN_BYTES - s->turn_bytes;
}

static void side_received(struct side *s, size_t n)
{
	if (s->first_byte_ns == 0)
		s->first_byte_ns = loop_now(s->relay->loop);
	s->turn_bytes += n;
	s->volume = min_size(s->volume + n, VOLUME_MAX);
}

/* Reads up to a burst. An end that was broken by a write gives what had arrived, and no more. */
static size_t side_fill(struct side *s)
{
	size_t before = buf_len(&s->bytes);
	size_t burst = min_size(side_burst(s), turn_share(s));

	while (!s->ended && s->readable && buf_len(&s->bytes) < burst) {
		ssize_t n = io_read(s->io, &s->bytes, burst - buf_len(&s->bytes));
		if (n > 0) {
			side_received(s, (size_t)n);
			continue;
		}
		s->readable = false;
		s->ended = n != ERR_AGAIN || s->err != 0;
		if (n < 0 && n != ERR_AGAIN)
			side_fail(s, (int)n);
	}
	return buf_len(&s->bytes) - before;
}

static size_t side_drain(struct side *s)
{
	size_t drained = 0;

	while (buf_len(&s->bytes) > 0 && s->peer->writable) {
		ssize_t n = io_write(s->peer->io, &s->bytes);
		if (n > 0) {
			s->passed += (uint64_t)n;
			drained += (size_t)n;
			continue;
		}
		s->peer->writable = false;
		if (n < 0 && n != ERR_AGAIN)
			side_fail(s->peer, (int)n);
	}
	return drained;
}

/* After our last byte: the end of stream, which passes on a half-close. */
static void side_pass_end(struct side *s)
{
	if (!s->ended || buf_len(&s->bytes) > 0 || s->peer->shut || s->err != 0 ||
		s->peer->err != 0)
		return;
	s->peer->shut = true;
	int e = io_shutdown(s->peer->io);
	if (e < 0 && e != ERR_AGAIN)
		side_fail(s->peer, e);
}

/*
 * Reads only when all that was read before is written: a slow reader at one end is felt as a full
 * window at the other. Stops at the turn's share; readiness comes again with the next turn.
 */
static bool side_pump(struct side *s)
{
	size_t filled = 0, drained = side_drain(s);

	while (buf_len(&s->bytes) == 0 && turn_share(s) > 0) {
		size_t n = side_fill(s);
		if (n == 0)
			break;
		filled += n;
		drained += side_drain(s);
	}
	if (filled > 0 && filled < BURST_SMALL)
		s->volume /= 2;
	side_pass_end(s);
	return filled > 0 || drained > 0;
}

static void side_set_wants(struct side *s)
{
	unsigned events = 0;

	if (!s->ended && buf_len(&s->bytes) == 0)
		events |= IO_READ;
	if (buf_len(&s->peer->bytes) > 0)
		events |= IO_WRITE;
	io_want(s->io, events);
}

/* The shorter of the two, where both hold; 0: none. */
static uint64_t idle_time(const struct relay *r)
{
	uint64_t idle = r->cfg.idle_timeout_ns, half = r->cfg.half_close_ns;

	if (half != 0 && (r->a.ended || r->b.ended) && (idle == 0 || half < idle))
		return half;
	return idle;
}

static bool side_done(const struct side *s)
{
	return s->ended && buf_len(&s->bytes) == 0;
}

static void relay_pump(struct relay *r)
{
	bool half_before = r->a.ended || r->b.ended;
	bool moved = side_pump(&r->a);

	moved |= side_pump(&r->b);
	/* What b did may have broken a, and the rest of a is then to be read. */
	if (r->a.err != 0 && !r->a.ended)
		moved |= side_pump(&r->a);
	if (side_done(&r->a) && side_done(&r->b)) {
		relay_end(r);
		return;
	}
	side_set_wants(&r->a);
	side_set_wants(&r->b);
	bool half = r->a.ended || r->b.ended;
	if (idle_time(r) != 0 && (moved || half != half_before || !loop_timer_running(&r->idle)))
		loop_timer_start(&r->idle, idle_time(r));
}

/* --- events --- */

static void on_side_ready(void *arg, unsigned events)
{
	struct side *s = arg;

	if (s->relay->closed)
		return;
	if (events & IO_READ)
		s->readable = true;
	if (events & IO_WRITE)
		s->writable = true;
	relay_pump(s->relay);
}

static void on_start(void *arg)
{
	relay_pump(relay_check(arg));
}

static void on_idle(void *arg)
{
	struct relay *r = relay_check(arg);

	/* Of an end that broke before, and whose last bytes nobody took, that is the reason. */
	if (r->facts.err == 0)
		r->facts.err = ERR_TIMEOUT;
	relay_end(r);
}

/* --- public --- */

static void side_init(struct relay *r, struct side *s, struct side *peer, struct io *io,
	struct buf_pool *pool, struct buf *first)
{
	s->relay = r;
	s->peer = peer;
	s->io = io;
	s->readable = s->writable = true;
	buf_init(&s->bytes, pool);
	io_set_user(io, on_side_ready, s);
	if (first == NULL || buf_len(first) == 0)
		return;
	buf_move_all(&s->bytes, first);
	s->first_byte_ns = loop_now(r->loop);
}

struct relay *relay_start(struct io *a, struct io *b, struct buf_pool *pool,
	const struct relay_config *cfg, struct buf *a_first, struct buf *b_first, relay_end_fn *end,
	void *arg)
{
	struct relay *r = MEM_NEW(struct relay);

	r->obj.magic = RELAY_MAGIC;
	r->loop = a->loop;
	r->cfg = *cfg;
	if (r->cfg.high_water == 0)
		r->cfg.high_water = RELAY_HIGH_WATER;
	r->end = end;
	r->arg = arg;
	loop_timer_init(&r->idle, r->loop, on_idle, r);
	loop_task_init(&r->start, r->loop, on_start, r);
	loop_task_init(&r->finish, r->loop, on_finish, r);
	side_init(r, &r->a, &r->b, a, pool, a_first);
	side_init(r, &r->b, &r->a, b, pool, b_first);
	loop_defer(&r->start);
	return r;
}

void relay_abort(struct relay *r, int err)
{
	if (relay_check(r)->closed)
		return;
	r->facts.err = err;
	r->facts.err_from_b = false;
	relay_end(r);
}

const struct relay_facts *relay_facts(const struct relay *relay)
{
	struct relay *r = relay_check((void *)(uintptr_t)relay);

	if (!r->closed)
		take_facts(r);
	return &r->facts;
}

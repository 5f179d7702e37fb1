/*
 * Reads until sniff() decides, with a grace for silent clients and a bound on time for slow ones.
 * Owns the bytes it has read until it hands them over; used by both flows on freshly accepted
 * connections.
 */
#include "sidecar/detect/detect.h"

#include "lib/base/alloc.h"
#include "lib/base/err.h"

#define DETECT_MAGIC 0x64746374u
#define DETECT_TIMEOUT_NS (10 * NS_PER_S)

/* Owned by itself: freed after its last event or by detect_stop. The io belongs to the caller. */
struct detect {
	struct obj_head obj;
	struct io *io;
	struct loop *loop;
	struct buf bytes;
	struct detect_config cfg;
	detect_fn *fn;
	void *arg;
	struct loop_timer grace, timeout, silence;
};

static void detect_free(void *p)
{
	mem_free(p);
}

/* Detaches from io and timers; the struct goes at the end of the turn. */
static void detect_release(struct detect *d)
{
	loop_timer_stop(&d->grace);
	loop_timer_stop(&d->timeout);
	loop_timer_stop(&d->silence);
	io_want(d->io, 0);
	io_set_user(d->io, NULL, NULL);
	loop_defer_free(d->loop, d, detect_free);
}

static void detect_finish(struct detect *d, enum detect_event ev, enum sniff_verdict v,
	const struct sniff_facts *facts, int err)
{
	detect_fn *fn = d->fn;
	void *arg = d->arg;
	detect_release(d);
	fn(arg, ev, v, facts, &d->bytes, err);
	buf_clear(&d->bytes);
}

/* Looks at what is there; true where that ended the detection. */
static bool detect_judge(struct detect *d, bool eof)
{
	struct sniff_facts facts;
	size_t n = buf_len(&d->bytes) < SNIFF_MAX ? buf_len(&d->bytes) : SNIFF_MAX;
	const uint8_t *p = n > 0 ? buf_pullup(&d->bytes, n) : NULL;
	enum sniff_verdict v = sniff(str_make(p, n), eof, &facts);
	if (v == SNIFF_MORE)
		return false;
	detect_finish(d, DETECT_DECIDED, v, &facts, 0);
	return true;
}

static void on_io(void *arg, unsigned events)
{
	(void)events;
	struct detect *d = OBJ_CAST(struct detect, DETECT_MAGIC, arg);
	struct sniff_facts none = {0};
	size_t before = buf_len(&d->bytes);
	ssize_t n = io_read(d->io, &d->bytes, SNIFF_MAX - before);
	if (n == ERR_AGAIN)
		return;
	if (n < 0) {
		detect_finish(d, DETECT_FAILED, SNIFF_OPAQUE, &none, (int)n);
		return;
	}
	if (n == 0) {
		if (before == 0)
			detect_finish(d, DETECT_ENDED, SNIFF_OPAQUE, &none, 0);
		else
			detect_judge(d, true);
		return;
	}
	if (before == 0) {
		loop_timer_stop(&d->grace);
		loop_timer_stop(&d->silence);
		loop_timer_start(&d->timeout, d->cfg.timeout_ns);
	}
	detect_judge(d, false);
}

static void on_grace(void *arg)
{
	struct detect *d = OBJ_CAST(struct detect, DETECT_MAGIC, arg);
	struct sniff_facts none = {0};
	d->fn(d->arg, DETECT_QUIET, SNIFF_MORE, &none, &d->bytes, 0);
}

static void on_timeout(void *arg)
{
	struct detect *d = OBJ_CAST(struct detect, DETECT_MAGIC, arg);
	struct sniff_facts none = {0};
	detect_finish(d, DETECT_TIMEOUT, SNIFF_OPAQUE, &none, 0);
}

static void on_silence(void *arg)
{
	struct detect *d = OBJ_CAST(struct detect, DETECT_MAGIC, arg);
	struct sniff_facts none = {0};
	detect_finish(d, DETECT_FAILED, SNIFF_OPAQUE, &none, ERR_TIMEOUT);
}

struct detect *detect_start(struct io *io, struct buf_pool *pool, const struct detect_config *cfg,
	detect_fn *fn, void *arg)
{
	struct detect *d = MEM_NEW(struct detect);
	d->obj.magic = DETECT_MAGIC;
	d->io = io;
	d->loop = io->loop;
	d->cfg = *cfg;
	if (d->cfg.timeout_ns == 0)
		d->cfg.timeout_ns = DETECT_TIMEOUT_NS;
	d->fn = fn;
	d->arg = arg;
	buf_init(&d->bytes, pool);
	loop_timer_init(&d->grace, d->loop, on_grace, d);
	loop_timer_init(&d->timeout, d->loop, on_timeout, d);
	loop_timer_init(&d->silence, d->loop, on_silence, d);
	if (cfg->grace_ns > 0)
		loop_timer_start(&d->grace, cfg->grace_ns);
	if (cfg->silence_ns > 0)
		loop_timer_start(&d->silence, cfg->silence_ns);
	io_set_user(io, on_io, d);
	io_want(io, IO_READ);
	return d;
}

void detect_stop(struct detect **dp, struct buf *bytes)
{
	struct detect *d = *dp;
	if (d == NULL)
		return;
	*dp = NULL;
	if (bytes != NULL)
		buf_move_all(bytes, &d->bytes);
	buf_clear(&d->bytes);
	detect_release(d);
}

/*
 * Clients of raw bytes on a simulated network. Owns the ios and bufs of open clients; called by the
 * tests of the small HTTP server and of the admin endpoints.
 */
#include "tests/support/raw_client.h"

void rig_open(struct rig *rig, size_t pipe_capacity)
{
	rig->loop = loop_new_sim(RAW_WALL_START);
	rig->bufs = buf_pool_new(1 << 20);
	rig->arenas = arena_pool_new(64);
	rig->net = net_new_sim(rig->loop, rig->bufs, pipe_capacity);
	rig->env = (struct http_env){.loop = rig->loop, .bufs = rig->bufs, .arenas = rig->arenas};
}

void rig_settle(struct rig *rig)
{
	assert_true(loop_sim_settle(rig->loop, RAW_TURNS) < RAW_TURNS);
}

void rig_close(struct rig *rig)
{
	rig_settle(rig);
	assert_int_equal(buf_pool_used(rig->bufs), 0);
	net_free(&rig->net);
	loop_free(&rig->loop);
	arena_pool_free(&rig->arenas);
	buf_pool_free(&rig->bufs);
}

void raw_want(struct raw *r)
{
	io_want(r->io,
		(r->deaf || r->eof || r->err != 0 ? 0 : IO_READ) |
			(buf_len(&r->out) > 0 && r->err == 0 ? IO_WRITE : 0));
}

static void raw_on_event(void *arg, unsigned events)
{
	struct raw *r = arg;
	ssize_t n = 0;

	if ((events & IO_WRITE) != 0)
		n = io_write(r->io, &r->out);
	if (n < 0 && n != ERR_AGAIN)
		r->err = (int)n;
	if ((events & IO_READ) != 0 && !r->deaf) {
		n = io_read(r->io, &r->in, IO_TURN_BYTES);
		r->eof = n == 0;
		if (n < 0 && n != ERR_AGAIN)
			r->err = (int)n;
	}
	raw_want(r);
}

static void raw_on_dialled(void *arg, struct io *io, int err)
{
	struct raw *r = arg;

	r->io = io;
	r->err = err;
	if (io == NULL)
		return;
	io_set_user(io, raw_on_event, r);
	raw_want(r);
}

void raw_open_from(struct raw *r, struct rig *rig, struct addr from, struct addr to)
{
	struct dial_config cfg = {.to = to, .from = from};

	*r = (struct raw){.rig = rig};
	buf_init(&r->in, rig->bufs);
	buf_init(&r->out, rig->bufs);
	dial_start(rig->net, &cfg, raw_on_dialled, r);
	rig_settle(rig);
	assert_non_null(r->io);
}

struct addr raw_addr(const char *text)
{
	struct addr a;

	assert_int_equal(addr_parse(str_from(text), &a), 0);
	return a;
}

void raw_open(struct raw *r, struct rig *rig, struct addr to)
{
	raw_open_from(r, rig, raw_addr("127.0.0.1"), to);
}

void raw_send(struct raw *r, const char *text)
{
	buf_append(&r->out, text, strlen(text));
	raw_want(r);
	rig_settle(r->rig);
}

const char *raw_take(struct raw *r)
{
	size_t n = buf_len(&r->in);

	free(r->text);
	r->text = calloc(1, n + 1);
	buf_copy_out(&r->in, 0, r->text, n);
	buf_clear(&r->in);
	return r->text;
}

const char *raw_ask(struct raw *r, const char *text)
{
	raw_send(r, text);
	return raw_take(r);
}

void raw_close(struct raw *r)
{
	if (r->io != NULL)
		io_close(&r->io, false);
	buf_clear(&r->in);
	buf_clear(&r->out);
	free(r->text);
	r->text = NULL;
	rig_settle(r->rig);
}

int raw_status(const char *text)
{
	int status = 0;

	if (sscanf(text, "HTTP/1.1 %d ", &status) != 1)
		return 0;
	return status;
}

const char *raw_body(const char *text)
{
	const char *at = strstr(text, "\r\n\r\n");

	return at != NULL ? at + 4 : "";
}

void raw_assert_has(const char *text, const char *piece)
{
	if (strstr(text, piece) == NULL)
		fail_msg("no \"%s\" in: %s", piece, text);
}

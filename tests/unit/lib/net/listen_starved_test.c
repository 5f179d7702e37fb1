/*
 * A listener without descriptors: connections wait in the kernel's queue, are served when
 * descriptors come back, are refused after a second, and the loop does not spin meanwhile.
 */
#include "tests/unit/lib/net/support.h"

#include <errno.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/net/listen.h"

#define CLIENTS 6

/* Clients that connected before the descriptors ran out. */
struct siege {
	struct world w;
	struct net *net;
	struct listener *l;
	struct rlimit limit;
	int clients[CLIENTS];
	struct io *accepted[CLIENTS];
	int n_accepted;
	struct loop_timer check;
	uint64_t first_turn, turns;
	int step;
	int dial_err;
};

static void on_accept(void *arg, struct io *io)
{
	struct siege *s = arg;

	s->accepted[s->n_accepted++] = io;
}

static int setup(void **state)
{
	struct siege *s = calloc(1, sizeof(*s));
	struct listen_config cfg = {.addr = addr_of("127.0.0.1:0")};
	struct sockaddr_storage ss;
	char err[200];

	s->w = world_new(loop_new(NULL));
	s->net = net_new(s->w.loop, s->w.pool, NULL);
	assert_int_equal(listener_open(s->net, &cfg, on_accept, s, &s->l, err, sizeof(err)), 0);
	struct addr to = listener_addr(s->l);
	socklen_t len = addr_to_sockaddr(&to, &ss);
	for (int i = 0; i < CLIENTS; i++) {
		s->clients[i] = socket(AF_INET, SOCK_STREAM, 0);
		assert_int_equal(connect(s->clients[i], (struct sockaddr *)&ss, len), 0);
	}
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &s->limit), 0);
	*state = s;
	return 0;
}

/* Leaves room for n more descriptors. */
static void limit_descriptors(struct siege *s, int n)
{
	struct rlimit low = s->limit;
	int next = dup(0);

	assert_true(next >= 0);
	close(next);
	low.rlim_cur = (rlim_t)(next + n);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
}

static int teardown(void **state)
{
	struct siege *s = *state;

	setrlimit(RLIMIT_NOFILE, &s->limit);
	for (int i = 0; i < CLIENTS; i++) {
		close(s->clients[i]);
		io_close(&s->accepted[i], false);
	}
	loop_timer_stop(&s->check);
	listener_close(&s->l);
	net_free(&s->net);
	world_free(&s->w);
	free(s);
	return 0;
}

/* 1: reset by the listener; 0: nothing came. */
static int was_reset(int fd)
{
	char c;

	return recv(fd, &c, 1, MSG_DONTWAIT) < 0 && errno == ECONNRESET;
}

static int count_resets(const struct siege *s)
{
	int n = 0;

	for (int i = 0; i < CLIENTS; i++)
		n += was_reset(s->clients[i]);
	return n;
}

/* After 300 ms of starving two descriptors come back; well before the patience ends. */
static void on_relief(void *arg)
{
	struct siege *s = arg;

	s->turns = loop_turn(s->w.loop) - s->first_turn;
	if (s->step++ == 0) {
		assert_int_equal(s->n_accepted, 2);
		assert_int_equal(count_resets(s), 0);
		io_close(&s->accepted[0], false);
		io_close(&s->accepted[1], false);
		loop_timer_start(&s->check, 250 * NS_PER_MS);
		return;
	}
	loop_stop(s->w.loop);
}

static void test_waits_without_spinning_and_recovers(void **state)
{
	struct siege *s = *state;

	limit_descriptors(s, 2);
	loop_timer_init(&s->check, s->w.loop, on_relief, s);
	loop_timer_start(&s->check, 300 * NS_PER_MS);
	loop_run(s->w.loop);
	assert_int_equal(s->n_accepted, 4);
	assert_true(s->turns <
		100); /* six tries of three or four turns; spinning makes thousands */
	assert_true(listener_starved(s->l) >= 2);
	assert_int_equal(count_resets(s), 0);
}

static void on_glance(void *arg)
{
	struct siege *s = arg;

	if (count_resets(s) > 0 || s->step++ > 200) {
		loop_stop(s->w.loop);
		return;
	}
	loop_timer_start(&s->check, 50 * NS_PER_MS);
}

static void test_refuses_when_patience_ends(void **state)
{
	struct siege *s = *state;

	limit_descriptors(s, 2);
	loop_timer_init(&s->check, s->w.loop, on_glance, s);
	loop_timer_start(&s->check, 50 * NS_PER_MS);
	loop_run(s->w.loop);
	assert_int_equal(s->n_accepted, 2);
	for (int i = 0; i < 2; i++)
		assert_false(was_reset(s->clients[i]));
	for (int i = 2; i < CLIENTS; i++) {
		struct pollfd p = {.fd = s->clients[i], .events = POLLIN};
		assert_int_equal(poll(&p, 1, 1000), 1);
	}
	assert_true(listener_starved(s->l) >= CLIENTS - 2);
}

static void on_dialled(void *arg, struct io *io, int err)
{
	struct siege *s = arg;

	assert_null(io);
	s->dial_err = err;
	loop_stop(s->w.loop);
}

static void test_dial_without_descriptors(void **state)
{
	struct siege *s = *state;
	struct dial_config cfg = {.to = listener_addr(s->l)};

	listener_pause(s->l);
	limit_descriptors(s, 0);
	dial_start(s->net, &cfg, on_dialled, s);
	loop_run(s->w.loop);
	assert_int_equal(s->dial_err, ERR_NOFILES);
}

#define SIEGE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		SIEGE(test_waits_without_spinning_and_recovers),
		SIEGE(test_refuses_when_patience_ends),
		SIEGE(test_dial_without_descriptors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/*
 * The simulated network: addresses, refusals, deadlines on the fake clock, backlog, and redirects
 * that stand for the capture rules of pods.
 */
#include "lib/net/net_sim.h"

#include "tests/unit/lib/net/support.h"

#define IOS_MAX 16

/* What arrived at one listener. */
struct port {
	struct listener *l;
	struct io *ios[IOS_MAX];
	int n;
};

/* A network with up to three listeners and the results of dials. */
struct town {
	struct world w;
	struct net *net;
	struct port a, b, c;
	struct io *dialled[IOS_MAX];
	int errs[IOS_MAX], n_dialled;
	bool in_start;
};

static void on_accept(void *arg, struct io *io)
{
	struct port *p = arg;

	p->ios[p->n++] = io;
}

static void on_dialled(void *arg, struct io *io, int err)
{
	struct town *t = arg;

	assert_false(t->in_start);
	t->dialled[t->n_dialled] = io;
	t->errs[t->n_dialled++] = err;
}

static int setup(void **state)
{
	struct town *t = calloc(1, sizeof(*t));

	t->w = world_new(loop_new_sim(0));
	t->net = net_new_sim(t->w.loop, t->w.pool, 65536);
	*state = t;
	return 0;
}

static void port_close(struct port *p)
{
	listener_close(&p->l);
	for (int i = 0; i < IOS_MAX; i++)
		io_close(&p->ios[i], false);
}

static int teardown(void **state)
{
	struct town *t = *state;

	port_close(&t->a);
	port_close(&t->b);
	port_close(&t->c);
	for (int i = 0; i < IOS_MAX; i++)
		io_close(&t->dialled[i], false);
	net_free(&t->net);
	world_free(&t->w);
	free(t);
	return 0;
}

static void open_config(struct town *t, struct port *p, const struct listen_config *cfg)
{
	char err[100];

	assert_int_equal(listener_open(t->net, cfg, on_accept, p, &p->l, err, sizeof(err)), 0);
}

static void open_at(struct town *t, struct port *p, const char *addr)
{
	struct listen_config cfg = {.addr = addr_of(addr)};

	open_config(t, p, &cfg);
}

static struct dial *start(struct town *t, const char *from, const char *to, uint32_t mark)
{
	struct dial_config cfg = {.to = addr_of(to), .mark = mark, .timeout_ns = 3 * NS_PER_S};

	if (from != NULL)
		cfg.from = addr_of(from);
	t->in_start = true;
	struct dial *d = dial_start(t->net, &cfg, on_dialled, t);
	t->in_start = false;
	return d;
}

/* Dials, settles, and gives the result. */
static int dial(struct town *t, const char *from, const char *to, uint32_t mark)
{
	int before = t->n_dialled;

	start(t, from, to, mark);
	loop_sim_settle(t->w.loop, 1000);
	assert_int_equal(t->n_dialled, before + 1);
	return t->errs[before];
}

static void expect_addr(const struct addr *a, const char *text)
{
	char got[ADDR_TEXT];

	assert_string_equal(addr_format(a, got), text);
}

static void expect_orig_dst(const struct io *io, const char *text)
{
	struct addr dst;

	assert_int_equal(net_sim_orig_dst(io, &dst), 0);
	expect_addr(&dst, text);
}

static void test_connect_and_facts(void **state)
{
	struct town *t = *state;
	struct io_info a, d;
	struct addr dst;

	open_at(t, &t->a, "10.0.0.2:80");
	assert_int_equal(dial(t, "10.0.0.1", "10.0.0.2:80", 0), 0);
	assert_int_equal(t->a.n, 1);
	io_info(t->dialled[0], &d);
	io_info(t->a.ios[0], &a);
	expect_addr(&d.peer, "10.0.0.2:80");
	expect_addr(&a.local, "10.0.0.2:80");
	assert_true(addr_eq(&a.peer, &d.local));
	expect_orig_dst(t->a.ios[0], "10.0.0.2:80");
	assert_int_equal(net_sim_orig_dst(t->dialled[0], &dst), ERR_NOTFOUND);
	write_text(t->dialled[0], t->w.pool, "hello");
	read_text(t->a.ios[0], t->w.pool, "hello");
	assert_int_equal(dial(t, NULL, "10.0.0.2:80", 0), 0);
	io_info(t->dialled[1], &d);
	assert_int_equal(d.local.family, ADDR_V4);
	assert_int_equal(dial(t, "10.0.0.1", "10.0.0.2:80", 0), 0);
	io_info(t->dialled[2], &a);
	assert_false(addr_eq(&a.local, &d.local));
}

static void test_nobody_listens(void **state)
{
	struct town *t = *state;

	open_at(t, &t->a, "10.0.0.2:80");
	assert_int_equal(dial(t, NULL, "10.0.0.2:81", 0), ERR_REFUSED);
	assert_int_equal(dial(t, NULL, "10.0.0.3:80", 0), ERR_REFUSED);
	listener_close(&t->a.l);
	assert_int_equal(dial(t, NULL, "10.0.0.2:80", 0), ERR_REFUSED);
}

static void test_wildcards(void **state)
{
	struct town *t = *state;
	struct listen_config v6 = {.addr = addr_of("[::]:90")};
	struct listen_config v6_only = {.addr = addr_of("[::]:91"), .v6_only = true};

	open_at(t, &t->a, "0.0.0.0:80");
	open_config(t, &t->b, &v6);
	open_config(t, &t->c, &v6_only);
	assert_int_equal(dial(t, NULL, "10.9.9.9:80", 0), 0);
	assert_int_equal(dial(t, NULL, "[fd00::1]:80", 0), ERR_REFUSED);
	assert_int_equal(dial(t, NULL, "[fd00::1]:90", 0), 0);
	assert_int_equal(dial(t, NULL, "10.9.9.9:90", 0), 0);
	assert_int_equal(dial(t, NULL, "10.9.9.9:91", 0), ERR_REFUSED);
	listener_close(&t->b.l);
	open_at(t, &t->b, "10.9.9.9:80");
	int before = t->b.n;
	assert_int_equal(dial(t, NULL, "10.9.9.9:80", 0), 0);
	assert_int_equal(t->b.n, before + 1);
}

static void test_port_zero_and_taken(void **state)
{
	struct town *t = *state;
	struct listener *second;
	char err[100];

	open_at(t, &t->a, "10.0.0.2:0");
	struct listen_config cfg = {.addr = listener_addr(t->a.l)};
	assert_true(cfg.addr.port != 0);
	assert_int_equal(listener_open(t->net, &cfg, on_accept, &t->b, &second, err, sizeof(err)),
		ERR_EXISTS);
	assert_null(second);
	assert_non_null(strstr(err, "10.0.0.2:32768: address already in use"));
}

static void test_failures(void **state)
{
	struct town *t = *state;
	struct addr to = addr_of("10.0.0.2:80"), host = addr_of("10.0.0.2");

	open_at(t, &t->a, "10.0.0.2:80");
	net_sim_fail(t->net, &to, ERR_UNREACHABLE);
	assert_int_equal(dial(t, NULL, "10.0.0.2:80", 0), ERR_UNREACHABLE);
	net_sim_fail(t->net, &to, ERR_RESET);
	assert_int_equal(dial(t, NULL, "10.0.0.2:80", 0), ERR_RESET);
	net_sim_fail(t->net, &to, 0);
	assert_int_equal(dial(t, NULL, "10.0.0.2:80", 0), 0);
	net_sim_fail(t->net, &host, ERR_REFUSED);
	assert_int_equal(dial(t, NULL, "10.0.0.2:80", 0), ERR_REFUSED);
}

static void test_timeout(void **state)
{
	struct town *t = *state;
	struct addr to = addr_of("10.0.0.2:80");

	net_sim_fail(t->net, &to, ERR_TIMEOUT);
	start(t, NULL, "10.0.0.2:80", 0);
	loop_sim_advance(t->w.loop, 3 * NS_PER_S - 1);
	assert_int_equal(t->n_dialled, 0);
	loop_sim_advance(t->w.loop, 1);
	assert_int_equal(t->n_dialled, 1);
	assert_int_equal(t->errs[0], ERR_TIMEOUT);
	assert_null(t->dialled[0]);
}

static void test_cancel(void **state)
{
	struct town *t = *state;
	struct addr to = addr_of("10.0.0.3:80");
	struct dial *d;

	open_at(t, &t->a, "10.0.0.2:80");
	d = start(t, NULL, "10.0.0.2:80", 0);
	dial_cancel(&d);
	assert_null(d);
	net_sim_fail(t->net, &to, ERR_TIMEOUT);
	d = start(t, NULL, "10.0.0.3:80", 0);
	loop_sim_advance(t->w.loop, NS_PER_S);
	dial_cancel(&d);
	loop_sim_advance(t->w.loop, 10 * NS_PER_S);
	assert_int_equal(t->n_dialled, 0);
	assert_int_equal(t->a.n, 0);
}

/* A paused listener keeps connections in its backlog; a full one drops them. */
static void test_pause_and_backlog(void **state)
{
	struct town *t = *state;
	struct listen_config cfg = {.addr = addr_of("10.0.0.2:80"), .backlog = 2};

	open_config(t, &t->a, &cfg);
	listener_pause(t->a.l);
	assert_int_equal(dial(t, NULL, "10.0.0.2:80", 0), 0);
	assert_int_equal(dial(t, NULL, "10.0.0.2:80", 0), 0);
	assert_int_equal(t->a.n, 0);
	start(t, NULL, "10.0.0.2:80", 0);
	loop_sim_advance(t->w.loop, 3 * NS_PER_S);
	assert_int_equal(t->n_dialled, 3);
	assert_int_equal(t->errs[2], ERR_TIMEOUT);
	listener_resume(t->a.l);
	loop_sim_settle(t->w.loop, 10);
	assert_int_equal(t->a.n, 2);
	listener_pause(t->a.l);
	assert_int_equal(dial(t, NULL, "10.0.0.2:80", 0), 0);
	listener_close(&t->a.l);
	assert_int_equal(read_nothing(t->dialled[3], t->w.pool), ERR_RESET);
}

static void test_accepts_are_bounded_per_turn(void **state)
{
	struct town *t = *state;
	struct listen_config cfg = {.addr = addr_of("10.0.0.2:80"), .accepts_per_turn = 2};

	open_config(t, &t->a, &cfg);
	for (int i = 0; i < 5; i++)
		start(t, NULL, "10.0.0.2:80", 0);
	loop_sim_settle(t->w.loop, 1);
	assert_int_equal(t->a.n, 2);
	loop_sim_settle(t->w.loop, 1);
	assert_int_equal(t->a.n, 4);
	loop_sim_settle(t->w.loop, 10);
	assert_int_equal(t->a.n, 5);
}

/* Two pods, each with a sidecar: 10.0.0.1 calls a service whose endpoint is 10.0.0.2:8080. */
static void test_redirects_of_a_mesh(void **state)
{
	struct town *t = *state;
	struct addr pod1 = addr_of("10.0.0.1"), pod2 = addr_of("10.0.0.2");
	struct addr out = addr_of("127.0.0.1:15001"), in = addr_of("0.0.0.0:15006");
	struct io_info a;

	open_at(t, &t->a, "127.0.0.1:15001");
	open_at(t, &t->b, "0.0.0.0:15006");
	open_at(t, &t->c, "10.0.0.2:8080");
	net_sim_redirect(t->net, &pod1, &out);
	net_sim_redirect_in(t->net, &pod2, &in);
	assert_int_equal(dial(t, "10.0.0.1", "10.96.0.1:80", 0), 0);
	assert_int_equal(t->a.n, 1);
	expect_orig_dst(t->a.ios[0], "10.96.0.1:80");
	io_info(t->a.ios[0], &a);
	expect_addr(&a.local, "127.0.0.1:15001");
	assert_int_equal(dial(t, "10.0.0.1", "10.0.0.2:8080", 1337), 0);
	assert_int_equal(t->b.n, 1);
	expect_orig_dst(t->b.ios[0], "10.0.0.2:8080");
	io_info(t->b.ios[0], &a);
	expect_addr(&a.local, "10.0.0.2:15006");
	assert_int_equal(dial(t, "10.0.0.2", "10.0.0.2:8080", 1337), 0);
	assert_int_equal(t->c.n, 1);
	assert_int_equal(dial(t, NULL, "10.0.0.2:9999", 0), 0);
	expect_orig_dst(t->b.ios[1], "10.0.0.2:9999");
}

static void test_redirect_exceptions(void **state)
{
	struct town *t = *state;
	struct addr pod = addr_of("10.0.0.1"), out = addr_of("127.0.0.1:15001");
	struct addr to = addr_of("10.0.0.9:80");

	open_at(t, &t->a, "127.0.0.1:15001");
	net_sim_redirect(t->net, &pod, &out);
	assert_int_equal(dial(t, "10.0.0.1", "127.0.0.1:80", 0), ERR_REFUSED);
	assert_int_equal(dial(t, "10.0.0.1", "10.0.0.1:80", 0), ERR_REFUSED);
	assert_int_equal(dial(t, "10.0.0.3", "10.0.0.9:80", 0), ERR_REFUSED);
	net_sim_fail(t->net, &to, ERR_UNREACHABLE);
	assert_int_equal(dial(t, "10.0.0.1", "10.0.0.9:80", 1337), ERR_UNREACHABLE);
	assert_int_equal(dial(t, "10.0.0.1", "10.0.0.9:80", 0), 0);
	listener_close(&t->a.l);
	assert_int_equal(dial(t, "10.0.0.1", "10.0.0.9:80", 0), ERR_REFUSED);
	net_sim_redirect(t->net, &pod, NULL);
	assert_int_equal(dial(t, "10.0.0.1", "10.0.0.9:80", 0), ERR_UNREACHABLE);
}

#define TOWN(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

static void test_unix_paths(void **state)
{
	struct town *t = *state;
	struct listen_config cfg = {.unix_path = "/run/a"};
	struct dial_config to = {.unix_path = "/run/a"}, other = {.unix_path = "/run/b"};

	open_config(t, &t->a, &cfg);
	dial_start(t->net, &to, on_dialled, t);
	dial_start(t->net, &other, on_dialled, t);
	loop_sim_settle(t->w.loop, 1000);
	assert_int_equal(t->n_dialled, 2);
	assert_int_equal(t->errs[0], 0);
	assert_int_equal(t->errs[1], ERR_NOTFOUND);
	assert_int_equal(t->a.n, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TOWN(test_connect_and_facts),
		TOWN(test_nobody_listens),
		TOWN(test_wildcards),
		TOWN(test_port_zero_and_taken),
		TOWN(test_failures),
		TOWN(test_timeout),
		TOWN(test_cancel),
		TOWN(test_pause_and_backlog),
		TOWN(test_accepts_are_bounded_per_turn),
		TOWN(test_redirects_of_a_mesh),
		TOWN(test_redirect_exceptions),
		TOWN(test_unix_paths),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/*
 * Builds pods, their states and proxies on the simulated network. Owns all of it until mesh_fini;
 * used by the tests in tests/mem.
 */
#include "tests/support/mesh_support.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/alloc.h"
#include "lib/crypto/crypto.h"
#include "lib/net/net_sim.h"

#define PIPE_BYTES 65536
#define TURNS 200000

static void log_line(void *arg, struct str line)
{
	struct mesh *m = arg;
	buf_append_str(&m->log_text, line);
	buf_append_str(&m->log_text, STR("\n"));
}

struct cert_ca *mesh_ca(const char *trust_domain)
{
	struct cert_ca *ca;
	assert_int_equal(cert_ca_create(str_from(trust_domain), MESH_WALL - 3600,
				 MESH_WALL + 86400 * 365, &ca),
		0);
	return ca;
}

void mesh_init(struct mesh *m)
{
	memset(m, 0, sizeof(*m));
	assert_int_equal(crypto_init(), 0);
	http_world_init(&m->w);
	loop_sim_wall_jump(m->w.loop,
		MESH_WALL * (int64_t)NS_PER_S - (int64_t)loop_wall(m->w.loop));
	m->net = net_new_sim(m->w.loop, m->w.bufs, PIPE_BYTES);
	m->log_bufs = buf_pool_new(1 << 20);
	buf_init(&m->log_text, m->log_bufs);
	m->log = log_new_sink(log_line, m, LOG_INFO, LOG_JSON, loop_clock(m->w.loop));
	m->ca = mesh_ca("cluster.local");
	m->other_ca = mesh_ca("other.example");
	arena_init(&m->made, NULL);
	m->port = 80;
	m->target = 8080;
}

static void on_done(void *arg)
{
	struct mesh_test_pod *p = arg;
	p->done = true;
}

void mesh_fini(struct mesh *m)
{
	for (size_t i = 0; i < m->n_pods; i++)
		if (m->pods[i].proxy != NULL)
			proxy_quit(m->pods[i].proxy);
	loop_sim_settle(m->w.loop, TURNS);
	for (size_t i = 0; i < m->n_pods; i++) {
		struct conf_program prog = {.name = "test"};
		if (m->pods[i].proxy != NULL) {
			assert_true(m->pods[i].done);
			proxy_free(&m->pods[i].proxy);
		}
		prog.params = sidecar_params_table(&prog.n_params);
		conf_free(&prog, &m->pods[i].params);
		cert_chain_unref(&m->pods[i].leaf);
		cert_key_unref(&m->pods[i].leaf_key);
	}
	loop_sim_settle(m->w.loop, TURNS);
	buf_clear(&m->log_text);
	buf_pool_free(&m->log_bufs);
	log_free(&m->log);
	cert_ca_free(&m->ca);
	cert_ca_free(&m->old_ca);
	arena_clear(&m->made);
	cert_ca_free(&m->other_ca);
	net_free(&m->net);
	http_world_fini(&m->w);
}

static void load_params(struct sidecar_params *params)
{
	char *argv[] = {(char *)"test", (char *)"--access-log", (char *)"--state=/nonexistent",
		(char *)"--min-drain=1s", NULL};
	struct conf_program prog = {.name = "test", .summary = "", .synopsis = ""};
	int n;
	prog.params = sidecar_params_table(&prog.n_params);
	assert_int_equal(conf_load(&prog, 4, argv, &n, params, stdout, stderr), CONF_RUN);
	params->state[0] = '\0'; /* snapshots are handed in */
}

const char *mesh_vip(const struct mesh *m)
{
	return m->v6 ? "[fd00:96::1]:80" : "10.96.0.1:80";
}

struct mesh_test_pod *mesh_pod(struct mesh *m, const char *name, bool meshed)
{
	struct mesh_test_pod *p = &m->pods[m->n_pods];
	p->mesh = m;
	p->name = name;
	p->meshed = meshed;
	snprintf(p->ip, sizeof(p->ip), m->v6 ? "fd00:77::%zu" : "10.77.0.%zu", m->n_pods + 2);
	snprintf(p->uid, sizeof(p->uid), "uid-%s", name);
	snprintf(p->id, sizeof(p->id), "spiffe://cluster.local/ns/default/sa/%s", name);
	rng_seed(&p->rng, 7 + m->n_pods);
	load_params(&p->params);
	m->n_pods++;
	return p;
}

static int mesh_orig_dst(void *arg, const struct io *io, struct addr *out)
{
	(void)arg;
	return net_sim_orig_dst(io, out);
}

void mesh_start_proxy(struct mesh_test_pod *p)
{
	struct mesh *m = p->mesh;
	char err[512];
	struct addr ip, in, out;
	struct proxy_env env = {.loop = m->w.loop,
		.net = m->net,
		.bufs = m->w.bufs,
		.arenas = m->w.arenas,
		.log = m->log,
		.rng = &p->rng,
		.mark = 1337};
	assert_int_equal(addr_parse(str_from(p->ip), &ip), 0);
	env.bind = ip;
	in = addr_with_port(&ip, (uint16_t)p->params.inbound_port);
	out = addr_with_port(&ip, (uint16_t)p->params.outbound_port);
	env.orig_dst = mesh_orig_dst;
	p->proxy = proxy_new(&env, &p->params, on_done, p);
	if (proxy_start(p->proxy, err, sizeof(err)) != 0)
		fail_msg("proxy_start: %s", err);
	net_sim_redirect(m->net, &ip, &out);
	net_sim_redirect_in(m->net, &ip, &in);
}

/* -- doing things
 * -----------------------------------------------------------------------------------------------
 */

void mesh_settle(struct mesh *m)
{
	assert_true(loop_sim_settle(m->w.loop, TURNS) < TURNS);
}

void mesh_advance(struct mesh *m, uint64_t ns)
{
	loop_sim_advance(m->w.loop, ns);
	mesh_settle(m);
}

struct dialled {
	struct io *io;
	bool done;
};

static void on_dialled(void *arg, struct io *io, int err)
{
	struct dialled *d = arg;
	(void)err;
	d->io = io;
	d->done = true;
}

struct io *mesh_dial(struct mesh *m, struct mesh_test_pod *from, const char *to)
{
	struct dialled d = {0};
	struct dial_config cfg = {0};
	assert_int_equal(addr_parse(str_from(to), &cfg.to), 0);
	assert_int_equal(addr_parse(str_from(from->ip), &cfg.from), 0);
	dial_start(m->net, &cfg, on_dialled, &d);
	mesh_settle(m);
	assert_true(d.done);
	return d.io;
}

unsigned mesh_count_logged(struct mesh *m, const char *text)
{
	size_t n = buf_len(&m->log_text);
	char *all = mem_alloc(n + 1), *at = all;
	unsigned found = 0;
	buf_copy_out(&m->log_text, 0, all, n);
	while ((at = strstr(at, text)) != NULL) {
		at++;
		found++;
	}
	mem_free(all);
	return found;
}

bool mesh_logged(struct mesh *m, const char *text)
{
	return mesh_count_logged(m, text) > 0;
}

void mesh_print_log(struct mesh *m)
{
	size_t n = buf_len(&m->log_text);
	char *all = mem_alloc(n + 1);
	buf_copy_out(&m->log_text, 0, all, n);
	for (char *save = NULL, *line = strtok_r(all, "\n", &save); line != NULL;
		line = strtok_r(NULL, "\n", &save))
		print_message("%s\n", line);
	mem_free(all);
}

double mesh_metric(struct mesh_test_pod *p, const char *name, ...)
{
	struct buf text;
	double sum = 0;
	buf_init(&text, p->mesh->w.bufs);
	metrics_render(proxy_metrics(p->proxy), &text);
	size_t n = buf_len(&text);
	char *all = mem_alloc(n + 1), *save = NULL;
	buf_copy_out(&text, 0, all, n);
	buf_clear(&text);
	for (char *line = strtok_r(all, "\n", &save); line != NULL;
		line = strtok_r(NULL, "\n", &save)) {
		bool all_in = strncmp(line, name, strlen(name)) == 0 &&
			(line[strlen(name)] == '{' || line[strlen(name)] == ' ');
		va_list ap;
		va_start(ap, name);
		for (const char *word; all_in && (word = va_arg(ap, const char *)) != NULL;)
			all_in = strstr(line, word) != NULL;
		va_end(ap);
		if (all_in)
			sum += strtod(strrchr(line, ' ') + 1, NULL);
	}
	mem_free(all);
	return sum;
}

/* -- applications
 * ---------------------------------------------------------------------------------------------------
 */

static void open_listener(struct mesh_test_pod *p, uint16_t port, listen_accept_fn *fn, void *arg,
	struct listener **out)
{
	struct listen_config cfg = {0};
	struct addr ip;
	char err[256];
	assert_int_equal(addr_parse(str_from(p->ip), &ip), 0);
	cfg.addr = addr_with_port(&ip, port);
	if (listener_open(p->mesh->net, &cfg, fn, arg, out, err, sizeof(err)) != 0)
		fail_msg("listen: %s", err);
}

static void on_app_accept(void *arg, struct io *io)
{
	struct mesh_app *a = arg;
	struct http_user *u = mem_alloc(sizeof(*u));
	a->users = mem_resize(a->users, (a->n + 1) * sizeof(*a->users));
	http_user_init(u, &a->mesh->w);
	u->arg = a;
	a->setup(u);
	a->users[a->n++] = u;
	a->accepted++;
	http_user_start(u, io, HTTP_SERVER, a->version);
}

void mesh_app_start(struct mesh_app *a, struct mesh_test_pod *p, uint16_t port,
	enum http_version version, void (*setup)(struct http_user *u))
{
	memset(a, 0, sizeof(*a));
	a->mesh = p->mesh;
	a->version = version;
	a->setup = setup;
	open_listener(p, port, on_app_accept, a, &a->listener);
}

void mesh_app_stop(struct mesh_app *a)
{
	listener_close(&a->listener);
	for (size_t i = 0; i < a->n; i++) {
		http_user_fini(a->users[i]);
		mem_free(a->users[i]);
	}
	mem_free(a->users);
	mesh_settle(a->mesh);
}

static void on_raw_accept(void *arg, struct io *io)
{
	struct mesh_raw *a = arg;
	assert_true(a->n < sizeof(a->wires) / sizeof(a->wires[0]));
	struct wire *x = &a->wires[a->n++];
	wire_init(x, &a->mesh->w, io);
	if (a->banner != NULL)
		wire_push(x, str_from(a->banner));
}

void mesh_raw_start(struct mesh_raw *a, struct mesh_test_pod *p, uint16_t port, const char *banner)
{
	memset(a, 0, sizeof(*a));
	a->mesh = p->mesh;
	a->banner = banner;
	open_listener(p, port, on_raw_accept, a, &a->listener);
}

void mesh_raw_stop(struct mesh_raw *a)
{
	listener_close(&a->listener);
	for (size_t i = 0; i < a->n; i++)
		wire_fini(&a->wires[i]);
	mesh_settle(a->mesh);
}

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
#include "sidecar/snapshot/build.h"

#define PIPE_BYTES 65536
#define TURNS 200000

static void log_line(void *arg, struct str line)
{
	struct mesh *m = arg;
	buf_append_str(&m->log_text, line);
	buf_append_str(&m->log_text, STR("\n"));
}

void mesh_init(struct mesh *m)
{
	memset(m, 0, sizeof(*m));
	assert_int_equal(crypto_init(), 0);
	http_world_init(&m->w);
	loop_sim_wall_jump(m->w.loop,
		MESH_WALL * (int64_t)NS_PER_S - (int64_t)loop_wall(m->w.loop));
	m->net = net_new_sim(m->w.loop, m->w.bufs, PIPE_BYTES);
	buf_init(&m->log_text, m->w.bufs);
	m->log = log_new_sink(log_line, m, LOG_INFO, LOG_JSON, loop_clock(m->w.loop));
	assert_int_equal(cert_ca_create(STR("cluster.local"), MESH_WALL - 3600, MESH_WALL + 864000,
				 &m->ca),
		0);
	assert_int_equal(cert_ca_create(STR("other.example"), MESH_WALL - 3600, MESH_WALL + 864000,
				 &m->other_ca),
		0);
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
	}
	loop_sim_settle(m->w.loop, TURNS);
	buf_clear(&m->log_text);
	log_free(&m->log);
	cert_ca_free(&m->ca);
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

struct mesh_test_pod *mesh_pod(struct mesh *m, const char *name, bool meshed)
{
	struct mesh_test_pod *p = &m->pods[m->n_pods];
	p->mesh = m;
	p->name = name;
	p->meshed = meshed;
	snprintf(p->ip, sizeof(p->ip), "10.77.0.%zu", m->n_pods + 2);
	snprintf(p->uid, sizeof(p->uid), "uid-%s", name);
	snprintf(p->id, sizeof(p->id), "spiffe://cluster.local/ns/default/sa/%s", name);
	rng_seed(&p->rng, 7 + m->n_pods);
	load_params(&p->params);
	m->n_pods++;
	return p;
}

/* -- snapshots
 * ------------------------------------------------------------------------------------------------
 */

#define MAX_RES 64

/* Everything that a state points to, in one arena. */
struct draft {
	struct arena a;
	Weft__Mesh__V1__Resource *res[MAX_RES];
	size_t n;
};

static ProtobufCBinaryData addr_bytes(struct arena *a, const char *text)
{
	struct addr addr;
	assert_int_equal(addr_parse(str_from(text), &addr), 0);
	size_t n = addr.family == ADDR_V4 ? 4 : 16;
	struct str s = arena_str(a, str_make(addr.bytes, n));
	return (ProtobufCBinaryData){.len = n, .data = (uint8_t *)(uintptr_t)s.p};
}

static Weft__Mesh__V1__Resource *add(struct draft *d, const char *name,
	Weft__Mesh__V1__Resource__KindCase kind)
{
	Weft__Mesh__V1__Resource *r = arena_alloc(&d->a, sizeof(*r));
	weft__mesh__v1__resource__init(r);
	assert_true(d->n < MAX_RES);
	r->name = arena_strdup(&d->a, str_from(name));
	r->kind_case = kind;
	d->res[d->n++] = r;
	return r;
}

static Weft__Mesh__V1__WorkloadPort **one_port(struct draft *d, const struct mesh *m, uint32_t port)
{
	Weft__Mesh__V1__WorkloadPort *wp = arena_alloc(&d->a, sizeof(*wp));
	Weft__Mesh__V1__WorkloadPort **list = arena_alloc(&d->a, sizeof(*list));
	weft__mesh__v1__workload_port__init(wp);
	wp->port = port;
	wp->protocol = m->protocol;
	wp->mtls_mode = m->mtls;
	list[0] = wp;
	return list;
}

static Weft__Mesh__V1__Endpoint *draft_endpoint(struct draft *d, const struct mesh *m,
	const struct mesh_test_pod *p)
{
	Weft__Mesh__V1__Endpoint *e = arena_alloc(&d->a, sizeof(*e));
	weft__mesh__v1__endpoint__init(e);
	e->n_addresses = 1;
	e->addresses = arena_alloc(&d->a, sizeof(*e->addresses));
	e->addresses[0] = addr_bytes(&d->a, p->ip);
	e->uid = (char *)(uintptr_t)p->uid;
	e->meshed = p->meshed;
	e->spiffe_id = p->meshed ? (char *)(uintptr_t)p->id : e->spiffe_id;
	e->namespace_ = (char *)(uintptr_t)"default";
	e->name = e->workload = (char *)(uintptr_t)p->name;
	e->ready = true;
	e->n_ports = 1;
	e->ports = one_port(d, m, m->target);
	if (!p->meshed && m->not_meshed_flag)
		e->ports[0]->mtls_mode = e->mtls_mode =
			WEFT__MESH__V1__MTLS_MODE__MTLS_MODE_DISABLE;
	return e;
}

static void draft_service(struct draft *d, const struct mesh *m)
{
	Weft__Mesh__V1__Service *s = arena_alloc(&d->a, sizeof(*s));
	Weft__Mesh__V1__ServicePort *sp = arena_alloc(&d->a, sizeof(*sp));
	weft__mesh__v1__service__init(s);
	weft__mesh__v1__service_port__init(sp);
	s->namespace_ = (char *)(uintptr_t)"default";
	s->name = (char *)(uintptr_t)"web";
	s->n_addresses = s->n_ports = 1;
	s->addresses = arena_alloc(&d->a, sizeof(*s->addresses));
	s->addresses[0] = addr_bytes(&d->a, "10.96.0.1");
	s->ports = arena_alloc(&d->a, sizeof(*s->ports));
	s->ports[0] = sp;
	sp->port = m->port;
	sp->protocol = m->protocol;
	s->endpoints = arena_alloc(&d->a, MESH_PODS * sizeof(*s->endpoints));
	for (size_t i = 0; i < m->n_pods; i++)
		if (strncmp(m->pods[i].name, "web", 3) == 0)
			s->endpoints[s->n_endpoints++] = draft_endpoint(d, m, &m->pods[i]);
	add(d, "service/default/web", WEFT__MESH__V1__RESOURCE__KIND_SERVICE)->service = s;
}

static void draft_workload(struct draft *d, const struct mesh *m, const struct mesh_test_pod *p)
{
	Weft__Mesh__V1__Workload *w = arena_alloc(&d->a, sizeof(*w));
	weft__mesh__v1__workload__init(w);
	w->namespace_ = (char *)(uintptr_t)"default";
	w->name = w->service_account = w->workload = w->service = (char *)(uintptr_t)p->name;
	w->uid = (char *)(uintptr_t)p->uid;
	w->n_addresses = 1;
	w->addresses = arena_alloc(&d->a, sizeof(*w->addresses));
	w->addresses[0] = addr_bytes(&d->a, p->ip);
	w->n_ports = 1;
	w->ports = one_port(d, m, m->target);
	w->mtls_mode = m->mtls;
	add(d, "workload", WEFT__MESH__V1__RESOURCE__KIND_WORKLOAD)->workload = w;
}

static void draft_mesh(struct draft *d)
{
	Weft__Mesh__V1__Mesh *mesh = arena_alloc(&d->a, sizeof(*mesh));
	Weft__Mesh__V1__IpBlock *block = arena_alloc(&d->a, sizeof(*block));
	weft__mesh__v1__mesh__init(mesh);
	weft__mesh__v1__ip_block__init(block);
	mesh->trust_domain = (char *)(uintptr_t)"cluster.local";
	block->address = addr_bytes(&d->a, "10.0.0.0");
	block->prefix = 8;
	mesh->n_mesh_ranges = 1;
	mesh->mesh_ranges = arena_alloc(&d->a, sizeof(*mesh->mesh_ranges));
	mesh->mesh_ranges[0] = block;
	add(d, "mesh", WEFT__MESH__V1__RESOURCE__KIND_MESH)->mesh = mesh;
}

static void draft_bundle(struct draft *d, const char *td, const struct cert_ca *ca)
{
	Weft__Mesh__V1__TrustBundle *b = arena_alloc(&d->a, sizeof(*b));
	struct cert_chain *chain;
	char *pem = cert_ca_cert_pem(ca);
	weft__mesh__v1__trust_bundle__init(b);
	assert_int_equal(cert_chain_parse(str_from(pem), &chain), 0);
	struct str der = arena_str(&d->a, cert_chain_der(chain));
	b->trust_domain = (char *)(uintptr_t)td;
	b->roots = (ProtobufCBinaryData){.len = der.n, .data = (uint8_t *)(uintptr_t)der.p};
	cert_chain_unref(&chain);
	mem_free(pem);
	add(d, td, WEFT__MESH__V1__RESOURCE__KIND_TRUST_BUNDLE)->trust_bundle = b;
}

static void draft_all(struct draft *d, const struct mesh *m, const struct mesh_test_pod *p)
{
	draft_workload(d, m, p);
	draft_mesh(d);
	draft_bundle(d, "cluster.local", m->ca);
	draft_service(d, m);
	for (size_t i = 0; i < m->n_policies; i++)
		add(d, m->policies[i]->name, WEFT__MESH__V1__RESOURCE__KIND_AUTHORIZATION_POLICY)
			->authorization_policy = m->policies[i];
	for (size_t i = 0; i < m->n_pods; i++) {
		Weft__Mesh__V1__Pod *pod = arena_alloc(&d->a, sizeof(*pod));
		weft__mesh__v1__pod__init(pod);
		pod->endpoint = draft_endpoint(d, m, &m->pods[i]);
		add(d, m->pods[i].name, WEFT__MESH__V1__RESOURCE__KIND_POD)->pod = pod;
	}
}

static int mesh_orig_dst(void *arg, const struct io *io, struct addr *out)
{
	(void)arg;
	return net_sim_orig_dst(io, out);
}

static void start_proxy(struct mesh_test_pod *p)
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

void mesh_apply_leaf(struct mesh *m, struct mesh_test_pod *p, struct cert_ca *ca, const char *id,
	enum cert_flaw flaw)
{
	struct draft d = {0};
	struct cert_key *key = cert_key_generate();
	struct cert_issue what = {.spiffe_id = str_from(id),
		.pod_uid = str_from(p->uid),
		.not_before = MESH_WALL - 600,
		.not_after = MESH_WALL + 86400,
		.flaw = flaw};
	struct cert_chain *chain;
	struct snapshot *snap;
	char err[512];
	size_t key_n;
	Weft__Mesh__V1__State st = WEFT__MESH__V1__STATE__INIT;
	arena_init(&d.a, NULL);
	assert_int_equal(cert_ca_issue(ca, NULL, key, &what, &chain), 0);
	draft_all(&d, m, p);
	void *key_der = cert_key_der(key, &key_n);
	struct str der = cert_chain_der(chain);
	st.format = 1;
	st.trust_domain = (char *)(uintptr_t)"cluster.local";
	st.pod_uid = p->uid;
	st.written_at = MESH_WALL;
	st.chain = (ProtobufCBinaryData){.len = der.n, .data = (uint8_t *)(uintptr_t)der.p};
	st.key = (ProtobufCBinaryData){.len = key_n, .data = key_der};
	st.n_required = d.n;
	st.required = d.res;
	if (snapshot_build(&st, 1, &snap, err, sizeof(err)) != 0)
		fail_msg("snapshot_build: %s", err);
	if (p->proxy == NULL)
		start_proxy(p);
	if (proxy_set_snapshot(p->proxy, snap, err, sizeof(err)) != 0)
		fail_msg("proxy_set_snapshot: %s", err);
	snapshot_unref(&snap);
	mem_free_secret(key_der, key_n);
	cert_chain_unref(&chain);
	cert_key_unref(&key);
	arena_clear(&d.a);
}

void mesh_apply(struct mesh *m)
{
	for (size_t i = 0; i < m->n_pods; i++)
		if (m->pods[i].meshed)
			mesh_apply_leaf(m, &m->pods[i], m->ca, m->pods[i].id, CERT_FLAW_NONE);
	mesh_settle(m);
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

bool mesh_logged(struct mesh *m, const char *text)
{
	size_t n = buf_len(&m->log_text);
	char *all = mem_alloc(n + 1);
	buf_copy_out(&m->log_text, 0, all, n);
	bool found = strstr(all, text) != NULL;
	mem_free(all);
	return found;
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
	assert_true(a->n < sizeof(a->users) / sizeof(a->users[0]));
	http_user_init(u, &a->mesh->w);
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

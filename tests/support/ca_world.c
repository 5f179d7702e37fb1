/*
 * Directory, loop, store and authority for tests of ctrlplane/ca; see ca_world.h. Linked into every
 * test.
 */
#include "tests/support/ca_world.h"

#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/alloc.h"
#include "lib/crypto/crypto.h"
#include "tests/support/worlds.h"

#define TURNS 200000

static void on_line(void *arg, struct str line)
{
	struct ca_world *w = arg;
	size_t room = sizeof(w->said) - 1 - w->said_n, n = line.n < room ? line.n : room;
	memcpy(w->said + w->said_n, line.p, n);
	w->said_n += n;
	w->said[w->said_n] = '\0';
}

static void open_on(struct ca_world *w, struct loop *loop)
{
	assert_int_equal(crypto_init(), 0);
	memset(w, 0, sizeof(*w));
	w->loop = loop;
	w->log = log_new_sink(on_line, w, LOG_DEBUG, LOG_JSON, loop_clock(loop));
	strcpy(w->base, "/tmp/weft-ca-test-XXXXXX");
	assert_non_null(mkdtemp(w->base));
	snprintf(w->dir, sizeof(w->dir), "%s/data", w->base);
	w->cfg = (struct authority_config){.data_dir = w->dir,
		.trust_domain = CA_TD,
		.leaf_ns = CA_DAY * NS_PER_S,
		.root_ns = 3650 * CA_DAY * NS_PER_S,
		.backdate_ns = 120 * NS_PER_S,
		.loop = loop,
		.log = w->log};
}

void ca_world_open(struct ca_world *w)
{
	open_on(w, loop_new_sim((uint64_t)CA_START * NS_PER_S));
}

static void on_stop(void *arg)
{
	loop_stop(arg);
}

/* What was freed is freed at the end of a turn. */
static void settle(struct ca_world *w)
{
	struct loop_task task;
	if (loop_clock(w->loop) != clock_system()) {
		assert_true(loop_sim_settle(w->loop, TURNS) < TURNS);
		return;
	}
	for (int turn = 0; turn < 50; turn++) {
		loop_task_init(&task, w->loop, on_stop, w->loop);
		loop_defer(&task);
		loop_run(w->loop);
	}
}

void ca_world_open_real(struct ca_world *w)
{
	open_on(w, loop_new(NULL));
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
	(void)st, (void)kind, (void)ftw;
	return remove(path);
}

void ca_world_close(struct ca_world *w)
{
	ca_world_stop(w);
	nftw(w->base, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	log_free(&w->log);
	loop_free(&w->loop);
}

int ca_world_start(struct ca_world *w)
{
	char path[160];
	snprintf(path, sizeof(path), "%s/position", w->base);
	assert_int_equal(store_new(w->loop, w->log, path, &w->store, w->err, sizeof(w->err)), 0);
	w->metrics = metrics_new(100, 1);
	w->cfg.store = w->store;
	w->cfg.metrics = w->metrics;
	w->err[0] = '\0';
	int e = authority_start(&w->cfg, &w->authority, w->err, sizeof(w->err));
	settle(w);
	if (e != 0)
		ca_world_stop(w);
	return e;
}

void ca_world_stop(struct ca_world *w)
{
	attest_free(&w->attest);
	authority_stop(&w->authority);
	if (w->store != NULL)
		store_free(&w->store);
	if (w->metrics != NULL)
		metrics_free(&w->metrics);
	settle(w);
}

void ca_world_restart(struct ca_world *w)
{
	bool attest = w->attest != NULL;
	ca_world_stop(w);
	int e = ca_world_start(w);
	if (e == 0 && attest)
		e = ca_world_attest(w);
	if (e != 0)
		print_error("%s\n", w->err);
	assert_int_equal(e, 0);
}

int ca_world_attest(struct ca_world *w)
{
	return attest_new(w->loop, w->log, w->store, ca_world_path(w, "tokens"), &w->attest, w->err,
		sizeof(w->err));
}

void ca_world_source(struct ca_world *w, const char *yaml)
{
	store_set_world(w->store, worlds_of(yaml), true);
	settle(w);
}

void ca_world_advance(struct ca_world *w, int64_t seconds)
{
	loop_sim_advance(w->loop, (uint64_t)seconds * NS_PER_S);
}

int64_t ca_world_now(const struct ca_world *w)
{
	return (int64_t)(loop_wall(w->loop) / NS_PER_S);
}

/* --- files --- */

const char *ca_world_path(struct ca_world *w, const char *name)
{
	char *p = w->path[w->next++ % 4];
	if (name[0] == '/')
		return strcpy(p, name);
	size_t n = strlen(w->dir);
	memcpy(p, w->dir, n);
	p[n] = '/';
	strcpy(p + n + 1, name);
	return p;
}

char *ca_world_read(struct ca_world *w, const char *name)
{
	char *text = calloc(1, 65536);
	int fd = open(ca_world_path(w, name), O_RDONLY);
	assert_true(fd >= 0);
	assert_true(read(fd, text, 65535) >= 0);
	close(fd);
	return text;
}

void ca_world_write(struct ca_world *w, const char *name, unsigned mode, const char *text)
{
	const char *path = ca_world_path(w, name);
	(void)mkdir(w->dir, 0700);
	(void)unlink(path);
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
}

bool ca_world_exists(struct ca_world *w, const char *name)
{
	return access(ca_world_path(w, name), F_OK) == 0;
}

unsigned ca_world_mode(struct ca_world *w, const char *name)
{
	struct stat st;
	assert_int_equal(stat(ca_world_path(w, name), &st), 0);
	return st.st_mode & 07777;
}

bool ca_world_said(const struct ca_world *w, const char *text)
{
	return strstr(w->said, text) != NULL;
}

void ca_world_hush(struct ca_world *w)
{
	w->said_n = 0;
	w->said[0] = '\0';
}

/* --- certificates --- */

int ca_world_issue(struct ca_world *w, const char *id, const char *uid, struct cert_chain **out)
{
	struct cert_csr *csr;
	struct cert_key *key = cert_key_generate();
	char *pem = cert_csr_build(key, STR("spiffe://cluster.local/ns/a/sa/forged"));
	assert_int_equal(cert_csr_parse(str_from(pem), &csr), 0);
	int e = authority_issue(w->authority, csr, str_from(id), str_from(uid), out, w->err,
		sizeof(w->err));
	mem_free(pem);
	cert_csr_free(&csr);
	cert_key_unref(&key);
	return e;
}

enum cert_verdict ca_world_judge(const struct ca_world *w, const struct cert_chain *c,
	struct str roots)
{
	struct cert_bundle *b = cert_bundle_new();
	assert_int_equal(cert_bundle_add(b, STR(CA_TD), roots), 0);
	enum cert_verdict v = cert_verify(c, b, ca_world_now(w), false, NULL);
	cert_bundle_unref(&b);
	return v;
}

/* The two ends of a handshake. */
struct ends {
	struct io *io[2];
	struct tls_failure failure;
};

static void on_server(void *arg, struct io *io, const struct tls_failure *failure)
{
	struct ends *e = arg;
	(void)failure;
	e->io[0] = io;
}

static void on_client(void *arg, struct io *io, const struct tls_failure *failure)
{
	struct ends *e = arg;
	e->io[1] = io;
	if (io == NULL)
		e->failure = *failure;
}

static struct tls_ctx *client_ctx(struct ca_world *w, struct str roots)
{
	const char *const alpn[] = {"h2", NULL};
	struct cert_bundle *b = cert_bundle_new();
	assert_int_equal(cert_bundle_add(b, STR(CA_TD), roots), 0);
	const struct tls_ctx_config cfg = {
		.role = TLS_CLIENT, .bundle = b, .alpn = alpn, .clock = loop_clock(w->loop)};
	struct tls_ctx *ctx;
	assert_int_equal(tls_ctx_new(&cfg, &ctx, w->err, sizeof(w->err)), 0);
	cert_bundle_unref(&b);
	return ctx;
}

enum cert_verdict ca_world_judge_serving(struct ca_world *w, struct str roots)
{
	struct buf_pool *bufs = buf_pool_new(1 << 20);
	struct tls_ctx *client = client_ctx(w, roots);
	struct ends e = {0};
	struct io *mem[2];
	struct addr a = {0}, b = {0};
	io_mem_pair(w->loop, bufs, 1 << 16, &a, &b, mem);
	const struct tls_handshake_config sc = {
		.ctx = authority_serving(w->authority), .bufs = bufs};
	const struct tls_handshake_config cc = {.ctx = client,
		.bufs = bufs,
		.expect = {.id = STR("spiffe://" CA_TD "/ns/weft-system/sa/weft-ctrlplane")}};
	tls_handshake_start(mem[0], &sc, on_server, &e);
	tls_handshake_start(mem[1], &cc, on_client, &e);
	settle(w);
	enum cert_verdict v = e.io[1] != NULL ? CERT_GOOD : e.failure.verdict;
	assert_true(e.io[1] != NULL || v != CERT_GOOD);
	io_close(&e.io[0], true);
	io_close(&e.io[1], true);
	tls_ctx_unref(&client);
	settle(w);
	buf_pool_free(&bufs);
	return v;
}

/*
 * Processes, sockets and events for interoperability tests of lib/tls; see openssl_lab.h. Owns
 * nothing of its own. Linked into every test.
 */
#include "tests/support/openssl_lab.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/alloc.h"
#include "lib/base/clock.h"
#include "lib/tls/io_tls.h"

/* For a machine under load; nothing waits that long when all is well. */
#define PATIENCE_NS (60 * NS_PER_S)

extern char **environ;

static void check(struct lab *lab)
{
	if (lab->until(lab))
		loop_stop(lab->loop);
}

static void on_patience(void *arg)
{
	struct lab *lab = arg;

	fprintf(stderr, "openssl said: %.*s\n", (int)lab->said_n, lab->said);
	fail_msg("nothing happens (done %d: %s; end %d)", lab->done, lab->failure.text, lab->end);
}

void lab_run_until(struct lab *lab, bool (*until)(const struct lab *lab))
{
	lab->until = until;
	loop_timer_start(&lab->patience, PATIENCE_NS);
	if (!until(lab))
		loop_run(lab->loop);
	loop_timer_stop(&lab->patience);
}

/* --- files and processes --- */

static const char *path_of(const struct lab *lab, const char *name)
{
	return mem_printf("%s/%s", lab->dir, name);
}

static void write_file(const struct lab *lab, const char *name, const char *text)
{
	char *path = (char *)(uintptr_t)path_of(lab, name);
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
	mem_free(path);
}

static struct cert_chain *leaf(struct lab *lab, const char *id, enum cert_flaw flaw,
	struct cert_key **key)
{
	int64_t now = (int64_t)(clock_wall(clock_system()) / NS_PER_S);
	struct cert_issue what = {.spiffe_id = str_from(id),
		.not_before = now - 300,
		.not_after = now + 3600,
		.flaw = flaw};
	struct cert_chain *chain;

	*key = cert_key_generate();
	assert_int_equal(cert_ca_issue(lab->ca, NULL, *key, &what, &chain), 0);
	return chain;
}

/* NAME.pem and NAME.key for the process. */
static void write_leaf(struct lab *lab, const char *name, const char *id, enum cert_flaw flaw)
{
	struct cert_key *key;
	struct cert_chain *chain = leaf(lab, id, flaw, &key);
	char *pem = cert_chain_pem(chain), *secret = cert_key_pem(key), file[32];

	snprintf(file, sizeof(file), "%s.pem", name);
	write_file(lab, file, pem);
	snprintf(file, sizeof(file), "%s.key", name);
	write_file(lab, file, secret);
	mem_free(pem);
	mem_free_secret(secret, strlen(secret));
	cert_chain_unref(&chain);
	cert_key_unref(&key);
}

static void on_said(void *arg, unsigned events)
{
	struct lab *lab = arg;
	char bytes[65536];
	ssize_t n = read(lab->from, bytes, sizeof(bytes));

	(void)events;
	if (n <= 0) {
		loop_fd_stop(&lab->from_watch);
	} else {
		size_t keep = sizeof(lab->said) - 1 - lab->said_n;
		if (keep > (size_t)n)
			keep = (size_t)n;
		memcpy(lab->said + lab->said_n, bytes, keep);
		lab->said_n += keep;
		lab->said[lab->said_n] = '\0';
		lab->said_all += (uint64_t)n;
	}
	check(lab);
}

/* Runs openssl with these words, which is split at spaces; %s is the folder. */
void lab_start(struct lab *lab, const char *words)
{
	char *argv[64], *line = mem_strdup(words), *next = line;
	int in[2], out[2], n = 0;
	posix_spawn_file_actions_t actions;

	/* So that it dies with us, also when a test fails and returns from the middle. */
	argv[n++] = mem_strdup("setpriv");
	argv[n++] = mem_strdup("--pdeathsig");
	argv[n++] = mem_strdup("KILL");
	argv[n++] = mem_strdup("openssl");
	while (next != NULL && n < 63) {
		char *word = next;
		next = strchr(next, ' ');
		if (next != NULL)
			*next++ = '\0';
		if (*word == '\0')
			continue;
		argv[n++] =
			*word == '@' ? (char *)(uintptr_t)path_of(lab, word + 1) : mem_strdup(word);
	}
	argv[n] = NULL;
	assert_int_equal(pipe2(in, O_CLOEXEC), 0);
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, in[0], 0);
	posix_spawn_file_actions_adddup2(&actions, out[1], 1);
	posix_spawn_file_actions_adddup2(&actions, out[1], 2);
	assert_int_equal(posix_spawnp(&lab->pid, "setpriv", &actions, NULL, argv, environ), 0);
	posix_spawn_file_actions_destroy(&actions);
	close(in[0]);
	close(out[1]);
	lab->to = in[1];
	lab->from = out[0];
	for (int i = 0; i < n; i++)
		mem_free(argv[i]);
	mem_free(line);
	loop_fd_init(&lab->from_watch, lab->loop, lab->from, on_said, lab);
	loop_fd_want(&lab->from_watch, LOOP_READ);
}

void lab_type(struct lab *lab, const char *text)
{
	assert_int_equal(write(lab->to, text, strlen(text)), strlen(text));
}

bool lab_said(const struct lab *lab, const char *text)
{
	return strstr(lab->said, text) != NULL;
}

/* A record came: the process has acted on its command. */
static bool acted(const struct lab *lab)
{
	return lab->end != 1 || tls_io_records(lab->io) > lab->records;
}

/* A command of openssl's own; it takes all that it reads at once for one, so nothing may follow it
 * closely. */
void lab_command(struct lab *lab, const char *text)
{
	lab->records = tls_io_records(lab->io);
	lab_type(lab, text);
	lab_run_until(lab, acted);
	assert_int_equal(lab->end, 1);
}

/* --- our end --- */

void lab_flush(struct lab *lab)
{
	while (buf_len(&lab->out) > 0) {
		ssize_t n = io_write(lab->io, &lab->out);
		if (n < 0) {
			if (n != ERR_AGAIN)
				lab->end = (int)n;
			return;
		}
	}
}

static void on_io(void *arg, unsigned events)
{
	struct lab *lab = arg;

	if ((events & IO_READ) != 0) {
		size_t before = buf_len(&lab->in);
		ssize_t n = io_read(lab->io, &lab->in, 65536);
		lab->received += buf_len(&lab->in) - before;
		if (n <= 0 && n != ERR_AGAIN)
			lab->end = (int)n;
		if (lab->echo)
			buf_move_all(&lab->out, &lab->in);
		else if (buf_len(&lab->in) > 100000)
			buf_consume(&lab->in, buf_len(&lab->in));
	}
	lab_flush(lab);
	io_want(lab->io, (lab->end == 1 ? IO_READ : 0u) | (buf_len(&lab->out) > 0 ? IO_WRITE : 0u));
	check(lab);
}

static void on_done(void *arg, struct io *io, const struct tls_failure *failure)
{
	struct lab *lab = arg;

	lab->done = true;
	lab->handshake = NULL;
	lab->io = io;
	if (failure != NULL)
		lab->failure = *failure;
	if (io != NULL) {
		if (lab->rekey != 0)
			tls_io_limit(io, lab->rekey, 1 << 20);
		io_set_user(io, on_io, lab);
		io_want(io, IO_READ | (buf_len(&lab->out) > 0 ? IO_WRITE : 0u));
	}
	check(lab);
}

static void begin(struct lab *lab, int fd)
{
	struct tls_handshake_config cfg = {
		.ctx = lab->ctx, .bufs = lab->bufs, .timeout_ns = PATIENCE_NS};

	if (lab->client)
		cfg.expect.id = STR(LAB_SERVER);
	lab->handshake = tls_handshake_start(io_sock_new(lab->loop, fd), &cfg, on_done, lab);
}

static struct sockaddr_un address(const struct lab *lab)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};

	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s/socket", lab->dir);
	return sa;
}

static void on_listener(void *arg, unsigned events)
{
	struct lab *lab = arg;
	int fd = accept4(lab->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	(void)events;
	assert_true(fd >= 0);
	loop_fd_stop(&lab->listener_watch);
	begin(lab, fd);
}

void lab_listen(struct lab *lab)
{
	struct sockaddr_un sa = address(lab);

	lab->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(lab->listener, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(listen(lab->listener, 1), 0);
	loop_fd_init(&lab->listener_watch, lab->loop, lab->listener, on_listener, lab);
	loop_fd_want(&lab->listener_watch, LOOP_READ);
}

void lab_dial(struct lab *lab)
{
	struct sockaddr_un sa = address(lab);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	begin(lab, fd);
}

void lab_use(struct lab *lab, enum tls_role role, enum cert_flaw flaw)
{
	static const char *const alpn[] = {"weft/h2", "weft/tcp", NULL};
	struct tls_ctx_config cfg = {
		.role = role, .bundle = lab->bundle, .alpn = alpn, .clock = clock_system()};
	char err[128] = "";

	lab->client = role == TLS_CLIENT;
	cfg.chain = leaf(lab, role == TLS_SERVER ? LAB_SERVER : LAB_CLIENT, flaw, &cfg.key);
	if (tls_ctx_new(&cfg, &lab->ctx, err, sizeof(err)) < 0)
		fail_msg("%s", err);
	cert_chain_unref(&cfg.chain);
	cert_key_unref(&cfg.key);
}

/* --- life --- */

struct lab *lab_open(void)
{
	struct lab *lab = MEM_NEW(struct lab);
	int64_t now = (int64_t)(clock_wall(clock_system()) / NS_PER_S);

	lab->loop = loop_new(NULL);
	lab->bufs = buf_pool_new(1 << 20);
	buf_init(&lab->in, lab->bufs);
	buf_init(&lab->out, lab->bufs);
	lab->end = 1;
	lab->listener = lab->to = lab->from = -1;
	loop_timer_init(&lab->patience, lab->loop, on_patience, lab);
	snprintf(lab->dir, sizeof(lab->dir), "/tmp/weft-tls-XXXXXX");
	assert_non_null(mkdtemp(lab->dir));
	assert_int_equal(cert_ca_create(STR("mesh.test"), now - 86400, now + 86400, &lab->ca), 0);
	lab->bundle = cert_bundle_new();
	char *pem = cert_ca_cert_pem(lab->ca);
	assert_int_equal(cert_bundle_add(lab->bundle, STR("mesh.test"), str_from(pem)), 0);
	write_file(lab, "root.pem", pem);
	mem_free(pem);
	write_leaf(lab, "server", LAB_SERVER, CERT_FLAW_NONE);
	write_leaf(lab, "client", LAB_CLIENT, CERT_FLAW_NONE);
	write_leaf(lab, "expired", LAB_CLIENT, CERT_FLAW_EXPIRED);
	return lab;
}

static void remove_files(const struct lab *lab)
{
	static const char *const names[] = {"root.pem", "server.pem", "server.key", "client.pem",
		"client.key", "expired.pem", "expired.key", "socket"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		char *path = (char *)(uintptr_t)path_of(lab, names[i]);
		unlink(path);
		mem_free(path);
	}
	rmdir(lab->dir);
}

static bool gone(const struct lab *lab)
{
	return lab->io == NULL && lab->handshake == NULL;
}

void lab_close(struct lab *lab)
{
	tls_handshake_cancel(&lab->handshake);
	io_close(&lab->io, true);
	buf_clear(&lab->in);
	buf_clear(&lab->out);
	if (lab->from >= 0)
		loop_fd_stop(&lab->from_watch);
	if (lab->listener >= 0)
		loop_fd_stop(&lab->listener_watch);
	close(lab->to);
	close(lab->from);
	close(lab->listener);
	if (lab->pid > 0) {
		kill(lab->pid, SIGKILL);
		waitpid(lab->pid, NULL, 0);
	}
	lab_run_until(lab, gone);
	loop_run(lab->loop); /* nothing is left to wait for: frees what was put off */
	tls_ctx_unref(&lab->ctx);
	cert_bundle_unref(&lab->bundle);
	cert_ca_free(&lab->ca);
	assert_int_equal(buf_pool_used(lab->bufs), 0);
	loop_free(&lab->loop);
	buf_pool_free(&lab->bufs);
	remove_files(lab);
	mem_free(lab);
}

bool lab_possible(void)
{
	int status = 1;
	pid_t pid;
	char *argv[] = {(char *)(uintptr_t)"openssl", (char *)(uintptr_t)"version", NULL};
	posix_spawn_file_actions_t actions;

	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
	bool ok = posix_spawnp(&pid, "openssl", &actions, NULL, argv, environ) == 0 &&
		waitpid(pid, &status, 0) == pid && status == 0;
	posix_spawn_file_actions_destroy(&actions);
	return ok;
}

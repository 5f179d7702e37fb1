/*
 * The last-good file: taken whole or refused whole. Torn, foreign, stale, of other permissions, of
 * a key that is not the leaf's; and replaced in one step or not at all.
 */
#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "certs/key.h"
#include "lib/base/alloc.h"
#include "lib/base/err.h"
#include "lib/crypto/crypto.h"
#include "sidecar/snapshot/build.h"
#include "sidecar/snapshot/state.h"
#include "tests/support/worlds.h"

#define HEAD 51 /* magic, length, SHA-256 */
#define SERIAL_FAULT                                                                    \
	"f: resource Revocations: serials: a serial is lower-case hex of whole bytes, " \
	"without leading zeros: written otherwise it would revoke nothing"

/* One state of shop/p, valid for an hour, its bytes, and a directory of its own. */
struct fixture {
	struct world *w;
	struct arena arena;
	Weft__Mesh__V1__State *st;
	uint8_t *bytes;
	size_t n;
	char dir[64], path[80];
	char err[512];
};

static void encode(struct fixture *f)
{
	mem_free_secret(f->bytes, f->n);
	f->bytes = state_encode(f->st, &f->n);
}

static int set_up(void **state)
{
	struct fixture *f = MEM_NEW(struct fixture);
	f->w = worlds_of(POD("p", "10.0.0.1", "{app: a}", "") POD("q", "10.0.0.2", "{}", ""));
	arena_init(&f->arena, NULL);
	f->st = worlds_state(f->w, "p", &f->arena);
	worlds_identify(f->st, &f->arena, WORLDS_NOW + 3600);
	encode(f);
	snprintf(f->dir, sizeof(f->dir), "/tmp/weft-state-test.XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	snprintf(f->path, sizeof(f->path), "%s/state", f->dir);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	struct dirent **entries;
	int n = scandir(f->dir, &entries, NULL, NULL);
	for (int i = 0; i < n; i++) {
		char *path = mem_printf("%s/%s", f->dir, entries[i]->d_name);
		(void)unlink(path);
		mem_free(path);
		free(entries[i]);
	}
	free(entries);
	rmdir(f->dir);
	mem_free_secret(f->bytes, f->n);
	arena_clear(&f->arena);
	world_free(&f->w);
	mem_free(f);
	return 0;
}

static int parse(struct fixture *f, struct str bytes, const struct state_expect *expect)
{
	struct snapshot *s = NULL;
	int err = state_parse("f", bytes, expect, 0, &s, f->err, sizeof(f->err));
	assert_int_equal(err == 0, s != NULL);
	snapshot_unref(&s);
	return err;
}

static const struct state_expect now = {.now = WORLDS_NOW};

static struct str all(const struct fixture *f)
{
	return str_make(f->bytes, f->n);
}

static void test_good(void **state)
{
	struct fixture *f = *state;
	struct snapshot *s;
	const struct state_expect expect = {.trust_domain = STR("cluster.local"),
		.pod_uid = str_from(f->st->pod_uid),
		.now = WORLDS_NOW + 100,
		.max_stale = 100};
	assert_int_equal(state_parse("f", all(f), &expect, 7, &s, f->err, sizeof(f->err)), 0);
	assert_true(str_eq(s->self.name, STR("p")));
	assert_true(str_eq(s->self.spiffe_id, STR("spiffe://cluster.local/ns/shop/sa/default")));
	assert_int_equal(s->n_pods, 2);
	assert_int_equal(s->written_at, WORLDS_NOW);
	assert_true(s->pods[0].endpoint.self);
	assert_false(s->pods[1].endpoint.self);
	snapshot_unref(&s);
}

static void test_torn(void **state)
{
	struct fixture *f = *state;
	for (size_t n = 0; n < f->n; n++) {
		/* Memory of exactly that size, so that a reader beyond it is caught. */
		uint8_t *part = mem_alloc(n + 1);
		memcpy(part, f->bytes, n);
		assert_int_equal(parse(f, str_make(part, n), &now), ERR_VERIFY);
		mem_free(part);
	}
	uint8_t *more = mem_alloc(f->n + 1);
	memcpy(more, f->bytes, f->n);
	assert_int_equal(parse(f, str_make(more, f->n + 1), &now), ERR_VERIFY);
	assert_non_null(strstr(f->err, "f: torn: "));
	mem_free(more);
}

/* Any bit of the file that is not as written. */
static void test_flipped(void **state)
{
	struct fixture *f = *state;
	for (size_t i = 0; i < f->n; i++) {
		f->bytes[i] ^= (uint8_t)(1u << i % 8);
		assert_int_equal(parse(f, all(f), &now), ERR_VERIFY);
		f->bytes[i] ^= (uint8_t)(1u << i % 8);
	}
	assert_string_equal(f->err, "f: torn: the checksum does not hold");
	f->bytes[0] = 'W';
	assert_int_equal(parse(f, all(f), &now), ERR_VERIFY);
	assert_string_equal(f->err, "f: not a Weft state file; write one with `weft compile`");
}

/* A right frame around something else. */
static void test_no_message(void **state)
{
	struct fixture *f = *state;
	uint8_t bytes[HEAD + 3];
	memcpy(bytes, f->bytes, 11);
	memset(bytes + 11, 0, 7);
	bytes[18] = 3;
	memset(bytes + HEAD, 0xff, 3);
	crypto_sha256(bytes + HEAD, 3, bytes + 19);
	assert_int_equal(parse(f, str_make(bytes, sizeof(bytes)), &now), ERR_VERIFY);
	assert_string_equal(f->err, "f: the payload is no State message");
}

/* What two claim has neither of them, and hurts nobody else. */
static void test_disputed(void **state)
{
	struct fixture *f = *state;
	struct snapshot *s;
	struct addr p, q;
	Weft__Mesh__V1__Resource *three[3] = {f->st->used[0], f->st->used[1], f->st->used[0]};
	f->st->used = three;
	f->st->n_used = 3;
	assert_int_equal(addr_parse(STR("10.0.0.1"), &p), 0);
	assert_int_equal(addr_parse(STR("10.0.0.2"), &q), 0);
	encode(f);
	assert_int_equal(state_parse("f", all(f), &now, 7, &s, f->err, sizeof(f->err)), 0);
	assert_int_equal(s->n_disputed, 1);
	assert_null(snapshot_pod(s, &p));
	assert_non_null(snapshot_pod(s, &q));
	snapshot_unref(&s);
}

static void test_resource_alone(void **state)
{
	struct fixture *f = *state;
	struct snapshot_fault fault;
	for (size_t i = 0; i < f->st->n_required; i++)
		assert_int_equal(snapshot_check_resource(f->st->trust_domain, f->st->required[i],
					 &fault),
			0);
	f->st->used[1]->pod->endpoint->addresses[0].len = 3;
	assert_int_equal(snapshot_check_resource("cluster.local", f->st->used[0], &fault), 0);
	assert_int_equal(snapshot_check_resource("cluster.local", f->st->used[1], &fault),
		ERR_INVAL);
	assert_string_equal(fault.resource, "Pod/shop/q");
	assert_string_equal(fault.field, "addresses");
	assert_string_equal(fault.reason, "an address has 4 or 16 bytes");
	/* The resources alone, without anybody's identity. */
	f->st->n_used = 1;
	f->st->chain.len = 0;
	assert_int_equal(snapshot_try(f->st, 7, NULL, &fault), 0);
	f->st->n_required = 0;
	assert_int_equal(snapshot_try(f->st, 7, NULL, &fault), ERR_INVAL);
	assert_string_equal(fault.resource, "(required)");
}

static void test_expectations(void **state)
{
	static const struct {
		struct state_expect expect;
		int err;
		const char *text;
	} rows[] = {
		{{.trust_domain = {"other.org", 9}}, ERR_VERIFY,
			"f: foreign: trust domain cluster.local, expected other.org"},
		{{.pod_uid = {"u-2", 3}}, ERR_VERIFY,
			"f: foreign: pod UID b833ebaf-c9e8-8715-a705-cc3320a2ab61, expected u-2"},
		{{.now = WORLDS_NOW + 101, .max_stale = 100}, ERR_EXPIRED,
			"f: 101 s old, the most is 100 s (max-stale)"},
		{{.now = WORLDS_NOW - 101, .max_stale = 100}, ERR_EXPIRED,
			"f: written 101 s from now by this clock, more than 100 s (max-stale)"},
		{{.now = WORLDS_NOW - 100, .max_stale = 100}, 0, NULL},
		{{.now = WORLDS_NOW + 3601}, ERR_EXPIRED, "f: the leaf expired 1 s ago"},
		{{.now = WORLDS_NOW + 3600}, 0, NULL},
		{{.now = WORLDS_NOW + 100, .max_stale = 100}, 0, NULL},
	};
	struct fixture *f = *state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(parse(f, all(f), &rows[i].expect), rows[i].err);
		if (rows[i].text != NULL)
			assert_string_equal(f->err, rows[i].text);
	}
}

/* Each gives the state one fault; the last word of the function's name says which. */
static void fault_format(struct fixture *f)
{
	f->st->format = 2;
}
static void fault_no_workload(struct fixture *f)
{
	f->st->required++;
	f->st->n_required--;
}
static void fault_two_workloads(struct fixture *f)
{
	f->st->required[1] = f->st->required[0];
}
static void fault_no_mesh(struct fixture *f)
{
	f->st->required[1] = f->st->required[2];
	f->st->n_required = 2;
}
static void fault_no_bundle(struct fixture *f)
{
	f->st->n_required = 2;
}
static void fault_bundle(struct fixture *f)
{
	f->st->required[2]->trust_bundle->roots.len = 7;
}
static void fault_domain(struct fixture *f)
{
	f->st->required[1]->mesh->trust_domain = arena_strdup(&f->arena, STR("other.org"));
}
static void fault_uid(struct fixture *f)
{
	f->st->pod_uid = arena_strdup(&f->arena, STR("u-2"));
}
static void fault_key(struct fixture *f)
{
	struct cert_key *k = cert_key_generate();
	size_t n;
	void *der = cert_key_der(k, &n);
	f->st->key.data = arena_alloc(&f->arena, n);
	f->st->key.len = n;
	memcpy(f->st->key.data, der, n);
	mem_free_secret(der, n);
	cert_key_unref(&k);
}
static void fault_no_key(struct fixture *f)
{
	f->st->key.len = 0;
}
static void fault_no_chain(struct fixture *f)
{
	f->st->chain.len = 0;
}
static void fault_address(struct fixture *f)
{
	f->st->used[1]->pod->endpoint->addresses[0].len = 3;
}
static void fault_loopback(struct fixture *f)
{
	f->st->used[1]->pod->endpoint->addresses[0].data[0] = 127;
}
static void fault_identity(struct fixture *f)
{
	f->st->used[1]->pod->endpoint->spiffe_id = arena_strdup(&f->arena, STR("spiffe://x"));
}
static void fault_mode(struct fixture *f)
{
	f->st->used[1]->pod->endpoint->mtls_mode = (Weft__Mesh__V1__MtlsMode)9;
}
static void fault_no_kind(struct fixture *f)
{
	f->st->used[1]->kind_case = WEFT__MESH__V1__RESOURCE__KIND__NOT_SET;
}

/* ::ffff:127.0.0.1 is loopback to the kernel that dials it. */
static void fault_mapped(struct fixture *f)
{
	static const uint8_t mapped[16] = {[10] = 0xff, [11] = 0xff, [12] = 127, [15] = 1};
	ProtobufCBinaryData *a = &f->st->used[1]->pod->endpoint->addresses[0];
	a->len = sizeof(mapped);
	a->data = (uint8_t *)arena_strdup(&f->arena, str_make(mapped, sizeof(mapped)));
}
static void fault_own_loopback(struct fixture *f)
{
	f->st->required[0]->workload->addresses[0].data[0] = 127;
}
static void revoke_serial(struct fixture *f, const char *serial)
{
	Weft__Mesh__V1__Revocations *r = f->st->required[f->st->n_required - 1]->revocations;
	r->serials = arena_alloc(&f->arena, sizeof(char *));
	r->serials[0] = arena_strdup(&f->arena, str_from(serial));
	r->n_serials = 1;
}
static void fault_serial_case(struct fixture *f)
{
	revoke_serial(f, "0A");
}
static void fault_serial_colons(struct fixture *f)
{
	revoke_serial(f, "0a:1b");
}
static void fault_serial_zeros(struct fixture *f)
{
	revoke_serial(f, "000a");
}
static void fault_serial_half(struct fixture *f)
{
	revoke_serial(f, "a1b");
}
static void fault_serial_empty(struct fixture *f)
{
	revoke_serial(f, "");
}
static void fault_written(struct fixture *f)
{
	f->st->written_at = INT64_MIN;
}

static void test_faults(void **state)
{
	static const struct {
		void (*make)(struct fixture *f);
		int err;
		const char *text;
	} rows[] = {
		{fault_format, ERR_VERIFY, "f: format 2, this version reads format 1"},
		{fault_no_workload, ERR_INVAL,
			"f: resource (required): workload: the pod's own record is missing"},
		{fault_two_workloads, ERR_INVAL,
			"f: resource Workload/shop/p: kind: a second own workload"},
		{fault_no_mesh, ERR_INVAL,
			"f: resource (required): mesh: the mesh configuration is missing"},
		{fault_no_bundle, ERR_INVAL,
			"f: resource (required): trust_bundle: the bundle of the own trust domain is "
			"missing"},
		{fault_bundle, ERR_INVAL, NULL},
		{fault_domain, ERR_INVAL,
			"f: resource Mesh: trust_domain: differs from the state's"},
		{fault_uid, ERR_VERIFY, "f: the workload's record is of another pod than the file"},
		{fault_key, ERR_INVAL, "f: resource (identity): key: does not belong to the leaf"},
		{fault_no_key, ERR_INVAL, "f: resource (identity): key: cannot be parsed"},
		{fault_no_chain, ERR_INVAL, "f: resource (identity): chain: cannot be parsed"},
		{fault_address, ERR_INVAL,
			"f: resource Pod/shop/q: addresses: an address has 4 or 16 bytes"},
		{fault_loopback, ERR_INVAL,
			"f: resource Pod/shop/q: addresses: loopback, link-local, multicast and any "
			"are nobody's"},
		{fault_mapped, ERR_INVAL,
			"f: resource Pod/shop/q: addresses: an IPv4 address has 4 bytes"},
		{fault_own_loopback, ERR_INVAL,
			"f: resource Workload/shop/p: addresses: loopback, link-local, multicast "
			"and any are nobody's"},
		{fault_serial_case, ERR_INVAL, SERIAL_FAULT},
		{fault_serial_colons, ERR_INVAL, SERIAL_FAULT},
		{fault_serial_zeros, ERR_INVAL, SERIAL_FAULT},
		{fault_serial_half, ERR_INVAL, SERIAL_FAULT},
		{fault_serial_empty, ERR_INVAL, SERIAL_FAULT},
		{fault_written, ERR_INVAL, "f: resource (state): written_at: before the epoch"},
		{fault_identity, ERR_INVAL,
			"f: resource Pod/shop/q: spiffe_id: the ID has no path"},
		{fault_mode, ERR_INVAL, "f: resource Pod/shop/q: mtls_mode: unknown value"},
		{fault_no_kind, ERR_INVAL,
			"f: resource Pod/shop/q: kind: unknown kind of resource"},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		void *own;
		(void)set_up(&own);
		struct fixture *f = own;
		rows[i].make(f);
		encode(f);
		assert_int_equal(parse(f, all(f), &now), rows[i].err);
		if (rows[i].text != NULL)
			assert_string_equal(f->err, rows[i].text);
		(void)tear_down(&own);
	}
}

/* -- files ------------------------------------------------------------------------------------ */

static int load(struct fixture *f)
{
	struct snapshot *s = NULL;
	int err = state_load(f->path, &now, 0, &s, f->err, sizeof(f->err));
	snapshot_unref(&s);
	return err;
}

static void save(struct fixture *f)
{
	if (state_save(f->path, f->st, f->err, sizeof(f->err)) != 0)
		fail_msg("%s", f->err);
}

static int entries(const struct fixture *f)
{
	struct dirent **list;
	int n = scandir(f->dir, &list, NULL, NULL);
	for (int i = 0; i < n; i++)
		free(list[i]);
	free(list);
	return n - 2;
}

static void test_save(void **state)
{
	struct fixture *f = *state;
	struct stat st;
	mode_t mask = umask(0);
	save(f);
	umask(mask);
	assert_int_equal(lstat(f->path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(st.st_size, f->n);
	assert_int_equal(load(f), 0);
	/* replaced, with nothing left beside it */
	f->st->written_at++;
	save(f);
	assert_int_equal(entries(f), 1);
	Weft__Mesh__V1__State *back;
	assert_int_equal(state_read(f->path, &back, f->err, sizeof(f->err)), 0);
	assert_int_equal(back->written_at, WORLDS_NOW + 1);
	assert_int_equal(back->key.len, f->st->key.len);
	state_free(&back);
	assert_null(back);
}

/* What a killed process left behind stops nobody; what was there stays until the rename. */
static void test_left_over(void **state)
{
	struct fixture *f = *state;
	char *tmp = mem_printf("%s.%d.tmp", f->path, (int)getpid());
	save(f);
	int fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, "half", 4), 4);
	close(fd);
	assert_int_equal(load(f), 0);
	save(f);
	assert_int_equal(entries(f), 1);
	assert_int_equal(load(f), 0);
	/* nor does a link in its place lead anywhere */
	char *victim = mem_printf("%s/victim", f->dir);
	assert_int_equal(symlink(victim, tmp), 0);
	save(f);
	assert_int_not_equal(access(victim, F_OK), 0);
	assert_int_equal(load(f), 0);
	mem_free(victim);
	mem_free(tmp);
}

static void test_not_saved(void **state)
{
	struct fixture *f = *state;
	char *path = mem_printf("%s/none/state", f->dir);
	assert_int_equal(state_save(path, f->st, f->err, sizeof(f->err)), ERR_IO);
	assert_non_null(strstr(f->err, "No such file or directory"));
	mem_free(path);
	/* a directory in its place */
	assert_int_equal(mkdir(f->path, 0700), 0);
	assert_int_equal(state_save(f->path, f->st, f->err, sizeof(f->err)), ERR_IO);
	assert_int_equal(entries(f), 1);
	assert_int_equal(rmdir(f->path), 0);
}

static void test_links(void **state)
{
	struct fixture *f = *state;
	char *real = mem_printf("%s/real", f->dir);
	assert_int_equal(state_save(real, f->st, f->err, sizeof(f->err)), 0);
	assert_int_equal(symlink(real, f->path), 0);
	assert_int_equal(load(f), ERR_IO);
	/* saving replaces the link, not what it leads to */
	f->st->written_at++;
	save(f);
	assert_int_equal(load(f), 0);
	Weft__Mesh__V1__State *back;
	assert_int_equal(state_read(real, &back, f->err, sizeof(f->err)), 0);
	assert_int_equal(back->written_at, WORLDS_NOW);
	state_free(&back);
	mem_free(real);
}

static void test_permissions(void **state)
{
	static const mode_t modes[] = {0640, 0604, 0620, 0601, 0666};
	struct fixture *f = *state;
	save(f);
	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		assert_int_equal(chmod(f->path, modes[i]), 0);
		assert_int_equal(load(f), ERR_VERIFY);
		assert_non_null(strstr(f->err, "must be a regular file of mode 0600"));
		assert_non_null(strstr(f->err, "this one has mode 06"));
	}
	assert_int_equal(chmod(f->path, 0400), 0);
	assert_int_equal(load(f), 0);
}

static void test_no_file(void **state)
{
	struct fixture *f = *state;
	Weft__Mesh__V1__State *back;
	assert_int_equal(load(f), ERR_NOTFOUND);
	assert_int_equal(state_read(f->path, &back, f->err, sizeof(f->err)), ERR_NOTFOUND);
	assert_null(back);
	/* a pipe without a writer would stop who waits for it */
	assert_int_equal(mkfifo(f->path, 0600), 0);
	assert_int_equal(load(f), ERR_VERIFY);
	assert_int_equal(unlink(f->path), 0);
	int fd = open(f->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(load(f), ERR_VERIFY);
	assert_int_equal(truncate(f->path, (off_t)STATE_MAX_BYTES + 1), 0);
	assert_int_equal(load(f), ERR_VERIFY);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_good, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_torn, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_flipped, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_no_message, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_disputed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_resource_alone, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_expectations, set_up, tear_down),
		cmocka_unit_test(test_faults),
		cmocka_unit_test_setup_teardown(test_save, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_left_over, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_not_saved, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_links, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_permissions, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_no_file, set_up, tear_down),
	};
	if (crypto_init() != 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}

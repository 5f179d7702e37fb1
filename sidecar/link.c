/*
 * Dials the control plane: a TCP connection or a Unix socket, then a handshake without certificate
 * of our own. Owns the roots of now and the dials that run; called by the gRPC channel.
 */
#include "sidecar/link.h"

#include <stdio.h>

#include "certs/describe.h"
#include "lib/base/alloc.h"
#include "lib/base/file.h"
#include "lib/net/resolve.h"
#include "lib/tls/tls.h"

#define LINK_MAGIC 0x6c696e6bu
#define LINK_DIAL_MAGIC 0x6c6b646cu
#define DEFAULT_PORT 15012
#define ERROR_MAX 768

/* Owned by struct live. */
struct link {
	struct obj_head obj;
	struct link_config cfg;
	struct addr addr; /* ADDR_NONE: a name or a file */
	char *host, *file, *authority;
	uint16_t port;
	size_t turn; /* which of the name's addresses is next */
	char trust_domain[SPIFFE_TD_MAX + 1];
	char *roots_td; /* of the roots in force; NULL: none */
	uint8_t *roots;
	size_t roots_n;
};

/* One way to the control plane in the making; frees itself after done or cancel. */
struct link_dial {
	struct obj_head obj;
	struct link *link;
	struct resolve *resolve;
	struct dial *dial;
	struct tls_handshake *handshake;
	struct tls_ctx *ctx;
	char *id;
	struct addr to;
	struct loop_task report; /* what failed before anything was started */
	int err;
	char text[ERROR_MAX];
	grpc_dialled_fn *done;
	void *done_arg;
};

/* -- whom we trust, and as whom
 * -----------------------------------------------------------------------------------
 */

static int add_file(struct link *l, struct cert_bundle *b, char *err, size_t size)
{
	char *pem;
	size_t n;
	int e = file_read(l->cfg.root_file, CERT_BUNDLE_BYTES, 0, &pem, &n, err, size);
	if (e != 0) {
		err_append(err, size,
			": put the control plane's root.pem there, or name it with --root");
		return e;
	}
	struct str text = str_make(pem, n);
	if (l->trust_domain[0] == '\0')
		e = cert_trust_domain_of(text, l->trust_domain);
	if (e == ERR_NOTFOUND || e == ERR_EXISTS)
		snprintf(err, size, "%s: names %s; say which with --trust-domain", l->cfg.root_file,
			e == ERR_EXISTS ? "several trust domains" : "no trust domain");
	else if (e != 0)
		snprintf(err, size,
			"%s: not 1 to %d certificates in PEM: put the control plane's root.pem "
			"there (--root)",
			l->cfg.root_file, CERT_BUNDLE_ROOTS);
	else if (cert_bundle_add(b, str_from(l->trust_domain), text) != 0) {
		e = ERR_VERIFY;
		snprintf(err, size, "%s: holds no root certificates of trust domain %s",
			l->cfg.root_file, l->trust_domain);
	}
	mem_free(pem);
	return e;
}

/* The file alone is not enough after a rotation, the roots in force alone not for the first time.
 * One of the two has to be there. */
static int gather_roots(struct link *l, struct cert_bundle **out, char *err, size_t size)
{
	struct cert_bundle *b = cert_bundle_new();
	int e = add_file(l, b, err, size);
	bool ours = l->roots_td != NULL &&
		(l->trust_domain[0] == '\0' || strcmp(l->roots_td, l->trust_domain) == 0);
	if (ours &&
		cert_bundle_add(b, str_from(l->roots_td), str_make(l->roots, l->roots_n)) == 0) {
		snprintf(l->trust_domain, sizeof(l->trust_domain), "%s", l->roots_td);
		e = 0;
	}
	if (e != 0)
		cert_bundle_unref(&b);
	*out = e == 0 ? b : NULL;
	return e;
}

static char *server_id(const struct link *l)
{
	if (l->cfg.id[0] != '\0')
		return mem_strdup(l->cfg.id);
	return mem_printf("spiffe://%s/ns/weft-system/sa/weft-ctrlplane", l->trust_domain);
}

static int make_ctx(struct link_dial *d)
{
	static const char *const alpn[] = {"h2", NULL};
	struct tls_ctx_config cfg = {
		.role = TLS_CLIENT, .alpn = alpn, .clock = loop_clock(d->link->cfg.loop)};
	int e = gather_roots(d->link, &cfg.bundle, d->text, sizeof(d->text));
	if (e != 0)
		return e;
	d->id = server_id(d->link);
	e = tls_ctx_new(&cfg, &d->ctx, d->text, sizeof(d->text));
	cert_bundle_unref(&cfg.bundle);
	return e;
}

/* -- a dial
 * -------------------------------------------------------------------------------------------------------
 */

static struct link_dial *dial_check(void *p)
{
	return OBJ_CAST(struct link_dial, LINK_DIAL_MAGIC, p);
}

static void dial_burn(void *p)
{
	struct link_dial *d = dial_check(p);
	tls_ctx_unref(&d->ctx);
	mem_free(d->id);
	mem_free(d);
}

static void finish(struct link_dial *d, struct io *io, int err)
{
	grpc_dialled_fn *done = d->done;
	void *arg = d->done_arg;
	loop_defer_free(d->link->cfg.loop, d, dial_burn);
	done(arg, io, err, io != NULL ? NULL : d->text);
}

static const char *target(const struct link_dial *d, char dst[ADDR_TEXT])
{
	return d->link->file != NULL ? d->link->file : addr_format(&d->to, dst);
}

/* A wrong root or identity is what goes wrong at first: says what was expected of whom. */
static void on_tls(void *arg, struct io *io, const struct tls_failure *failure)
{
	struct link_dial *d = dial_check(arg);
	char to[ADDR_TEXT];
	d->handshake = NULL;
	if (io != NULL) {
		finish(d, io, 0);
		return;
	}
	int n = snprintf(d->text, sizeof(d->text), "%s: %s", target(d, to), failure->text);
	size_t at = n > 0 && (size_t)n < sizeof(d->text) ? (size_t)n : sizeof(d->text) - 1;
	if (failure->verdict != CERT_GOOD)
		snprintf(d->text + at, sizeof(d->text) - at,
			"; expected is %s, under the roots of %s%s", d->id, d->link->cfg.root_file,
			d->link->roots_td != NULL ? " or those in force" : "");
	finish(d, NULL, failure->err);
}

static void on_dialled(void *arg, struct io *io, int err)
{
	struct link_dial *d = dial_check(arg);
	char to[ADDR_TEXT];
	d->dial = NULL;
	if (io == NULL) {
		snprintf(d->text, sizeof(d->text), "connect to %s: %s", target(d, to),
			err_text(err));
		finish(d, NULL, err);
		return;
	}
	struct tls_handshake_config cfg = {.ctx = d->ctx,
		.bufs = d->link->cfg.bufs,
		.expect = {.id = str_from(d->id)},
		.sni = str_from(d->link->host),
		.timeout_ns = d->link->cfg.tls_ns};
	d->handshake = tls_handshake_start(io, &cfg, on_tls, d);
}

static void connect_to(struct link_dial *d)
{
	const struct link *l = d->link;
	struct dial_config cfg = {.to = d->to,
		.unix_path = l->file,
		.timeout_ns = l->cfg.connect_ns,
		.mark = l->cfg.mark};
	d->dial = dial_start(l->cfg.net, &cfg, on_dialled, d);
}

static void on_resolved(void *arg, const struct addr *v, size_t n, const char *text)
{
	struct link_dial *d = dial_check(arg);
	d->resolve = NULL;
	if (n == 0) {
		snprintf(d->text, sizeof(d->text), "the name %s: %s", d->link->host, text);
		finish(d, NULL, ERR_NOTFOUND);
		return;
	}
	/* One that does not answer is passed over with the next try. */
	d->to = addr_with_port(&v[d->link->turn++ % n], d->link->port);
	connect_to(d);
}

static void on_report(void *arg)
{
	struct link_dial *d = dial_check(arg);
	finish(d, NULL, d->err);
}

static void *link_start(void *arg, grpc_dialled_fn *done, void *done_arg)
{
	struct link *l = OBJ_CAST(struct link, LINK_MAGIC, arg);
	struct link_dial *d = MEM_NEW(struct link_dial);
	d->obj.magic = LINK_DIAL_MAGIC;
	d->link = l;
	d->done = done;
	d->done_arg = done_arg;
	d->to = l->addr;
	loop_task_init(&d->report, l->cfg.loop, on_report, d);
	d->err = make_ctx(d);
	if (d->err != 0) {
		loop_defer(&d->report);
	} else if (l->host != NULL) {
		d->resolve = resolve_start(l->cfg.loop, NULL, l->host, on_resolved, d);
	} else {
		connect_to(d);
	}
	return d;
}

static void link_cancel(void *arg, void *handle)
{
	struct link_dial *d = dial_check(handle);
	(void)arg;
	loop_task_cancel(&d->report);
	resolve_cancel(&d->resolve);
	dial_cancel(&d->dial);
	tls_handshake_cancel(&d->handshake);
	loop_defer_free(d->link->cfg.loop, d, dial_burn);
}

struct grpc_dialler link_dialler(struct link *l)
{
	return (struct grpc_dialler){.start = link_start, .cancel = link_cancel, .arg = l};
}

/* -- life
 * --------------------------------------------------------------------------------------------------------
 */

static int refuse(const struct link *l, char *err, size_t size, const char *why)
{
	snprintf(err, size, "--control-plane %s: %s", l->cfg.to, why);
	return ERR_INVAL;
}

/* "NAME:PORT" or "NAME". Whether there is such a name is the resolver's affair. */
static int parse_name(struct link *l, char *err, size_t size)
{
	struct str s = str_from(l->cfg.to), host = s;
	uint64_t port = DEFAULT_PORT;
	ptrdiff_t colon = str_find(s, ':');
	if (colon >= 0) {
		host = str_sub(s, 0, (size_t)colon);
		if (str_to_u64(str_sub(s, (size_t)colon + 1, s.n), 65535, &port) != 0 || port == 0)
			return refuse(l, err, size, "want ADDRESS:PORT, NAME:PORT or unix:FILE");
	}
	if (!resolve_name_valid(host))
		return refuse(l, err, size, "neither an address nor a host name");
	l->host = mem_strndup(host.p, host.n);
	l->port = (uint16_t)port;
	l->authority = mem_printf("%s:%u", l->host, l->port);
	return 0;
}

static int parse_target(struct link *l, char *err, size_t size)
{
	struct str s = str_from(l->cfg.to);
	char text[ADDR_TEXT];
	if (str_starts(s, STR("unix:"))) {
		if (s.n < 6 || s.n - 5 > 100)
			return refuse(l, err, size, "a socket's path has 1 to 100 bytes");
		l->file = mem_strdup(l->cfg.to + 5);
		l->authority = mem_strdup("localhost");
		return 0;
	}
	if (addr_parse(s, &l->addr) != 0)
		return parse_name(l, err, size);
	if (l->addr.port == 0)
		l->addr.port = DEFAULT_PORT;
	l->authority = mem_strdup(addr_format(&l->addr, text));
	return 0;
}

static int parse_id(struct link *l, char *err, size_t size)
{
	struct spiffe_id id;
	const char *why = "";
	struct str td = str_from(l->cfg.trust_domain);
	if (l->cfg.id[0] != '\0') {
		if (spiffe_parse(str_from(l->cfg.id), false, &id, &why) != 0) {
			snprintf(err, size, "--control-plane-id %s: %s", l->cfg.id, why);
			return ERR_INVAL;
		}
		if (td.n == 0)
			td = id.trust_domain;
	}
	if (td.n > 0 && !spiffe_td_valid(td)) {
		snprintf(err, size, "--trust-domain %.*s: not a trust domain", STR_ARG(td));
		return ERR_INVAL;
	}
	return str_copy(l->trust_domain, sizeof(l->trust_domain), td);
}

int link_new(const struct link_config *cfg, struct link **out, char *err, size_t size)
{
	struct link *l = MEM_NEW(struct link);
	l->obj.magic = LINK_MAGIC;
	l->cfg = *cfg;
	int e = parse_target(l, err, size);
	if (e == 0)
		e = parse_id(l, err, size);
	if (e != 0)
		link_free(&l);
	*out = l;
	return e;
}

void link_free(struct link **lp)
{
	struct link *l = *lp;
	if (l == NULL)
		return;
	*lp = NULL;
	mem_free(l->host);
	mem_free(l->file);
	mem_free(l->authority);
	mem_free(l->roots_td);
	mem_free(l->roots);
	loop_defer_free(l->cfg.loop, l, mem_free);
}

const char *link_authority(const struct link *l)
{
	return l->authority;
}

void link_set_roots(struct link *l, struct str trust_domain, struct str roots_der)
{
	mem_free(l->roots_td);
	mem_free(l->roots);
	l->roots_td = mem_strndup(trust_domain.p, trust_domain.n);
	l->roots = mem_alloc(roots_der.n + 1);
	memcpy(l->roots, roots_der.p, roots_der.n);
	l->roots_n = roots_der.n;
}

struct str link_trust_domain(const struct link *l)
{
	return str_from(l->trust_domain);
}

void link_learn_trust_domain(struct link *l)
{
	char err[ERROR_MAX];
	struct cert_bundle *b = cert_bundle_new();
	if (l->trust_domain[0] == '\0')
		(void)add_file(l, b, err, sizeof(err)); /* a dial will say what is wrong */
	cert_bundle_unref(&b);
}

/*
 * The certificate authority: put together from its parts, leaves issued, the end of the root told
 * early. Owns keys, roots and revocations in memory; made by main, asked by Identity and by
 * whoever serves.
 */
#include "ctrlplane/ca/authority_internal.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

#include "certs/describe.h"
#include "lib/base/alloc.h"
#include "lib/base/err.h"

#define DAY_S 86400

/* Days before the end of what signs. */
static const int warnings[] = {30, 7, 1};
#define WARNINGS (sizeof(warnings) / sizeof(*warnings))

int64_t authority_now(const struct authority *a)
{
	return (int64_t)(loop_wall(a->loop) / NS_PER_S);
}

char *authority_path(const struct authority *a, const char *name)
{
	return mem_printf("%s/%s", a->dir, name);
}

struct cert_ca *authority_signer(const struct authority *a)
{
	return a->phase == ROTATION_SIGNING ? a->next : a->ca;
}

struct str authority_roots(const struct authority *a)
{
	return str_make(a->roots_der, a->roots_der_n);
}

static void drop_roots(struct authority *a)
{
	while (a->n_roots > 0)
		cert_chain_unref(&a->roots[--a->n_roots]);
	if (a->roots_der != NULL)
		loop_defer_free(a->loop, a->roots_der, mem_free);
	a->roots_der = NULL;
	a->roots_der_n = 0;
}

void authority_put_roots(struct authority *a, struct cert_chain *const *roots, size_t n)
{
	size_t bytes = 0, at = 0;
	drop_roots(a);
	for (size_t i = 0; i < n; i++)
		bytes += cert_chain_der(roots[i]).n;
	a->roots_der = mem_alloc(bytes + 1);
	for (size_t i = 0; i < n; i++) {
		struct str der = cert_chain_der(roots[i]);
		memcpy(a->roots_der + at, der.p, der.n);
		at += der.n;
		a->roots[a->n_roots++] = cert_chain_ref(roots[i]);
	}
	a->roots_der_n = bytes;
	const struct compile_bundle own = {str_from(a->trust_domain), authority_roots(a)};
	store_set_bundles(a->store, &own, 1);
}

/* --- issuing --- */

int authority_sign(const struct authority *a, const struct cert_ca *ca, const struct cert_csr *csr,
	const struct cert_key *key, struct cert_issue *what, struct cert_chain **out)
{
	int64_t now = authority_now(a);
	what->not_before = now - (int64_t)(a->backdate_ns / NS_PER_S);
	what->not_after = now + (int64_t)(a->leaf_ns / NS_PER_S);
	if (cert_chain_leaf(cert_ca_chain(ca))->not_after <= now)
		return ERR_EXPIRED;
	return cert_ca_issue(ca, csr, key, what, out);
}

/* Sidecars know the control plane by it alone: a workload that had it would be their control plane.
 */
static bool is_own_id(const struct authority *a, struct str spiffe_id)
{
	char own[SPIFFE_ID_MAX + 1];
	return authority_own_id(a, own) != 0 || str_eq(spiffe_id, str_from(own));
}

static const char *remark(int e, bool own)
{
	if (own)
		return " (it is the control plane's own identity)";
	return e == ERR_EXPIRED ? " (the CA's own certificate has ended)" : "";
}

int authority_issue(struct authority *a, const struct cert_csr *csr, struct str spiffe_id,
	struct str pod_uid, struct cert_chain **out, char *err, size_t size)
{
	struct cert_issue what = {.spiffe_id = spiffe_id, .pod_uid = pod_uid};
	bool own = is_own_id(a, spiffe_id);
	int e = own ? ERR_DENIED : authority_sign(a, authority_signer(a), csr, NULL, &what, out);
	if (e != 0) {
		snprintf(err, size, "the CA does not issue that: %s%s", err_text(e),
			remark(e, own));
		log_at(a->log, LOG_WARN, "ca", "not issued", LOG_S("id", spiffe_id),
			LOG_S("pod_uid", pod_uid), LOG_Z("error", err));
		return e;
	}
	const struct cert_leaf *leaf = cert_chain_leaf(*out);
	a->issued++;
	if (a->issued_series != NULL)
		metric_add(a->issued_series, 1);
	log_at(a->log, LOG_INFO, "ca", "issued", LOG_S("id", spiffe_id), LOG_S("pod_uid", pod_uid),
		LOG_S("serial", leaf->serial), LOG_T("not_after", leaf->not_after));
	return 0;
}

/* --- the end of what signs --- */

/* Of whichever of the signer's certificates, or the roots that it may hang from, ends first. */
static int64_t first_end(const struct authority *a)
{
	const struct cert_chain *signer = cert_ca_chain(authority_signer(a));
	struct cert_description d;
	int64_t end = INT64_MAX, root_end = 0;
	for (size_t i = 0; i < cert_chain_count(signer); i++) {
		cert_describe(signer, i, &d);
		end = d.not_after < end ? d.not_after : end;
	}
	for (size_t i = 0; a->given[0] != NULL && i < a->n_roots; i++) {
		int64_t one = cert_chain_leaf(a->roots[i])->not_after;
		root_end = one > root_end ? one : root_end;
	}
	return root_end != 0 && root_end < end ? root_end : end;
}

static void warn_of_end(struct authority *a)
{
	int64_t end = first_end(a), left = end - authority_now(a);
	unsigned due = 0;
	while (due < WARNINGS && left <= (int64_t)warnings[due] * DAY_S)
		due++;
	if (due <= a->warned)
		return;
	a->warned = due;
	log_at(a->log, LOG_WARN, "ca",
		a->given[0] != NULL ? "the intermediate or its root ends soon: replace its files"
				    : "the root ends soon: replace it with 'weft ca rotate'",
		LOG_T("not_after", end), LOG_I("hours_left", left > 0 ? left / 3600 : 0));
}

static int64_t read_expiry(void *arg)
{
	const struct authority *a = arg;
	int64_t left = first_end(a) - authority_now(a);
	return left > 0 ? left : 0;
}

static void add_metrics(struct authority *a, struct metrics *m)
{
	static const struct metric_def issued = {.name = "weft_ca_issued_total",
		.kind = METRIC_COUNTER,
		.help = "Leaf certificates issued to workloads."};
	if (m == NULL)
		return;
	a->issued_series = metric_get(metrics_add(m, &issued), NULL, 0);
	metrics_add_callback(m, "weft_root_expiry_seconds", METRIC_GAUGE,
		"Seconds until what signs leaves, or the root above it, ends.", read_expiry, a);
}

/* --- start and stop --- */

static void on_tick(void *arg)
{
	struct authority *a = arg;
	uint64_t wait = own_root_step(a);
	warn_of_end(a);
	loop_timer_at(&a->tick, loop_now(a->loop) + wait);
}

static int open_dir(struct authority *a, char *err, size_t size)
{
	struct stat st;
	if ((mkdir(a->dir, 0700) != 0 && errno != EEXIST) || stat(a->dir, &st) != 0) {
		snprintf(err, size, "%s: %s", a->dir, strerror(errno));
		return ERR_IO;
	}
	if (!S_ISDIR(st.st_mode)) {
		snprintf(err, size, "%s: not a directory", a->dir);
		return ERR_IO;
	}
	if ((st.st_mode & 022) != 0)
		log_at(a->log, LOG_WARN, "ca",
			"others may write to the data directory, and so replace its keys: chmod 0700",
			LOG_Z("dir", a->dir));
	return 0;
}

static struct authority *make(const struct authority_config *cfg)
{
	struct authority *a = MEM_NEW(struct authority);
	const char *const files[] = {cfg->cert_file, cfg->key_file, cfg->roots_file};
	a->loop = cfg->loop;
	a->log = cfg->log;
	a->store = cfg->store;
	a->dir = mem_strdup(cfg->data_dir);
	a->trust_domain = mem_strdup(cfg->trust_domain);
	a->leaf_ns = cfg->leaf_ns;
	a->root_ns = cfg->root_ns;
	a->backdate_ns = cfg->backdate_ns;
	for (int i = 0; i < 3; i++)
		a->given[i] = files[i] != NULL ? mem_strdup(files[i]) : NULL;
	loop_timer_init(&a->tick, a->loop, on_tick, a);
	authority_set_dns_names(a, "");
	return a;
}

static int judge_config(const struct authority *a, char *err, size_t size)
{
	if (!spiffe_td_valid(str_from(a->trust_domain))) {
		snprintf(err, size,
			"--trust-domain %s: not a trust domain: lower-case letters, digits, '.', '-' "
			"and '_', as in cluster.local",
			a->trust_domain);
		return ERR_INVAL;
	}
	if (a->leaf_ns < NS_PER_S || a->root_ns < a->leaf_ns) {
		snprintf(err, size,
			"leaves must live for a second at least, and a root for as long as a leaf");
		return ERR_INVAL;
	}
	int given = (a->given[0] != NULL) + (a->given[1] != NULL) + (a->given[2] != NULL);
	if (given == 0 || given == 3)
		return 0;
	snprintf(err, size,
		"an intermediate needs its certificate, its key and the roots: all three or none");
	return ERR_INVAL;
}

int authority_start(const struct authority_config *cfg, struct authority **out, char *err,
	size_t size)
{
	struct authority *a = make(cfg);
	int e = judge_config(a, err, size);
	if (e == 0)
		e = open_dir(a, err, size);
	if (e == 0)
		e = a->given[0] != NULL ? given_start(a, err, size) : own_root_start(a, err, size);
	if (e == 0)
		e = revoked_load(a, err, size);
	if (e == 0 && authority_serving(a) == NULL) {
		snprintf(err, size, "%s: no certificate to serve with can be made from it", a->dir);
		e = ERR_VERIFY;
	}
	if (e != 0) {
		authority_stop(&a);
		return e;
	}
	add_metrics(a, cfg->metrics);
	on_tick(a);
	*out = a;
	return 0;
}

void authority_stop(struct authority **ap)
{
	struct authority *a = *ap;
	*ap = NULL;
	if (a == NULL)
		return;
	loop_timer_stop(&a->tick);
	given_stop(a);
	serving_stop(a);
	drop_roots(a);
	revoked_clear(a);
	cert_ca_free(&a->ca);
	cert_ca_free(&a->next);
	for (int i = 0; i < 3; i++)
		mem_free(a->given[i]);
	mem_free(a->dir);
	mem_free(a->trust_domain);
	loop_defer_free(a->loop, a, mem_free);
}

int authority_rotate(struct authority *a, uint64_t overlap_ns, char *err, size_t size)
{
	if (a->given[0] != NULL) {
		snprintf(err, size,
			"the CA is an intermediate given by files: replace %s, its key and its roots",
			a->given[0]);
		return ERR_DENIED;
	}
	int e = own_root_rotate(a, overlap_ns, err, size);
	if (e == 0)
		on_tick(a);
	return e;
}

/* --- how it is --- */

static void describe_one(struct json *j, const struct cert_chain *c, size_t i, bool signs)
{
	struct cert_description d;
	cert_describe(c, i, &d);
	json_object(j);
	json_key_str(j, "subject", str_from(d.subject));
	json_key_str(j, "serial", str_from(d.serial));
	json_key_str(j, "fingerprint", str_from(d.fingerprint));
	json_key(j, "not_before");
	json_i64(j, d.not_before);
	json_key(j, "not_after");
	json_i64(j, d.not_after);
	json_key_bool(j, "signs", signs);
	json_object_end(j);
}

static void describe_rotation(const struct authority *a, struct json *j)
{
	json_key(j, "rotation");
	if (a->phase == ROTATION_NONE) {
		json_null(j);
		return;
	}
	json_object(j);
	json_key_str(j, "phase", str_from(rotation_phase_name(a->phase)));
	json_key(j, "next_step");
	json_i64(j, a->step_at);
	json_object_end(j);
}

void authority_describe(const struct authority *a, struct json *j)
{
	const struct cert_chain *signer = cert_ca_chain(authority_signer(a));
	json_key_str(j, "trust_domain", str_from(a->trust_domain));
	json_key(j, "roots");
	json_array(j);
	for (size_t i = 0; i < a->n_roots; i++)
		describe_one(j, a->roots[i], 0,
			str_eq(cert_chain_der(a->roots[i]), cert_chain_der(signer)));
	json_array_end(j);
	json_key(j, "intermediates");
	json_array(j);
	for (size_t i = 0; a->given[0] != NULL && i < cert_chain_count(signer); i++)
		describe_one(j, signer, i, i == 0);
	json_array_end(j);
	describe_rotation(a, j);
	json_key(j, "expires_in_seconds");
	json_i64(j, first_end(a) - authority_now(a));
	json_key(j, "serving_not_after");
	json_i64(j, a->own.not_after);
	json_key_u64(j, "issued", a->issued);
	json_key_u64(j, "revoked", a->n_revoked);
	json_key_str(j, "problem", str_from(a->problem));
}

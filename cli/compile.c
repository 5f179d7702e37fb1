/*
 * `weft compile`: from Kubernetes YAML to the state file that one pod's sidecar starts from, with
 * an identity that it issues or is given. Owns nothing beyond a call.
 */
#include <stdlib.h>
#include <string.h>

#include "cli/cert.h"
#include "cli/manifest.h"
#include "cli/output.h"
#include "ctrlplane/compile/compile.h"
#include "lib/base/alloc.h"
#include "lib/base/clock.h"
#include "lib/base/err.h"
#include "sidecar/snapshot/state.h"

enum format { FORMAT_TEXT, FORMAT_JSON };

#define BACKDATE 60 /* seconds, for peers whose clocks are behind */

#define COMPILE_PARAMS(PARAM)                                                                     \
	PARAM_GROUP("What")                                                                       \
	PARAM(pod, STRING, "pod", NULL, NULL, 3, 400, "NAMESPACE/NAME",                           \
		"The pod whose sidecar the state is for; it must be among the manifests, have a " \
		"container named weft-sidecar, and an address in its status.")                    \
	PARAM(out, STRING, "out", NULL, NULL, 1, 4000, "FILE",                                    \
		"State file to write (mode 0600, replaced in one step).")                         \
	PARAM_GROUP("Identity")                                                                   \
	PARAM(ca, STRING, "ca", NULL, NULL, 1, 4000, "DIR",                                       \
		"Directory of the mesh's CA, as 'weft cert root' or 'weft cert intermediate' "    \
		"left it. Its root.pem is the bundle of the mesh's trust domain.")                \
	PARAM(ttl, DURATION, "ttl", NULL, "24h", NS_PER_S, 0, "",                                 \
		"How long the certificate that is issued is valid; never longer than the CA.")    \
	PARAM(leaf, STRING, "leaf", NULL, "", 1, 4000, "PREFIX",                                  \
		"Take PREFIX.pem and PREFIX-key.pem, as they are, instead of issuing.")           \
	PARAM(bundle, LIST, "bundle", NULL, "", 0, COMPILE_MAX_BUNDLES - 1, "DOMAIN=FILE",        \
		"Roots of other trust domains whose identities rules may name, in PEM.")          \
	PARAM_GROUP("How")                                                                        \
	PARAM(fail_closed, BOOL, "fail-closed", NULL, "false", 0, 0, "",                          \
		"Write the state although objects are wrong: a broken AuthorizationPolicy then "  \
		"denies what it selects, a broken PeerAuthentication means STRICT, other "        \
		"objects are left out. Without it any error means that nothing is written.")      \
	PARAM(now, U64, "now", NULL, "0", 0, 0, "seconds",                                        \
		"The time to take for now, since the epoch; 0: the clock's.")                     \
	PARAM(notes, BOOL, "notes", NULL, "false", 0, 0, "",                                      \
		"Show what was passed over too, such as kinds that this version does not use.")   \
	PARAM(output, CHOICE, "output", NULL, "text", 0, 0, "text|json",                          \
		"Format of the answer; -o is short for it.")

/* On the command's stack; freed by conf_free. */
struct compile_conf {
#define PARAM_GROUP PARAM_GROUP_MEMBER
	COMPILE_PARAMS(PARAM_MEMBER)
#undef PARAM_GROUP
};

#define COMPILE_ROW(...) PARAM_ROW(struct compile_conf, __VA_ARGS__)
#define PARAM_GROUP PARAM_GROUP_ROW
static const struct param compile_params[] = {COMPILE_PARAMS(COMPILE_ROW)};
#undef PARAM_GROUP

static const struct conf_program program = {
	.name = "weft compile",
	.summary =
		"make the state file that a pod's sidecar starts from, out of Kubernetes YAML: "
		"Service, Pod, AuthorizationPolicy, PeerAuthentication, MeshConfig. All of the "
		"mesh's objects must be there: what is not, does not exist for the sidecar. A "
		"pod without metadata.uid gets one that depends on its namespace and name alone.",
	.synopsis = "weft compile --pod NAMESPACE/NAME --ca DIR --out FILE [flags] DIR|FILE|-...",
	.examples =
		"weft cert root --trust-domain cluster.local --out ca\n"
		"  weft compile manifests/ --pod shop/web-1 --ca ca --out web-1.state\n"
		"  weft show-state web-1.state\n"
		"  weft compile manifests/ --pod shop/web-1 --ca ca --out web-1.state --fail-closed "
		"--bundle partner.example=partner.pem",
	.params = compile_params,
	.n_params = sizeof(compile_params) / sizeof(compile_params[0]),
};

/* One run of the command; freed by run_end. */
struct run {
	const struct compile_conf *conf;
	int64_t now;
	struct world *world;
	struct arena arena;
	struct compile_bundle bundles[COMPILE_MAX_BUNDLES];
	size_t n_bundles;
	Weft__Mesh__V1__State *state; /* in the arena */
	struct cert_chain *chain;
	struct cert_key *key;
	void *key_der;
	size_t key_n;
	int code; /* where it ends without a state */
};

static void run_end(struct run *r)
{
	cert_chain_unref(&r->chain);
	cert_key_unref(&r->key);
	mem_free_secret(r->key_der, r->key_n);
	world_free(&r->world);
	arena_clear(&r->arena);
}

/* -- bundles ---------------------------------------------------------------------------------- */

/* The DER of each certificate of a file of PEM, one after the other. */
static bool roots_der(struct run *r, const char *path, struct str *out)
{
	static const char end[] = "-----END CERTIFICATE-----";
	char *text, *at, *stop;
	size_t n;
	if (!cert_cli_read(&program, path, &text, &n))
		return false;
	char *der = arena_alloc(&r->arena, n + 1);
	size_t used = 0;
	bool good = true;
	for (at = text; good && (stop = strstr(at, end)) != NULL; at = stop) {
		struct cert_chain *one;
		stop += sizeof(end) - 1;
		good = cert_chain_parse(str_make(at, (size_t)(stop - at)), &one) == 0;
		if (!good)
			break;
		struct str piece = cert_chain_der(one);
		memcpy(der + used, piece.p, piece.n);
		used += piece.n;
		cert_chain_unref(&one);
	}
	mem_free(text);
	if (!good || used == 0)
		command_fail(&program, "%s: no certificates in PEM, or malformed ones", path);
	*out = str_make(der, used);
	return good && used > 0;
}

static bool add_bundle(struct run *r, struct str domain, const char *path)
{
	struct compile_bundle *b = &r->bundles[r->n_bundles];
	b->trust_domain = arena_str(&r->arena, domain);
	if (!roots_der(r, path, &b->roots))
		return false;
	struct cert_bundle *probe = cert_bundle_new();
	int err = cert_bundle_add(probe, b->trust_domain, b->roots);
	cert_bundle_unref(&probe);
	if (err == ERR_VERIFY)
		command_fail(&program,
			"%s: not roots of trust domain %.*s: each must be a CA that may sign, of that "
			"domain, with a key of a known kind",
			path, STR_ARG(domain));
	else if (err != 0)
		command_fail(&program, "%s: roots of trust domain %.*s: %s", path, STR_ARG(domain),
			err_text(err));
	r->n_bundles++;
	return err == 0;
}

static bool add_foreign(struct run *r, struct str item)
{
	struct str domain;
	if (str_find(item, '=') < 0 || !str_split(&item, '=', &domain) ||
		!spiffe_td_valid(domain) || item.n == 0) {
		r->code = command_misuse(&program, "--bundle: expected TRUST-DOMAIN=FILE");
		return false;
	}
	for (size_t i = 0; i < r->n_bundles; i++) {
		if (str_eq(r->bundles[i].trust_domain, domain)) {
			r->code = command_misuse(&program, "--bundle: %.*s has a bundle already",
				STR_ARG(domain));
			return false;
		}
	}
	return add_bundle(r, domain, arena_strdup(&r->arena, item));
}

static bool load_bundles(struct run *r)
{
	struct cert_cli_file root;
	struct str list = str_from(r->conf->bundle), item;
	if (!cert_cli_path(&program, &root, r->conf->ca, "/root.pem") ||
		!add_bundle(r, world_trust_domain(r->world), root.path))
		return false;
	while (list.n > 0 && str_split(&list, ',', &item))
		if (!add_foreign(r, str_trim(item)))
			return false;
	return true;
}

/* -- identity --------------------------------------------------------------------------------- */

static bool take_leaf(struct run *r)
{
	struct cert_cli_file cert, key;
	if (!cert_cli_path(&program, &cert, r->conf->leaf, ".pem") ||
		!cert_cli_path(&program, &key, r->conf->leaf, "-key.pem") ||
		!cert_cli_load_chain(&program, cert.path, &r->chain) ||
		!cert_cli_load_key(&program, key.path, &r->key))
		return false;
	if (cert_chain_matches_key(r->chain, r->key))
		return true;
	command_fail(&program, "%s is not the key of %s", key.path, cert.path);
	return false;
}

static bool issue_leaf(struct run *r, const char *id, struct str uid)
{
	struct cert_ca *ca;
	const struct cert_issue what = {.spiffe_id = str_from(id),
		.pod_uid = uid,
		.not_before = r->now - BACKDATE,
		.not_after = r->now + cert_cli_seconds(r->conf->ttl)};
	if (!cert_cli_load_ca(&program, r->conf->ca, &ca))
		return false;
	r->key = cert_key_generate();
	int err = cert_ca_issue(ca, NULL, r->key, &what, &r->chain);
	cert_ca_free(&ca);
	if (err != 0)
		cert_cli_issue_failed(&program, err, id, "");
	return err == 0;
}

static bool put_identity(struct run *r, const struct kube_pod *pod)
{
	char id[SPIFFE_ID_MAX + 1];
	if (compile_identity(r->world, pod, id, sizeof(id)) != 0)
		return false; /* compile_state has refused it already */
	if (r->conf->leaf[0] != '\0' ? !take_leaf(r) : !issue_leaf(r, id, pod->meta.uid))
		return false;
	struct str der = cert_chain_der(r->chain);
	r->key_der = cert_key_der(r->key, &r->key_n);
	r->state->chain.data = (uint8_t *)arena_str(&r->arena, der).p;
	r->state->chain.len = der.n;
	r->state->key.data = r->key_der;
	r->state->key.len = r->key_n;
	return true;
}

/* -- the state -------------------------------------------------------------------------------- */

static bool compile(struct run *r)
{
	char err[512];
	struct str name = str_from(r->conf->pod), ns;
	if (str_find(name, '/') < 0 || !str_split(&name, '/', &ns)) {
		r->code = command_misuse(&program, "--pod=%.100s: expected NAMESPACE/NAME",
			r->conf->pod);
		return false;
	}
	if (!load_bundles(r))
		return false;
	const struct compile_in in = {.ns = ns,
		.pod = name,
		.now = r->now,
		.bundles = r->bundles,
		.n_bundles = r->n_bundles};
	if (compile_state(r->world, &in, &r->arena, &r->state, err, sizeof(err)) != 0) {
		command_fail(&program, "%s", err);
		return false;
	}
	return put_identity(r, world_pod(r->world, ns, name));
}

/* Reads what would be written as the sidecar will. One that was given a leaf may well be one that
 * it refuses: that is what broken leaves are for. */
static bool try_state(struct run *r)
{
	char err[512];
	struct snapshot *snapshot;
	const struct state_expect expect = {.trust_domain = world_trust_domain(r->world),
		.pod_uid = str_from(r->state->pod_uid),
		.now = r->now};
	size_t n;
	void *bytes = state_encode(r->state, &n);
	int failed = state_parse(r->conf->out, str_make(bytes, n), &expect, 0, &snapshot, err,
		sizeof(err));
	mem_free_secret(bytes, n);
	if (failed == 0) {
		snapshot_unref(&snapshot);
		return true;
	}
	bool given = r->conf->leaf[0] != '\0';
	command_fail(&program, "%sthe sidecar will refuse it: %s", given ? "warning: " : "", err);
	return given;
}

static void print_text(const struct run *r)
{
	char until[OUTPUT_TIME];
	const struct cert_leaf *leaf = cert_chain_leaf(r->chain);
	output_time(leaf->not_after, until);
	printf("wrote %s: Pod %s, UID %s, %.*s until %s; resources %zu "
	       "required, %zu used\n",
		r->conf->out, r->conf->pod, r->state->pod_uid, STR_ARG(leaf->id.id), until,
		r->state->n_required, r->state->n_used);
}

static void print_json(const struct run *r, bool written)
{
	struct output o;
	output_begin(&o);
	json_object(&o.json);
	json_key_bool(&o.json, "written", written);
	json_key_str(&o.json, "file", str_from(r->conf->out));
	json_key_str(&o.json, "pod", str_from(r->conf->pod));
	if (r->state != NULL && r->chain != NULL) {
		char until[OUTPUT_TIME];
		const struct cert_leaf *leaf = cert_chain_leaf(r->chain);
		output_time(leaf->not_after, until);
		json_key_str(&o.json, "podUid", str_from(r->state->pod_uid));
		json_key_str(&o.json, "spiffeId", leaf->id.id);
		json_key_str(&o.json, "notAfter", str_from(until));
		json_key_u64(&o.json, "required", r->state->n_required);
		json_key_u64(&o.json, "used", r->state->n_used);
	}
	json_key(&o.json, "problems");
	problems_json(world_problems(r->world), &o.json);
	json_object_end(&o.json);
	output_end(&o);
}

/* Whether errors in the manifests stand in the way. */
static bool may_go_on(const struct run *r)
{
	size_t errors = world_problems(r->world)->count[PROBLEM_ERROR];
	if (errors == 0)
		return true;
	if (!r->conf->fail_closed) {
		command_fail(&program,
			"nothing written; errors: %zu (--fail-closed writes denials in the place of "
			"broken policies)",
			errors);
		return false;
	}
	if (!world_can_fail_closed(r->world)) {
		command_fail(&program,
			"nothing written: a file that cannot be read, or a broken MeshConfig, may "
			"hold anything");
		return false;
	}
	return true;
}

static bool write_state(struct run *r)
{
	char err[512];
	if (!may_go_on(r) || !compile(r) || !try_state(r))
		return false;
	if (state_save(r->conf->out, r->state, err, sizeof(err)) == 0)
		return true;
	command_fail(&program, "%s", err);
	return false;
}

static int run_compile(const struct compile_conf *conf, char *const *paths, int n)
{
	struct run r = {
		.conf = conf, .now = (int64_t)conf->now, .world = world_new(), .code = CLI_FAIL};
	if (r.now == 0)
		r.now = cert_cli_now();
	arena_init(&r.arena, NULL);
	bool good = manifest_load(&program, paths, n, r.world);
	if (conf->output == FORMAT_TEXT)
		manifest_print(r.world, conf->notes);
	good = good && write_state(&r);
	if (conf->output == FORMAT_JSON)
		print_json(&r, good);
	else if (good)
		print_text(&r);
	run_end(&r);
	return good ? CLI_OK : r.code;
}

int cli_compile(int argc, char **argv)
{
	struct compile_conf conf = {0};
	int n_words, code;
	if (!command_load(&program, argc, argv, 1, argc, &conf, &n_words, &code))
		return code;
	code = run_compile(&conf, argv + 1, n_words);
	conf_free(&program, &conf);
	return code;
}

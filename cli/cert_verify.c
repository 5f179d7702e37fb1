/*
 * `weft cert verify`: the judgement that a sidecar would pass on a chain, from the same code. Owns
 * nothing beyond a call.
 */
#include "certs/describe.h"
#include "cli/cert.h"
#include "cli/output.h"
#include "lib/base/alloc.h"
#include "lib/base/err.h"

enum role { ROLE_BOTH, ROLE_SERVER, ROLE_CLIENT };
enum format { FORMAT_TEXT, FORMAT_JSON };

#define VERIFY_PARAMS(PARAM)                                                                     \
	PARAM(bundle, STRING, "bundle", NULL, NULL, 1, 4000, "FILE",                             \
		"The roots to trust, in PEM or DER.")                                            \
	PARAM(trust_domain, STRING, "trust-domain", NULL, "", 1, 255, "NAME",                    \
		"The trust domain that the roots vouch for; without it the one that they name.") \
	PARAM(expect_id, STRING, "expect-id", NULL, "", 1, 2048, "SPIFFE-ID",                    \
		"Who the peer must be.")                                                         \
	PARAM(expect_uid, STRING, "expect-uid", NULL, "", 1, 64, "UID",                          \
		"UID of the pod that the peer must be.")                                         \
	PARAM(role, CHOICE, "role", NULL, "both", 0, 0, "both|server|client",                    \
		"What the peer uses the certificate as.")                                        \
	PARAM(output, CHOICE, "output", NULL, "text", 0, 0, "text|json",                         \
		"Format of the answer; -o is short for it.")

/* On the command's stack; freed by conf_free. */
struct verify_conf {
	VERIFY_PARAMS(PARAM_MEMBER)
};

#define VERIFY_ROW(...) PARAM_ROW(struct verify_conf, __VA_ARGS__)
static const struct param verify_params[] = {VERIFY_PARAMS(VERIFY_ROW)};

static const struct conf_program program = {
	.name = "weft cert verify",
	.summary =
		"judge a chain as a peer in the mesh would, and say why where it is refused. Exit "
		"code 0: good, 1: refused or unreadable.",
	.synopsis = "weft cert verify --bundle FILE [flags] CHAIN",
	.examples = "weft cert verify --bundle ca/root.pem web.pem\n"
		    "  weft cert verify --bundle ca/root.pem --expect-id "
		    "spiffe://example.org/ns/shop/sa/web -o json web.pem",
	.params = verify_params,
	.n_params = sizeof(verify_params) / sizeof(verify_params[0]),
};

/* The domain that the bundle is for: what was said, or what the roots say. */
static bool choose_domain(const struct verify_conf *conf, struct str roots,
	char dst[SPIFFE_TD_MAX + 1])
{
	if (conf->trust_domain[0] != '\0')
		return str_copy(dst, SPIFFE_TD_MAX + 1, str_from(conf->trust_domain)) == 0;
	int err = cert_trust_domain_of(roots, dst);
	if (err == 0)
		return true;
	if (err == ERR_NOTFOUND)
		command_fail(&program,
			"%s: the roots name no trust domain; say which with --trust-domain",
			conf->bundle);
	else if (err == ERR_EXISTS)
		command_fail(&program,
			"%s: the roots are of several trust domains; a bundle is of one",
			conf->bundle);
	else
		command_fail(&program, "%s: no certificates in PEM or DER, or malformed ones",
			conf->bundle);
	return false;
}

static bool load_bundle(const struct verify_conf *conf, struct cert_bundle **out)
{
	char *text, domain[SPIFFE_TD_MAX + 1];
	size_t n;
	if (!cert_cli_read(&program, conf->bundle, &text, &n))
		return false;
	struct str roots = str_make(text, n);
	bool good = choose_domain(conf, roots, domain);
	struct cert_bundle *b = cert_bundle_new();
	int err = good ? cert_bundle_add(b, str_from(domain), roots) : 0;
	if (err == ERR_VERIFY)
		command_fail(&program,
			"%s: not all of it are roots of %s: each must be a CA (keyCertSign) with a "
			"P-256 or P-384 key and of no other trust domain",
			conf->bundle, domain);
	else if (err == ERR_LIMIT)
		command_fail(&program, "%s: more than %d roots", conf->bundle, CERT_BUNDLE_ROOTS);
	else if (err != 0)
		command_fail(&program, "%s: malformed, or no trust domain: %s", conf->bundle,
			domain);
	mem_free(text);
	if (good && err == 0)
		*out = b;
	else
		cert_bundle_unref(&b);
	return good && err == 0;
}

static enum cert_verdict judge(const struct verify_conf *conf, const struct cert_chain *chain,
	const struct cert_bundle *bundle)
{
	const struct cert_expect expect = {str_from(conf->expect_id), str_from(conf->expect_uid)};
	enum cert_verdict v = CERT_GOOD;
	int64_t now = cert_cli_now();
	if (conf->role != ROLE_CLIENT)
		v = cert_verify(chain, bundle, now, true, &expect);
	if (v == CERT_GOOD && conf->role != ROLE_SERVER)
		v = cert_verify(chain, bundle, now, false, &expect);
	return v;
}

static void print_text(const char *file, const struct cert_chain *chain, enum cert_verdict v)
{
	const struct cert_leaf *leaf = chain != NULL ? cert_chain_leaf(chain) : NULL;
	char from[OUTPUT_TIME], to[OUTPUT_TIME];
	if (v == CERT_GOOD)
		printf("%s: good\n", file);
	else
		printf("%s: refused: %s (%s)\n", file, cert_verdict_text(v), cert_verdict_label(v));
	if (leaf == NULL)
		return;
	if (leaf->id.id.n > 0)
		printf("  SPIFFE ID  %.*s\n", STR_ARG(leaf->id.id));
	if (leaf->pod_uid.n > 0)
		printf("  pod UID    %.*s\n", STR_ARG(leaf->pod_uid));
	output_time(leaf->not_before, from);
	output_time(leaf->not_after, to);
	printf("  serial     %.*s\n  valid      %s to %s\n", STR_ARG(leaf->serial), from, to);
}

static void print_json(const char *file, const struct cert_chain *chain, enum cert_verdict v)
{
	struct output o;
	char time[OUTPUT_TIME];
	output_begin(&o);
	json_object(&o.json);
	json_key_str(&o.json, "file", str_from(file));
	json_key_bool(&o.json, "good", v == CERT_GOOD);
	json_key_str(&o.json, "verdict",
		v == CERT_GOOD ? STR("good") : str_from(cert_verdict_label(v)));
	json_key_str(&o.json, "text", str_from(cert_verdict_text(v)));
	if (chain != NULL) {
		const struct cert_leaf *leaf = cert_chain_leaf(chain);
		json_key_str(&o.json, "spiffeId", leaf->id.id);
		json_key_str(&o.json, "podUid", leaf->pod_uid);
		json_key_str(&o.json, "serial", leaf->serial);
		output_time(leaf->not_before, time);
		json_key_str(&o.json, "notBefore", str_from(time));
		output_time(leaf->not_after, time);
		json_key_str(&o.json, "notAfter", str_from(time));
	}
	json_object_end(&o.json);
	output_end(&o);
}

/* Bytes that are no chain have a verdict too; a file that cannot be read has none. */
static int verify(const struct verify_conf *conf, const char *file)
{
	struct cert_bundle *bundle;
	struct cert_chain *chain = NULL;
	char *text;
	size_t n;
	if (conf->expect_id[0] != '\0' &&
		!cert_cli_check_id(&program, "--expect-id", conf->expect_id))
		return CLI_USAGE;
	if (!load_bundle(conf, &bundle))
		return CLI_FAIL;
	if (!cert_cli_read(&program, file, &text, &n)) {
		cert_bundle_unref(&bundle);
		return CLI_FAIL;
	}
	int err = cert_chain_parse(str_make(text, n), &chain);
	enum cert_verdict v = err != 0 ? cert_verdict_of_parse(err) : judge(conf, chain, bundle);
	if (conf->output == FORMAT_JSON)
		print_json(file, chain, v);
	else
		print_text(file, chain, v);
	mem_free(text);
	cert_chain_unref(&chain);
	cert_bundle_unref(&bundle);
	return v == CERT_GOOD ? CLI_OK : CLI_FAIL;
}

int cli_cert_verify(int argc, char **argv)
{
	struct verify_conf conf = {0};
	int n_words, code;
	if (!command_load(&program, argc, argv, 1, 1, &conf, &n_words, &code))
		return code;
	code = verify(&conf, argv[1]);
	conf_free(&program, &conf);
	return code;
}

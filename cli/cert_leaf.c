/*
 * `weft cert leaf`, `csr` and `sign`: certificates of workloads, with a key of ours or for a
 * request with somebody else's. Owns nothing beyond a call.
 */
#include <string.h>

#include "cli/cert.h"
#include "lib/base/alloc.h"
#include "lib/base/clock.h"
#include "lib/base/err.h"

static const char flaw_values[] = "none"
#define CERT_FLAW(name, option, text) "|" option
#include "certs/flaw.def"
#undef CERT_FLAW
	;

static const char flaw_help[] = "Make it wrong, to see it refused:"
#define CERT_FLAW(name, option, text) "\n" option ": " text
#include "certs/flaw.def"
#undef CERT_FLAW
	;

/* What leaf and sign have in common. */
#define ISSUE_PARAMS(PARAM)                                                                      \
	PARAM(ca, STRING, "ca", NULL, NULL, 1, 4000, "DIR",                                      \
		"Directory of the CA, as 'weft cert root' or 'weft cert intermediate' left it.") \
	PARAM(id, STRING, "id", NULL, NULL, 1, 2048, "SPIFFE-ID",                                \
		"Who the certificate is for: spiffe://TRUST-DOMAIN/ns/NAMESPACE/sa/ACCOUNT.")    \
	PARAM(pod_uid, STRING, "pod-uid", NULL, "", 1, 64, "UID",                                \
		"UID of the pod that it is for; peers that know the pod demand it.")             \
	PARAM(ttl, DURATION, "ttl", NULL, "24h", NS_PER_S, 0, "",                                \
		"How long it is valid; never longer than the CA.")                               \
	PARAM(backdate, DURATION, "backdate", NULL, "1m", 0, 0, "",                              \
		"How far in the past its validity begins, for peers whose clocks are behind.")   \
	PARAM(force, BOOL, "force", NULL, "false", 0, 0, "", "Replace files that exist.")

#define LEAF_PARAMS(PARAM)                                                                   \
	PARAM(out, STRING, "out", NULL, NULL, 1, 4000, "PREFIX",                             \
		"Writes PREFIX.pem (the chain, leaf first) and PREFIX-key.pem (mode 0600).") \
	PARAM(broken, CHOICE, "broken", NULL, "none", 0, 0, flaw_values, flaw_help)

#define SIGN_PARAMS(PARAM)                                                                         \
	PARAM(csr, STRING, "csr", NULL, NULL, 1, 4000, "FILE",                                     \
		"The signing request (PKCS#10, PEM or DER). Its key and self-signature are used; " \
		"what else it asks for is ignored.")                                               \
	PARAM(out, STRING, "out", NULL, NULL, 1, 4000, "PREFIX",                                   \
		"Writes PREFIX.pem (the chain, leaf first).")

#define CSR_PARAMS(PARAM)                                                                 \
	PARAM(id, STRING, "id", NULL, NULL, 1, 2048, "SPIFFE-ID",                         \
		"The ID to ask for; who signs decides.")                                  \
	PARAM(key, STRING, "key", NULL, "", 1, 4000, "FILE",                              \
		"Private key (P-256) to use; without it one is made.")                    \
	PARAM(out, STRING, "out", NULL, NULL, 1, 4000, "PREFIX",                          \
		"Writes PREFIX.csr, and PREFIX-key.pem (mode 0600) where a key is made.") \
	PARAM(force, BOOL, "force", NULL, "false", 0, 0, "", "Replace files that exist.")

/* On the commands' stacks; freed by conf_free. */
struct leaf_conf {
	ISSUE_PARAMS(PARAM_MEMBER)
	LEAF_PARAMS(PARAM_MEMBER)
};

struct sign_conf {
	ISSUE_PARAMS(PARAM_MEMBER)
	SIGN_PARAMS(PARAM_MEMBER)
};

struct csr_conf {
	CSR_PARAMS(PARAM_MEMBER)
};

#define LEAF_ROW(...) PARAM_ROW(struct leaf_conf, __VA_ARGS__)
#define SIGN_ROW(...) PARAM_ROW(struct sign_conf, __VA_ARGS__)
#define CSR_ROW(...) PARAM_ROW(struct csr_conf, __VA_ARGS__)
static const struct param leaf_params[] = {ISSUE_PARAMS(LEAF_ROW) LEAF_PARAMS(LEAF_ROW)};
static const struct param sign_params[] = {ISSUE_PARAMS(SIGN_ROW) SIGN_PARAMS(SIGN_ROW)};
static const struct param csr_params[] = {CSR_PARAMS(CSR_ROW)};

static const struct conf_program leaf_program = {
	.name = "weft cert leaf",
	.summary = "make a key and a certificate (X.509-SVID) for a workload.",
	.synopsis = "weft cert leaf --ca DIR --id SPIFFE-ID --out PREFIX [flags]",
	.examples =
		"weft cert leaf --ca ca --id spiffe://example.org/ns/shop/sa/web --out web\n"
		"  weft cert leaf --ca ca --id spiffe://example.org/ns/shop/sa/web --ttl 1h --pod-uid "
		"4e3c1f6e-0b7f-4c8a-9d2e-5a6b7c8d9e0f --out web\n"
		"  weft cert leaf --ca ca --id spiffe://example.org/ns/shop/sa/web --broken expired "
		"--out expired",
	.params = leaf_params,
	.n_params = sizeof(leaf_params) / sizeof(leaf_params[0]),
};

static const struct conf_program sign_program = {
	.name = "weft cert sign",
	.summary = "make a certificate for the key in a signing request. The identity is what --id "
		   "says, whatever the request asks for.",
	.synopsis = "weft cert sign --ca DIR --csr FILE --id SPIFFE-ID --out PREFIX [flags]",
	.examples =
		"weft cert csr --id spiffe://example.org/ns/shop/sa/web --out web\n"
		"  weft cert show web.csr\n"
		"  weft cert sign --ca ca --csr web.csr --id spiffe://example.org/ns/shop/sa/web "
		"--out web",
	.params = sign_params,
	.n_params = sizeof(sign_params) / sizeof(sign_params[0]),
};

static const struct conf_program csr_program = {
	.name = "weft cert csr",
	.summary =
		"make a key and a signing request (PKCS#10) for it, so that the key never leaves "
		"this machine.",
	.synopsis = "weft cert csr --id SPIFFE-ID --out PREFIX [flags]",
	.examples =
		"weft cert csr --id spiffe://example.org/ns/shop/sa/web --out web\n"
		"  weft cert csr --id spiffe://example.org/ns/shop/sa/web --key web-key.pem --out web",
	.params = csr_params,
	.n_params = sizeof(csr_params) / sizeof(csr_params[0]),
};

bool cert_cli_check_id(const struct conf_program *prog, const char *flag, const char *id)
{
	struct spiffe_id parsed;
	const char *why;
	if (spiffe_parse(str_from(id), false, &parsed, &why) == 0)
		return true;
	command_misuse(prog, "%s=%.300s: no SPIFFE ID: %s", flag, id, why);
	return false;
}

int cert_cli_issue_failed(const struct conf_program *prog, int err, const char *id,
	const char *pod_uid)
{
	if (err == ERR_DENIED)
		return command_fail(prog,
			"the CA does not permit it: it is of another trust domain than %s, or its path "
			"length allows no CA below it",
			id[0] != '\0' ? id : "this");
	if (err == ERR_EXPIRED)
		return command_fail(prog, "the CA has expired; make a new one");
	if (err == ERR_LIMIT)
		return command_fail(prog,
			"a chain from there would have more than %d certificates, which no peer "
			"accepts",
			CERT_CHAIN_MAX);
	if (pod_uid[0] != '\0' && !cert_uid_valid(str_from(pod_uid)))
		return command_misuse(prog,
			"--pod-uid=%.100s: a pod UID has letters, digits, '-', '.' and '_' alone",
			pod_uid);
	return command_fail(prog, "that cannot be issued (%s)", err_text(err));
}

/* A flaw of time counts from now, not from a date that was moved back. */
static struct cert_issue make_request(const char *id, const char *pod_uid, uint64_t ttl,
	uint64_t backdate, enum cert_flaw flaw)
{
	int64_t now = cert_cli_now();
	bool timed = flaw == CERT_FLAW_EXPIRED || flaw == CERT_FLAW_NOT_YET_VALID;
	return (struct cert_issue){.spiffe_id = str_from(id),
		.pod_uid = str_from(pod_uid),
		.not_before = timed ? now : now - cert_cli_seconds(backdate),
		.not_after = now + cert_cli_seconds(ttl),
		.flaw = flaw};
}

static bool write_leaf(const struct leaf_conf *conf, const struct cert_chain *chain,
	const struct cert_key *key)
{
	struct cert_cli_file files[2] = {{.secret = true}};
	char *key_pem = cert_key_pem(key), *pem = cert_chain_pem(chain);
	files[0].text = key_pem;
	files[1].text = pem;
	bool good = cert_cli_path(&leaf_program, &files[0], conf->out, "-key.pem") &&
		cert_cli_path(&leaf_program, &files[1], conf->out, ".pem") &&
		cert_cli_write(&leaf_program, files, 2, conf->force);
	mem_free(pem);
	mem_free_secret(key_pem, strlen(key_pem));
	return good;
}

static int make_leaf(const struct leaf_conf *conf)
{
	enum cert_flaw flaw = (enum cert_flaw)conf->broken;
	const struct cert_issue what =
		make_request(conf->id, conf->pod_uid, conf->ttl, conf->backdate, flaw);
	struct cert_chain *chain;
	struct cert_ca *ca;
	if (!cert_cli_check_id(&leaf_program, "--id", conf->id))
		return CLI_USAGE;
	if (!cert_cli_load_ca(&leaf_program, conf->ca, &ca))
		return CLI_FAIL;
	struct cert_key *key =
		flaw == CERT_FLAW_OTHER_CURVE ? cert_key_generate_p384() : cert_key_generate();
	int code = CLI_FAIL, err = cert_ca_issue(ca, NULL, key, &what, &chain);
	if (err != 0) {
		code = cert_cli_issue_failed(&leaf_program, err, conf->id, conf->pod_uid);
	} else {
		code = write_leaf(conf, chain, key) ? CLI_OK : CLI_FAIL;
		cert_chain_unref(&chain);
	}
	cert_key_unref(&key);
	cert_ca_free(&ca);
	return code;
}

int cli_cert_leaf(int argc, char **argv)
{
	struct leaf_conf conf = {0};
	int n_words, code;
	if (!command_load(&leaf_program, argc, argv, 0, 0, &conf, &n_words, &code))
		return code;
	code = make_leaf(&conf);
	conf_free(&leaf_program, &conf);
	return code;
}

bool cert_cli_load_csr(const struct conf_program *prog, const char *path, struct cert_csr **out)
{
	char *text;
	size_t n;
	if (!cert_cli_read(prog, path, &text, &n))
		return false;
	int err = cert_csr_parse(str_make(text, n), out);
	mem_free(text);
	if (err == ERR_VERIFY)
		command_fail(prog,
			"%s: the request's own signature does not hold, or its key is not P-256",
			path);
	else if (err == ERR_LIMIT)
		command_fail(prog, "%s: more than %d bytes", path, CERT_CSR_BYTES);
	else if (err != 0)
		command_fail(prog, "%s: no signing request in PEM or DER, or a malformed one",
			path);
	return err == 0;
}

static int sign_request(const struct sign_conf *conf, const struct cert_ca *ca,
	const struct cert_csr *csr)
{
	const struct cert_issue what =
		make_request(conf->id, conf->pod_uid, conf->ttl, conf->backdate, CERT_FLAW_NONE);
	struct cert_cli_file file = {.secret = false};
	struct cert_chain *chain;
	int err = cert_ca_issue(ca, csr, NULL, &what, &chain);
	if (err != 0)
		return cert_cli_issue_failed(&sign_program, err, conf->id, conf->pod_uid);
	char *pem = cert_chain_pem(chain);
	file.text = pem;
	bool good = cert_cli_path(&sign_program, &file, conf->out, ".pem") &&
		cert_cli_write(&sign_program, &file, 1, conf->force);
	mem_free(pem);
	cert_chain_unref(&chain);
	return good ? CLI_OK : CLI_FAIL;
}

static int make_signed(const struct sign_conf *conf)
{
	struct cert_csr *csr;
	struct cert_ca *ca;
	if (!cert_cli_check_id(&sign_program, "--id", conf->id))
		return CLI_USAGE;
	if (!cert_cli_load_csr(&sign_program, conf->csr, &csr))
		return CLI_FAIL;
	int code = CLI_FAIL;
	if (cert_cli_load_ca(&sign_program, conf->ca, &ca)) {
		code = sign_request(conf, ca, csr);
		cert_ca_free(&ca);
	}
	cert_csr_free(&csr);
	return code;
}

int cli_cert_sign(int argc, char **argv)
{
	struct sign_conf conf = {0};
	int n_words, code;
	if (!command_load(&sign_program, argc, argv, 0, 0, &conf, &n_words, &code))
		return code;
	code = make_signed(&conf);
	conf_free(&sign_program, &conf);
	return code;
}

static int make_csr(const struct csr_conf *conf)
{
	struct cert_cli_file files[2] = {{.secret = false}, {.secret = true}};
	struct cert_key *key;
	bool own = conf->key[0] == '\0';
	if (!cert_cli_check_id(&csr_program, "--id", conf->id))
		return CLI_USAGE;
	if (own)
		key = cert_key_generate();
	else if (!cert_cli_load_key(&csr_program, conf->key, &key))
		return CLI_FAIL;
	char *pem = cert_csr_build(key, str_from(conf->id)), *key_pem = cert_key_pem(key);
	files[0].text = pem;
	files[1].text = key_pem;
	bool good = cert_cli_path(&csr_program, &files[0], conf->out, ".csr") &&
		cert_cli_path(&csr_program, &files[1], conf->out, "-key.pem") &&
		cert_cli_write(&csr_program, files, own ? 2 : 1, conf->force);
	mem_free(pem);
	mem_free_secret(key_pem, strlen(key_pem));
	cert_key_unref(&key);
	return good ? CLI_OK : CLI_FAIL;
}

int cli_cert_csr(int argc, char **argv)
{
	struct csr_conf conf = {0};
	int n_words, code;
	if (!command_load(&csr_program, argc, argv, 0, 0, &conf, &n_words, &code))
		return code;
	code = make_csr(&conf);
	conf_free(&csr_program, &conf);
	return code;
}

/*
 * `weft cert root` and `weft cert intermediate`: CAs in directories, their keys made along with
 * them. Owns nothing beyond a call.
 */
#include <string.h>

#include "cli/cert.h"
#include "lib/base/alloc.h"

#define DAY 86400
/* Clocks of two machines are never quite the same. */
#define CA_BACKDATE 300

/* --- root --- */

#define ROOT_PARAMS(PARAM)                                                                      \
	PARAM(trust_domain, STRING, "trust-domain", NULL, NULL, 1, 255, "NAME",                 \
		"The trust domain that the root vouches for, such as example.org.")             \
	PARAM(out, STRING, "out", NULL, NULL, 1, 4000, "DIR",                                   \
		"Directory for root.pem and root-key.pem (mode 0600); made, for its owner "     \
		"alone, where there is none.")                                                  \
	PARAM(days, U64, "days", NULL, "3650", 1, 36500, "days", "How long the root is valid.") \
	PARAM(force, BOOL, "force", NULL, "false", 0, 0, "", "Replace files that exist.")

/* On the command's stack; freed by conf_free. */
struct root_conf {
	ROOT_PARAMS(PARAM_MEMBER)
};

#define ROOT_ROW(...) PARAM_ROW(struct root_conf, __VA_ARGS__)
static const struct param root_params[] = {ROOT_PARAMS(ROOT_ROW)};

static const struct conf_program root_program = {
	.name = "weft cert root",
	.summary =
		"make a self-signed root for a trust domain. Every workload trusts root.pem; who "
		"has root-key.pem can make any identity of the trust domain.",
	.synopsis = "weft cert root --trust-domain NAME --out DIR [flags]",
	.examples = "weft cert root --trust-domain example.org --out ca\n"
		    "  weft cert root --trust-domain example.org --out ca --days 30 --force",
	.params = root_params,
	.n_params = sizeof(root_params) / sizeof(root_params[0]),
};

static int write_ca(const struct conf_program *prog, const struct cert_ca *ca, const char *dir,
	bool middle, const char *root_pem, bool force)
{
	struct cert_cli_file files[3] = {{.secret = true}};
	char *pem = cert_ca_cert_pem(ca), *key = cert_key_pem(cert_ca_key(ca));
	size_t n = 2;
	bool good = cert_cli_make_dir(prog, dir) &&
		cert_cli_path(prog, &files[0], dir,
			middle ? "/intermediate-key.pem" : "/root-key.pem") &&
		cert_cli_path(prog, &files[1], dir, middle ? "/intermediate.pem" : "/root.pem");
	files[0].text = key;
	files[1].text = pem;
	if (good && root_pem != NULL) {
		files[2].text = root_pem;
		good = cert_cli_path(prog, &files[n++], dir, "/root.pem");
	}
	good = good && cert_cli_write(prog, files, n, force);
	mem_free(pem);
	mem_free_secret(key, strlen(key));
	return good ? CLI_OK : CLI_FAIL;
}

static int make_root(const struct root_conf *conf)
{
	struct cert_ca *ca;
	int64_t now = cert_cli_now();
	if (!spiffe_td_valid(str_from(conf->trust_domain)))
		return command_misuse(&root_program,
			"--trust-domain=%s: not a trust domain; it may have lower-case letters, digits, "
			"'.', '-' and '_' alone",
			conf->trust_domain);
	int err = cert_ca_create(str_from(conf->trust_domain), now - CA_BACKDATE,
		now + (int64_t)conf->days * DAY, &ca);
	if (err != 0)
		return cert_cli_issue_failed(&root_program, err, "", "");
	int code = write_ca(&root_program, ca, conf->out, false, NULL, conf->force);
	cert_ca_free(&ca);
	return code;
}

int cli_cert_root(int argc, char **argv)
{
	struct root_conf conf = {0};
	int n_words, code;
	if (!command_load(&root_program, argc, argv, 0, 0, &conf, &n_words, &code))
		return code;
	code = make_root(&conf);
	conf_free(&root_program, &conf);
	return code;
}

/* --- intermediate --- */

#define MIDDLE_PARAMS(PARAM)                                                                       \
	PARAM(ca, STRING, "ca", NULL, NULL, 1, 4000, "DIR",                                        \
		"Directory of the CA above, as 'weft cert root' or this command left it.")         \
	PARAM(out, STRING, "out", NULL, NULL, 1, 4000, "DIR",                                      \
		"Directory for intermediate.pem and intermediate-key.pem (mode 0600), and a copy " \
		"of root.pem; made, for its owner alone, where there is none.")                    \
	PARAM(days, U64, "days", NULL, "365", 1, 36500, "days",                                    \
		"How long it is valid; never longer than the CA above.")                           \
	PARAM(force, BOOL, "force", NULL, "false", 0, 0, "", "Replace files that exist.")

/* On the command's stack; freed by conf_free. */
struct middle_conf {
	MIDDLE_PARAMS(PARAM_MEMBER)
};

#define MIDDLE_ROW(...) PARAM_ROW(struct middle_conf, __VA_ARGS__)
static const struct param middle_params[] = {MIDDLE_PARAMS(MIDDLE_ROW)};

static const struct conf_program middle_program = {
	.name = "weft cert intermediate",
	.summary = "make a CA below another one, so that the root's key can stay offline. Chains "
		   "that it signs carry its certificate; workloads still trust root.pem alone.",
	.synopsis = "weft cert intermediate --ca DIR --out DIR [flags]",
	.examples =
		"weft cert intermediate --ca ca --out cluster-1\n"
		"  weft cert leaf --ca cluster-1 --id spiffe://example.org/ns/shop/sa/web --out web",
	.params = middle_params,
	.n_params = sizeof(middle_params) / sizeof(middle_params[0]),
};

static int make_middle(const struct middle_conf *conf)
{
	const struct conf_program *prog = &middle_program;
	struct cert_ca *above, *ca;
	struct cert_cli_file root;
	char *root_pem = NULL;
	size_t n;
	int64_t now = cert_cli_now();
	if (strcmp(conf->ca, conf->out) == 0)
		return command_misuse(prog,
			"--ca and --out are the same directory; the new CA needs its own");
	if (!cert_cli_load_ca(prog, conf->ca, &above))
		return CLI_FAIL;
	int code = CLI_FAIL;
	if (cert_cli_path(prog, &root, conf->ca, "/root.pem") &&
		cert_cli_read(prog, root.path, &root_pem, &n)) {
		int err = cert_ca_issue_ca(above, now - CA_BACKDATE,
			now + (int64_t)conf->days * DAY, &ca);
		if (err == 0) {
			code = write_ca(prog, ca, conf->out, true, root_pem, conf->force);
			cert_ca_free(&ca);
		} else {
			code = cert_cli_issue_failed(prog, err, "", "");
		}
	}
	mem_free(root_pem);
	cert_ca_free(&above);
	return code;
}

int cli_cert_intermediate(int argc, char **argv)
{
	struct middle_conf conf = {0};
	int n_words, code;
	if (!command_load(&middle_program, argc, argv, 0, 0, &conf, &n_words, &code))
		return code;
	code = make_middle(&conf);
	conf_free(&middle_program, &conf);
	return code;
}

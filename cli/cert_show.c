/*
 * `weft cert show`: what is in a file of certificates or a signing request, judged or not. Owns
 * nothing beyond a call.
 */
#include "certs/describe.h"
#include "cli/cert.h"
#include "cli/output.h"
#include "lib/base/alloc.h"

enum format { FORMAT_TEXT, FORMAT_JSON };

#define SHOW_PARAMS(PARAM)                                               \
	PARAM(output, CHOICE, "output", NULL, "text", 0, 0, "text|json", \
		"Format of the answer; -o is short for it.")

/* On the command's stack; freed by conf_free. */
struct show_conf {
	SHOW_PARAMS(PARAM_MEMBER)
};

#define SHOW_ROW(...) PARAM_ROW(struct show_conf, __VA_ARGS__)
static const struct param show_params[] = {SHOW_PARAMS(SHOW_ROW)};

static const struct conf_program program = {
	.name = "weft cert show",
	.summary =
		"say what is in a file of certificates (PEM or DER) or in a signing request. Says "
		"nothing about whether they are good: 'weft cert verify' does.",
	.synopsis = "weft cert show [flags] FILE",
	.examples = "weft cert show web.pem\n"
		    "  weft cert show -o json web.pem\n"
		    "  weft cert show web.csr",
	.params = show_params,
	.n_params = sizeof(show_params) / sizeof(show_params[0]),
};

static void print_line(const char *label, const char *value)
{
	if (value[0] != '\0')
		printf("   %-12s %s\n", label, value);
}

static void print_uris(const struct str *uris, size_t n, size_t all)
{
	struct spiffe_id id;
	for (size_t i = 0; i < n; i++) {
		bool spiffe = spiffe_parse(uris[i], true, &id, NULL) == 0;
		printf("   %-12s ", spiffe ? "SPIFFE ID" : "URI");
		output_safe(uris[i]);
		putchar('\n');
	}
	if (all > n)
		printf("   %-12s and %zu more\n", "URI", all - n);
}

static size_t shown(size_t n_uris)
{
	return n_uris < CERT_URIS_SHOWN ? n_uris : CERT_URIS_SHOWN;
}

static const char *kind(const struct cert_description *d)
{
	if (!d->is_ca)
		return "leaf";
	return d->self_issued ? "root CA" : "intermediate CA";
}

static void print_cert(size_t i, const struct cert_description *d)
{
	char from[OUTPUT_TIME], to[OUTPUT_TIME];
	printf("%zu. %s\n", i + 1, kind(d));
	print_uris(d->uris, shown(d->n_uris), d->n_uris);
	if (d->n_names > d->n_uris)
		printf("   %-12s %zu that are no URIs\n", "other names", d->n_names - d->n_uris);
	if (d->pod_uid.n > 0)
		printf("   %-12s %.*s\n", "pod UID", STR_ARG(d->pod_uid));
	print_line("subject", d->subject);
	print_line("issuer", d->issuer);
	print_line("serial", d->serial);
	output_time(d->not_before, from);
	output_time(d->not_after, to);
	printf("   %-12s %s to %s\n", "valid", from, to);
	print_line("key", d->key);
	if (d->path_len >= 0)
		printf("   %-12s %d\n", "path length", d->path_len);
	print_line("SHA-256", d->fingerprint);
}

static void json_uris(struct json *j, const struct str *uris, size_t n)
{
	json_key(j, "uris");
	json_array(j);
	for (size_t i = 0; i < n; i++)
		json_str(j, uris[i]);
	json_array_end(j);
}

/* The ID that a certificate has where it has exactly one URI and that is one. */
static struct str only_id(const struct str *uris, size_t n)
{
	struct spiffe_id id;
	if (n == 1 && spiffe_parse(uris[0], true, &id, NULL) == 0)
		return uris[0];
	return STR_NULL;
}

static void json_cert(struct json *j, const struct cert_description *d)
{
	char time[OUTPUT_TIME];
	json_object(j);
	json_key_str(j, "kind", str_from(kind(d)));
	json_key_str(j, "spiffeId", only_id(d->uris, d->n_uris));
	json_uris(j, d->uris, shown(d->n_uris));
	json_key_u64(j, "names", d->n_names);
	json_key_str(j, "podUid", d->pod_uid);
	json_key_str(j, "subject", str_from(d->subject));
	json_key_str(j, "issuer", str_from(d->issuer));
	json_key_str(j, "serial", str_from(d->serial));
	output_time(d->not_before, time);
	json_key_str(j, "notBefore", str_from(time));
	output_time(d->not_after, time);
	json_key_str(j, "notAfter", str_from(time));
	json_key_str(j, "key", str_from(d->key));
	json_key_bool(j, "ca", d->is_ca);
	json_key(j, "pathLength");
	if (d->path_len >= 0)
		json_i64(j, d->path_len);
	else
		json_null(j);
	json_key_str(j, "sha256", str_from(d->fingerprint));
	json_object_end(j);
}

static void show_chain(const char *file, const struct cert_chain *chain, bool json)
{
	struct cert_description d;
	struct output o;
	size_t n = cert_chain_count(chain);
	if (!json)
		printf("%s: %zu certificate%s\n", file, n, n == 1 ? "" : "s");
	for (size_t i = 0; !json && i < n; i++) {
		cert_describe(chain, i, &d);
		print_cert(i, &d);
	}
	if (!json)
		return;
	output_begin(&o);
	json_object(&o.json);
	json_key_str(&o.json, "file", str_from(file));
	json_key(&o.json, "certificates");
	json_array(&o.json);
	for (size_t i = 0; i < n; i++) {
		cert_describe(chain, i, &d);
		json_cert(&o.json, &d);
	}
	json_array_end(&o.json);
	json_object_end(&o.json);
	output_end(&o);
}

static void show_csr(const char *file, const struct cert_csr *csr, bool json)
{
	struct output o;
	size_t n;
	struct str id = cert_csr_id(csr, &n);
	if (!json) {
		printf("%s: signing request; its own signature holds\n", file);
		print_uris(&id, id.n > 0, id.n > 0);
		printf("   %-12s %zu asked for\n   %-12s P-256\n", "names", n, "key");
		return;
	}
	output_begin(&o);
	json_object(&o.json);
	json_key_str(&o.json, "file", str_from(file));
	json_key(&o.json, "request");
	json_object(&o.json);
	json_key_str(&o.json, "spiffeId", only_id(&id, id.n > 0));
	json_uris(&o.json, &id, id.n > 0);
	json_key_u64(&o.json, "names", n);
	json_key_str(&o.json, "key", STR("P-256"));
	json_object_end(&o.json);
	json_object_end(&o.json);
	output_end(&o);
}

/* A request says so in PEM; DER is one where it reads as one. */
static bool is_request(struct str in)
{
	struct cert_csr *csr;
	if (memmem(in.p, in.n, "CERTIFICATE REQUEST-----", 24) != NULL)
		return true;
	if (cert_csr_parse(in, &csr) != 0)
		return false;
	cert_csr_free(&csr);
	return true;
}

static int show(const char *file, bool json)
{
	struct cert_chain *chain;
	struct cert_csr *csr;
	char *text;
	size_t n;
	if (!cert_cli_read(&program, file, &text, &n))
		return CLI_FAIL;
	bool request = is_request(str_make(text, n));
	mem_free(text);
	if (request) {
		if (!cert_cli_load_csr(&program, file, &csr))
			return CLI_FAIL;
		show_csr(file, csr, json);
		cert_csr_free(&csr);
		return CLI_OK;
	}
	if (!cert_cli_load_chain(&program, file, &chain))
		return CLI_FAIL;
	show_chain(file, chain, json);
	cert_chain_unref(&chain);
	return CLI_OK;
}

int cli_cert_show(int argc, char **argv)
{
	struct show_conf conf = {0};
	int n_words, code;
	if (!command_load(&program, argc, argv, 1, 1, &conf, &n_words, &code))
		return code;
	code = show(argv[1], conf.output == FORMAT_JSON);
	conf_free(&program, &conf);
	return code;
}

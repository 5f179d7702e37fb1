/*
 * `weft ca`: what the mesh's certificate authority has in force, replacing its root, revoking a
 * leaf; asked of the control plane's socket. Owns nothing beyond a call.
 */
#include <stdio.h>
#include <string.h>

#include "cli/ask.h"
#include "cli/output.h"
#include "cli/table.h"
#include "lib/base/alloc.h"
#include "lib/base/clock.h"

#define CA_PARAMS(PARAM)          \
	ASK_CONTROL_SOCKET(PARAM) \
	ASK_OUTPUT(PARAM)

#define ROTATE_PARAMS(PARAM)                                                                     \
	PARAM(overlap, DURATION, "overlap", NULL, "", 0, 365 * 86400 * NS_PER_S, "",             \
		"How long the new root is only published, before leaves are signed by it; the "  \
		"default is an hour, or a leaf's lifetime where that is shorter. Sidecars that " \
		"are not connected meanwhile learn of it when they come back.")                  \
	CA_PARAMS(PARAM)

/* On a command's stack; freed by conf_free. */
struct ca_conf {
	CA_PARAMS(PARAM_MEMBER)
};
struct rotate_conf {
	ROTATE_PARAMS(PARAM_MEMBER)
};

#define CA_ROW(...) PARAM_ROW(struct ca_conf, __VA_ARGS__)
static const struct param ca_params[] = {CA_PARAMS(CA_ROW)};
#define ROTATE_ROW(...) PARAM_ROW(struct rotate_conf, __VA_ARGS__)
static const struct param rotate_params[] = {ROTATE_PARAMS(ROTATE_ROW)};

static const struct conf_program status_program = {
	.name = "weft ca status",
	.summary =
		"what the CA of the mesh has in force: roots, a rotation that is under way, what "
		"was issued and revoked.",
	.synopsis = "weft ca status [flags]",
	.examples = "weft ca status\n  weft ca status -o json",
	.params = ca_params,
	.n_params = sizeof(ca_params) / sizeof(ca_params[0]),
};

static const struct conf_program rotate_program = {
	.name = "weft ca rotate",
	.summary =
		"replace the root in steps that lose nothing: the new one is published beside the "
		"old one, then leaves are signed by it and all sidecars renew, and after another "
		"lifetime of a leaf the old one goes. 'weft ca status' says how far it is.",
	.synopsis = "weft ca rotate [flags]",
	.examples = "weft ca rotate\n  weft ca rotate --overlap 10m",
	.params = rotate_params,
	.n_params = sizeof(rotate_params) / sizeof(rotate_params[0]),
};

static const struct conf_program revoke_program = {
	.name = "weft ca revoke",
	.summary =
		"revoke the leaf of a serial number, for good: every sidecar refuses it from now "
		"on, on open connections too. Its workload gets another one when it asks. Whether "
		"a leaf of that number was ever issued is not checked.",
	.synopsis = "weft ca revoke [flags] SERIAL",
	.examples = "weft cert show web.pem    names the serial; so do the logs of weft-ctrlplane\n"
		    "  weft ca revoke 3f9a0c5d7e",
	.params = ca_params,
	.n_params = sizeof(ca_params) / sizeof(ca_params[0]),
};

/* --- text --- */

static struct str time_text(struct arena *a, const struct yaml_node *map, const char *key)
{
	char text[OUTPUT_TIME];
	output_time((int64_t)ask_u64(map, key), text);
	return arena_str(a, str_from(text));
}

static void print_field(struct arena *a, const char *label, struct str value)
{
	struct str safe = table_safe(a, value);
	if (safe.n > 0)
		printf("%-14s%.*s\n", label, STR_ARG(safe));
}

static void print_certificates(struct arena *a, const struct yaml_node *ca, const char *key,
	const char *title)
{
	for (const struct yaml_node *c = ask_first(ca, key); c != NULL; c = c->next) {
		putchar('\n');
		print_field(a, title, ask_str(c, "subject"));
		print_field(a, "  serial", ask_str(c, "serial"));
		print_field(a, "  until", time_text(a, c, "not_after"));
		print_field(a, "  signs", ask_bool(c, "signs") ? STR("yes") : STR("no"));
		print_field(a, "  SHA-256", ask_str(c, "fingerprint"));
	}
}

static void print_ca(struct arena *a, const struct yaml_node *ca)
{
	const struct yaml_node *rotation = yaml_field(ca, STR("rotation"));
	print_field(a, "trust domain", ask_str(ca, "trust_domain"));
	print_field(a, "issued", ask_str(ca, "issued"));
	print_field(a, "revoked", ask_str(ca, "revoked"));
	if (ask_str(rotation, "phase").n > 0)
		print_field(a, "rotation",
			arena_printf(a, "%.*s, next step %.*s", STR_ARG(ask_str(rotation, "phase")),
				STR_ARG(time_text(a, rotation, "next_step"))));
	else
		print_field(a, "rotation", STR("none"));
	print_field(a, "problem", ask_str(ca, "problem"));
	print_certificates(a, ca, "roots", "root");
	print_certificates(a, ca, "intermediates", "intermediate");
}

static void print_text(struct asked *a)
{
	struct str revoked = ask_str(a->json, "revoked");
	if (ask_str(a->json, "trust_domain").n > 0)
		print_ca(&a->arena, a->json);
	else
		print_field(&a->arena, "revoked", revoked);
}

static int question(const struct conf_program *prog, const struct ca_conf *conf, const char *method,
	const char *target)
{
	struct asked a;
	const struct fetch f = {.method = method,
		.socket = conf->control_socket,
		.target = target,
		.program = "weft-ctrlplane",
		.flag = "--control-socket"};
	bool good = ask(prog, &f, &a);
	if (good && conf->output == ASK_JSON)
		ask_print(&a);
	else if (good)
		print_text(&a);
	ask_end(&a);
	return good ? CLI_OK : CLI_FAIL;
}

/* --- commands --- */

static int ca_status(int argc, char **argv)
{
	struct ca_conf conf = {0};
	int n_words, code;
	if (!command_load(&status_program, argc, argv, 0, 0, &conf, &n_words, &code))
		return code;
	code = question(&status_program, &conf, "GET", "/ca");
	conf_free(&status_program, &conf);
	return code;
}

static int ca_rotate(int argc, char **argv)
{
	struct rotate_conf conf = {0};
	int n_words, code;
	char overlap[CONF_TEXT], target[64 + CONF_TEXT] = "/ca/rotate";
	if (!command_load(&rotate_program, argc, argv, 0, 0, &conf, &n_words, &code))
		return code;
	const struct ca_conf where = {.control_socket = conf.control_socket, .output = conf.output};
	if (conf.overlap > 0) {
		conf_format_duration(conf.overlap, overlap);
		snprintf(target, sizeof(target), "/ca/rotate?overlap=%s", overlap);
	}
	code = question(&rotate_program, &where, "POST", target);
	conf_free(&rotate_program, &conf);
	return code;
}

static bool is_serial(const char *word)
{
	size_t n = strlen(word);
	return n > 0 && n <= 128 && strspn(word, "0123456789abcdefABCDEF:") == n;
}

static int ca_revoke(int argc, char **argv)
{
	struct ca_conf conf = {0};
	int n_words, code;
	char target[200];
	if (!command_load(&revoke_program, argc, argv, 1, 1, &conf, &n_words, &code))
		return code;
	snprintf(target, sizeof(target), "/ca/revoke?serial=%s", argv[1]);
	if (is_serial(argv[1]))
		code = question(&revoke_program, &conf, "POST", target);
	else
		code = command_misuse(&revoke_program,
			"%.100s: expected a serial number in hexadecimal digits", argv[1]);
	conf_free(&revoke_program, &conf);
	return code;
}

static const struct command commands[] = {
	{"status", ca_status, "roots in force, rotation, what was issued and revoked"},
	{"rotate", ca_rotate, "replace the root without losing a request"},
	{"revoke", ca_revoke, "revoke a leaf by its serial number"},
};

static const struct command_group group = {
	.name = "weft ca",
	.summary = "the certificate authority of a running control plane.",
	.examples = "weft ca status",
	.commands = commands,
	.n = sizeof(commands) / sizeof(commands[0]),
};

int cli_ca(int argc, char **argv)
{
	return command_run(&group, argc, argv);
}

/*
 * `weft token create`: a join token for one pod, from the control plane's socket. The token alone
 * goes to stdout, so that it can be put into a file. Owns nothing beyond a call.
 */
#include <stdio.h>

#include "cli/ask.h"
#include "lib/base/alloc.h"
#include "lib/base/clock.h"

#define TOKEN_PARAMS(PARAM)                                                                    \
	PARAM(lifetime, DURATION, "lifetime", NULL, "10m", NS_PER_S, 7 * 86400 * NS_PER_S, "", \
		"How long the token may wait for its first use.")                              \
	ASK_CONTROL_SOCKET(PARAM)                                                              \
	ASK_OUTPUT(PARAM)

/* On the command's stack; freed by conf_free. */
struct token_conf {
	TOKEN_PARAMS(PARAM_MEMBER)
};

#define TOKEN_ROW(...) PARAM_ROW(struct token_conf, __VA_ARGS__)
static const struct param token_params[] = {TOKEN_PARAMS(TOKEN_ROW)};

static const struct conf_program program = {
	.name = "weft token create",
	.summary =
		"make a join token with which the sidecar of one pod gets its first certificate. "
		"It works once, for that pod's identity alone, and is kept as a hash only.",
	.synopsis = "weft token create [flags] NAMESPACE/POD",
	.examples = "umask 077; weft token create shop/web-1 > web-1.token\n"
		    "  weft-sidecar --control-plane 10.0.0.1:15012 --root root.pem --token "
		    "web-1.token ...",
	.params = token_params,
	.n_params = sizeof(token_params) / sizeof(token_params[0]),
};

static int create(const struct token_conf *conf, const char *pod)
{
	char lifetime[CONF_TEXT];
	struct asked a;
	conf_format_duration(conf->lifetime, lifetime);
	char *target = mem_printf("/tokens?pod=%s&lifetime=%s", pod, lifetime);
	const struct fetch f = {.method = "POST",
		.socket = conf->control_socket,
		.target = target,
		.program = "weft-ctrlplane",
		.flag = "--control-socket"};
	bool good = ask(&program, &f, &a);
	if (good && conf->output == ASK_JSON) {
		ask_print(&a);
	} else if (good) {
		struct str token = ask_str(a.json, "token");
		printf("%.*s\n", STR_ARG(token));
	}
	ask_end(&a);
	mem_free(target);
	return good ? CLI_OK : CLI_FAIL;
}

static int token_create(int argc, char **argv)
{
	struct token_conf conf = {0};
	int n_words, code;
	if (!command_load(&program, argc, argv, 1, 1, &conf, &n_words, &code))
		return code;
	if (ask_is_pod(&program, argv[1], &code))
		code = create(&conf, argv[1]);
	conf_free(&program, &conf);
	return code;
}

static const struct command commands[] = {
	{"create", token_create, "make a join token for a pod"},
};

static const struct command_group group = {
	.name = "weft token",
	.summary = "join tokens, with which sidecars get their first certificate.",
	.examples = "weft token create shop/web-1 > web-1.token",
	.commands = commands,
	.n = sizeof(commands) / sizeof(commands[0]),
};

int cli_token(int argc, char **argv)
{
	return command_run(&group, argc, argv);
}

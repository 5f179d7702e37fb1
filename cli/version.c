/*
 * `weft version`.
 */
#include "cli/command.h"
#include "lib/base/process.h"

static const struct conf_program program = {
	.name = "weft version",
	.summary = "print the version of weft and the commit that it was built from.",
	.synopsis = "weft version",
	.params = NULL,
	.n_params = 0,
};

int cli_version(int argc, char **argv)
{
	int n_words, code, unused;
	if (!command_load(&program, argc, argv, 0, 0, &unused, &n_words, &code))
		return code;
	printf("weft %s\n", process_version());
	return CLI_OK;
}

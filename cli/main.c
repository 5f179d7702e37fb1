/*
 * `weft`, the command line of the mesh: starts what a process needs and hands over to the command
 * that the first word names. The commands are in cli/commands.def.
 */
#include <stdio.h>
#include <string.h>

#include "cli/command.h"
#include "lib/base/process.h"
#include "lib/crypto/crypto.h"

static const struct command commands[] = {
#define COMMAND(name, function, summary) {name, function, summary},
#include "cli/commands.def"
#undef COMMAND
};

static const struct command_group weft = {
	.name = "weft",
	.summary = "the command line of the Weft service mesh.",
	.examples = "weft cert root --trust-domain example.org --out ca\n"
		    "  weft help cert leaf",
	.commands = commands,
	.n = sizeof(commands) / sizeof(commands[0]),
};

int main(int argc, char **argv)
{
	if (process_init() != 0 || crypto_init() != 0) {
		fprintf(stderr, "weft: the system gives no descriptors or no randomness\n");
		return CLI_FAIL;
	}
	if (argc == 2 && strcmp(argv[1], "--version") == 0) {
		printf("weft %s\n", process_version());
		return CLI_OK;
	}
	int code = command_run(&weft, argc, argv);
	crypto_cleanup();
	if (fflush(stdout) != 0 && code == CLI_OK) {
		fprintf(stderr, "weft: the output could not be written\n");
		return CLI_FAIL;
	}
	return code;
}

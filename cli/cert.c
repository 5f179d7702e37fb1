/*
 * `weft cert`: the commands of the certificate workshop, one file each. Owns nothing.
 */
#include "cli/cert.h"

static const struct command commands[] = {
#define CERT_COMMAND(name, function, summary) {name, function, summary},
#include "cli/cert_commands.def"
#undef CERT_COMMAND
};

static const struct command_group group = {
	.name = "weft cert",
	.summary = "make, sign, check and show the certificates (X.509-SVIDs) of a mesh.",
	.examples = "weft cert root --trust-domain example.org --out ca\n"
		    "  weft cert leaf --ca ca --id spiffe://example.org/ns/shop/sa/web --out web\n"
		    "  weft cert verify --bundle ca/root.pem web.pem\n"
		    "  weft cert show web.pem",
	.commands = commands,
	.n = sizeof(commands) / sizeof(commands[0]),
};

int cli_cert(int argc, char **argv)
{
	return command_run(&group, argc, argv);
}

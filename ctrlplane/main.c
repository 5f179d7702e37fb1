/*
 * weft-ctrlplane: parses flags and environment, checks what no single flag can, and runs the
 * control plane. Owns the parameters.
 */
#include <stdio.h>
#include <string.h>

#include "ctrlplane/params.h"
#include "ctrlplane/run.h"

static const char examples[] =
	"weft-ctrlplane --source dir:mesh/ --data-dir /var/lib/weft-ctrlplane\n"
	"  weft token create shop/web-1 > token    for weft-sidecar --token token --root "
	"DATA-DIR/root.pem\n"
	"  weft proxy-status                       who is connected, and what each refused\n"
	"  curl localhost:15014/healthz/ready      ready, or why not";

static int refuse(const char *text)
{
	fprintf(stderr, "weft-ctrlplane: %s\nTry 'weft-ctrlplane --help'.\n", text);
	return 2;
}

static int check(const struct ctrlplane_params *p)
{
	unsigned files =
		(p->ca_cert[0] != '\0') + (p->ca_key[0] != '\0') + (p->ca_roots[0] != '\0');
	if (strncmp(p->source, "dir:", 4) != 0 || p->source[4] == '\0')
		return refuse("--source: expected dir:PATH, a directory of Kubernetes YAML");
	if (files != 0 && files != 3)
		return refuse(
			"--ca-cert, --ca-key and --ca-roots go together: give all three or none");
	if (p->grpc_port != 0 && p->grpc_port == p->admin_port)
		return refuse("--grpc-port and --admin-port are the same: two ports are needed");
	if (p->leaf_lifetime > p->root_lifetime)
		return refuse(
			"--leaf-lifetime is longer than --root-lifetime: no leaf outlives its root");
	return 0;
}

int main(int argc, char **argv)
{
	struct conf_program program = {.name = "weft-ctrlplane",
		.summary =
			"The control plane of Weft: issues the certificates of the mesh and tells "
			"each sidecar what it needs to know.",
		.synopsis = "weft-ctrlplane --source dir:PATH --data-dir DIR [flags]",
		.examples = examples};
	struct ctrlplane_params params;
	int n_args = 0;
	memset(&params, 0, sizeof(params));
	program.params = ctrlplane_params_table(&program.n_params);
	switch (conf_load(&program, argc, argv, &n_args, &params, stdout, stderr)) {
	case CONF_EXIT_OK:
		return 0;
	case CONF_EXIT_USAGE:
		return 2;
	case CONF_RUN:
		break;
	}
	int code = 2;
	if (n_args > 0)
		fprintf(stderr,
			"weft-ctrlplane: unexpected argument \"%s\"; see weft-ctrlplane --help\n",
			argv[1]);
	else
		code = check(&params);
	if (code == 0)
		code = ctrlplane_run(&params);
	conf_free(&program, &params);
	return code;
}

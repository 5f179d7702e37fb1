/*
 * weft-sidecar: parses flags and environment, then runs the proxy, or the capture step when the
 * first word says so. Owns the parameters.
 */
#include <stdio.h>
#include <string.h>

#include "lib/conf/params.h"
#include "sidecar/capture/capture.h"
#include "sidecar/params.h"
#include "sidecar/run.h"

static const char examples[] =
	"weft-sidecar capture                      write the redirect rules of this pod (init step)\n"
	"  weft-sidecar --control-plane 10.0.0.1:15012 --root root.pem --token token --state /run/weft/state\n"
	"                                            run beside the application, as uid 1337\n"
	"  weft-sidecar --state /var/lib/weft/state  the same from a file, without a control plane\n"
	"  curl localhost:15000/config_dump          what is in force\n"
	"  curl localhost:15000/healthz/ready        ready, or why not";

/* Ports of one process that would take one another's place. */
static bool ports_differ(const struct sidecar_params *p)
{
	const struct {
		const char *flag;
		uint64_t port;
	} at[] = {{"--outbound-port", p->outbound_port}, {"--inbound-port", p->inbound_port},
		{"--admin-port", p->admin_port}, {"--metrics-port", p->metrics_port},
		{"--health-port", p->health_port}};

	for (size_t i = 0; i < sizeof(at) / sizeof(at[0]); i++) {
		for (size_t k = 0; k < i; k++) {
			if (at[i].port != at[k].port)
				continue;
			fprintf(stderr,
				"weft-sidecar: %s and %s are both %u: the sidecar needs five "
				"different ports\n",
				at[k].flag, at[i].flag, (unsigned)at[i].port);
			return false;
		}
	}
	return true;
}

int main(int argc, char **argv)
{
	struct conf_program program = {.name = "weft-sidecar",
		.summary =
			"The data plane of Weft: carries a pod's captured traffic over mutual TLS.",
		.synopsis = "weft-sidecar [flags]\n  weft-sidecar capture [flags]",
		.examples = examples};
	struct sidecar_params params;
	int n_args = 0;
	if (argc > 1 && strcmp(argv[1], "capture") == 0)
		return capture_main(argc, argv);
	memset(&params, 0, sizeof(params));
	program.params = sidecar_params_table(&program.n_params);
	switch (conf_load(&program, argc, argv, &n_args, &params, stdout, stderr)) {
	case CONF_EXIT_OK:
		return 0;
	case CONF_EXIT_USAGE:
		return 2;
	case CONF_RUN:
		break;
	}
	if (n_args > 0) {
		fprintf(stderr,
			"weft-sidecar: unexpected argument \"%s\"; see weft-sidecar --help\n",
			argv[1]);
		conf_free(&program, &params);
		return 2;
	}
	int code = ports_differ(&params) ? sidecar_run(&params) : 2;
	conf_free(&program, &params);
	return code;
}

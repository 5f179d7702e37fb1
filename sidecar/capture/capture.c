/*
 * From flags to rules: reads the parameters, drives plan, probe and older in the order in which a
 * failure leaves nothing half done. Owns everything for the length of the command.
 */
#include "sidecar/capture/capture.h"

#include <net/if.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "lib/base/err.h"
#include "lib/base/log.h"
#include "lib/base/process.h"
#include "lib/conf/params.h"
#include "sidecar/capture/commit.h"
#include "sidecar/capture/older.h"
#include "sidecar/capture/plan.h"
#include "sidecar/capture/probe.h"
#include "sidecar/capture/probe_link.h"

#define LOCK_WAIT_MS 30000
#define CAP_NET_ADMIN_BIT 12
#define CAP_NET_RAW_BIT 13

enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

/* The flags as given. */
struct capture_params {
#define PARAM PARAM_MEMBER
#define PARAM_GROUP PARAM_GROUP_MEMBER
#include "sidecar/capture/params.def"
#undef PARAM
#undef PARAM_GROUP
};

static const struct param capture_param_rows[] = {
#define PARAM(...) PARAM_ROW(struct capture_params, __VA_ARGS__)
#define PARAM_GROUP PARAM_GROUP_ROW
#include "sidecar/capture/params.def"
#undef PARAM
#undef PARAM_GROUP
};

static const struct conf_program capture_program = {
	.name = "weft-sidecar capture",
	.summary =
		"Redirects the TCP connections of this network namespace to the sidecar, both address "
		"families or none, proves that it works, and closes the connections that are older.",
	.synopsis =
		"weft-sidecar capture [flags]\n  weft-sidecar capture --print [flags]\n  weft-sidecar capture "
		"--clean",
	.examples = "weft-sidecar capture --exclude-outbound-ports 5432\n"
		    "  weft-sidecar capture --print --backend=iptables --iptables=legacy",
	.params = capture_param_rows,
	.n_params = sizeof(capture_param_rows) / sizeof(capture_param_rows[0]),
};

/* One run. On the stack of capture_main. */
struct run {
	struct capture_params params;
	struct capture_config cfg;
	struct plan plan;
	struct log *log;
};

static int config_lists(struct run *r, char trouble[CAPTURE_TROUBLE])
{
	const struct capture_params *p = &r->params;
	struct capture_config *c = &r->cfg;
	int err = port_list_parse(str_from(p->own_ports), &c->own_ports, trouble);

	if (err == 0)
		err = port_list_parse(str_from(p->exclude_inbound_ports), &c->exclude_inbound_ports,
			trouble);
	if (err == 0)
		err = port_list_parse(str_from(p->exclude_outbound_ports),
			&c->exclude_outbound_ports, trouble);
	if (err == 0)
		err = cidr_list_parse(str_from(p->include_outbound_cidrs),
			&c->include_outbound_cidrs, trouble);
	if (err == 0)
		err = cidr_list_parse(str_from(p->exclude_outbound_cidrs),
			&c->exclude_outbound_cidrs, trouble);
	if (err == 0)
		err = iface_list_parse(str_from(p->exclude_interfaces), &c->exclude_interfaces,
			trouble);
	return err;
}

static int config_from_params(struct run *r, char trouble[CAPTURE_TROUBLE])
{
	const struct capture_params *p = &r->params;
	int err = config_lists(r, trouble);

	r->cfg.inbound_port = (uint16_t)p->inbound_port;
	r->cfg.outbound_port = (uint16_t)p->outbound_port;
	r->cfg.proxy_uid = (uint32_t)p->proxy_uid;
	r->cfg.proxy_gid = (uint32_t)p->proxy_gid;
	r->cfg.udp_deny = p->udp != 0;
	if (err == 0)
		err = capture_config_check(&r->cfg, trouble);
	if (err == 0 && p->iptables != PLAN_FLAVOUR_AUTO && p->backend == PLAN_NFT) {
		snprintf(trouble, CAPTURE_TROUBLE,
			"--iptables says nothing where --backend is nft");
		err = ERR_INVAL;
	}
	return err;
}

static int fail(struct run *r, const char *msg, const struct trouble *t)
{
	log_at(r->log, LOG_ERROR, "capture", msg, LOG_Z("error", t->what),
		LOG_Z("remedy", t->remedy));
	return EXIT_FAILED;
}

/* Whether this process may do all that it will have to do. */
static bool has_capability(int bit)
{
	char line[128];
	unsigned long long mask = 0;
	FILE *f = fopen("/proc/self/status", "re");

	while (f != NULL && fgets(line, sizeof(line), f) != NULL)
		if (sscanf(line, "CapEff: %llx", &mask) == 1)
			break;
	if (f != NULL)
		fclose(f);
	return (mask >> bit & 1) != 0;
}

static bool lo_is_up(void)
{
	struct ifreq req = {.ifr_name = "lo"};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool up = fd >= 0 && ioctl(fd, SIOCGIFFLAGS, &req) == 0 && (req.ifr_flags & IFF_UP) != 0;

	if (fd >= 0)
		close(fd);
	return up;
}

static int check_place(const struct run *r, struct trouble *t)
{
	bool raw = r->params.probe && !r->params.clean;

	if (!has_capability(CAP_NET_ADMIN_BIT) || (raw && !has_capability(CAP_NET_RAW_BIT))) {
		trouble_set(t,
			"run it as root; in Kubernetes add NET_ADMIN and NET_RAW to "
			"securityContext.capabilities of this container",
			"the capabilities NET_ADMIN, to change rules, and NET_RAW, to prove them, "
			"are needed");
		return ERR_DENIED;
	}
	if (r->params.clean)
		return 0;
	if (geteuid() == r->cfg.proxy_uid || getegid() == r->cfg.proxy_gid) {
		trouble_set(t, "run this command as another user and group, 0 for instance",
			"this command runs as the sidecar's user or group, whose connections are not captured: "
			"nothing can be proven");
		return ERR_DENIED;
	}
	if (!lo_is_up()) {
		trouble_set(t, "ip link set lo up",
			"the interface lo is down: redirected connections pass it");
		return ERR_UNREACHABLE;
	}
	return 0;
}

static int clean(struct run *r, struct trouble *t)
{
	bool removed;

	probe_link_remove();
	if (plan_clean(&r->plan, &removed, t) < 0)
		return fail(r, "rules not removed", t);
	log_at(r->log, LOG_INFO, "capture",
		removed ? "rules removed" : "there were no rules to remove",
		LOG_B("changed", removed));
	return EXIT_DONE;
}

static int apply(struct run *r, struct trouble *t)
{
	struct trouble more;

	if (plan_apply(&r->plan, t) < 0)
		return fail(r, "rules not written", t);
	if (r->params.probe && probe_run(&r->plan.rules, r->log, t) < 0) {
		fail(r, "rules do not work and are taken back", t);
		if (plan_take_back(&r->plan, &more) < 0)
			fail(r, "rules could not be taken back", &more);
		return EXIT_FAILED;
	}
	log_at(r->log, LOG_INFO, "capture", "rules in force",
		LOG_Z("backend", backend_name(r->plan.backend)),
		LOG_Z("families", r->plan.rules.n == 2 ? "IPv4 and IPv6" : "IPv4"),
		LOG_U("inbound_port", r->cfg.inbound_port),
		LOG_U("outbound_port", r->cfg.outbound_port), LOG_B("proven", r->params.probe));
	if (older_end(&r->plan.rules, r->params.keep_connections, r->log, t) < 0)
		return fail(r, "older connections are still open", t);
	return EXIT_DONE;
}

/* With the lock held. */
static int run_locked(struct run *r, struct trouble *t)
{
	struct plan_families families = plan_families_read();
	/* What an earlier run wrote is cleaned where IPv6 was turned off since. */
	size_t n = (r->params.clean ? families.kernel_v6 : families.enabled_v6) ? 2 : 1;
	int status;

	if (n == 1 && !r->params.clean)
		log_at(r->log, LOG_INFO, "capture", "IPv6 is skipped",
			LOG_Z("why",
				families.kernel_v6 ? "it is turned off in this namespace"
						   : "this kernel has none"));
	plan_init(&r->plan, &r->cfg, n);
	if (r->params.clean)
		status = clean(r, t);
	else if (plan_choose(&r->plan, (enum plan_backend)r->params.backend,
			 (enum plan_flavour)r->params.iptables, true, t) < 0)
		status = fail(r, "rules not written", t);
	else
		status = apply(r, t);
	plan_clear(&r->plan);
	return status;
}

static int run(struct run *r)
{
	struct trouble t;

	if (check_place(r, &t) < 0)
		return fail(r, "cannot begin", &t);
	int lock = commit_lock(LOCK_WAIT_MS);
	if (lock < 0) {
		trouble_set(&t, "wait until it ends, and run this again",
			"another capture is at work in this network namespace");
		return fail(r, "cannot begin", &t);
	}
	int status = run_locked(r, &t);
	close(lock);
	return status;
}

static int print(struct run *r)
{
	struct trouble t;
	struct plan_families families = plan_families_read();

	plan_init(&r->plan, &r->cfg, families.enabled_v6 ? 2 : 1);
	if (plan_choose(&r->plan, (enum plan_backend)r->params.backend,
		    (enum plan_flavour)r->params.iptables, false, &t) < 0)
		r->plan.backend = plan_first((enum plan_backend)r->params.backend,
			(enum plan_flavour)r->params.iptables);
	plan_print(&r->plan, stdout);
	if (!families.enabled_v6)
		puts("# IPv6 is skipped: it is not there");
	plan_clear(&r->plan);
	return fflush(stdout) == 0 ? EXIT_DONE : EXIT_FAILED;
}

static int usage_error(const char *trouble)
{
	fprintf(stderr, "%s: %s\n", capture_program.name, trouble);
	return EXIT_USAGE;
}

static int run_params(struct run *r, int n_args, char **argv)
{
	char trouble[CAPTURE_TROUBLE];

	if (n_args > 0) {
		snprintf(trouble, sizeof(trouble), "unexpected argument \"%.100s\"", argv[1]);
		return usage_error(trouble);
	}
	if (r->params.print && r->params.clean)
		return usage_error("--print and --clean exclude each other");
	if (config_from_params(r, trouble) < 0)
		return usage_error(trouble);
	r->log = log_new(STDERR_FILENO, (enum log_level)r->params.log_level,
		(enum log_format)r->params.log_format, clock_system());
	int status = r->params.print ? print(r) : run(r);
	log_free(&r->log);
	return status;
}

int capture_main(int argc, char **argv)
{
	struct run r = {.log = NULL};
	int n_args, status;

	if (process_init() < 0)
		return EXIT_FAILED;
	switch (conf_load(&capture_program, argc - 1, argv + 1, &n_args, &r.params, stdout,
		stderr)) {
	case CONF_RUN:
		break;
	case CONF_EXIT_OK:
		return EXIT_DONE;
	case CONF_EXIT_USAGE:
		return EXIT_USAGE;
	}
	status = run_params(&r, n_args, argv + 1);
	conf_free(&capture_program, &r.params);
	return status;
}

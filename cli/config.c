/*
 * `weft config`: what one sidecar has, as the control plane knows it (resources, subscriptions,
 * rejections), or what is in force in it, as it says itself. Owns nothing beyond a call.
 */
#include <inttypes.h>
#include <stdio.h>

#include "cli/ask.h"
#include "cli/output.h"
#include "cli/table.h"
#include "lib/base/alloc.h"

#define CONFIG_PARAMS(PARAM)                                                                         \
	PARAM(sidecar, STRING, "sidecar", NULL, "", 0, 300, "URL",                                   \
		"Ask this sidecar's admin endpoint instead, for what is in force there; it answers " \
		"within its pod alone.")                                                             \
	ASK_CONTROL_PLANE(PARAM)                                                                     \
	ASK_OUTPUT(PARAM)

/* On the command's stack; freed by conf_free. */
struct config_conf {
	CONFIG_PARAMS(PARAM_MEMBER)
};

#define CONFIG_ROW(...) PARAM_ROW(struct config_conf, __VA_ARGS__)
static const struct param config_params[] = {CONFIG_PARAMS(CONFIG_ROW)};

static const struct conf_program program = {
	.name = "weft config",
	.summary =
		"show what a sidecar has: each resource with its hash and whether it is in force, "
		"what the pod asked for and what the answer was, and what was refused and why. Exit "
		"code 0: shown, 1: not connected or no answer, 2: wrong usage.",
	.synopsis = "weft config [flags] NAMESPACE/POD\n"
		    "  weft config [flags] --sidecar URL",
	.examples = "weft config shop/web-1\n"
		    "  weft config --sidecar http://127.0.0.1:15000 -o json | jq .services",
	.params = config_params,
	.n_params = sizeof(config_params) / sizeof(config_params[0]),
};

static void print_field(struct arena *a, const char *label, struct str value)
{
	struct str safe = table_safe(a, value);
	printf("%-14s%.*s\n", label, STR_ARG(safe));
}

/* --- by the control plane --- */

static void print_resources(struct arena *a, const struct yaml_node *p)
{
	static const char *const titles[] = {"RESOURCE", "HASH", "STATE", NULL};
	struct table t;
	table_init(&t, a, titles);
	for (const struct yaml_node *r = ask_first(p, "resourceList"); r != NULL; r = r->next) {
		table_add(&t, ask_str(r, "name"));
		table_add(&t, str_sub(ask_str(r, "hash"), 0, 12));
		table_add(&t, ask_str(r, "state"));
	}
	if (t.n > t.columns)
		putchar('\n');
	table_print(&t);
}

static void print_subscriptions(struct arena *a, const struct yaml_node *p)
{
	static const char *const titles[] = {"ASKED FOR", "ANSWER", NULL};
	struct table t;
	table_init(&t, a, titles);
	for (const struct yaml_node *s = ask_first(p, "keys"); s != NULL; s = s->next) {
		table_add(&t, ask_str(s, "key"));
		table_add(&t, ask_str(s, "answer"));
	}
	if (t.n > t.columns)
		putchar('\n');
	table_print(&t);
}

static void print_rejections(struct arena *a, const struct yaml_node *p)
{
	static const char *const titles[] = {"REFUSED", "FIELD", "REASON", NULL};
	struct table t;
	table_init(&t, a, titles);
	for (const struct yaml_node *r = ask_first(p, "rejections"); r != NULL; r = r->next) {
		table_add(&t, ask_str(r, "resource"));
		table_add(&t, ask_str(r, "field"));
		table_add(&t, ask_str(r, "reason"));
	}
	if (t.n > t.columns)
		putchar('\n');
	table_print(&t);
}

static void print_proxy(struct arena *a, const struct yaml_node *p)
{
	print_field(a, "pod", ask_str(p, "pod"));
	print_field(a, "identity", ask_str(p, "identity"));
	print_field(a, "pod UID", ask_str(p, "uid"));
	print_field(a, "version", ask_str(p, "version"));
	print_field(a, "address", ask_str(p, "address"));
	print_field(a, "connected", ask_str(p, "connectedSince"));
	print_field(a, "position", ask_str(p, "position"));
	print_resources(a, p);
	print_subscriptions(a, p);
	print_rejections(a, p);
}

/* False where the pod has no stream. */
static bool show_pod(struct asked *a, const char *pod)
{
	const struct yaml_node *p = ask_first(a->json, "proxies");
	if (p == NULL) {
		command_fail(&program, "%s is not connected; 'weft proxy-status' shows who is",
			pod);
		return false;
	}
	for (; p != NULL; p = p->next)
		print_proxy(&a->arena, p);
	return true;
}

/* --- by the sidecar --- */

static struct str joined(struct arena *a, const struct yaml_node *first, const char *key)
{
	struct str all = STR_NULL;
	for (const struct yaml_node *n = first; n != NULL; n = n->next) {
		struct str one = key != NULL ? ask_str(n, key) : n->text;
		all = all.n == 0 ? one : arena_printf(a, "%.*s,%.*s", STR_ARG(all), STR_ARG(one));
	}
	return all;
}

static void print_if(struct arena *a, const char *label, struct str value)
{
	if (value.n > 0)
		print_field(a, label, value);
}

/* Where its configuration comes from, and what is wrong there. */
static void print_control_plane(struct arena *a, const struct yaml_node *dump)
{
	const struct yaml_node *cp = yaml_field(dump, STR("control_plane"));
	const struct yaml_node *d = yaml_field(cp, STR("discovery"));
	if (cp == NULL) {
		print_if(a, "state file", ask_str(dump, "state_error"));
		return;
	}
	print_field(a, "control plane",
		arena_printf(a, "%.*s, %s", STR_ARG(ask_str(cp, "address")),
			ask_bool(d, "connected") ? "connected" : "not connected"));
	print_if(a, "position", ask_str(d, "position"));
	print_if(a, "connecting", ask_str(cp, "error"));
	print_if(a, "certificate", ask_str(yaml_field(cp, STR("identity")), "error"));
	print_if(a, "discovery", ask_str(d, "failure"));
	print_if(a, "state file", ask_str(yaml_field(cp, STR("state_file")), "error"));
}

static void print_workload(struct arena *a, const struct yaml_node *dump)
{
	const struct yaml_node *id = yaml_field(dump, STR("identity"));
	const struct yaml_node *w = yaml_field(dump, STR("workload"));
	char until[OUTPUT_TIME];
	if (id == NULL) {
		printf("no configuration is in force\n");
		print_control_plane(a, dump);
		return;
	}
	output_time((int64_t)ask_u64(id, "not_after"), until);
	print_field(a, "pod",
		arena_printf(a, "%.*s/%.*s", STR_ARG(ask_str(w, "namespace")),
			STR_ARG(ask_str(w, "pod"))));
	print_field(a, "identity", ask_str(id, "spiffe_id"));
	print_field(a, "certificate",
		arena_printf(a, "serial %.*s until %s", STR_ARG(ask_str(id, "serial")), until));
	print_field(a, "mTLS", ask_str(w, "mtls"));
	print_control_plane(a, dump);
}

static void print_destinations(struct arena *a, const struct yaml_node *dump)
{
	static const char *const titles[] = {
		"DESTINATION", "ADDRESSES", "PORTS", "ENDPOINTS", NULL};
	struct table t;
	table_init(&t, a, titles);
	for (const struct yaml_node *s = ask_first(dump, "services"); s != NULL; s = s->next) {
		table_addf(&t, "Service/%.*s/%.*s", STR_ARG(ask_str(s, "namespace")),
			STR_ARG(ask_str(s, "name")));
		table_add(&t, joined(a, ask_first(s, "addresses"), NULL));
		table_add(&t, joined(a, ask_first(s, "ports"), "port"));
		table_addf(&t, "%zu", ask_count(s, "endpoints"));
	}
	for (const struct yaml_node *p = ask_first(dump, "pods"); p != NULL; p = p->next) {
		table_addf(&t, "Pod/%.*s/%.*s", STR_ARG(ask_str(p, "namespace")),
			STR_ARG(ask_str(p, "pod")));
		table_add(&t, joined(a, ask_first(p, "addresses"), NULL));
		table_add(&t, joined(a, ask_first(p, "ports"), "port"));
		table_add(&t, STR_NULL);
	}
	if (t.n > t.columns)
		putchar('\n');
	table_print(&t);
}

static void print_policies(struct arena *a, const struct yaml_node *dump)
{
	static const char *const titles[] = {"POLICY", "ACTION", "RULES", "BROKEN", NULL};
	struct table t;
	table_init(&t, a, titles);
	for (const struct yaml_node *p = ask_first(dump, "policies"); p != NULL; p = p->next) {
		table_addf(&t, "%.*s/%.*s", STR_ARG(ask_str(p, "namespace")),
			STR_ARG(ask_str(p, "name")));
		table_add(&t, ask_str(p, "action"));
		table_addf(&t, "%zu", ask_count(p, "rules"));
		table_add(&t, ask_str(p, "broken"));
	}
	if (t.n > t.columns)
		putchar('\n');
	table_print(&t);
}

static bool show_sidecar(struct asked *a, const char *url)
{
	if (yaml_field(a->json, STR("state_error")) == NULL) {
		command_fail(&program,
			"%s is no weft-sidecar's admin endpoint (--sidecar); what weft-ctrlplane "
			"knows of a sidecar is told for NAMESPACE/POD",
			url);
		return false;
	}
	print_workload(&a->arena, a->json);
	print_destinations(&a->arena, a->json);
	print_policies(&a->arena, a->json);
	print_rejections(&a->arena,
		yaml_field(yaml_field(a->json, STR("control_plane")), STR("discovery")));
	return true;
}

/* --- the command --- */

static int config(const struct config_conf *conf, const char *pod)
{
	struct asked a;
	char *target =
		pod != NULL ? mem_printf("/proxies?pod=%s", pod) : mem_strdup("/config_dump");
	const struct fetch f = {.method = "GET",
		.url = pod != NULL ? conf->control_plane : conf->sidecar,
		.target = target,
		.program = pod != NULL ? "weft-ctrlplane" : "weft-sidecar",
		.flag = pod != NULL ? "--control-plane" : "--sidecar"};
	bool good = ask(&program, &f, &a);
	if (good && conf->output == ASK_JSON) {
		ask_print(&a);
		good = pod == NULL || ask_count(a.json, "proxies") > 0;
	} else if (good) {
		good = pod != NULL ? show_pod(&a, pod) : show_sidecar(&a, conf->sidecar);
	}
	ask_end(&a);
	mem_free(target);
	return good ? CLI_OK : CLI_FAIL;
}

int cli_config(int argc, char **argv)
{
	struct config_conf conf = {0};
	int n_words, code;
	if (!command_load(&program, argc, argv, 0, 1, &conf, &n_words, &code))
		return code;
	const char *pod = n_words > 0 ? argv[1] : NULL;
	if ((pod != NULL) == (conf.sidecar[0] != '\0'))
		code = command_misuse(&program, "give either NAMESPACE/POD or --sidecar URL");
	else if (pod == NULL || ask_is_pod(&program, pod, &code))
		code = config(&conf, pod);
	conf_free(&program, &conf);
	return code;
}

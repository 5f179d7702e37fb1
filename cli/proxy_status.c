/*
 * `weft proxy-status`: who is connected to the control plane, whether each has what it should have,
 * and what each refused and why. Owns nothing beyond a call.
 */
#include <stdio.h>

#include "cli/ask.h"
#include "cli/table.h"
#include "lib/base/alloc.h"

#define STATUS_PARAMS(PARAM)     \
	ASK_CONTROL_PLANE(PARAM) \
	ASK_OUTPUT(PARAM)

/* On the command's stack; freed by conf_free. */
struct status_conf {
	STATUS_PARAMS(PARAM_MEMBER)
};

#define STATUS_ROW(...) PARAM_ROW(struct status_conf, __VA_ARGS__)
static const struct param status_params[] = {STATUS_PARAMS(STATUS_ROW)};

static const struct conf_program program = {
	.name = "weft proxy-status",
	.summary =
		"show which sidecars are connected to the control plane, whether each has in force "
		"what it should have, and what each refused and why. SYNCED is yes; behind (the "
		"sidecar knows a later position of the source than the control plane); waiting (to "
		"be admitted, or an answer of the sidecar is due); withheld (nothing can be told, "
		"the reason stands below); rejected N. Exit code 0: all that the source has are "
		"connected and synced; 1: not all, or there is no answer; 2: wrong usage.",
	.synopsis = "weft proxy-status [flags] [NAMESPACE/POD]",
	.examples = "weft proxy-status\n"
		    "  weft proxy-status shop/web-1\n"
		    "  weft proxy-status -o json | jq '.proxies[].rejections'",
	.params = status_params,
	.n_params = sizeof(status_params) / sizeof(status_params[0]),
};

/* The one word about a sidecar. */
static struct str synced(struct arena *a, const struct yaml_node *p)
{
	size_t rejected = ask_count(p, "rejections");
	if (rejected > 0)
		return arena_printf(a, "rejected %zu", rejected);
	if (ask_bool(p, "behind"))
		return STR("behind");
	if (ask_str(p, "withheld").n > 0)
		return STR("withheld");
	return ask_bool(p, "waiting") || ask_bool(p, "unanswered") ? STR("waiting") : STR("yes");
}

static bool all_synced(struct asked *a)
{
	if (!ask_bool(a->json, "ready") || ask_count(a->json, "notConnected") > 0)
		return false;
	for (const struct yaml_node *p = ask_first(a->json, "proxies"); p != NULL; p = p->next)
		if (!str_eq(synced(&a->arena, p), STR("yes")))
			return false;
	return true;
}

/* What of a SPIFFE ID does not follow from the pod's own namespace. */
static struct str account(struct str id)
{
	size_t from = id.n;
	while (from > 0 && id.p[from - 1] != '/')
		from--;
	return str_sub(id, from, id.n - from);
}

static void print_proxies(struct asked *a)
{
	static const char *const titles[] = {
		"POD", "ACCOUNT", "VERSION", "CONNECTED", "SYNCED", "RESOURCES", NULL};
	struct table t;
	table_init(&t, &a->arena, titles);
	for (const struct yaml_node *p = ask_first(a->json, "proxies"); p != NULL; p = p->next) {
		table_add(&t, ask_str(p, "pod"));
		table_add(&t, account(ask_str(p, "identity")));
		table_add(&t, ask_str(p, "version"));
		table_add(&t, ask_age(&a->arena, ask_str(p, "connectedSince")));
		table_add(&t, synced(&a->arena, p));
		table_addf(&t, "%llu", (unsigned long long)ask_u64(p, "resources"));
	}
	for (const struct yaml_node *p = ask_first(a->json, "notConnected"); p != NULL;
		p = p->next) {
		table_add(&t, ask_str(p, "pod"));
		table_add(&t, account(ask_str(p, "identity")));
		table_add(&t, STR_NULL);
		table_add(&t, STR("no"));
		table_add(&t, STR("no"));
		table_add(&t, STR_NULL);
	}
	table_sort(&t);
	table_print(&t);
}

/* What to do about a refusal, by what was refused. */
static const char *remedy(struct str resource)
{
	if (str_starts(resource, STR("AuthorizationPolicy/")))
		return "mend the policy in the source; until then what was in force before stays, and "
		       "where there was nothing it denies what it selects";
	if (str_starts(resource, STR("TrustBundle/")) || str_starts(resource, STR("Revocations")))
		return "see 'weft ca status'; until then the ones before stay";
	return "mend the object in the source ('weft check' shows what is wrong), or give the sidecar "
	       "a version that knows the field; until then the one before stays";
}

static void print_trouble(struct asked *a, const struct yaml_node *p)
{
	struct str pod = table_safe(&a->arena, ask_str(p, "pod"));
	struct str withheld = table_safe(&a->arena, ask_str(p, "withheld"));
	if (withheld.n > 0)
		printf("\n%.*s gets nothing: %.*s\n", STR_ARG(pod), STR_ARG(withheld));
	for (const struct yaml_node *r = ask_first(p, "rejections"); r != NULL; r = r->next) {
		struct str resource = table_safe(&a->arena, ask_str(r, "resource"));
		struct str field = table_safe(&a->arena, ask_str(r, "field"));
		struct str reason = table_safe(&a->arena, ask_str(r, "reason"));
		printf("\n%.*s refused %.*s%s%.*s: %.*s\n  %s\n", STR_ARG(pod), STR_ARG(resource),
			field.n > 0 ? ": " : "", STR_ARG(field), STR_ARG(reason), remedy(resource));
	}
}

static void print_text(struct asked *a)
{
	print_proxies(a);
	for (const struct yaml_node *p = ask_first(a->json, "proxies"); p != NULL; p = p->next)
		print_trouble(a, p);
	if (ask_count(a->json, "notConnected") > 0)
		printf("\nNot connected: these pods of the source have a sidecar, and it is not here.\n"
		       "Does it run, and does its --control-plane lead here? Its log says why not.\n");
	if (ask_count(a->json, "proxies") + ask_count(a->json, "notConnected") == 0)
		printf("no sidecar is connected, and no pod of the source has one\n");
	if (!ask_bool(a->json, "ready"))
		printf("\nThe control plane is not ready:\n");
	for (const struct yaml_node *r = ask_first(a->json, "notReady"); r != NULL; r = r->next) {
		struct str text = table_safe(&a->arena, r->text);
		printf("  %.*s\n", STR_ARG(text));
	}
}

/* The pod that was asked for is neither connected nor in the source. */
static bool is_unknown(const struct asked *a)
{
	return ask_count(a->json, "proxies") + ask_count(a->json, "notConnected") == 0;
}

static int status(const struct status_conf *conf, const char *pod)
{
	struct asked a;
	char *target = pod != NULL ? mem_printf("/proxies?pod=%s", pod) : mem_strdup("/proxies");
	const struct fetch f = {.method = "GET",
		.url = conf->control_plane,
		.target = target,
		.program = "weft-ctrlplane",
		.flag = "--control-plane"};
	bool good = ask(&program, &f, &a);
	if (good) {
		if (conf->output == ASK_JSON)
			ask_print(&a);
		else if (pod == NULL || !is_unknown(&a))
			print_text(&a);
		if (pod != NULL && is_unknown(&a)) {
			command_fail(&program, "%s: not connected, and no meshed pod of the source",
				pod);
			good = false;
		}
		good = good && all_synced(&a);
	}
	ask_end(&a);
	mem_free(target);
	return good ? CLI_OK : CLI_FAIL;
}

int cli_proxy_status(int argc, char **argv)
{
	struct status_conf conf = {0};
	int n_words, code;
	if (!command_load(&program, argc, argv, 0, 1, &conf, &n_words, &code))
		return code;
	if (n_words == 0 || ask_is_pod(&program, argv[1], &code))
		code = status(&conf, n_words > 0 ? argv[1] : NULL);
	conf_free(&program, &conf);
	return code;
}

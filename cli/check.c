/*
 * `weft check`: says whether manifests would compile, and what is wrong where they would not. Owns
 * nothing beyond a call.
 */
#include "cli/manifest.h"
#include "cli/output.h"

enum format { FORMAT_TEXT, FORMAT_JSON };

#define CHECK_PARAMS(PARAM)                                                                     \
	PARAM(notes, BOOL, "notes", NULL, "false", 0, 0, "",                                    \
		"Show what was passed over too, such as kinds that this version does not use.") \
	PARAM(output, CHOICE, "output", NULL, "text", 0, 0, "text|json",                        \
		"Format of the answer; -o is short for it.")

/* On the command's stack; freed by conf_free. */
struct check_conf {
	CHECK_PARAMS(PARAM_MEMBER)
};

#define CHECK_ROW(...) PARAM_ROW(struct check_conf, __VA_ARGS__)
static const struct param check_params[] = {CHECK_PARAMS(CHECK_ROW)};

static const struct conf_program program = {
	.name = "weft check",
	.summary =
		"say whether Kubernetes YAML (Pod, Service, EndpointSlice, AuthorizationPolicy, "
		"PeerAuthentication, TrafficPolicy, MeshConfig) would compile, with file, line, "
		"object and field of each problem. Exit code 0: it would, 1: it would not, 2: wrong usage.",
	.synopsis = "weft check [flags] DIR|FILE|-...",
	.examples = "weft check manifests/\n"
		    "  weft check -o json policy.yaml\n"
		    "  kubectl get services,pods -A -o yaml | weft check - policies/",
	.params = check_params,
	.n_params = sizeof(check_params) / sizeof(check_params[0]),
};

static void print_counts(const struct world *w)
{
	struct world_counts n;
	const struct problems *l = world_problems(w);
	world_count(w, &n);
	printf("files %zu, Services %zu, Pods %zu (meshed %zu), AuthorizationPolicies %zu, "
	       "PeerAuthentications %zu: errors %zu, warnings %zu\n",
		n.files, n.services, n.pods, n.meshed, n.policies, n.peer_auths,
		l->count[PROBLEM_ERROR], l->count[PROBLEM_WARNING]);
}

static void print_json(const struct world *w, bool good)
{
	struct output o;
	struct world_counts n;
	world_count(w, &n);
	output_begin(&o);
	json_object(&o.json);
	json_key_bool(&o.json, "valid", good);
	json_key_u64(&o.json, "files", n.files);
	json_key_u64(&o.json, "services", n.services);
	json_key_u64(&o.json, "pods", n.pods);
	json_key_u64(&o.json, "meshedPods", n.meshed);
	json_key_u64(&o.json, "authorizationPolicies", n.policies);
	json_key_u64(&o.json, "peerAuthentications", n.peer_auths);
	json_key(&o.json, "problems");
	problems_json(world_problems(w), &o.json);
	json_object_end(&o.json);
	output_end(&o);
}

int cli_check(int argc, char **argv)
{
	struct check_conf conf = {0};
	int n_words, code;
	if (!command_load(&program, argc, argv, 1, argc, &conf, &n_words, &code))
		return code;
	struct world *w = world_new();
	bool good = manifest_load(&program, argv + 1, n_words, w);
	if (good) {
		good = world_problems(w)->count[PROBLEM_ERROR] == 0;
		if (conf.output == FORMAT_JSON) {
			print_json(w, good);
		} else {
			manifest_print(w, conf.notes);
			print_counts(w);
		}
	}
	world_free(&w);
	conf_free(&program, &conf);
	return good ? CLI_OK : CLI_FAIL;
}

/*
 * `weft show-state`: what is in a state file, and whether a sidecar would take it. The key is not
 * shown. Owns nothing beyond a call.
 */
#include <inttypes.h>

#include "cli/cert.h"
#include "cli/output.h"
#include "cli/state_json.h"
#include "lib/base/alloc.h"
#include "lib/base/err.h"
#include "lib/crypto/crypto.h"
#include "sidecar/snapshot/state.h"

enum format { FORMAT_TEXT, FORMAT_JSON };

#define SHOW_PARAMS(PARAM)                                                                        \
	PARAM(now, U64, "now", NULL, "0", 0, 0, "seconds",                                        \
		"The time to judge validity by, since the epoch; 0: the clock's.")                \
	PARAM(output, CHOICE, "output", NULL, "text", 0, 0, "text|json",                          \
		"Format of the answer; -o is short for it. JSON has every field, text a line of " \
		"each resource.")

/* On the command's stack; freed by conf_free. */
struct show_state_conf {
	SHOW_PARAMS(PARAM_MEMBER)
};

#define SHOW_ROW(...) PARAM_ROW(struct show_state_conf, __VA_ARGS__)
static const struct param show_params[] = {SHOW_PARAMS(SHOW_ROW)};

static const struct conf_program program = {
	.name = "weft show-state",
	.summary = "say what is in the state file of a sidecar, and whether it would take it. The "
		   "private key is not shown. Exit code 0: it would, 1: it would not, or the file "
		   "cannot be read.",
	.synopsis = "weft show-state [flags] FILE",
	.examples = "weft show-state web-1.state\n"
		    "  weft show-state -o json web-1.state | jq '.used[].name'",
	.params = show_params,
	.n_params = sizeof(show_params) / sizeof(show_params[0]),
};

/* What is shown; on the stack of cli_show_state. */
struct shown {
	const char *path;
	Weft__Mesh__V1__State *state;
	struct cert_chain *chain; /* NULL: cannot be parsed */
	int64_t now;
	bool good;
	char why[512]; /* not good: what the sidecar would say */
};

static void judge(struct shown *s)
{
	struct snapshot *snapshot;
	const struct state_expect expect = {.now = s->now};
	s->good = state_load(s->path, &expect, 0, &snapshot, s->why, sizeof(s->why)) == 0;
	if (s->good)
		snapshot_unref(&snapshot);
}

/* -- text ------------------------------------------------------------------------------------- */

static void print_field(const char *label, const char *value)
{
	printf("%-14s", label);
	output_safe(str_from(value));
	putchar('\n');
}

static void print_identity(const struct shown *s)
{
	char from[OUTPUT_TIME], to[OUTPUT_TIME];
	if (s->chain == NULL) {
		print_field("identity", "the chain cannot be parsed");
		return;
	}
	const struct cert_leaf *leaf = cert_chain_leaf(s->chain);
	output_time(leaf->not_before, from);
	output_time(leaf->not_after, to);
	printf("%-14s", "identity");
	output_safe(leaf->id.id);
	printf("\n%-14sserial %.*s, %s to %s, pod UID ", "", STR_ARG(leaf->serial), from, to);
	output_safe(leaf->pod_uid.n > 0 ? leaf->pod_uid : STR("none"));
	putchar('\n');
}

static void print_head(const struct shown *s)
{
	char written[OUTPUT_TIME];
	const Weft__Mesh__V1__State *st = s->state;
	output_time(st->written_at, written);
	print_field("file", s->path);
	print_field("trust domain", st->trust_domain);
	print_field("pod UID", st->pod_uid);
	printf("%-14s%s (%" PRId64 " s ago)\n", "written", written, s->now - st->written_at);
	if (st->position[0] != '\0')
		print_field("position", st->position);
	print_identity(s);
	printf("%-14s%s\n", "key", st->key.len > 0 ? "there, not shown" : "missing");
	print_field("usable", s->good ? "yes" : s->why);
}

static void print_addresses(const ProtobufCBinaryData *list, size_t n)
{
	char text[ADDR_TEXT];
	for (size_t i = 0; i < n; i++)
		printf("%s%s", i == 0 ? "" : ",", state_address_text(&list[i], text));
	if (n == 0)
		printf("no address");
}

static void print_ports(Weft__Mesh__V1__WorkloadPort *const *list, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		bool declared = list[i]->protocol != 0;
		printf("%s%u%s%s", i == 0 ? " ports " : ",", list[i]->port, declared ? "/" : "",
			declared ? state_protocol_text(list[i]->protocol) : "");
	}
}

static void print_endpoint(const Weft__Mesh__V1__Endpoint *ep)
{
	print_addresses(ep->addresses, ep->n_addresses);
	print_ports(ep->ports, ep->n_ports);
	printf(" %s %s%s", state_mode_text(ep->mtls_mode), ep->meshed ? "meshed" : "not meshed",
		ep->ready ? "" : " not ready");
}

static void print_service(const Weft__Mesh__V1__Service *svc)
{
	size_t ready = 0;
	print_addresses(svc->addresses, svc->n_addresses);
	for (size_t i = 0; i < svc->n_ports; i++) {
		bool declared = svc->ports[i]->protocol != 0;
		printf("%s%u%s%s", i == 0 ? " ports " : ",", svc->ports[i]->port,
			declared ? "/" : "",
			declared ? state_protocol_text(svc->ports[i]->protocol) : "");
	}
	for (size_t i = 0; i < svc->n_endpoints; i++)
		ready += svc->endpoints[i]->ready != 0;
	printf(", endpoints %zu (ready %zu)", svc->n_endpoints, ready);
}

static void print_policy(const Weft__Mesh__V1__AuthorizationPolicy *p)
{
	if (p->broken[0] != '\0') {
		printf("BROKEN, denies everything: ");
		output_safe(str_from(p->broken));
		return;
	}
	bool deny = p->action == WEFT__MESH__V1__AUTHORIZATION_POLICY__ACTION__DENY;
	printf("%s, %zu rule%s", deny ? "DENY" : "ALLOW", p->n_rules, p->n_rules == 1 ? "" : "s");
}

static void print_mesh(const Weft__Mesh__V1__Mesh *m)
{
	char text[ADDR_TEXT];
	bool any = m->outbound_traffic_policy ==
		WEFT__MESH__V1__OUTBOUND_TRAFFIC_POLICY__OUTBOUND_TRAFFIC_POLICY_ALLOW_ANY;
	printf("outside %s, inside", any ? "ALLOW_ANY" : "REGISTRY_ONLY");
	for (size_t i = 0; i < m->n_mesh_ranges; i++)
		printf(" %s/%u", state_address_text(&m->mesh_ranges[i]->address, text),
			m->mesh_ranges[i]->prefix);
}

static void print_content(const Weft__Mesh__V1__Resource *r)
{
	switch (r->kind_case) {
	case WEFT__MESH__V1__RESOURCE__KIND_WORKLOAD:
		print_addresses(r->workload->addresses, r->workload->n_addresses);
		print_ports(r->workload->ports, r->workload->n_ports);
		printf(" %s", state_mode_text(r->workload->mtls_mode));
		break;
	case WEFT__MESH__V1__RESOURCE__KIND_SERVICE:
		print_service(r->service);
		break;
	case WEFT__MESH__V1__RESOURCE__KIND_POD:
		if (r->pod->endpoint != NULL)
			print_endpoint(r->pod->endpoint);
		break;
	case WEFT__MESH__V1__RESOURCE__KIND_AUTHORIZATION_POLICY:
		print_policy(r->authorization_policy);
		break;
	case WEFT__MESH__V1__RESOURCE__KIND_MESH:
		print_mesh(r->mesh);
		break;
	case WEFT__MESH__V1__RESOURCE__KIND_TRUST_BUNDLE:
		printf("%zu bytes of roots", r->trust_bundle->roots.len);
		break;
	case WEFT__MESH__V1__RESOURCE__KIND_REVOCATIONS:
		printf("%zu serials", r->revocations->n_serials);
		break;
	case WEFT__MESH__V1__RESOURCE__KIND__NOT_SET:
	case _WEFT__MESH__V1__RESOURCE__KIND__CASE_IS_INT_SIZE:
		printf("of a kind that this version does not know");
		break;
	}
}

static int name_width(const Weft__Mesh__V1__State *st)
{
	size_t width = 8;
	for (size_t i = 0; i < st->n_required; i++)
		if (strlen(st->required[i]->name) > width)
			width = strlen(st->required[i]->name);
	for (size_t i = 0; i < st->n_used; i++)
		if (strlen(st->used[i]->name) > width)
			width = strlen(st->used[i]->name);
	return width < 60 ? (int)width : 60;
}

static void print_list(const char *title, Weft__Mesh__V1__Resource *const *list, size_t n,
	int width)
{
	printf("\n%-*s  %-8s  %s\n", width, title, "HASH", "CONTENT");
	for (size_t i = 0; i < n; i++) {
		char hex[9] = "-";
		size_t len = strlen(list[i]->name);
		if (list[i]->hash.len == SHA256_SIZE)
			crypto_hex(list[i]->hash.data, 4, hex);
		output_safe(str_from(list[i]->name));
		printf("%*s  %-8s  ", len < (size_t)width ? width - (int)len : 0, "", hex);
		print_content(list[i]);
		putchar('\n');
	}
}

static void print_text(const struct shown *s)
{
	int width = name_width(s->state);
	print_head(s);
	print_list("REQUIRED", s->state->required, s->state->n_required, width);
	print_list("USED", s->state->used, s->state->n_used, width);
}

/* -- JSON ------------------------------------------------------------------------------------- */

static void json_identity(struct json *j, const struct shown *s)
{
	char time[OUTPUT_TIME];
	json_key(j, "identity");
	if (s->chain == NULL) {
		json_null(j);
		return;
	}
	const struct cert_leaf *leaf = cert_chain_leaf(s->chain);
	json_object(j);
	json_key_str(j, "spiffeId", leaf->id.id);
	json_key_str(j, "podUid", leaf->pod_uid);
	json_key_str(j, "serial", leaf->serial);
	output_time(leaf->not_before, time);
	json_key_str(j, "notBefore", str_from(time));
	output_time(leaf->not_after, time);
	json_key_str(j, "notAfter", str_from(time));
	json_key_u64(j, "certificates", cert_chain_count(s->chain));
	char *pem = cert_chain_pem(s->chain);
	json_key_str(j, "pem", str_from(pem));
	mem_free(pem);
	json_object_end(j);
}

static void print_json(const struct shown *s)
{
	struct output o;
	struct json *j = &o.json;
	char time[OUTPUT_TIME];
	const Weft__Mesh__V1__State *st = s->state;
	output_begin(&o);
	json_object(j);
	json_key_str(j, "file", str_from(s->path));
	json_key_bool(j, "usable", s->good);
	if (!s->good)
		json_key_str(j, "reason", str_from(s->why));
	json_key_u64(j, "format", st->format);
	json_key_str(j, "trustDomain", str_from(st->trust_domain));
	json_key_str(j, "podUid", str_from(st->pod_uid));
	output_time(st->written_at, time);
	json_key_str(j, "writtenAt", str_from(time));
	json_key_str(j, "position", str_from(st->position));
	json_identity(j, s);
	json_key_str(j, "key", st->key.len > 0 ? STR("redacted") : STR(""));
	json_key(j, "required");
	state_json_resources(j, st->required, st->n_required, true);
	json_key(j, "used");
	state_json_resources(j, st->used, st->n_used, true);
	json_object_end(j);
	output_end(&o);
}

int cli_show_state(int argc, char **argv)
{
	struct show_state_conf conf = {0};
	int n_words, code;
	if (!command_load(&program, argc, argv, 1, 1, &conf, &n_words, &code))
		return code;
	struct shown s = {.path = argv[1], .now = (int64_t)conf.now};
	if (s.now == 0)
		s.now = cert_cli_now();
	if (state_read(s.path, &s.state, s.why, sizeof(s.why)) != 0) {
		conf_free(&program, &conf);
		return command_fail(&program, "%s", s.why);
	}
	if (cert_chain_parse(str_make(s.state->chain.data, s.state->chain.len), &s.chain) != 0)
		s.chain = NULL;
	judge(&s);
	if (conf.output == FORMAT_JSON)
		print_json(&s);
	else
		print_text(&s);
	cert_chain_unref(&s.chain);
	state_free(&s.state);
	conf_free(&program, &conf);
	return s.good ? CLI_OK : CLI_FAIL;
}

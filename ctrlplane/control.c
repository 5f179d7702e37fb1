/*
 * Answers the control socket, in JSON: what was done, or "error" with text. Owns the server; what
 * is asked for is done by the control plane's parts.
 */
#include "ctrlplane/control.h"

#include "ctrlplane/ctrlplane.h"
#include "ctrlplane/query.h"
#include "lib/base/alloc.h"
#include "lib/json/json.h"

#define TOKEN_LIFETIME (600 * NS_PER_S)
#define TOKEN_LIFETIME_MAX (7 * 86400 * NS_PER_S)
#define OVERLAP_MAX (365 * 86400 * NS_PER_S)

/* Owned by ctrlplane.c. */
struct control {
	struct control_config cfg;
	struct http_server *server;
};

/* --- answers --- */

static void begin(struct http_call *call, struct json *j)
{
	call->content_type = STR("application/json");
	json_init(j, call->out, true);
	json_object(j);
}

static void end(struct http_call *call, struct json *j)
{
	json_object_end(j);
	buf_append_str(call->out, STR("\n"));
}

static void refuse(struct http_call *call, uint16_t status, const char *text)
{
	struct json j;
	call->status = status;
	begin(call, &j);
	json_key_str(&j, "error", str_from(text));
	end(call, &j);
}

/* Sorted by what the caller can do about it. */
static uint16_t status_of(int err)
{
	switch (err) {
	case ERR_INVAL:
		return 400;
	case ERR_DENIED:
		return 403;
	case ERR_NOTFOUND:
		return 404;
	case ERR_EXISTS:
		return 409;
	case ERR_LIMIT:
		return 429;
	case ERR_AGAIN:
		return 503;
	default:
		return 500;
	}
}

static void answer_word(struct http_call *call, const char *key, const char *word)
{
	struct json j;
	begin(call, &j);
	json_key_str(&j, key, str_from(word));
	end(call, &j);
}

/* Refuses what the route does not know. */
static bool only_known(struct http_call *call, const char *const *known)
{
	char text[160];
	struct str unknown;
	if (query_known(call->query, known, &unknown))
		return true;
	snprintf(text, sizeof(text), "unknown parameter %.*s",
		(int)(unknown.n < 64 ? unknown.n : 64), unknown.p);
	refuse(call, 400, text);
	return false;
}

/* A duration of the query; *out stays as it is where there is none. */
static bool get_duration(struct http_call *call, const char *key, uint64_t min, uint64_t max,
	uint64_t *out)
{
	char text[160], least[CONF_TEXT], most[CONF_TEXT];
	struct str value;
	uint64_t ns;
	if (!query_get(call->query, str_from(key), call->arena, &value))
		return true;
	if (conf_parse_duration(value, &ns) == 0 && ns >= min && ns <= max) {
		*out = ns;
		return true;
	}
	conf_format_duration(min, least);
	conf_format_duration(max, most);
	snprintf(text, sizeof(text), "%s: expected a duration from %s to %s, such as 90s or 10m",
		key, least, most);
	refuse(call, 400, text);
	return false;
}

/* --- tokens --- */

static void answer_token(struct http_call *call, struct control *c, struct str pod,
	const char *token, uint64_t lifetime)
{
	char until[CLOCK_TEXT];
	struct json j;
	clock_format(ctrlplane_wall(c->cfg.ctrlplane) + lifetime, until, sizeof(until));
	begin(call, &j);
	json_key_str(&j, "pod", pod);
	json_key_str(&j, "token", str_from(token));
	json_key_str(&j, "expires", str_from(until));
	end(call, &j);
}

static void handle_token(void *arg, struct http_call *call)
{
	static const char *const known[] = {"pod", "lifetime", NULL};
	struct control *c = arg;
	struct str pod, ns, name;
	uint64_t lifetime = TOKEN_LIFETIME;
	char *token, err[512];
	if (!only_known(call, known) ||
		!get_duration(call, "lifetime", NS_PER_S, TOKEN_LIFETIME_MAX, &lifetime))
		return;
	if (!query_get(call->query, STR("pod"), call->arena, &pod)) {
		refuse(call, 400, "pod is missing: use /tokens?pod=NAMESPACE/NAME&lifetime=10m");
		return;
	}
	name = pod;
	if (str_find(pod, '/') <= 0 || !str_split(&name, '/', &ns) || name.n == 0 ||
		str_find(name, '/') >= 0) {
		refuse(call, 400, "pod: expected NAMESPACE/NAME");
		return;
	}
	int e = attest_create_token(ctrlplane_attest(c->cfg.ctrlplane), ns, name, lifetime, &token,
		err, sizeof(err));
	if (e != 0) {
		refuse(call, status_of(e), err);
		return;
	}
	answer_token(call, c, pod, token, lifetime);
	mem_free_secret(token, str_from(token).n);
}

/* --- CA --- */

static void answer_ca(struct http_call *call, struct control *c)
{
	struct json j;
	begin(call, &j);
	authority_describe(ctrlplane_authority(c->cfg.ctrlplane), &j);
	end(call, &j);
}

static void handle_ca(void *arg, struct http_call *call)
{
	answer_ca(call, arg);
}

static void handle_rotate(void *arg, struct http_call *call)
{
	static const char *const known[] = {"overlap", NULL};
	struct control *c = arg;
	uint64_t overlap = c->cfg.overlap_ns;
	char err[512];
	if (!only_known(call, known) || !get_duration(call, "overlap", 0, OVERLAP_MAX, &overlap))
		return;
	int e = authority_rotate(ctrlplane_authority(c->cfg.ctrlplane), overlap, err, sizeof(err));
	if (e != 0)
		refuse(call, status_of(e), err);
	else
		answer_ca(call, c);
}

static void handle_revoke(void *arg, struct http_call *call)
{
	static const char *const known[] = {"serial", NULL};
	struct control *c = arg;
	struct str serial;
	char err[512];
	struct json j;
	if (!only_known(call, known))
		return;
	if (!query_get(call->query, STR("serial"), call->arena, &serial)) {
		refuse(call, 400, "serial is missing: use /ca/revoke?serial=HEX");
		return;
	}
	int e = authority_revoke(ctrlplane_authority(c->cfg.ctrlplane), serial, err, sizeof(err));
	if (e != 0) {
		refuse(call, status_of(e), err);
		return;
	}
	begin(call, &j);
	json_key_str(&j, "revoked", serial);
	end(call, &j);
}

/* --- the process --- */

static void handle_log_level(void *arg, struct http_call *call)
{
	struct control *c = arg;
	enum log_level level;
	struct str value;
	if (!query_get(call->query, STR("level"), call->arena, &value) ||
		log_level_parse(value, &level) != 0) {
		refuse(call, 400, "use /loglevel?level=error|warn|info|debug|trace");
		return;
	}
	log_level_set(c->cfg.log, level);
	answer_word(call, "level", log_level_name(level));
}

static void handle_reload(void *arg, struct http_call *call)
{
	struct control *c = arg;
	struct json j;
	ctrlplane_reload(c->cfg.ctrlplane);
	begin(call, &j);
	store_describe(ctrlplane_store(c->cfg.ctrlplane), &j);
	end(call, &j);
}

static void handle_drain(void *arg, struct http_call *call)
{
	struct control *c = arg;
	ctrlplane_drain(c->cfg.ctrlplane);
	answer_word(call, "state", "draining");
}

static const struct http_route routes[] = {
	{"/tokens", "POST", handle_token, 0, "?pod=NAMESPACE/NAME&lifetime=10m"},
	{"/ca", "GET", handle_ca, 0, "roots, rotation and what was issued"},
	{"/ca/rotate", "POST", handle_rotate, 0, "?overlap=1h"},
	{"/ca/revoke", "POST", handle_revoke, 0, "?serial=HEX"},
	{"/loglevel", "POST", handle_log_level, 0, "?level=error|warn|info|debug|trace"},
	{"/reload", "POST", handle_reload, 0, "read the source again"},
	{"/drain", "POST", handle_drain, 0, "fail readiness, GOAWAY, exit"},
	{NULL, NULL, NULL, 0, NULL},
};

int control_open(const struct http_env *http, struct net *net, const struct control_config *cfg,
	struct control **out, char *err, size_t size)
{
	struct control *c = MEM_NEW(struct control);
	const struct http_server_config server = {
		.listen = {.unix_path = cfg->path}, .routes = routes, .arg = c};
	char why[400] = "";
	c->cfg = *cfg;
	int e = http_server_open(http, net, &server, &c->server, why, sizeof(why));
	if (e != 0) {
		snprintf(err, size, "control socket %s (--control-socket)", why);
		mem_free(c);
		c = NULL;
	}
	*out = c;
	return e;
}

void control_close(struct control **cp)
{
	struct control *c = *cp;
	if (c == NULL)
		return;
	*cp = NULL;
	http_server_close(&c->server);
	mem_free(c);
}

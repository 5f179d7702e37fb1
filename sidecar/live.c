/*
 * Identity and discovery on one side, the configuration in force and the last-good file on the
 * other. Nothing is in force before both are there; then each change of either makes a new
 * snapshot. Owns all of it; proxy.c owns this.
 */
#include "sidecar/live_internal.h"

#include <stdio.h>
#include <string.h>

#include "lib/base/alloc.h"
#include "sidecar/snapshot/build.h"

#define TICK_NS (10 * NS_PER_S)
#define FAST_TICK_NS NS_PER_S /* while something is missing */
#define REWRITE_S 120         /* the file says at least so often that the state is fresh */

/* -- a State from the two halves
 * -----------------------------------------------------------------------------------
 */

static void drop_key(struct live *l)
{
	if (l->key != NULL)
		mem_free_secret(l->key, l->key_n);
	l->key = NULL;
	l->key_n = 0;
}

static void take_key(struct live *l)
{
	drop_key(l);
	if (identity_key(l->identity) != NULL)
		l->key = cert_key_der(identity_key(l->identity), &l->key_n);
}

void live_add_identity(struct live *l, Weft__Mesh__V1__State *st)
{
	struct cert_chain *chain = identity_chain(l->identity);
	struct str session = identity_session(l->identity);
	if (chain != NULL) {
		struct str der = cert_chain_der(chain);
		st->chain =
			(ProtobufCBinaryData){.len = der.n, .data = (uint8_t *)(uintptr_t)der.p};
		st->key = (ProtobufCBinaryData){.len = l->key_n, .data = l->key};
	}
	if (session.n > 0)
		st->session = (char *)(uintptr_t)session.p;
}

/* What the resources themselves say of whom they are for. */
void live_complete(struct live *l, Weft__Mesh__V1__State *st)
{
	st->format = STATE_FORMAT;
	st->written_at = l->heard_at;
	for (size_t i = 0; i < st->n_required; i++) {
		const Weft__Mesh__V1__Resource *r = st->required[i];
		if (r->kind_case == WEFT__MESH__V1__RESOURCE__KIND_MESH)
			st->trust_domain = r->mesh->trust_domain;
		else if (r->kind_case == WEFT__MESH__V1__RESOURCE__KIND_WORKLOAD)
			st->pod_uid = r->workload->uid;
	}
	live_add_identity(l, st);
}

static int foreign(struct snapshot_fault *fault, const Weft__Mesh__V1__Resource *r,
	const char *field, struct str expected)
{
	fault->resource = r->name;
	snprintf(fault->field, sizeof(fault->field), "%s", field);
	snprintf(fault->reason, sizeof(fault->reason), "not of this sidecar, which is of %.*s",
		STR_ARG(expected));
	return ERR_INVAL;
}

/* A configuration of another pod or mesh is none for us, whoever sent it. */
static int check_owner(const struct live *l, const Weft__Mesh__V1__State *st,
	struct snapshot_fault *fault)
{
	struct str td = link_trust_domain(l->link), uid = str_from(l->cfg.params->pod_uid);
	for (size_t i = 0; i < st->n_required; i++) {
		const Weft__Mesh__V1__Resource *r = st->required[i];
		if (r->kind_case == WEFT__MESH__V1__RESOURCE__KIND_MESH && td.n > 0 &&
			!str_eq(td, str_from(r->mesh->trust_domain)))
			return foreign(fault, r, "trust_domain", td);
		if (r->kind_case == WEFT__MESH__V1__RESOURCE__KIND_WORKLOAD && uid.n > 0 &&
			!str_eq(uid, str_from(r->workload->uid)))
			return foreign(fault, r, "uid", uid);
	}
	return 0;
}

void live_take_roots(struct live *l, const Weft__Mesh__V1__State *st)
{
	for (size_t i = 0; i < st->n_required; i++) {
		const Weft__Mesh__V1__Resource *r = st->required[i];
		if (r->kind_case != WEFT__MESH__V1__RESOURCE__KIND_TRUST_BUNDLE ||
			strcmp(r->trust_bundle->trust_domain, st->trust_domain) != 0)
			continue;
		struct str roots =
			str_make(r->trust_bundle->roots.data, r->trust_bundle->roots.len);
		link_set_roots(l->link, str_from(st->trust_domain), roots);
		identity_roots(l->identity, roots);
	}
}

/* Validates, and puts in force where there is an identity. */
static int put_in_force(struct live *l, const Weft__Mesh__V1__State *st,
	struct snapshot_fault *fault)
{
	struct snapshot *snap;
	char err[256];
	uint64_t seed = rng_next(l->cfg.rng);
	if (identity_chain(l->identity) == NULL)
		return snapshot_try(st, seed, NULL, fault);
	int e = snapshot_try(st, seed, &snap, fault);
	if (e != 0)
		return e;
	e = l->cfg.in_force(l->cfg.arg, snap, err, sizeof(err));
	snapshot_unref(&snap);
	if (e != 0) {
		fault->resource = "(identity)";
		snprintf(fault->field, sizeof(fault->field), "chain");
		snprintf(fault->reason, sizeof(fault->reason), "%s", err);
	}
	return e;
}

/* -- discovery
 * ----------------------------------------------------------------------------------------------------
 */

static int on_check(void *arg, const Weft__Mesh__V1__Resource *r, struct snapshot_fault *fault)
{
	return snapshot_check_resource(link_trust_domain(live_check(arg)->link).p, r, fault);
}

static int on_apply(void *arg, const Weft__Mesh__V1__State *st, struct snapshot_fault *fault)
{
	struct live *l = live_check(arg);
	Weft__Mesh__V1__State whole = *st;
	l->heard_at = live_wall_s(l);
	live_complete(l, &whole);
	int e = check_owner(l, &whole, fault);
	if (e == 0)
		e = put_in_force(l, &whole, fault);
	if (e == 0)
		live_take_roots(l, &whole);
	return e;
}

static void on_answered(void *arg, const struct addr *ip)
{
	flow_lookup_done(live_check(arg)->cfg.flow, ip);
}

static bool on_in_use(void *arg, const struct addr *ip)
{
	return flow_uses(live_check(arg)->cfg.flow, ip);
}

/* What denies is kept before the control plane hears that it is in force: a process that is killed
 * then shall not come back without it. */
static void on_discovered(void *arg)
{
	struct live *l = live_check(arg);
	const struct snapshot *snap = l->cfg.flow->snap;
	keeper_touch(l->keeper);
	if (snap == NULL || memcmp(snap->rules, l->rules, sizeof(l->rules)) == 0)
		return;
	memcpy(l->rules, snap->rules, sizeof(l->rules));
	keeper_flush(l->keeper);
}

static void on_credential_refused(void *arg)
{
	identity_refused(live_check(arg)->identity);
}

static struct str credential(void *arg)
{
	return identity_credential(live_check(arg)->identity);
}

/* Who we are has to be known to the control plane before there is anything to ask it. */
static void discover(struct live *l)
{
	if (l->discovering) {
		discovery_kick(l->discovery);
		return;
	}
	if (identity_chain(l->identity) == NULL && identity_session(l->identity).n == 0)
		return;
	l->discovering = true;
	discovery_start(l->discovery);
}

/* -- identity
 * -----------------------------------------------------------------------------------------------------
 */

static struct str trust_domain(void *arg)
{
	return link_trust_domain(live_check(arg)->link);
}

static void on_identity(void *arg)
{
	struct live *l = live_check(arg);
	Weft__Mesh__V1__State st = WEFT__MESH__V1__STATE__INIT;
	struct snapshot_fault fault = {.resource = "(state)"};
	take_key(l);
	if (identity_chain(l->identity) != NULL && discovery_fill(l->discovery, &st)) {
		live_complete(l, &st);
		if (put_in_force(l, &st, &fault) != 0)
			log_at(l->cfg.log, LOG_ERROR, "identity",
				"the certificate cannot be put in force",
				LOG_Z("resource", fault.resource), LOG_Z("field", fault.field),
				LOG_Z("error", fault.reason));
	}
	keeper_touch(l->keeper);
	/* A token may have been spent for it: what came must not be lost with the process. */
	keeper_flush(l->keeper);
	discover(l);
}

/* -- time
 * ---------------------------------------------------------------------------------------------------------
 */

/* While the stream stands and has brought everything, what is in force is of now. */
static void refresh(struct live *l)
{
	l->heard_at = live_wall_s(l);
	if (l->cfg.flow->snap != NULL)
		snapshot_renew(l->cfg.flow->snap, l->heard_at);
	int64_t age = l->heard_at - keeper_written_at(l->keeper);
	if (age >= REWRITE_S || age < 0 /* the clock was set back */)
		keeper_touch(l->keeper);
}

static uint64_t tick_ns(const struct live *l)
{
	uint64_t ns = TICK_NS, quarter = l->cfg.params->max_stale / 4;
	if (!l->connected || identity_chain(l->identity) == NULL)
		ns = FAST_TICK_NS;
	else if (cert_chain_leaf(identity_chain(l->identity))->not_after < live_wall_s(l))
		ns = FAST_TICK_NS;
	return quarter > 0 && quarter < ns ? quarter : ns;
}

static void on_tick(void *arg)
{
	struct live *l = live_check(arg);
	bool connected = discovery_connected(l->discovery);
	if (connected)
		refresh(l);
	if (connected && !l->connected)
		identity_kick(l->identity);
	l->connected = connected;
	loop_timer_start(&l->tick, tick_ns(l));
}

/* -- life
 * --------------------------------------------------------------------------------------------------------
 */

static const struct discovery_user user = {
	.check = on_check,
	.apply = on_apply,
	.answered = on_answered,
	.in_use = on_in_use,
	.changed = on_discovered,
	.refused = on_credential_refused,
};

static enum lookup_answer ask_discovery(void *arg, const struct addr *ip)
{
	return (enum lookup_answer)discovery_ask(live_check(arg)->discovery, ip);
}

static void touch_discovery(void *arg, const struct addr *ip)
{
	discovery_touch(live_check(arg)->discovery, ip);
}

static void refresh_discovery(void *arg, const struct addr *ip)
{
	discovery_refresh(live_check(arg)->discovery, ip);
}

static void make_parts(struct live *l)
{
	const struct live_config *c = &l->cfg;
	const struct sidecar_params *p = c->params;
	struct grpc_channel_config channel = {
		.dialler = link_dialler(l->link), .authority = link_authority(l->link)};
	l->channel = grpc_channel_new(&c->http, &channel);
	struct identity_config identity = {.loop = c->http.loop,
		.log = c->log,
		.rng = c->rng,
		.channel = l->channel,
		.metrics = c->metrics,
		.token_file = p->token,
		.pod_uid = str_from(p->pod_uid),
		.trust_domain = trust_domain,
		.changed = on_identity,
		.arg = l};
	l->identity = identity_new(&identity);
	struct discovery_config discovery = {.loop = c->http.loop,
		.log = c->log,
		.rng = c->rng,
		.channel = l->channel,
		.credential = credential,
		.user = &user,
		.arg = l,
		.names = p->destinations,
		.max_destinations = (uint32_t)p->max_destinations,
		.max_negatives = (uint32_t)p->max_negatives};
	l->discovery = discovery_new(&discovery);
	struct keeper_config keeper = {.loop = c->http.loop,
		.log = c->log,
		.path = p->state,
		.fill = live_fill_state,
		.arg = l};
	l->keeper = keeper_new(&keeper);
}

int live_new(const struct live_config *cfg, struct live **out, char *err, size_t size)
{
	const struct sidecar_params *p = cfg->params;
	struct live *l = MEM_NEW(struct live);
	struct link_config link = {.loop = cfg->http.loop,
		.net = cfg->net,
		.bufs = cfg->http.bufs,
		.to = p->control_plane,
		.root_file = p->root,
		.id = p->control_plane_id,
		.trust_domain = p->trust_domain,
		.mark = cfg->mark,
		.connect_ns = p->connect_timeout,
		.tls_ns = p->handshake_timeout};
	*out = NULL;
	l->obj.magic = LIVE_MAGIC;
	l->cfg = *cfg;
	int e = link_new(&link, &l->link, err, size);
	if (e != 0) {
		mem_free(l);
		return e;
	}
	make_parts(l);
	loop_timer_init(&l->tick, cfg->http.loop, on_tick, l);
	*out = l;
	return 0;
}

void live_start(struct live *l)
{
	struct lookup lookup = {.ask = ask_discovery,
		.touch = touch_discovery,
		.refresh = refresh_discovery,
		.arg = l};
	flow_set_lookup(l->cfg.flow, &lookup);
	keeper_check_place(l->keeper);
	live_restore(l);
	take_key(l);
	identity_start(l->identity);
	discover(l);
	loop_timer_start(&l->tick, tick_ns(l));
}

void live_kick(struct live *l)
{
	identity_kick(l->identity);
	if (l->discovering)
		discovery_kick(l->discovery);
}

void live_free(struct live **lp)
{
	static const struct lookup nobody = {0};
	struct live *l = *lp;
	if (l == NULL)
		return;
	*lp = NULL;
	keeper_flush(l->keeper);
	loop_timer_stop(&l->tick);
	flow_set_lookup(l->cfg.flow, &nobody);
	discovery_free(&l->discovery);
	identity_free(&l->identity);
	grpc_channel_free(&l->channel);
	link_free(&l->link);
	keeper_free(&l->keeper);
	drop_key(l);
	loop_defer_free(l->cfg.http.loop, l, mem_free);
}

/* -- what it tells
 * -------------------------------------------------------------------------------------------------
 */

struct str live_refusal(const struct live *l)
{
	return l->cfg.flow->snap == NULL ? str_from(l->refusal) : STR_NULL;
}

void live_reasons(const struct live *l, struct buf *reasons)
{
	if (l->cfg.flow->snap == NULL && l->refusal[0] != '\0')
		buf_printf(reasons, "no last good state: %s\n", l->refusal);
	(void)identity_ready(l->identity, reasons);
	if (l->cfg.flow->snap == NULL)
		(void)discovery_ready(l->discovery, reasons);
}

void live_describe(const struct live *l, struct json *j)
{
	json_key_str(j, "address", str_from(l->cfg.params->control_plane));
	json_key_str(j, "root_file", str_from(l->cfg.params->root));
	json_key_bool(j, "connected", discovery_connected(l->discovery));
	json_key_str(j, "error", grpc_channel_failure(l->channel));
	json_key(j, "identity");
	json_object(j);
	identity_describe(l->identity, j);
	json_object_end(j);
	json_key(j, "discovery");
	json_object(j);
	discovery_describe(l->discovery, j);
	json_object_end(j);
	json_key_u64(j, "connections_waiting", l->cfg.flow->n_waiting);
	json_key(j, "state_file");
	json_object(j);
	keeper_describe(l->keeper, j);
	json_key_str(j, "refused_at_start", str_from(l->refusal));
	json_object_end(j);
}

void live_stats(const struct live *l, struct live_stats *out)
{
	struct discovery_stats d;
	discovery_stats(l->discovery, &d);
	*out = (struct live_stats){.connected = discovery_connected(l->discovery),
		.rejections = d.rejections,
		.subscriptions = d.subscriptions,
		.write_failures = keeper_failures(l->keeper),
		.files_refused = l->files_refused};
}

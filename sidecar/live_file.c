/*
 * The last-good file of a sidecar with a control plane: what goes into it, and what of it holds at
 * the next start. Owns nothing; called by live.c.
 */
#include <stdio.h>

#include "sidecar/live_internal.h"

/* An identity without configuration is worth keeping too: its token is spent. But it never takes
 * the place of a whole one. */
bool live_fill_state(void *arg, Weft__Mesh__V1__State *st)
{
	struct live *l = live_check(arg);
	struct cert_chain *chain = identity_chain(l->identity);
	if (chain == NULL)
		return false;
	if (discovery_fill(l->discovery, st)) {
		live_complete(l, st);
		l->saved_whole = true;
		return true;
	}
	if (l->saved_whole)
		return false;
	weft__mesh__v1__state__init(st);
	st->format = STATE_FORMAT;
	st->written_at = live_wall_s(l);
	st->trust_domain = (char *)(uintptr_t)link_trust_domain(l->link).p;
	st->pod_uid = (char *)(uintptr_t)l->cfg.params->pod_uid;
	live_add_identity(l, st);
	return true;
}

static void refuse_file(struct live *l, int err, const char *text)
{
	snprintf(l->refusal, sizeof(l->refusal), "%s", text);
	if (err == ERR_NOTFOUND) {
		log_at(l->cfg.log, LOG_INFO, "state", "no last good state yet",
			LOG_Z("error", text));
		return;
	}
	l->files_refused++;
	log_at(l->cfg.log, LOG_ERROR, "state",
		"last good state refused; waiting for the control plane", LOG_Z("error", text));
}

/* Whole: in force at once, without the control plane. */
static int restore_whole(struct live *l, const Weft__Mesh__V1__State *st,
	const struct state_expect *expect, char *err, size_t size)
{
	struct snapshot *snap;
	int e = state_accept(l->cfg.params->state, st, expect, rng_next(l->cfg.rng), &snap, err,
		size);
	if (e != 0)
		return e;
	e = l->cfg.in_force(l->cfg.arg, snap, err, size);
	if (e == 0) {
		l->heard_at = st->written_at;
		l->saved_whole = true;
		identity_restore(l->identity, snap->chain, snap->key, str_from(st->session));
		discovery_restore(l->discovery, st);
		live_take_roots(l, st);
	}
	snapshot_unref(&snap);
	return e;
}

/* The sidecar ended before it had a configuration. */
static int restore_identity(struct live *l, const Weft__Mesh__V1__State *st,
	const struct state_expect *expect, char *err, size_t size)
{
	struct cert_chain *chain = NULL;
	struct cert_key *key = NULL;
	int e = state_check_owner(l->cfg.params->state, st, expect, err, size);
	if (e != 0)
		return e;
	bool good = cert_chain_parse(str_make(st->chain.data, st->chain.len), &chain) == 0 &&
		cert_key_parse(str_make(st->key.data, st->key.len), &key) == 0 &&
		cert_chain_matches_key(chain, key);
	if (good && cert_chain_leaf(chain)->not_after >= expect->now)
		identity_restore(l->identity, chain, key, str_from(st->session));
	else if (good)
		e = ERR_EXPIRED;
	else
		e = ERR_VERIFY;
	if (e != 0)
		snprintf(err, size, "%s: the identity in it %s", l->cfg.params->state,
			good ? "has expired" : "does not hold together");
	cert_chain_unref(&chain);
	cert_key_unref(&key);
	return e;
}

void live_restore(struct live *l)
{
	const struct sidecar_params *p = l->cfg.params;
	link_learn_trust_domain(l->link);
	struct state_expect expect = {.trust_domain = link_trust_domain(l->link),
		.pod_uid = str_from(p->pod_uid),
		.now = live_wall_s(l),
		.max_stale = (int64_t)((p->max_stale + NS_PER_S - 1) / NS_PER_S)};
	Weft__Mesh__V1__State *st;
	char err[sizeof(l->refusal)];
	int e = state_read(p->state, &st, err, sizeof(err));
	if (e == 0) {
		e = st->n_required > 0 ? restore_whole(l, st, &expect, err, sizeof(err))
				       : restore_identity(l, st, &expect, err, sizeof(err));
		/* Of a good file of this pod whose time is over one thing is still of use. */
		if (e == ERR_EXPIRED)
			identity_restore(l->identity, NULL, NULL, str_from(st->session));
		state_free(&st);
	}
	if (e != 0)
		refuse_file(l, e, err);
}

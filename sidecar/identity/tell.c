/*
 * What an identity has and how it stands, for its user and for people. Owns nothing; changes
 * nothing but the token that was read last.
 */
#include "sidecar/identity/identity_internal.h"

struct cert_chain *identity_chain(const struct identity *i)
{
	return i->chain;
}

struct cert_key *identity_key(const struct identity *i)
{
	return i->key;
}

struct str identity_credential(void *identity)
{
	struct identity *i = identity_check(identity);
	if (i->session != NULL)
		return str_from(i->session);
	return identity_read_token(i);
}

struct str identity_session(const struct identity *i)
{
	return str_from(i->session);
}

bool identity_ready(const struct identity *i, struct buf *reasons)
{
	bool expired =
		i->chain != NULL && cert_chain_leaf(i->chain)->not_after < identity_wall_s(i);
	if (i->chain != NULL && !expired)
		return true;
	buf_printf(reasons, "%s: %s\n",
		expired ? "the own certificate has expired" : "no certificate",
		i->error[0] != '\0' ? i->error : "the control plane has not answered yet");
	return false;
}

void identity_describe(const struct identity *i, struct json *j)
{
	uint64_t now = loop_now(i->cfg.loop);
	if (i->chain != NULL) {
		const struct cert_leaf *leaf = cert_chain_leaf(i->chain);
		json_key_str(j, "spiffe_id", leaf->id.id);
		json_key_str(j, "serial", leaf->serial);
		json_key_str(j, "pod_uid", leaf->pod_uid);
		json_key(j, "not_after");
		json_i64(j, leaf->not_after);
	}
	json_key_bool(j, "session", i->session != NULL);
	json_key_str(j, "token_file", str_from(i->token_file));
	json_key_bool(j, "asking", i->call != NULL);
	json_key_u64(j, "next_attempt_in_seconds",
		i->schedule.at > now ? (i->schedule.at - now) / NS_PER_S : 0);
	json_key_u64(j, "failures_in_a_row", i->schedule.failures);
	json_key_u64(j, "issued", i->renewals);
	json_key_bool(j, "clocks_differ", i->skewed);
	json_key_str(j, "error", str_from(i->error));
}

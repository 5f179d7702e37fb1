/*
 * The transport half of the reason table, and which reason a failure has. Owns constant tables
 * only; called by codecs, flows and metrics.
 */
#include "lib/base/reason.h"

#include "lib/base/err.h"

static const struct reason_info reason_rows[REASON_COUNT] = {
#define REASON(name, label, http, grpc, h2, retry, text) \
	{#name, label, http, grpc, h2, retry, text},
#include "lib/base/reason.def"
#undef REASON
};

const struct reason_info *reason_info(int reason)
{
	return &reason_rows[reason >= 0 && reason < REASON_COUNT ? reason : REASON_INTERNAL];
}

/* What fails the same way on either side: this process, not the peer. */
static enum reason reason_of_ours(int err)
{
	return err == ERR_LIMIT || err == ERR_NOFILES ? REASON_OVERLOAD : REASON_INTERNAL;
}

enum reason reason_from_connect_err(int err)
{
	switch (err) {
	case ERR_CLOSED:
	case ERR_RESET:
	case ERR_REFUSED:
	case ERR_UNREACHABLE:
		return REASON_CONNECT_FAILED;
	case ERR_TIMEOUT:
		return REASON_CONNECT_TIMEOUT;
	case ERR_PROTOCOL:
	case ERR_VERIFY:
	case ERR_EXPIRED:
		return REASON_TLS_FAILED;
	}
	return reason_of_ours(err);
}

enum reason reason_from_upstream_err(int err)
{
	switch (err) {
	case ERR_CLOSED:
	case ERR_RESET:
	case ERR_UNREACHABLE:
	case ERR_TIMEOUT:
	case ERR_REFUSED: /* an ICMP port unreachable of late, told when retransmission gives up */
		return REASON_UPSTREAM_CLOSED;
	case ERR_PROTOCOL:
		return REASON_UPSTREAM_PROTOCOL;
	case ERR_VERIFY:
	case ERR_EXPIRED:
		return REASON_TLS_FAILED;
	}
	return reason_of_ours(err);
}

enum reason reason_from_downstream_err(int err)
{
	switch (err) {
	case ERR_CLOSED:
	case ERR_RESET:
	case ERR_UNREACHABLE:
	case ERR_TIMEOUT:
		return REASON_CLOSED;
	case ERR_PROTOCOL:
		return REASON_PROTOCOL;
	}
	return reason_of_ours(err);
}

enum reason reason_from_h2(uint32_t code, int from_upstream)
{
	enum { H2_REFUSED_STREAM = 7 };

	if (!from_upstream)
		return REASON_CANCELLED;
	return code == H2_REFUSED_STREAM ? REASON_NOT_PROCESSED : REASON_UPSTREAM_RESET;
}

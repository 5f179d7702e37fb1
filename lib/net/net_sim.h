/*
 * What tests tell a simulated network (net_new_sim) besides listening and dialling: which
 * connections fail, and which are redirected as the capture rules of a pod would, so that a whole
 * mesh runs in one process. All rules hold until they are replaced or the network goes.
 */
#ifndef WEFT_NET_NET_SIM_H
#define WEFT_NET_NET_SIM_H

#include "lib/net/addr.h"
#include "lib/net/io.h"
#include "lib/net/listen.h"

/*
 * Dials to this address (port 0: to any port of it) fail with err; ERR_TIMEOUT does so when the
 * dial's own time is up, as a network that drops everything. 0 clears. Open connections stay.
 */
void net_sim_fail(struct net *net, const struct addr *to, int err);
/* Dials whose packets were dropped try once more now, under the rules of now. */
void net_sim_retransmit(struct net *net);

/*
 * Outbound capture of a pod: what is dialled from from_ip to another address reaches this listener,
 * except by a dialler with a mark (the sidecar itself) and except to loopback. NULL removes.
 */
void net_sim_redirect(struct net *net, const struct addr *from_ip,
	const struct addr *outbound_listener);
/*
 * Inbound capture of a pod: what is dialled to to_ip, whatever the port, from another address
 * reaches this listener. NULL removes.
 */
void net_sim_redirect_in(struct net *net, const struct addr *to_ip,
	const struct addr *inbound_listener);

/*
 * Where the dialler of this accepted connection wanted to go, redirected or not, as SO_ORIGINAL_DST
 * with connection tracking answers. ERR_NOTFOUND where io does not stand on an accepted one.
 */
int net_sim_orig_dst(const struct io *io, struct addr *out);

#endif

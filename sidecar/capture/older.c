/*
 * Finds and ends what the rules came too late for. Owns the lists it makes; called by capture.c
 * when the rules are proven.
 */
#include "sidecar/capture/older.h"

#include <dirent.h>
#include <ifaddrs.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/base/alloc.h"
#include "lib/base/err.h"
#include "lib/base/map.h"
#include "sidecar/capture/rules.h"

#define OLDER_ROUNDS 3

static const struct capture_config *config_of(const struct rules_by_family *rules)
{
	return rules->v[0].cfg;
}

static bool is_listener_port(const struct capture_config *cfg, uint16_t port)
{
	return port == cfg->inbound_port || port == cfg->outbound_port;
}

/* Both ends of a connection as a key of the map: mine and theirs. */
static struct str pair_key(struct addr ends[2], const struct addr *mine, const struct addr *theirs)
{
	ends[0] = *mine;
	ends[1] = *theirs;
	return str_make(ends, 2 * sizeof(ends[0]));
}

/* The other end, where it is in this namespace too. */
static const struct tcp_socket *other_end(const struct map *by_pair, const struct tcp_socket *s)
{
	struct addr ends[2];

	return map_get(by_pair, pair_key(ends, &s->peer, &s->local));
}

/* Addresses and ports that are listened on, and pairs of the rest. */
struct index {
	struct map *by_pair;
	struct map *taken; /* peers of the sidecar's listeners: connections that were captured */
	struct map *listening; /* ports, by family and port */
};

static struct str port_key(const struct addr *a, uint16_t *port)
{
	*port = a->port;
	return str_make(port, sizeof(*port));
}

static void index_build(struct index *ix, const struct capture_config *cfg,
	const struct tcp_sockets *all)
{
	ix->by_pair = map_new(0);
	ix->taken = map_new(0);
	ix->listening = map_new(0);
	for (size_t i = 0; i < all->n; i++) {
		struct tcp_socket *s = &all->v[i];
		struct addr ends[2];
		uint16_t port;

		if (s->listening) {
			map_put(ix->listening, port_key(&s->local, &port), s);
			continue;
		}
		map_put(ix->by_pair, pair_key(ends, &s->local, &s->peer), s);
		if (is_listener_port(cfg, s->local.port) && s->uid == cfg->proxy_uid)
			map_put(ix->taken, addr_key(&s->peer), s);
	}
}

static void index_clear(struct index *ix)
{
	map_free(&ix->by_pair);
	map_free(&ix->taken);
	map_free(&ix->listening);
}

static bool rules_cover(const struct rules_by_family *rules, const struct tcp_socket *s,
	bool inbound, const char *iface)
{
	struct packet p = {.src = inbound ? s->peer : s->local,
		.dst = inbound ? s->local : s->peer,
		.uid = s->uid,
		.gid = UINT32_MAX, /* not told; the sidecar is known by its uid */
		.iface = iface};

	for (size_t i = 0; i < rules->n; i++)
		if (rules->v[i].family == (enum addr_family)s->local.family)
			return ruleset_verdict(&rules->v[i], inbound ? CHAIN_IN : CHAIN_OUT, &p) ==
				DO_REDIRECT;
	return false;
}

static bool is_older(const struct rules_by_family *rules, const struct index *ix,
	const struct tcp_socket *s, const char *iface)
{
	const struct capture_config *cfg = config_of(rules);
	const struct tcp_socket *other = other_end(ix->by_pair, s);
	uint16_t port;

	if (s->listening || s->orphan || is_listener_port(cfg, s->local.port))
		return false;
	if (addr_is_loopback(&s->local) || addr_is_loopback(&s->peer))
		return false;
	if (s->uid == cfg->proxy_uid || (other != NULL && other->uid == cfg->proxy_uid))
		return false;
	if (map_get(ix->taken, addr_key(&s->local)) != NULL)
		return false;
	/* What has a listener on its port was accepted; the rest was dialled. */
	bool inbound = map_get(ix->listening, port_key(&s->local, &port)) != NULL;
	/* Both ends here: never seen by the inbound chain, so the dialling end decides for both. */
	if (inbound && other != NULL)
		return rules_cover(rules, other, false, "lo");
	return rules_cover(rules, s, inbound, other != NULL ? "lo" : iface);
}

size_t older_find(const struct rules_by_family *rules, const struct tcp_sockets *all,
	const char *const *names, size_t *out)
{
	struct index ix;
	size_t n = 0;

	index_build(&ix, config_of(rules), all);
	for (size_t i = 0; i < all->n; i++)
		if (is_older(rules, &ix, &all->v[i], names[i]))
			out[n++] = i;
	index_clear(&ix);
	return n;
}

static const char *name_of(const struct ifaddrs *list, const struct addr *a)
{
	for (const struct ifaddrs *i = list; i != NULL; i = i->ifa_next) {
		struct addr has;

		if (i->ifa_addr != NULL && addr_from_sockaddr(i->ifa_addr, &has) == 0 &&
			addr_eq_ip(&has, a))
			return i->ifa_name;
	}
	return NULL;
}

/* Whether one of the process's descriptors is the socket: links to it are named want. */
static bool process_has(const char *pid, const char *want)
{
	char path[300], link[40];
	bool found = false;

	snprintf(path, sizeof(path), "/proc/%s/fd", pid);
	DIR *fds = opendir(path);
	for (const struct dirent *f; fds != NULL && !found && (f = readdir(fds)) != NULL;) {
		ssize_t n = readlinkat(dirfd(fds), f->d_name, link, sizeof(link));
		found = n > 0 && str_eq(str_make(link, (size_t)n), str_from(want));
	}
	if (fds != NULL)
		closedir(fds);
	return found;
}

static void name_process(const char *pid, char *dst, size_t size)
{
	char path[300], name[40] = "";

	snprintf(path, sizeof(path), "/proc/%s/comm", pid);
	FILE *comm = fopen(path, "re");
	if (comm != NULL && fgets(name, sizeof(name), comm) != NULL)
		name[strcspn(name, "\n")] = '\0';
	if (comm != NULL)
		fclose(comm);
	snprintf(dst, size, "%s (%.20s)", name, pid);
}

/* The process that has the socket open, as "name (pid)"; empty where none can be seen from here. */
static void find_process(uint64_t inode, char *dst, size_t size)
{
	char want[40];
	uint64_t pid;
	DIR *proc = inode != 0 ? opendir("/proc") : NULL;

	dst[0] = '\0';
	snprintf(want, sizeof(want), "socket:[%llu]", (unsigned long long)inode);
	for (const struct dirent *p; proc != NULL && dst[0] == '\0' && (p = readdir(proc)) != NULL;)
		if (str_to_u64(str_from(p->d_name), UINT32_MAX, &pid) == 0 &&
			process_has(p->d_name, want))
			name_process(p->d_name, dst, size);
	if (proc != NULL)
		closedir(proc);
}

/* Handles one; true where it is still open afterwards. */
static bool end_one(const struct tcp_socket *s, bool keep, struct log *log, int *err)
{
	char local[ADDR_TEXT], peer[ADDR_TEXT], process[80];
	enum log_level level = LOG_WARN;
	const char *msg = "older connection kept outside the mesh";
	bool open = false;

	/* Asked first: whoever loses the connection may close it, or end. */
	find_process(s->inode, process, sizeof(process));
	if (!keep) {
		int e = sockdiag_destroy(s);
		open = e < 0;
		msg = open ? "older connection could not be closed" : "older connection closed";
		level = open ? LOG_ERROR : LOG_WARN;
		*err = open ? e : *err;
	}
	log_at(log, level, "capture", msg, LOG_Z("local", addr_format(&s->local, local)),
		LOG_Z("peer", addr_format(&s->peer, peer)), LOG_U("uid", s->uid),
		LOG_U("inode", s->inode), LOG_Z("process", process));
	return open;
}

/* One look and what follows from it. Returns how many there were, or ERR_*; *left of them are still
 * open. */
static ssize_t end_round(const struct rules_by_family *rules, bool keep, struct log *log,
	size_t *left, int *err)
{
	struct tcp_sockets all;
	struct ifaddrs *list = NULL;
	int e = sockdiag_list(&all);
	size_t found = 0;

	if (e == 0 && getifaddrs(&list) == 0) {
		const char **names = mem_alloc_array(all.n, sizeof(names[0]));
		size_t *which = mem_alloc_array(all.n, sizeof(which[0]));
		for (size_t i = 0; i < all.n; i++)
			names[i] = name_of(list, &all.v[i].local);
		found = older_find(rules, &all, names, which);
		*left = 0;
		for (size_t i = 0; i < found; i++)
			*left += end_one(&all.v[which[i]], keep, log, err);
		mem_free(which);
		mem_free(names);
		freeifaddrs(list);
	}
	tcp_sockets_clear(&all);
	return e < 0 ? e : (ssize_t)found;
}

int older_end(const struct rules_by_family *rules, bool keep, struct log *log, struct trouble *t)
{
	size_t left = 0;
	int err = 0;

	for (int round = 0; round < OLDER_ROUNDS; round++) {
		ssize_t found = end_round(rules, keep, log, &left, &err);
		if (found < 0) {
			trouble_set(t,
				"load inet_diag and tcp_diag on the node, or pass --keep-connections",
				"the older connections cannot be listed: %s", err_text((int)found));
			return keep ? 0 : (int)found;
		}
		if (found == 0 || keep)
			return 0;
		if (left > 0)
			break;
	}
	trouble_set(t,
		"restart the programs that have them (the log names them), or pass --keep-connections",
		"%zu connections that are older than the rules are still open outside the mesh: %s",
		left,
		err == ERR_INVAL ? "this kernel has no SOCK_DESTROY (CONFIG_INET_DIAG_DESTROY)"
				 : (err < 0 ? err_text(err) : "new ones keep appearing"));
	return err < 0 ? err : ERR_IO;
}

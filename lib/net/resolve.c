/*
 * c-ares on our loop: a channel for each question, its sockets and times watched until the answer
 * is there. Owns itself until done or cancel; called by whoever dials a name.
 */
#include "lib/net/resolve.h"

#include <ares.h>
#include <netdb.h>

#include "lib/base/alloc.h"
#include "lib/base/obj.h"

#define RESOLVE_MAGIC 0x72736c76u
#define SOCKETS 16
#define TRY_MS 1000
#define TRIES 2
#define TOTAL_NS (5 * NS_PER_S)

struct resolve;

/* A descriptor of the channel's, which closes it; fd is -1 where there is none. */
struct resolve_socket {
	struct resolve *resolve;
	struct loop_fd watch;
	int fd;
};

struct resolve {
	struct obj_head obj;
	struct loop *loop;
	ares_channel channel;
	bool open; /* channel is there */
	struct resolve_socket sockets[SOCKETS];
	struct loop_timer timer, total;
	struct loop_task report;
	struct addr found[RESOLVE_ADDRESSES];
	size_t n;
	const char *text;
	bool answered, over;
	resolve_done_fn *done;
	void *arg;
};

static struct resolve *resolve_check(void *p)
{
	return OBJ_CAST(struct resolve, RESOLVE_MAGIC, p);
}

/* -- sockets and times ------------------------------------------------------------------------ */

/* When the channel itself wants to look at the clock. */
static void set_timer(struct resolve *r)
{
	struct timeval tv;
	if (r->answered || ares_timeout(r->channel, NULL, &tv) == NULL)
		loop_timer_stop(&r->timer);
	else
		loop_timer_start(&r->timer,
			(uint64_t)tv.tv_sec * NS_PER_S + (uint64_t)tv.tv_usec * NS_PER_US +
				NS_PER_MS);
}

static void on_timer(void *arg)
{
	struct resolve *r = resolve_check(arg);
	ares_process_fd(r->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
	set_timer(r);
}

static void on_socket(void *arg, unsigned events)
{
	struct resolve_socket *s = arg;
	struct resolve *r = resolve_check(s->resolve);
	ares_process_fd(r->channel, (events & LOOP_READ) != 0 ? s->fd : ARES_SOCKET_BAD,
		(events & LOOP_WRITE) != 0 ? s->fd : ARES_SOCKET_BAD);
	set_timer(r);
}

static struct resolve_socket *find_socket(struct resolve *r, int fd)
{
	for (size_t i = 0; i < SOCKETS; i++)
		if (r->sockets[i].fd == fd)
			return &r->sockets[i];
	return NULL;
}

/* Called by the channel: it waits for this, or is about to close it. One that finds no place here
 * is answered by a timeout. */
static void on_state(void *arg, ares_socket_t fd, int readable, int writable)
{
	struct resolve *r = resolve_check(arg);
	struct resolve_socket *s = find_socket(r, fd);
	bool wanted = readable || writable;
	if (s == NULL && wanted) {
		s = find_socket(r, -1);
		if (s == NULL)
			return;
		s->fd = fd;
		loop_fd_init(&s->watch, r->loop, fd, on_socket, s);
	}
	if (s == NULL)
		return;
	loop_fd_want(&s->watch, (readable ? LOOP_READ : 0u) | (writable ? LOOP_WRITE : 0u));
	if (!wanted)
		s->fd = -1;
}

/* -- the answer ------------------------------------------------------------------------------- */

static void settle(struct resolve *r, const char *text)
{
	if (r->answered)
		return;
	r->answered = true;
	r->text = text;
	loop_timer_stop(&r->timer);
	loop_timer_stop(&r->total);
	loop_defer(&r->report);
}

static void take(struct resolve *r, const struct ares_addrinfo *info)
{
	for (const struct ares_addrinfo_node *n = info->nodes; n != NULL; n = n->ai_next) {
		if (r->n == RESOLVE_ADDRESSES)
			return;
		if (addr_from_sockaddr(n->ai_addr, &r->found[r->n]) == 0)
			r->found[r->n++].port = 0;
	}
}

/* May come from inside of the question, and from the channel's end. */
static void on_answer(void *arg, int status, int timeouts, struct ares_addrinfo *info)
{
	struct resolve *r = resolve_check(arg);
	(void)timeouts;
	if (status == ARES_SUCCESS && info != NULL)
		take(r, info);
	if (info != NULL)
		ares_freeaddrinfo(info);
	if (!r->over)
		settle(r,
			r->n > 0                         ? ""
				: status == ARES_SUCCESS ? "no address"
							 : ares_strerror(status));
}

static void resolve_burn(void *p)
{
	struct resolve *r = resolve_check(p);
	r->obj.magic = 0;
	mem_free(r);
}

/* Never from inside of a call of the channel's. */
static void release(struct resolve *r)
{
	r->over = true;
	loop_timer_stop(&r->timer);
	loop_timer_stop(&r->total);
	loop_task_cancel(&r->report);
	if (r->open)
		ares_destroy(r->channel);
	for (size_t i = 0; i < SOCKETS; i++)
		if (r->sockets[i].fd >= 0)
			loop_fd_stop(&r->sockets[i].watch);
	ares_library_cleanup();
	loop_defer_free(r->loop, r, resolve_burn);
}

static void on_report(void *arg)
{
	struct resolve *r = resolve_check(arg);
	release(r);
	r->done(r->arg, r->found, r->n, r->text);
}

static void on_total(void *arg)
{
	settle(resolve_check(arg), "no name server answered in time");
}

/* -- the question ----------------------------------------------------------------------------- */

static int open_channel(struct resolve *r, const char *servers)
{
	struct ares_options o = {.timeout = TRY_MS,
		.tries = TRIES,
		.sock_state_cb = on_state,
		.sock_state_cb_data = r};
	int e = ares_library_init(ARES_LIB_INIT_ALL);
	if (e == ARES_SUCCESS)
		e = ares_init_options(&r->channel, &o,
			ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB);
	r->open = e == ARES_SUCCESS;
	if (r->open && servers != NULL)
		e = ares_set_servers_ports_csv(r->channel, servers);
	return e;
}

struct resolve *resolve_start(struct loop *loop, const char *servers, const char *name,
	resolve_done_fn *done, void *arg)
{
	static const struct ares_addrinfo_hints hints = {
		.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = ARES_AI_NOSORT};
	struct resolve *r = MEM_NEW(struct resolve);
	r->obj.magic = RESOLVE_MAGIC;
	r->loop = loop;
	r->done = done;
	r->arg = arg;
	for (size_t i = 0; i < SOCKETS; i++)
		r->sockets[i] = (struct resolve_socket){.resolve = r, .fd = -1};
	loop_timer_init(&r->timer, loop, on_timer, r);
	loop_timer_init(&r->total, loop, on_total, r);
	loop_task_init(&r->report, loop, on_report, r);
	int e = open_channel(r, servers);
	if (e != ARES_SUCCESS) {
		settle(r, ares_strerror(e));
		return r;
	}
	loop_timer_start(&r->total, TOTAL_NS);
	ares_getaddrinfo(r->channel, name, NULL, &hints, on_answer, r);
	set_timer(r);
	return r;
}

void resolve_cancel(struct resolve **rp)
{
	struct resolve *r = *rp;
	if (r == NULL)
		return;
	*rp = NULL;
	if (!resolve_check(r)->over)
		release(r);
}

bool resolve_name_valid(struct str name)
{
	struct str rest = name, label = STR_NULL;
	bool digits = true; /* the last label: what ends in a number is a misspelt address */
	if (str_ends(rest, STR(".")))
		rest.n--;
	if (rest.n == 0 || rest.n > 253)
		return false;
	while (rest.n > 0 && str_split(&rest, '.', &label)) {
		if (label.n == 0 || label.n > 63 || label.p[0] == '-' ||
			label.p[label.n - 1] == '-')
			return false;
		digits = true;
		for (size_t i = 0; i < label.n; i++) {
			char c = label.p[i];
			bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-';
			if (!letter && (c < '0' || c > '9'))
				return false;
			digits = digits && !letter;
		}
	}
	return !digits && !str_ends(name, STR(".."));
}

/*
 * The loop on libev: descriptors, one timer, signals by signalfd. Owns an ev_loop of its own (never
 * the default one) and is the only file that knows libev; main and the tests make it with loop_new,
 * loop_core.c calls it through the backend table.
 */
#include <errno.h>
#include <ev.h>
#include <pthread.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "lib/base/alloc.h"
#include "lib/base/err.h"
#include "lib/net/loop_internal.h"

/* Owned by whoever called loop_new; owns the ev_loop and the signalfd. */
struct loop_ev {
	struct loop core;
	struct ev_loop *ev;
	ev_check check; /* first thing after each poll */
	ev_timer timer; /* wakes the poll for core.timers.wake or earlier */
	uint64_t armed; /* what the timer is set to */
	size_t watched; /* descriptors that are waited for */
	struct loop_fd signal_fd;
	loop_signal_fn *signal_fn;
	void *signal_arg;
};

_Static_assert(sizeof(ev_io) <= sizeof(((struct loop_fd *)0)->backend), "ev_io fits in loop_fd");
_Static_assert(_Alignof(ev_io) <= 8, "ev_io is aligned in loop_fd");

static struct loop_ev *ev_of(struct loop *loop)
{
	return (struct loop_ev *)(void *)OBJ_CAST(struct loop, LOOP_MAGIC, loop);
}

static ev_io *io_of(struct loop_fd *w)
{
	return (ev_io *)(void *)w->backend;
}

/* --- descriptors --- */

/* EV_ERROR (a descriptor that the kernel does not know) is reported as both: the call that follows
 * says what is wrong. */
static void on_io(struct ev_loop *ev, ev_io *io, int revents)
{
	struct loop_fd *w = io->data;
	unsigned events = 0;

	(void)ev;
	if (revents & (EV_READ | EV_ERROR))
		events |= LOOP_READ;
	if (revents & (EV_WRITE | EV_ERROR))
		events |= LOOP_WRITE;
	w->fn(w->arg, events);
}

static void libev_fd_want(struct loop_fd *w, unsigned events)
{
	struct loop_ev *l = ev_of(w->loop);
	ev_io *io = io_of(w);
	int flags = ((events & LOOP_READ) ? EV_READ : 0) | ((events & LOOP_WRITE) ? EV_WRITE : 0);

	if (w->wanted != 0) {
		ev_io_stop(l->ev, io);
		l->watched--;
	}
	if (events == 0)
		return;
	ev_io_init(io, on_io, w->fd, flags);
	io->data = w;
	ev_io_start(l->ev, io);
	l->watched++;
}

/* --- turns --- */

static void on_polled(struct ev_loop *ev, ev_check *check, int revents)
{
	struct loop_ev *l = check->data;

	(void)ev;
	(void)revents;
	loop_core_begin(&l->core);
}

/* It only ends the poll; loop_core_finish runs what is due. */
static void on_wake(struct ev_loop *ev, ev_timer *timer, int revents)
{
	(void)ev;
	(void)timer;
	(void)revents;
}

/* A timer that is set too early costs one empty turn, and a restart per byte of traffic costs
 * nothing. */
static void arm(struct loop_ev *l)
{
	const struct loop_timers *ts = &l->core.timers;
	uint64_t now = l->core.now;

	if (ts->running == 0) {
		ev_timer_stop(l->ev, &l->timer);
		return;
	}
	if (ev_is_active(&l->timer) && l->armed <= ts->wake)
		return;
	ev_timer_stop(l->ev, &l->timer);
	ev_timer_set(&l->timer, ts->wake > now ? (double)(ts->wake - now) / 1e9 : 0., 0.);
	ev_timer_start(l->ev, &l->timer);
	l->armed = ts->wake;
}

/* One poll per turn, so that the turn's end comes after all callbacks of the poll, whatever they
 * were. */
static void libev_run(struct loop *loop)
{
	struct loop_ev *l = ev_of(loop);

	ev_now_update(l->ev);
	loop_core_begin(loop);
	loop_core_finish(loop);
	while (!loop->stopped) {
		bool pending = loop_core_pending(loop);
		if (!pending && l->watched == 0 && loop->timers.running == 0)
			return;
		arm(l);
		ev_run(l->ev, pending ? EVRUN_NOWAIT : EVRUN_ONCE);
		loop_core_finish(loop);
	}
}

/* --- signals --- */

static void on_signal_fd(void *arg, unsigned events)
{
	struct loop_ev *l = arg;
	struct signalfd_siginfo info;

	(void)events;
	while (read(l->signal_fd.fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
		l->signal_fn(l->signal_arg, (int)info.ssi_signo);
}

static int libev_signals(struct loop *loop, const int *signos, loop_signal_fn *fn, void *arg)
{
	struct loop_ev *l = ev_of(loop);
	sigset_t set;

	ASSERT(l->signal_fn == NULL);
	sigemptyset(&set);
	for (; *signos != 0; signos++) {
		if (sigaddset(&set, *signos) < 0)
			return ERR_INVAL;
	}
	int fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	if (fd < 0)
		return err_from_errno(errno);
	int e = pthread_sigmask(SIG_BLOCK, &set, NULL);
	if (e != 0) {
		close(fd);
		return err_from_errno(e);
	}
	l->signal_fn = fn;
	l->signal_arg = arg;
	loop_fd_init(&l->signal_fd, loop, fd, on_signal_fd, l);
	loop_fd_want(&l->signal_fd, LOOP_READ);
	return 0;
}

/* --- life --- */

static void libev_free(struct loop *loop)
{
	struct loop_ev *l = ev_of(loop);

	if (l->signal_fn != NULL) {
		loop_fd_stop(&l->signal_fd);
		close(l->signal_fd.fd);
	}
	loop_core_fini(loop);
	ev_timer_stop(l->ev, &l->timer);
	ev_check_stop(l->ev, &l->check);
	ev_loop_destroy(l->ev);
	mem_free(l);
}

static const struct loop_backend libev_backend = {
	.run = libev_run,
	.fd_want = libev_fd_want,
	.signals = libev_signals,
	.free = libev_free,
};

struct loop *loop_new(const struct clock *clock)
{
	struct loop_ev *l = MEM_NEW(struct loop_ev);

	loop_core_init(&l->core, &libev_backend, clock != NULL ? clock : clock_system());
	l->ev = ev_loop_new(EVFLAG_AUTO | EVFLAG_NOENV);
	ASSERT(l->ev != NULL);
	ev_timer_init(&l->timer, on_wake, 0., 0.);
	ev_check_init(&l->check, on_polled);
	ev_set_priority(&l->check, EV_MAXPRI);
	l->check.data = l;
	ev_check_start(l->ev, &l->check);
	return &l->core;
}

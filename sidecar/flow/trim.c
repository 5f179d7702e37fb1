/*
 * After a burst the memory that it took goes back to the system: free lists keep what a worker
 * needs while it is busy, and a small sidecar shall be small again. Owns the timer in struct flow;
 * told of every connection and request that comes or goes.
 */
#include "lib/base/alloc.h"
#include "sidecar/flow/request.h"

/* Only load that stayed under half of its peak for so long is over. */
#define QUIET_NS (10 * NS_PER_S)
/* Peaks of less are not worth the walk through the heap. */
#define LEAST_PEAK 64

void flow_on_load(struct flow *f)
{
	size_t load = f->stats.conns + f->stats.requests;
	if (load > f->peak_load)
		f->peak_load = load;
	if (load >= f->peak_load / 2)
		loop_timer_stop(&f->quiet);
	else if (f->peak_load >= LEAST_PEAK && !loop_timer_running(&f->quiet))
		loop_timer_start(&f->quiet, QUIET_NS);
}

void flow_free_requests(struct flow *f)
{
	struct list_node *n;
	while ((n = list_pop(&f->free_requests)) != NULL)
		mem_free(CONTAINER_OF(n, struct request, node));
}

void flow_on_quiet(void *arg)
{
	struct flow *f = arg;
	f->peak_load = f->stats.conns + f->stats.requests;
	flow_free_requests(f);
	arena_pool_trim(f->env.http.arenas);
	buf_pool_trim(f->env.http.bufs);
	mem_release();
}

/*
 * The Discovery service: streams, and the walk over them when the catalog changed or a stream asks.
 * A turn works for about a millisecond; streams that ask (new ones among them) and those that may
 * have to be updated take turns, each of them in the order in which they came. Owned by main.
 */
#include "ctrlplane/push/push_internal.h"

#include "lib/base/alloc.h"
#include "lib/base/obj.h"
#include "lib/base/rand.h"

#define SLICE_NS NS_PER_MS
#define SLICE_STREAMS 128 /* of one turn */
#define TOLD_RATE 10      /* per second, and at once; all are counted */
#define TOLD_BURST 100

/* --- metrics --- */

static const char *const end_labels[] = {"reason", NULL};

static const struct metric_def metric_responses = {
	"weft_push_responses_total", METRIC_COUNTER, "Responses sent to sidecars.", NULL, NULL};
static const struct metric_def metric_resources = {
	"weft_push_resources_total", METRIC_COUNTER, "Resources in these responses.", NULL, NULL};
static const struct metric_def metric_removals = {"weft_push_removals_total", METRIC_COUNTER,
	"Resources that sidecars were told to be no more.", NULL, NULL};
static const struct metric_def metric_rejections = {"weft_push_rejections_total", METRIC_COUNTER,
	"Resources that sidecars refused.", NULL, NULL};
static const struct metric_def metric_stale = {"weft_push_stale_answers_total", METRIC_COUNTER,
	"Answers whose nonce was not that of the last response of their stream.", NULL, NULL};
static const struct metric_def metric_slowed = {"weft_push_slowed_total", METRIC_COUNTER,
	"Requests after which a stream was not read for a while, since they came too fast.", NULL,
	NULL};
static const struct metric_def metric_ends = {"weft_push_refused_total", METRIC_COUNTER,
	"Streams that were refused or ended by the control plane, by reason.", end_labels, NULL};

static int64_t read_streams(void *arg)
{
	return (int64_t)((struct push *)arg)->n_admitted;
}

static int64_t read_waiting(void *arg)
{
	return (int64_t)((struct push *)arg)->n_waiting;
}

static int64_t read_behind(void *arg)
{
	return (int64_t)((struct push *)arg)->n_behind;
}

static void add_metrics(struct push *p)
{
	struct metrics *m = p->cfg.metrics;
	p->responses = metric_get(metrics_add(m, &metric_responses), NULL, 0);
	p->resources = metric_get(metrics_add(m, &metric_resources), NULL, 0);
	p->removals = metric_get(metrics_add(m, &metric_removals), NULL, 0);
	p->rejections = metric_get(metrics_add(m, &metric_rejections), NULL, 0);
	p->stale = metric_get(metrics_add(m, &metric_stale), NULL, 0);
	p->slowed = metric_get(metrics_add(m, &metric_slowed), NULL, 0);
	struct metric *ends = metrics_add(m, &metric_ends);
	for (unsigned i = 0; i < PUSH_ENDS; i++) {
		struct str label = str_from(push_end_label((enum push_end)i));
		if (i == PUSH_END_SERVED)
			continue;
		p->ends[i] = metric_get(ends, &label, 1);
		metric_hold(p->ends[i]);
	}
	metrics_add_callback(m, "weft_push_streams", METRIC_GAUGE,
		"Streams of sidecars that were admitted.", read_streams, p);
	metrics_add_callback(m, "weft_push_streams_waiting", METRIC_GAUGE,
		"Streams that wait to be admitted.", read_waiting, p);
	metrics_add_callback(m, "weft_push_behind", METRIC_GAUGE,
		"Streams that are sent nothing, because their sidecar has seen a later position.",
		read_behind, p);
}

/* --- the walk --- */

/* Neither does a crowd that asks hold up updates, nor the other way round. */
static struct push_stream *next_stream(struct push *p)
{
	struct list *first = p->asking_next ? &p->asking : &p->dirty;
	struct list *second = p->asking_next ? &p->dirty : &p->asking;
	struct list_node *n = list_pop(first);
	if (n == NULL)
		n = list_pop(second);
	p->asking_next = !p->asking_next;
	return n != NULL ? CONTAINER_OF(n, struct push_stream, node) : NULL;
}

static void on_turn(void *arg)
{
	struct push *p = OBJ_CAST(struct push, PUSH_MAGIC, arg);
	const struct clock *clock = loop_clock(p->cfg.loop);
	uint64_t until = clock_mono(clock) + SLICE_NS;
	for (unsigned i = 0; i < SLICE_STREAMS && clock_mono(clock) < until; i++) {
		struct push_stream *s = next_stream(p);
		if (s == NULL)
			return;
		stream_look(s);
	}
	/* Who asked to be looked at again meanwhile waits for it too: others have their turn first.
	 */
	loop_task_cancel(&p->turn);
	if (!list_empty(&p->dirty) || !list_empty(&p->asking))
		loop_next_turn(&p->turn);
}

void push_schedule(struct push *p, struct push_stream *s)
{
	if (!s->asks) {
		s->asks = true;
		list_remove(&s->node);
		list_append(&p->asking, &s->node);
	}
	loop_defer(&p->turn);
}

static void on_change(void *arg)
{
	struct push *p = OBJ_CAST(struct push, PUSH_MAGIC, arg);
	list_splice(&p->dirty, &p->idle);
	if (!list_empty(&p->dirty))
		loop_defer(&p->turn);
	admit_run(p);
}

static void on_admit_task(void *arg)
{
	admit_run(OBJ_CAST(struct push, PUSH_MAGIC, arg));
}

/* --- beginning and end --- */

struct push *push_new(struct grpc_server *server, const struct push_config *cfg)
{
	struct push *p = MEM_NEW(struct push);
	p->obj.magic = PUSH_MAGIC;
	p->cfg = *cfg;
	list_init(&p->idle);
	list_init(&p->dirty);
	list_init(&p->asking);
	list_init(&p->waiting);
	list_init(&p->ended);
	struct rng rng;
	rng_seed_system(&rng);
	p->prefix = rng_next(&rng);
	p->admitted = map_new(p->prefix);
	p->queued = map_new(p->prefix);
	p->admission = bucket_make(cfg->admit_rate, cfg->admit_burst);
	p->told = bucket_make(TOLD_RATE, TOLD_BURST);
	loop_timer_init(&p->admit_timer, cfg->loop, admit_on_timer, p);
	loop_task_init(&p->admit_task, cfg->loop, on_admit_task, p);
	loop_task_init(&p->turn, cfg->loop, on_turn, p);
	add_metrics(p);
	p->listener = (struct store_listener){.fn = on_change, .arg = p};
	store_listen(cfg->store, &p->listener);
	p->method = (struct grpc_method){.name = "Stream",
		.start = stream_on_start,
		.client_streams = true,
		.server_streams = true,
		.max_message = PUSH_MAX_FIRST};
	p->service = (struct grpc_service){
		.name = "weft.mesh.v1.Discovery", .methods = &p->method, .n_methods = 1, .arg = p};
	grpc_server_add(server, &p->service);
	return p;
}

static void drop_all(struct list *l)
{
	struct list_node *n;
	while ((n = list_first(l)) != NULL)
		stream_drop(CONTAINER_OF(n, struct push_stream, node));
}

void push_free(struct push **push)
{
	struct push *p = *push;
	*push = NULL;
	if (p == NULL)
		return;
	drop_all(&p->waiting);
	drop_all(&p->asking);
	drop_all(&p->dirty);
	drop_all(&p->idle);
	drop_all(&p->ended);
	store_unlisten(&p->listener);
	loop_timer_stop(&p->admit_timer);
	loop_task_cancel(&p->admit_task);
	loop_task_cancel(&p->turn);
	for (unsigned i = 0; i < PUSH_ENDS; i++)
		if (p->ends[i] != NULL)
			metric_release(p->ends[i]);
	map_free(&p->admitted);
	map_free(&p->queued);
	mem_free(p);
}

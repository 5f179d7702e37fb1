/*
 * grpc.health.v1: Check and Watch over a table of names. Owns the table; each Watch lives in the
 * arena of its call. Made by whoever serves.
 */
#include "lib/grpc/health.h"

#include "grpc/health/v1/health.pb-c.h"
#include "lib/base/alloc.h"
#include "lib/base/list.h"

#define HEALTH_MAGIC 0x6772686cu
#define WATCH_MAGIC 0x67727761u
#define MAX_REQUEST 4096

enum {
	SERVING = GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING,
	NOT_SERVING = GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__NOT_SERVING,
	SERVICE_UNKNOWN = GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVICE_UNKNOWN
};

/* Owned by the table. */
struct entry {
	struct list_node node;
	const char *name;
	bool serving;
};

/* Owned by its maker, who closes the server first. */
struct grpc_health {
	struct obj_head obj;
	struct grpc_service service;
	struct list entries, watches;
};

/* One Watch; in the arena of its call. */
struct watch {
	struct obj_head obj;
	struct list_node node;
	struct grpc_health *health;
	struct grpc_call *call;
	struct str name;
	int told; /* status that the client has */
	bool waits;
};

static struct grpc_health *health_cast(void *arg)
{
	return OBJ_CAST(struct grpc_health, HEALTH_MAGIC, arg);
}

static struct watch *watch_cast(void *arg)
{
	return OBJ_CAST(struct watch, WATCH_MAGIC, arg);
}

/* --- the table --- */

static struct entry *find(const struct grpc_health *h, struct str name)
{
	LIST_EACH(&h->entries, n)
	{
		struct entry *e = CONTAINER_OF(n, struct entry, node);

		if (str_eq(str_from(e->name), name))
			return e;
	}
	return NULL;
}

static int status_of(const struct grpc_health *h, struct str name)
{
	const struct entry *e = find(h, name);

	if (e == NULL)
		return SERVICE_UNKNOWN;
	return e->serving ? SERVING : NOT_SERVING;
}

static ssize_t send_status(struct grpc_call *c, int status)
{
	Grpc__Health__V1__HealthCheckResponse response =
		GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__INIT;

	response.status = (Grpc__Health__V1__HealthCheckResponse__ServingStatus)status;
	return grpc_call_send(c, &response.base);
}

/* The name asked for, in the call's arena; false: the call is finished. */
static bool read_request(struct grpc_call *c, struct str bytes, struct str *name)
{
	Grpc__Health__V1__HealthCheckRequest *r = (Grpc__Health__V1__HealthCheckRequest *)
		grpc_unpack(&grpc__health__v1__health_check_request__descriptor, bytes);

	if (r == NULL) {
		grpc_call_finish(c, GRPC_INTERNAL, "malformed request");
		return false;
	}
	*name = arena_str(grpc_call_arena(c), str_from(r->service));
	grpc__health__v1__health_check_request__free_unpacked(r, NULL);
	return true;
}

/* --- Check --- */

static void on_check(void *arg, struct grpc_call *c, struct str bytes)
{
	struct grpc_health *h = health_cast(arg);
	struct str name;

	if (!read_request(c, bytes, &name))
		return;
	int status = status_of(h, name);

	if (status == SERVICE_UNKNOWN) {
		grpc_call_finish(c, GRPC_NOT_FOUND, "unknown service");
		return;
	}
	send_status(c, status);
	grpc_call_finish(c, GRPC_OK, NULL);
}

static void on_check_end(void *arg, struct grpc_call *c, const struct grpc_end *end)
{
	(void)arg;
	(void)c;
	(void)end;
}

static const struct grpc_call_events check_events = {
	.on_message = on_check,
	.on_end = on_check_end,
};

static void start_check(void *arg, struct grpc_call *c)
{
	grpc_call_set_user(c, &check_events, arg);
}

/* --- Watch --- */

/* Changes that a slow reader misses melt into the last one. */
static void watch_update(struct watch *w)
{
	int status = status_of(w->health, w->name);

	if (w->waits || status == w->told)
		return;
	w->told = status;
	w->waits = send_status(w->call, status) <= 0;
}

static void on_watch_message(void *arg, struct grpc_call *c, struct str bytes)
{
	struct watch *w = watch_cast(arg);

	if (!read_request(c, bytes, &w->name))
		return;
	list_append(&w->health->watches, &w->node);
	watch_update(w);
}

static void on_watch_writable(void *arg, struct grpc_call *c)
{
	struct watch *w = watch_cast(arg);

	(void)c;
	w->waits = false;
	watch_update(w);
}

static void on_watch_end(void *arg, struct grpc_call *c, const struct grpc_end *end)
{
	(void)c;
	(void)end;
	list_remove(&watch_cast(arg)->node);
}

static const struct grpc_call_events watch_events = {
	.on_message = on_watch_message,
	.on_writable = on_watch_writable,
	.on_end = on_watch_end,
};

static void start_watch(void *arg, struct grpc_call *c)
{
	struct watch *w = ARENA_NEW(grpc_call_arena(c), struct watch);

	w->obj.magic = WATCH_MAGIC;
	w->health = health_cast(arg);
	w->call = c;
	w->told = -1;
	list_node_init(&w->node);
	grpc_call_set_user(c, &watch_events, w);
}

/* --- life --- */

static const struct grpc_method methods[] = {
	{.name = "Check", .start = start_check, .max_message = MAX_REQUEST},
	{.name = "Watch", .start = start_watch, .server_streams = true, .max_message = MAX_REQUEST},
};

struct grpc_health *grpc_health_new(struct grpc_server *s)
{
	struct grpc_health *h = MEM_NEW(struct grpc_health);

	h->obj.magic = HEALTH_MAGIC;
	list_init(&h->entries);
	list_init(&h->watches);
	h->service = (struct grpc_service){.name = "grpc.health.v1.Health",
		.methods = methods,
		.n_methods = sizeof(methods) / sizeof(methods[0]),
		.arg = h};
	grpc_health_set(h, "", false);
	grpc_server_add(s, &h->service);
	return h;
}

void grpc_health_set(struct grpc_health *h, const char *service, bool serving)
{
	struct entry *e = find(h, str_from(service));

	if (e == NULL) {
		e = MEM_NEW(struct entry);
		e->name = service;
		list_append(&h->entries, &e->node);
	}
	e->serving = serving;
	LIST_EACH(&h->watches, n)
	{
		watch_update(CONTAINER_OF(n, struct watch, node));
	}
}

void grpc_health_free(struct grpc_health **health)
{
	struct grpc_health *h = *health;
	struct list_node *n;

	if (h == NULL)
		return;
	*health = NULL;
	ASSERT(list_empty(&h->watches));
	while ((n = list_pop(&h->entries)) != NULL)
		mem_free(CONTAINER_OF(n, struct entry, node));
	h->obj.magic = 0;
	mem_free(h);
}

/*
 * Debounces, writes and retries the last-good file. Owns its timers; called by live.c.
 */
#include "sidecar/keeper.h"

#include <stdio.h>
#include <string.h>
#include <sys/vfs.h>

#include "lib/base/alloc.h"

#define KEEPER_MAGIC 0x6b656570u
#define QUIET_NS (100 * NS_PER_MS) /* without a further change */
#define LATEST_NS NS_PER_S         /* after the first */
#define RETRY_NS NS_PER_S
#define RETRY_CAP_NS (60 * NS_PER_S)
#define TMPFS 0x01021994
#define RAMFS 0x858458f6

/* Owned by struct live. */
struct keeper {
	struct obj_head obj;
	struct keeper_config cfg;
	char *path;
	struct loop_timer quiet, latest;
	bool dirty;
	int64_t written_at;
	uint64_t writes, failures;
	unsigned in_a_row;
	char error[512]; /* of the last attempt; empty: it succeeded */
};

static struct keeper *keeper_check(void *p)
{
	return OBJ_CAST(struct keeper, KEEPER_MAGIC, p);
}

static void on_failure(struct keeper *k, const char *err)
{
	uint64_t wait = RETRY_NS << (k->in_a_row < 6 ? k->in_a_row : 6);
	k->failures++;
	k->in_a_row++;
	if (strcmp(k->error, err) != 0)
		log_at(k->cfg.log, LOG_ERROR, "state",
			"last good state not written; what was written before stays",
			LOG_Z("error", err));
	snprintf(k->error, sizeof(k->error), "%s", err);
	loop_timer_start(&k->latest, wait < RETRY_CAP_NS ? wait : RETRY_CAP_NS);
}

static void write_file(struct keeper *k)
{
	Weft__Mesh__V1__State st = WEFT__MESH__V1__STATE__INIT;
	char err[sizeof(k->error)];
	loop_timer_stop(&k->quiet);
	loop_timer_stop(&k->latest);
	if (!k->cfg.fill(k->cfg.arg, &st)) {
		k->dirty = false;
		k->in_a_row = 0; /* nothing is tried again: the next change is a first one */
		return;
	}
	if (state_save(k->path, &st, err, sizeof(err)) != 0) {
		on_failure(k, err);
		return;
	}
	if (k->in_a_row > 0)
		log_at(k->cfg.log, LOG_INFO, "state", "last good state written again",
			LOG_U("failures", k->in_a_row));
	k->dirty = false;
	k->in_a_row = 0;
	k->error[0] = '\0';
	k->written_at = st.written_at;
	k->writes++;
}

static void on_time(void *arg)
{
	write_file(keeper_check(arg));
}

struct keeper *keeper_new(const struct keeper_config *cfg)
{
	struct keeper *k = MEM_NEW(struct keeper);
	k->obj.magic = KEEPER_MAGIC;
	k->cfg = *cfg;
	k->path = mem_strdup(cfg->path);
	loop_timer_init(&k->quiet, cfg->loop, on_time, k);
	loop_timer_init(&k->latest, cfg->loop, on_time, k);
	return k;
}

void keeper_check_place(struct keeper *k)
{
	struct statfs fs;
	char *folder = mem_strdup(k->path), *slash = strrchr(folder, '/');
	if (slash != NULL)
		*(slash == folder ? slash + 1 : slash) = '\0';
	const char *where = slash != NULL ? folder : ".";
	if (statfs(where, &fs) != 0)
		log_at(k->cfg.log, LOG_WARN, "state",
			"the folder of the last good state is not there", LOG_Z("folder", where));
	else if ((uint32_t)fs.f_type != TMPFS && (uint32_t)fs.f_type != RAMFS)
		log_at(k->cfg.log, LOG_WARN, "state",
			"the last good state, with its private key, is not on a memory-backed volume",
			LOG_Z("folder", where));
	mem_free(folder);
}

void keeper_touch(struct keeper *k)
{
	k->dirty = true;
	if (k->in_a_row > 0)
		return; /* the retry takes it along */
	loop_timer_start(&k->quiet, QUIET_NS);
	if (!loop_timer_running(&k->latest))
		loop_timer_start(&k->latest, LATEST_NS);
}

void keeper_flush(struct keeper *k)
{
	if (k->dirty)
		write_file(k);
}

int64_t keeper_written_at(const struct keeper *k)
{
	return k->written_at;
}

uint64_t keeper_failures(const struct keeper *k)
{
	return k->failures;
}

void keeper_describe(const struct keeper *k, struct json *j)
{
	json_key_str(j, "path", str_from(k->path));
	json_key_u64(j, "writes", k->writes);
	json_key(j, "written_at");
	json_i64(j, k->written_at);
	json_key_bool(j, "waiting", k->dirty);
	json_key_str(j, "error", str_from(k->error));
}

void keeper_free(struct keeper **kp)
{
	struct keeper *k = *kp;
	if (k == NULL)
		return;
	*kp = NULL;
	loop_timer_stop(&k->quiet);
	loop_timer_stop(&k->latest);
	mem_free(k->path);
	loop_defer_free(k->cfg.loop, k, mem_free);
}

/*
 * Structured log: one JSON (or text) line per event, written at once to a descriptor that never
 * blocks the loop; what the descriptor does not take is dropped and counted. Events below the level
 * cost one comparison.
 */
#ifndef WEFT_BASE_LOG_H
#define WEFT_BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/clock.h"
#include "lib/base/str.h"

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG, LOG_TRACE };
enum log_format { LOG_JSON, LOG_TEXT };

enum log_kind { LOG_F_STR, LOG_F_U64, LOG_F_I64, LOG_F_BOOL, LOG_F_MS, LOG_F_TIME };

/* One key and value; lives on the caller's stack for the call. */
struct log_field {
	const char *key;
	enum log_kind kind;
	struct str s;
	uint64_t u; /* LOG_F_MS: nanoseconds, printed as milliseconds with three decimals */
	int64_t i;  /* LOG_F_TIME: seconds since the epoch, printed as UTC; 0: empty */
};

#define LOG_S(k, v) ((struct log_field){.key = (k), .kind = LOG_F_STR, .s = (v)})
#define LOG_Z(k, v) ((struct log_field){.key = (k), .kind = LOG_F_STR, .s = str_from(v)})
#define LOG_U(k, v) ((struct log_field){.key = (k), .kind = LOG_F_U64, .u = (v)})
#define LOG_I(k, v) ((struct log_field){.key = (k), .kind = LOG_F_I64, .i = (v)})
#define LOG_B(k, v) ((struct log_field){.key = (k), .kind = LOG_F_BOOL, .u = (v)})
#define LOG_D(k, ns) ((struct log_field){.key = (k), .kind = LOG_F_MS, .u = (ns)})
#define LOG_T(k, s) ((struct log_field){.key = (k), .kind = LOG_F_TIME, .i = (s)})

struct log;

/*
 * Owned by main or the test, borrowed by everyone else. fd is written without waiting and without
 * O_NONBLOCK, which others who share it would feel; it is not closed by log_free. Lines to pipes
 * and terminals are at most PIPE_BUF bytes, so that no two of them mix.
 */
struct log *log_new(int fd, enum log_level level, enum log_format format,
	const struct clock *clock);
/* For tests: lines go to fn instead. */
typedef void log_sink_fn(void *arg, struct str line);
struct log *log_new_sink(log_sink_fn *fn, void *arg, enum log_level level, enum log_format format,
	const struct clock *clock);
void log_free(struct log **log);

bool log_on(const struct log *log, enum log_level level);
enum log_level log_level_get(const struct log *log);
void log_level_set(struct log *log, enum log_level level);
/* Lines lost because the descriptor would not take them (full disk, full pipe, closed). */
uint64_t log_dropped(const struct log *log);

/*
 * Writes one event. msg is short, lower-case, constant text; what varies goes into fields. Strings
 * are escaped, cut at 1 KiB each, the line at 8 KiB. A log of NULL is silent.
 */
void log_event(struct log *log, enum log_level level, const char *room, const char *msg,
	const struct log_field *fields, size_t n);

#define LOG_FIELDS(...)                          \
	(const struct log_field[]){__VA_ARGS__}, \
		sizeof((const struct log_field[]){__VA_ARGS__}) / sizeof(struct log_field)
/* log_at(log, LOG_WARN, "dial", "connect failed", LOG_S("addr", s), LOG_Z("error", err_text(e)));
 * at least one field */
#define log_at(log, level, room, msg, ...)                                                  \
	(log_on((log), (level))                                                             \
			? log_event((log), (level), (room), (msg), LOG_FIELDS(__VA_ARGS__)) \
			: (void)0)

/* "error".."trace"; ERR_INVAL. */
int log_level_parse(struct str s, enum log_level *out);
const char *log_level_name(enum log_level level);

#endif

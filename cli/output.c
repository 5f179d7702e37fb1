/*
 * What every command writes with. Owns the buffer of a command's JSON while it is collected.
 */
#include "cli/output.h"

#include <stdio.h>
#include <time.h>

void output_begin(struct output *o)
{
	o->pool = buf_pool_new(0);
	buf_init(&o->buf, o->pool);
	json_init(&o->json, &o->buf, true);
}

void output_end(struct output *o)
{
	while (buf_len(&o->buf) > 0) {
		struct str piece = buf_peek(&o->buf);
		fwrite(piece.p, 1, piece.n, stdout);
		buf_consume(&o->buf, piece.n);
	}
	putchar('\n');
	buf_clear(&o->buf);
	buf_pool_free(&o->pool);
}

void output_time(int64_t seconds, char dst[OUTPUT_TIME])
{
	time_t t = (time_t)seconds;
	struct tm tm = {0};
	gmtime_r(&t, &tm);
	snprintf(dst, OUTPUT_TIME, "%04d-%02d-%02dT%02d:%02d:%02dZ", (tm.tm_year + 1900) % 10000,
		(tm.tm_mon + 1) % 100, tm.tm_mday % 100, tm.tm_hour % 100, tm.tm_min % 100,
		tm.tm_sec % 100);
}

void output_safe(struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];
		if (c >= 0x20 && c < 0x7f && c != '\\')
			putchar(c);
		else
			printf("\\x%02x", c);
	}
}

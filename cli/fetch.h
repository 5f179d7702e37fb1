/*
 * One HTTP request of a command to our own endpoints, over TCP or a Unix socket, and its whole
 * answer. Blocks on a loop of its own; owns nothing beyond a call but the answer.
 */
#ifndef WEFT_CLI_FETCH_H
#define WEFT_CLI_FETCH_H

#include <stddef.h>
#include <stdint.h>

#include "lib/base/str.h"

#define FETCH_BYTES (32u << 20)       /* most that an answer may have; more is an error */
#define FETCH_NS (10 * 1000000000ull) /* for all of it */

/* Borrowed. */
struct fetch {
	const char *method; /* "GET"; a POST has no body */
	/* "http://ADDRESS:PORT" (an IP address, [IPv6], localhost); or NULL, and a socket's path */
	const char *url;
	const char *socket;
	const char *target;  /* "/proxies?pod=shop/web" */
	const char *program; /* who should have answered: "weft-ctrlplane" */
	const char *flag;    /* that says where: "--control-plane" */
	uint64_t timeout_ns; /* 0: FETCH_NS */
};

/* Freed by fetch_answer_free. */
struct fetch_answer {
	unsigned status; /* 200, 404, ... */
	char *body;      /* ended by NUL, which is not counted */
	size_t n;
};

/*
 * 0 with any status; or ERR_* with text that says what to do: nobody listens, no right to connect,
 * too late, too much, not HTTP.
 */
int fetch(const struct fetch *f, struct fetch_answer *out, char *err, size_t size);
void fetch_answer_free(struct fetch_answer *a);

#endif

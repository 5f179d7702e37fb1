/*
 * Runs one of the kernel's tools (nft, iptables-restore, ...) and waits for it. For this one-shot
 * command alone: never on a loop.
 */
#ifndef WEFT_SIDECAR_CAPTURE_TOOL_H
#define WEFT_SIDECAR_CAPTURE_TOOL_H

#include "lib/base/str.h"
#include "sidecar/capture/trouble.h"

/* What the tool said; owned by the caller, tool_result_clear. */
struct tool_result {
	int status; /* exit status, or 128 + signal */
	char *out;  /* at most 16 MiB, NUL-terminated */
	char *err;
};

/*
 * Runs argv[0], looked for in PATH and then where distributions put such tools, with input on its
 * standard input. 0: it ran and ended, whatever its status. ERR_NOTFOUND: there is no such program;
 * ERR_TIMEOUT: it was killed after 30 s; ERR_IO.
 */
int tool_run(const char *const argv[], struct str input, struct tool_result *res);
void tool_result_clear(struct tool_result *res);

/* Describes a failed run: t says which tool, with which status, and its own words; the remedy is
 * guessed from them. */
void tool_explain(struct trouble *t, const char *tool, int err, const struct tool_result *res);

#endif

/*
 * Who may ask an admin endpoint: checks on a request's head and origin, shared by admin.c and its
 * tests. Pure functions.
 */
#ifndef WEFT_OBS_ADMIN_INTERNAL_H
#define WEFT_OBS_ADMIN_INTERNAL_H

#include "lib/http/head.h"
#include "lib/net/io.h"

/* 0, or 403 with *why: not from a loopback address, or Host is not ours (DNS rebinding). */
int admin_check_local(const struct http_head *head, const struct io_info *info, uint16_t port,
	const char **why);
/* 0, or 403 with *why: a browser asks on behalf of another site (Origin, Sec-Fetch-Site). */
int admin_check_browser(const struct http_head *head, const char **why);

#endif

/*
 * Memory for one nghttp2 session: free lists by size, so that a warm request calls no malloc, and a
 * bound on the whole, so that no peer makes a session grow beyond it. Owned by struct h2; handed to
 * nghttp2 as struct nghttp2_mem.
 */
#ifndef WEFT_HTTP_H2_MEM_H
#define WEFT_HTTP_H2_MEM_H

#include <nghttp2/nghttp2.h>
#include <stddef.h>
#include <stdint.h>

#define H2_MEM_CLASSES 9            /* of 32, 64, ... 8192 bytes */
#define H2_MEM_IDLE_MAX (64 * 1024) /* bytes that wait on the free lists of one session */

struct h2_mem_block;

struct h2_mem {
	nghttp2_mem vt;
	struct h2_mem_block *idle[H2_MEM_CLASSES];
	size_t used, idle_bytes; /* capacity of blocks handed out; of blocks that wait */
	size_t fresh;            /* blocks that came from the system so far */
	size_t max;              /* of used: beyond it nghttp2 is told that memory is out */
};

void h2_mem_init(struct h2_mem *m, size_t max);
/* Gives the waiting blocks back to the system. */
void h2_mem_trim(struct h2_mem *m);

#endif

/*
 * Writing the text of HTTP/1 heads, and the keys of the WebSocket handshake. Used by the HTTP/1
 * codec alone; the writer borrows the buffer that it fills.
 */
#ifndef WEFT_HTTP_H1_WRITE_H
#define WEFT_HTTP_H1_WRITE_H

#include "lib/base/buf.h"
#include "lib/http/head.h"

/* Room at the end of out that is being filled; nothing is part of out before h1_write_end. */
struct h1_writer {
	struct buf *out;
	uint8_t *p;
	size_t room, used;
};
void h1_write_begin(struct h1_writer *w, struct buf *out);
void h1_write(struct h1_writer *w, struct str s);
void h1_write_u64(struct h1_writer *w, uint64_t value);
/* "name: value" of each field that may go out on HTTP/1. */
void h1_write_fields(struct h1_writer *w, const struct http_fields *fields);
void h1_write_status_line(struct h1_writer *w, uint16_t status);
void h1_write_end(struct h1_writer *w);

/* --- ws.c --- */

#define WS_KEY_SIZE 25
#define WS_ACCEPT_SIZE 29
/* RFC 6455 4.1 and 4.2.2: base64 text with NUL. */
void ws_key_make(char key[WS_KEY_SIZE]);
void ws_accept_make(struct str key, char accept[WS_ACCEPT_SIZE]);

#endif

/*
 * Writing DER backwards, contents before their header, so that lengths are known when they are
 * needed. Private to certs/. What does not fit sets full and is dropped; the caller looks once, at
 * the end.
 */
#ifndef WEFT_CERTS_DEROUT_H
#define WEFT_CERTS_DEROUT_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/str.h"

/* On the caller's stack; writes to memory that the caller owns, from its end towards its start. */
struct der_out {
	uint8_t *buf;
	size_t size, used;
	bool full;
};

void der_out_init(struct der_out *o, void *buf, size_t size);
/* What has been written so far; borrowed. */
struct str der_out_get(const struct der_out *o);
/* Bytes as they are. */
void der_put(struct der_out *o, struct str bytes);
/* Tag and length before everything written since used was mark. */
void der_wrap(struct der_out *o, uint8_t tag, size_t mark);
/* One element. */
void der_put_element(struct der_out *o, uint8_t tag, struct str contents);
/* INTEGER of big-endian bytes, as few as there need be, never negative. */
void der_put_integer(struct der_out *o, const uint8_t *p, size_t n);
void der_put_small_int(struct der_out *o, unsigned v);
void der_put_true(struct der_out *o);
/* BIT STRING of whole octets. */
void der_put_bits(struct der_out *o, struct str octets);
/* UTCTime until 2049, GeneralizedTime from 2050 on (RFC 5280 4.1.2.5); t in seconds from 1970 to
 * 9999. */
void der_put_time(struct der_out *o, int64_t t);

#endif

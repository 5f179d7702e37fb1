/*
 * The DER writer that certificates, CSRs and PKCS#8 keys are made with. Owns nothing but the
 * position in the caller's memory.
 */
#include "certs/derout.h"

#include <stdio.h>
#include <time.h>

#include <mbedtls/asn1.h>

/* 2050-01-01T00:00:00Z */
#define YEAR_2050 2524608000

void der_out_init(struct der_out *o, void *buf, size_t size)
{
	*o = (struct der_out){.buf = buf, .size = size};
}

struct str der_out_get(const struct der_out *o)
{
	return str_make(o->buf + o->size - o->used, o->used);
}

void der_put(struct der_out *o, struct str bytes)
{
	if (bytes.n > o->size - o->used) {
		o->full = true;
		return;
	}
	o->used += bytes.n;
	if (bytes.n > 0)
		memcpy(o->buf + o->size - o->used, bytes.p, bytes.n);
}

static void put_byte(struct der_out *o, uint8_t b)
{
	der_put(o, str_make(&b, 1));
}

void der_wrap(struct der_out *o, uint8_t tag, size_t mark)
{
	size_t n = o->used - mark;
	uint8_t bytes = 0;
	for (size_t left = n; n >= 0x80 && left > 0; left >>= 8, bytes++)
		put_byte(o, (uint8_t)left);
	put_byte(o, n < 0x80 ? (uint8_t)n : 0x80 | bytes);
	put_byte(o, tag);
}

void der_put_element(struct der_out *o, uint8_t tag, struct str contents)
{
	size_t mark = o->used;
	der_put(o, contents);
	der_wrap(o, tag, mark);
}

void der_put_integer(struct der_out *o, const uint8_t *p, size_t n)
{
	size_t mark = o->used;
	while (n > 1 && *p == 0)
		p++, n--;
	der_put(o, str_make(p, n));
	if (n == 0 || (*p & 0x80) != 0)
		put_byte(o, 0);
	der_wrap(o, MBEDTLS_ASN1_INTEGER, mark);
}

void der_put_small_int(struct der_out *o, unsigned v)
{
	const uint8_t bytes[] = {
		(uint8_t)(v >> 24), (uint8_t)(v >> 16), (uint8_t)(v >> 8), (uint8_t)v};
	der_put_integer(o, bytes, sizeof(bytes));
}

void der_put_true(struct der_out *o)
{
	der_put_element(o, MBEDTLS_ASN1_BOOLEAN, STR("\xff"));
}

void der_put_bits(struct der_out *o, struct str octets)
{
	size_t mark = o->used;
	der_put(o, octets);
	put_byte(o, 0);
	der_wrap(o, MBEDTLS_ASN1_BIT_STRING, mark);
}

void der_put_time(struct der_out *o, int64_t t)
{
	char text[80];
	time_t seconds = (time_t)t;
	struct tm tm;
	bool utc = t < YEAR_2050;
	if (t < 0 || gmtime_r(&seconds, &tm) == NULL || tm.tm_year > 9999 - 1900) {
		o->full = true;
		return;
	}
	int year = tm.tm_year + 1900;
	int n = snprintf(text, sizeof(text), "%0*d%02d%02d%02d%02d%02dZ", utc ? 2 : 4,
		utc ? year % 100 : year, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min,
		tm.tm_sec);
	der_put_element(o, utc ? MBEDTLS_ASN1_UTC_TIME : MBEDTLS_ASN1_GENERALIZED_TIME,
		str_make(text, (size_t)n));
}

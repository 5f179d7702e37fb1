/*
 * The DER reader: tags and lengths come from mbedTLS's primitives, strictness and slices from here.
 * Owns nothing; called by the parsers of certificates, CSRs and keys.
 */
#include "certs/der.h"

static bool minimal_length(size_t header_n, size_t n)
{
	size_t length_bytes = n < 0x80 ? 1 : n < 0x100 ? 2 : n < 0x10000 ? 3 : 4;
	return header_n == 1 + length_bytes;
}

bool der_any(struct str *rest, uint8_t *tag, struct str *contents, struct str *whole)
{
	if (rest->n < 2)
		return false;
	unsigned char *start = (unsigned char *)(uintptr_t)rest->p;
	unsigned char *p = start, *end = start + rest->n;
	size_t n;
	*tag = *p++;
	/* Tags over 30 take several bytes; X.509 has none. */
	if ((*tag & 0x1f) == 0x1f || mbedtls_asn1_get_len(&p, end, &n) != 0)
		return false;
	if (!minimal_length((size_t)(p - start), n))
		return false;
	*contents = str_make(p, n);
	if (whole != NULL)
		*whole = str_make(start, (size_t)(p - start) + n);
	*rest = str_make(p + n, (size_t)(end - p) - n);
	return true;
}

bool der_is(struct str rest, uint8_t tag)
{
	return rest.n > 0 && (uint8_t)rest.p[0] == tag;
}

bool der_get(struct str *rest, uint8_t tag, struct str *contents)
{
	uint8_t got;
	return der_is(*rest, tag) && der_any(rest, &got, contents, NULL);
}

bool der_get_whole(struct str *rest, uint8_t tag, struct str *whole)
{
	uint8_t got;
	struct str contents;
	return der_is(*rest, tag) && der_any(rest, &got, &contents, whole);
}

bool der_small_int(struct str *rest, unsigned max, unsigned *out)
{
	struct str v;
	if (!der_get(rest, MBEDTLS_ASN1_INTEGER, &v) || v.n == 0 || v.n > 3)
		return false;
	if ((v.p[0] & 0x80) != 0 || (v.n > 1 && v.p[0] == 0 && (v.p[1] & 0x80) == 0))
		return false;
	unsigned value = 0;
	for (size_t i = 0; i < v.n; i++)
		value = value << 8 | (uint8_t)v.p[i];
	*out = value;
	return value <= max;
}

bool der_bool(struct str *rest, bool *out)
{
	struct str v;
	if (!der_get(rest, MBEDTLS_ASN1_BOOLEAN, &v) || v.n != 1)
		return false;
	*out = v.p[0] != 0;
	return *out == ((uint8_t)v.p[0] == 0xff);
}

bool der_algorithm(struct str *rest, struct str *oid, struct str *params)
{
	struct str seq, ignored;
	uint8_t tag;
	if (!der_get(rest, DER_SEQUENCE, &seq) || !der_get(&seq, MBEDTLS_ASN1_OID, oid) ||
		oid->n == 0)
		return false;
	*params = STR_NULL;
	if (seq.n == 0)
		return true;
	return der_any(&seq, &tag, &ignored, params) && seq.n == 0;
}

/* Days from 1970-01-01 of a date in the proleptic Gregorian calendar. */
static int64_t days_from_civil(int64_t y, int64_t m, int64_t d)
{
	y -= m <= 2;
	int64_t era = (y >= 0 ? y : y - 399) / 400, year = y - era * 400;
	int64_t day = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
	return era * 146097 + year * 365 + year / 4 - year / 100 + day - 719468;
}

static bool digits(struct str s, size_t at, size_t n, int64_t lo, int64_t hi, int64_t *out)
{
	int64_t v = 0;
	for (size_t i = at; i < at + n; i++) {
		if (s.p[i] < '0' || s.p[i] > '9')
			return false;
		v = v * 10 + (s.p[i] - '0');
	}
	*out = v;
	return v >= lo && v <= hi;
}

static bool days_in_month_ok(int64_t y, int64_t m, int64_t d)
{
	static const int8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	bool leap = (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;
	return d <= days[m - 1] + (m == 2 && leap);
}

bool der_time(struct str *rest, int64_t *out)
{
	struct str s;
	bool utc = der_is(*rest, MBEDTLS_ASN1_UTC_TIME);
	size_t year_n = utc ? 2 : 4;
	if (!der_get(rest, utc ? MBEDTLS_ASN1_UTC_TIME : MBEDTLS_ASN1_GENERALIZED_TIME, &s))
		return false;
	if (s.n != year_n + 11 || s.p[s.n - 1] != 'Z')
		return false;
	int64_t y, mon, d, h, min, sec;
	if (!digits(s, 0, year_n, 0, 9999, &y) || !digits(s, year_n, 2, 1, 12, &mon) ||
		!digits(s, year_n + 2, 2, 1, 31, &d) || !digits(s, year_n + 4, 2, 0, 23, &h) ||
		!digits(s, year_n + 6, 2, 0, 59, &min) || !digits(s, year_n + 8, 2, 0, 59, &sec))
		return false;
	if (utc)
		y += y < 50 ? 2000 : 1900;
	if (!days_in_month_ok(y, mon, d))
		return false;
	*out = days_from_civil(y, mon, d) * 86400 + h * 3600 + min * 60 + sec;
	return true;
}

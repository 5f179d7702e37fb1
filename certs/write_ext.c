/*
 * The extensions of certificates that are made here (RFC 5280 4.2). Values live in the arena of the
 * collection that the caller owns.
 */
#include "certs/write.h"

#include "certs/der.h"
#include "certs/oid.h"
#include "lib/base/obj.h"

/* A SPIFFE ID of full length twice, and room for what is around it. */
#define VALUE_MAX 8192

void x509_exts_init(struct x509_exts *e)
{
	arena_init(&e->mem, NULL);
	e->n = 0;
}

void x509_exts_clear(struct x509_exts *e)
{
	arena_clear(&e->mem);
	e->n = 0;
}

void x509_ext_add(struct x509_exts *e, struct str oid, bool critical, struct str value)
{
	ASSERT(e->n < X509_EXTS_MAX);
	e->list[e->n++] = (struct x509_ext){oid, arena_str(&e->mem, value), critical};
}

static void add_written(struct x509_exts *e, struct str oid, bool critical, const struct der_out *o)
{
	ASSERT(!o->full);
	x509_ext_add(e, oid, critical, der_out_get(o));
}

void x509_ext_basic_constraints(struct x509_exts *e, bool ca, int path_len)
{
	uint8_t buf[32];
	struct der_out o;
	der_out_init(&o, buf, sizeof(buf));
	if (path_len >= 0)
		der_put_small_int(&o, (unsigned)path_len);
	if (ca)
		der_put_true(&o);
	der_wrap(&o, DER_SEQUENCE, 0);
	add_written(e, OID_BASIC_CONSTRAINTS, true, &o);
}

void x509_ext_key_usage(struct x509_exts *e, unsigned bits)
{
	uint8_t value[2] = {7, 0};
	for (unsigned i = 0; i < 8; i++)
		if ((bits & (1u << i)) != 0) {
			value[1] |= (uint8_t)(0x80u >> i);
			value[0] = (uint8_t)(7 - i);
		}
	uint8_t buf[16];
	struct der_out o;
	der_out_init(&o, buf, sizeof(buf));
	der_put_element(&o, MBEDTLS_ASN1_BIT_STRING, str_make(value, sizeof(value)));
	add_written(e, OID_KEY_USAGE, true, &o);
}

void x509_ext_ext_key_usage(struct x509_exts *e, const struct str *oids, size_t n)
{
	uint8_t buf[256];
	struct der_out o;
	der_out_init(&o, buf, sizeof(buf));
	for (size_t i = n; i > 0; i--)
		der_put_element(&o, MBEDTLS_ASN1_OID, oids[i - 1]);
	der_wrap(&o, DER_SEQUENCE, 0);
	add_written(e, OID_EXT_KEY_USAGE, false, &o);
}

void x509_ext_names(struct x509_exts *e, bool critical, const struct x509_name *names, size_t n)
{
	uint8_t buf[VALUE_MAX];
	struct der_out o;
	der_out_init(&o, buf, sizeof(buf));
	for (size_t i = n; i > 0; i--)
		der_put_element(&o, DER_CONTEXT(names[i - 1].tag), names[i - 1].text);
	der_wrap(&o, DER_SEQUENCE, 0);
	add_written(e, OID_SUBJECT_ALT_NAME, critical, &o);
}

void x509_ext_subject_key_id(struct x509_exts *e, const uint8_t id[X509_KEY_ID_SIZE])
{
	uint8_t buf[64];
	struct der_out o;
	der_out_init(&o, buf, sizeof(buf));
	der_put_element(&o, MBEDTLS_ASN1_OCTET_STRING, str_make(id, X509_KEY_ID_SIZE));
	add_written(e, OID_SUBJECT_KEY_ID, false, &o);
}

void x509_ext_authority_key_id(struct x509_exts *e, struct str id)
{
	uint8_t buf[VALUE_MAX];
	struct der_out o;
	der_out_init(&o, buf, sizeof(buf));
	der_put_element(&o, DER_CONTEXT(0), id);
	der_wrap(&o, DER_SEQUENCE, 0);
	add_written(e, OID_AUTHORITY_KEY_ID, false, &o);
}

void x509_ext_pod_uid(struct x509_exts *e, struct str uid)
{
	uint8_t buf[256];
	struct der_out o;
	der_out_init(&o, buf, sizeof(buf));
	der_put_element(&o, MBEDTLS_ASN1_UTF8_STRING, uid);
	add_written(e, OID_POD_UID, false, &o);
}

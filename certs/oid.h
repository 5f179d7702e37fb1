/*
 * Object identifiers as DER contents, among them our own for the pod UID. Private to certs/.
 */
#ifndef WEFT_CERTS_OID_H
#define WEFT_CERTS_OID_H

#include "lib/base/str.h"

/* RFC 5280 4.2.1 */
#define OID_SUBJECT_KEY_ID STR("\x55\x1d\x0e")
#define OID_KEY_USAGE STR("\x55\x1d\x0f")
#define OID_SUBJECT_ALT_NAME STR("\x55\x1d\x11")
#define OID_BASIC_CONSTRAINTS STR("\x55\x1d\x13")
#define OID_AUTHORITY_KEY_ID STR("\x55\x1d\x23")
#define OID_EXT_KEY_USAGE STR("\x55\x1d\x25")
#define OID_ANY_EXT_KEY_USAGE STR("\x55\x1d\x25\x00")
#define OID_SERVER_AUTH STR("\x2b\x06\x01\x05\x05\x07\x03\x01")
#define OID_CLIENT_AUTH STR("\x2b\x06\x01\x05\x05\x07\x03\x02")
#define OID_CODE_SIGNING STR("\x2b\x06\x01\x05\x05\x07\x03\x03")
/* RFC 5480 2.1.1, 2.1.1.1 */
#define OID_EC_PUBLIC_KEY STR("\x2a\x86\x48\xce\x3d\x02\x01")
#define OID_P256 STR("\x2a\x86\x48\xce\x3d\x03\x01\x07")
#define OID_P384 STR("\x2b\x81\x04\x00\x22")
/* RFC 5758 3.2 */
#define OID_ECDSA_SHA256 STR("\x2a\x86\x48\xce\x3d\x04\x03\x02")
#define OID_ECDSA_SHA384 STR("\x2a\x86\x48\xce\x3d\x04\x03\x03")
/* RFC 2985 5.4.2 */
#define OID_EXTENSION_REQUEST STR("\x2a\x86\x48\x86\xf7\x0d\x01\x09\x0e")
/* RFC 5280 A.1 */
#define OID_COMMON_NAME STR("\x55\x04\x03")
#define OID_ORGANIZATION STR("\x55\x04\x0a")

/*
 * Pod UID: 1.2.840.113556.1.8000.2554.27121.13094.39290.17634.40930.12615698.10800400
 * Extension of our leaves, not critical: UTF8String with the UID of the pod that the CA attested, 1
 * to 64 letters, digits, '.', '-' or '_'. The arc is the one from which anybody may make
 * identifiers out of a random GUID; its numbers stay below 2^31, so that every parser reads it.
 */
#define OID_POD_UID                                                                                \
	STR("\x2a\x86\x48\x86\xf7\x14\x01\xbe\x40\x93\x7a\x81\xd3\x71\xe6\x26\x82\xb2\x7a\x81\x89" \
	    "\x62\x82\xbf\x62\x86\x82\x80\x12\x85\x93\x9a\x10")

#endif

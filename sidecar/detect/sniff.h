/*
 * What do these first bytes speak? Pure: bytes in, verdict out, no more bytes asked for than
 * needed.
 */
#ifndef WEFT_SIDECAR_DETECT_SNIFF_H
#define WEFT_SIDECAR_DETECT_SNIFF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/str.h"

#define SNIFF_MAX                                                                                  \
	16384 /* bytes that are looked at; a ClientHello or request line that needs more is opaque \
	       */
#define SNIFF_ALPN_MAX 8

enum sniff_verdict {
	SNIFF_MORE,  /* undecided: a prefix of something known */
	SNIFF_TLS,   /* a ClientHello */
	SNIFF_HTTP1, /* a request line, or what a lenient server would take for one */
	SNIFF_HTTP2, /* the connection preface of RFC 9113 3.4 */
	SNIFF_OPAQUE
};

/* Of a ClientHello; borrowed from the bytes. */
struct sniff_facts {
	struct str sni;
	struct str alpn[SNIFF_ALPN_MAX];
	size_t n_alpn;
	bool tls13; /* supported_versions offers 0x0304 */
};

/* eof: nothing more will come (MORE becomes OPAQUE). facts is filled for TLS. */
enum sniff_verdict sniff(struct str bytes, bool eof, struct sniff_facts *facts);
/* Bytes on which sniff() said MORE: whether what follows could make them a request. */
bool sniff_may_be_http(struct str bytes);
/* The first bytes of a server that speaks unasked are those of an HTTP server all the same: a
 * response to nothing (an idle connection's 408), or the SETTINGS of HTTP/2. */
bool sniff_http_server(struct str bytes);
/* True where the first ALPN offers begin with "weft/": a sidecar of ours. */
bool sniff_is_mesh(const struct sniff_facts *facts);
const char *sniff_name(enum sniff_verdict v);

#endif

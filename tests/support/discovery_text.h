/*
 * Messages of Discovery as one line of text, and keys from text, so that tests are tables.
 */
#ifndef WEFT_TESTS_SUPPORT_DISCOVERY_TEXT_H
#define WEFT_TESTS_SUPPORT_DISCOVERY_TEXT_H

#include "lib/net/addr.h"
#include "weft/mesh/v1/discovery.pb-c.h"

/* Plain value; grows up to its size, which a test must not pass. */
struct text {
	char s[8192];
	size_t n;
};

void text_say(struct text *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/*
 * Each with a space before it: answers "KEY>RESOURCE", "KEY>-" (not meshed), "KEY!" (refused);
 * "+RESOURCE"; "-REMOVED"; "required(POLICIES)"; "@POSITION".
 */
void text_say_response(struct text *t, const Weft__Mesh__V1__DiscoveryResponse *m);
/* An address or a name; bytes holds the address. */
Weft__Mesh__V1__Key text_key(const char *s, uint8_t bytes[16]);

#endif

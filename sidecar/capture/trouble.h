/*
 * What went wrong and what to do about it, in words for the operator. Filled by the one who knows,
 * printed once by capture.c.
 */
#ifndef WEFT_SIDECAR_CAPTURE_TROUBLE_H
#define WEFT_SIDECAR_CAPTURE_TROUBLE_H

#include "lib/base/str.h"

/* Plain value, on the stack of capture_main; crosses a pipe from the process that writes the rules.
 */
struct trouble {
	char what[600];
	char remedy[300];
};

/* Sets both texts, cut where they do not fit. */
void trouble_set(struct trouble *t, const char *remedy, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

#endif

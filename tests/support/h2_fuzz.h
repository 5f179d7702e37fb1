/*
 * One run of a fuzzer of the HTTP/2 codec: the input is a list of commands, half of them frames of
 * a peer, half of them what our user does. Everything is made and freed within the run.
 */
#ifndef TESTS_SUPPORT_H2_FUZZ_H
#define TESTS_SUPPORT_H2_FUZZ_H

#include "lib/http/conn.h"

/* Aborts where a rule of the waist is broken or something is left behind. */
void h2_fuzz_run(enum http_role role, const uint8_t *data, size_t size);

#endif
